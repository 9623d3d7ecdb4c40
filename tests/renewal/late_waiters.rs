//! A request that is polled late gets the current access, and a dropped token is not kept in memory.

use std::sync::{Arc, Weak};

use http::Uri;
use tokio_test::{assert_pending, assert_ready, task};
use tower::Service;
use tower_keystone::{IdentityPlugin, ServiceAccess, ServiceTokenAuthWrapper, endpoint::Origin};

use crate::support::*;

type WaitingRequest = task::Spawn<tower_keystone::AccessFuture>;

fn nova_origin() -> Origin {
    Origin::from_uri(&Uri::from_static("https://nova.test")).unwrap()
}

/// Returns a future that waits for the first token and has not been polled since the token arrived.
async fn woken_request<P: IdentityPlugin>(plugin: &P) -> WaitingRequest {
    let mut waiting = task::spawn(plugin.access());
    assert_pending!(waiting.poll());
    settle().await;
    assert!(waiting.is_woken());
    waiting
}

#[tokio::test(start_paused = true)]
async fn a_request_polled_after_a_renewal_gets_the_new_token() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let mut late = woken_request(&plugin).await;
    plugin.renew().await.unwrap();
    assert_eq!(token_from_access(&assert_ready!(late.poll()).unwrap()), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_request_polled_after_a_rejection_gets_the_new_token() {
    for renewed in [true, false] {
        let keystone = ScriptedKeystone::new();
        let plugin = keystone.plugin();
        let late = woken_request(&plugin).await;
        let rejected = plugin.access().await.unwrap();
        assert!(plugin.invalidate(&rejected, &nova_origin()));
        if renewed {
            token(&plugin).await.unwrap();
        }
        assert_eq!(token_from_future(late.into_inner()).await.unwrap(), "token-2");
        assert_eq!(keystone.logins(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_polled_after_the_expiry_gets_the_new_token() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let late = woken_request(&plugin).await;
    sleep_secs(HOUR).await;
    assert_eq!(token_from_future(late.into_inner()).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_request_polled_after_a_reset_gets_the_new_token() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let late = woken_request(&plugin).await;
    plugin.reset();
    assert_eq!(token_from_future(late.into_inner()).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_polled_after_a_revocation_are_sent_with_the_new_token() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let nova = ScriptedService::new(&keystone, || seconds(0));
    let mut client = nova.with_auth(&plugin);
    let mut requests: Vec<_> = (0..4).map(|_| task::spawn(client.call(get()))).collect();
    requests.iter_mut().for_each(|request| assert_pending!(request.poll()));
    settle().await;
    assert_eq!(assert_ready!(requests.remove(0).poll()).unwrap().status(), 200);
    keystone.revoke();
    sleep_secs(60).await;
    for (index, request) in requests.into_iter().enumerate() {
        let expected = if index == 0 { 401 } else { 200 };
        assert_eq!(request.into_inner().await.unwrap().status(), expected);
        sleep_secs(60).await;
    }
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_polled_after_a_failure_and_a_reset_gets_the_new_token() {
    let keystone = ScriptedKeystone::new();
    keystone.queue_responses([LoginResponse::Status(403)]);
    let plugin = keystone.plugin();
    let late = woken_request(&plugin).await;
    plugin.reset();
    token(&plugin).await.unwrap();
    assert_eq!(token_from_future(late.into_inner()).await.unwrap(), "token-1");
}

/// Returns the ways to drop a token.
fn ways_to_drop() -> [fn(&Plugin, &Arc<ServiceAccess>); 3] {
    [
        |plugin, _| plugin.reset(),
        |plugin, _| plugin.set_auth_state(None).unwrap(),
        |plugin, used| assert!(plugin.invalidate(used, &nova_origin())),
    ]
}

fn weak(access: Arc<ServiceAccess>) -> Weak<ServiceAccess> {
    Arc::downgrade(&access)
}

#[tokio::test(start_paused = true)]
async fn a_dropped_token_is_not_kept_in_memory() {
    for drop_token in ways_to_drop() {
        let keystone = ScriptedKeystone::new();
        let plugin = keystone.plugin();
        let late = woken_request(&plugin).await;
        let in_flight = plugin.access().await.unwrap();
        drop_token(&plugin, &in_flight);
        let weak = weak(in_flight);
        assert!(weak.upgrade().is_none());
        assert_eq!(token_from_future(late.into_inner()).await.unwrap(), "token-2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_keeps_its_token_in_memory() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let nova = ScriptedService::new(&keystone, || seconds(5));
    let mut client = nova.with_auth(&plugin);
    let access = plugin.access().await.unwrap();
    let request = client.call(get());
    plugin.reset();
    let weak = weak(access);
    assert!(weak.upgrade().is_some());
    assert_eq!(request.await.unwrap().status(), 200);
    assert!(weak.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn dropped_user_and_service_tokens_are_not_kept_in_memory() {
    for drop_token in ways_to_drop() {
        for drop_user in [true, false] {
            let (user_keystone, service_keystone) = (ScriptedKeystone::new(), ScriptedKeystone::new());
            let (user, service) = (user_keystone.plugin(), service_keystone.plugin());
            let combined = ServiceTokenAuthWrapper::new(user.clone(), service.clone());
            let late = woken_request(&combined).await;
            let pair = combined.access().await.unwrap();
            assert!(
                Arc::ptr_eq(&pair, &combined.access().await.unwrap()),
                "the pair stays the same while it is in use"
            );
            let dropped = if drop_user { &user } else { &service };
            let used = dropped.access().await.unwrap();
            drop_token(dropped, &used);
            let (pair, used) = (weak(pair), weak(used));
            assert!(pair.upgrade().is_none() && used.upgrade().is_none());
            let renewed = late.into_inner().await.unwrap();
            assert_eq!(token_from_access(&renewed), if drop_user { "token-2" } else { "token-1" });
            assert_eq!(
                (user_keystone.logins(), service_keystone.logins()),
                if drop_user { (2, 1) } else { (1, 2) }
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_token_dropped_while_the_service_login_is_in_flight_is_not_kept_in_memory() {
    let (user_keystone, service_keystone) = (ScriptedKeystone::new(), ScriptedKeystone::new());
    service_keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    let (user, service) = (user_keystone.plugin(), service_keystone.plugin());
    let combined = ServiceTokenAuthWrapper::new(user.clone(), service);
    for cached in [false, true] {
        let mut late = task::spawn(combined.access());
        for _ in 0..3 {
            assert_pending!(late.poll());
            settle().await;
        }
        let used = user.access().await.unwrap();
        user.reset();
        assert!(weak(used).upgrade().is_none(), "cached: {cached}");
        assert!(late.into_inner().await.is_ok());
        service_keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
        combined.access().await.unwrap();
        sleep_secs(HOUR - 5).await;
        user.renew().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_logins_of_user_and_service_run_concurrently() {
    let (user_keystone, service_keystone) = (ScriptedKeystone::new(), ScriptedKeystone::new());
    user_keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    service_keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    let combined = ServiceTokenAuthWrapper::new(user_keystone.plugin(), service_keystone.plugin());
    combined.access().await.unwrap();
    assert_eq!(user_keystone.time().elapsed(), seconds(5));
}
