//! Keystone is killed and started again while requests run. Placement validates tokens with a second Keystone that has the
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

/// A way to Keystone, and the number of tokens that came over it.
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

/// Figures for a Keystone that takes a while to start on a busy machine.
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
    // A machine that is busy enough lets the token end before it comes to this.
    let went_on = || served.load(Relaxed) >= so_far + 8 || SystemTime::now() >= expires;
    until("requests went on with the old token", went_on).await;

    // Issued some time in its first second, so that it may count for a second longer here.
    past(expires + Duration::from_secs(1)).await;
    let so_far = asked.sent();
    until("a login was tried for those who wait", || asked.sent() > so_far).await;
    done.store(true, Relaxed);
    assert_eq!(tokens.load(Relaxed), 1);

    keystone.start();
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    // More if the next one ended, too, before all callers were done.
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
                        // On a busy machine a token of seconds may end on its way.
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
        // Where the kill came too late, it cut nothing off.
        if made < wanted {
            break;
        }
    }
    keystone.kill();
}
