//! Keystone is killed and restarted while requests run. Placement validates tokens with another Keystone, which has the
//! same database and keys.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use http::{Response, StatusCode};
use hyper::body::Incoming;
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_keystone::{Error, IdentityPlugin, RenewalPolicy, RenewingPlugin, Transport};

use crate::support::{Client, hasty, past, providers, real, until};

/// Returns a transport, and the number of tokens that Keystone has issued through it.
fn counting(client: Client) -> (Transport, Arc<AtomicUsize>) {
    let tokens = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tokens);
    let client = client.map_response(move |response: Response<Incoming>| {
        if response.status() == StatusCode::CREATED {
            counted.fetch_add(1, Relaxed);
        }
        response
    });
    (Transport::new(client), tokens)
}

/// Returns a policy for a Keystone that starts slowly on a busy machine.
fn patient() -> RenewalPolicy {
    let mut policy = hasty();
    policy.attempt_timeout = Duration::from_secs(600);
    policy.wait_timeout = Duration::from_secs(600);
    policy.initial_backoff = Duration::from_millis(100);
    policy.max_backoff = Duration::from_millis(400);
    policy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_keystone_is_down_the_token_serves_and_then_requests_wait_for_the_next() {
    let Some(real) = real() else { return };
    let mut keystone = real.mortal().await;
    let asked = real.client();
    let (transport, tokens) = counting(asked.clone());
    let credentials = real.credentials(keystone.start());
    let plugin = RenewingPlugin::new(credentials, transport).policy(patient());
    let placement = real.placement(plugin.clone());
    let (served, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let access = plugin.renew().await.unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (placement, served, done) = (placement.clone(), Arc::clone(&served), Arc::clone(&done));
        callers.spawn(async move {
            while !done.load(Relaxed) {
                let answer = placement.clone().oneshot(providers()).await.unwrap();
                assert_eq!(answer.status(), StatusCode::OK);
                served.fetch_add(1, Relaxed);
            }
        });
    }

    keystone.kill();
    until("a login was tried while Keystone was down", || asked.sent() > 1).await;
    let so_far = served.load(Relaxed);
    let expires = access.auth_ref().unwrap().expires().unwrap().unwrap();
    // On a very busy machine, the token can expire before eight more requests succeed.
    let went_on = || served.load(Relaxed) >= so_far + 8 || SystemTime::now() >= expires;
    until("requests went on with the old token", went_on).await;

    // `expires` has a resolution of one second, so the plugin can use the token up to one second longer.
    past(expires + Duration::from_secs(1)).await;
    let so_far = asked.sent();
    until("a login was tried for those who wait", || asked.sent() > so_far).await;
    done.store(true, Relaxed);
    assert_eq!(tokens.load(Relaxed), 1);

    keystone.start();
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    // There are more tokens if the next one also expired before all callers were done.
    assert!(tokens.load(Relaxed) >= 2);
    keystone.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_that_a_kill_cuts_off_are_made_again() {
    let Some(real) = real() else { return };
    let mut keystone = real.mortal().await;
    let asked = real.client();
    let (transport, tokens) = counting(asked.clone());
    let credentials = real.credentials(keystone.start());
    let mut wanted = 0;
    loop {
        let mut logins = JoinSet::new();
        let before = asked.sent();
        for _ in 0..20 {
            let plugin = RenewingPlugin::new(credentials.clone(), transport.clone()).policy(patient());
            logins.spawn(async move {
                loop {
                    match plugin.access().await {
                        // On a busy machine, a token with a lifetime of seconds can expire before it arrives.
                        Err(Error::ExpiredOnArrival) => {}
                        outcome => return outcome,
                    }
                }
            });
        }
        wanted += 20;
        until("all logins were on their way", || asked.sent() >= before + 20).await;
        keystone.kill();
        let made = tokens.load(Relaxed);

        keystone.start();
        while let Some(login) = logins.join_next().await {
            login.unwrap().unwrap();
        }
        assert!(tokens.load(Relaxed) >= wanted);
        // Repeats the test if all logins were complete before the kill.
        if made < wanted {
            break;
        }
    }
    keystone.kill();
}
