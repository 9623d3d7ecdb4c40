//! A request that is polled late gets the current access. Nothing keeps a token that was dropped.

use std::sync::{Arc, Weak};

use http::Uri;
use tokio_test::{assert_pending, assert_ready, task};
use tower::Service;
use tower_keystone::{IdentityPlugin, ServiceAccess, ServiceTokenAuthWrapper, endpoint::Origin};

use crate::support::*;

type Waiting = task::Spawn<tower_keystone::AccessFuture>;

fn nova() -> Origin {
    Origin::from_uri(&Uri::from_static("https://nova.test")).unwrap()
}

/// One who has waited for the first token and is not polled when it comes.
async fn waiting<P: IdentityPlugin>(plugin: &P) -> Waiting {
    let mut waiting = task::spawn(plugin.access());
    assert_pending!(waiting.poll());
    settle().await;
    assert!(waiting.is_woken());
    waiting
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_replaced_is_not_handed_out() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let mut late = waiting(&plugin).await;
    plugin.renew().await.unwrap();
    assert_eq!(token_of_access(&assert_ready!(late.poll()).unwrap()), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_refused_is_not_handed_out() {
    for renewed in [true, false] {
        let keystone = Keystone::new();
        let plugin = keystone.plugin();
        let late = waiting(&plugin).await;
        let refused = plugin.access().await.unwrap();
        assert!(plugin.invalidate(&refused, &nova()));
        if renewed {
            token(&plugin).await.unwrap();
        }
        assert_eq!(token_of(late.into_inner()).await.unwrap(), "token-2");
        assert_eq!(keystone.logins(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_is_not_handed_out() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let late = waiting(&plugin).await;
    pass(HOUR).await;
    assert_eq!(token_of(late.into_inner()).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_reset_is_not_handed_out() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let late = waiting(&plugin).await;
    plugin.reset();
    assert_eq!(token_of(late.into_inner()).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_polled_after_a_revocation_are_sent_with_the_new_token() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let nova = Nova::new(&keystone, || seconds(0));
    let mut behind = nova.behind(&plugin);
    let mut requests: Vec<_> = (0..4).map(|_| task::spawn(behind.call(get()))).collect();
    requests.iter_mut().for_each(|request| assert_pending!(request.poll()));
    settle().await;
    assert_eq!(assert_ready!(requests.remove(0).poll()).unwrap().status(), 200);
    keystone.revoke();
    pass(60).await;
    for (index, request) in requests.into_iter().enumerate() {
        let expected = if index == 0 { 401 } else { 200 };
        assert_eq!(request.into_inner().await.unwrap().status(), expected);
        pass(60).await;
    }
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_was_overcome_is_not_handed_out() {
    let keystone = Keystone::new();
    keystone.then([Answer::Status(403)]);
    let plugin = keystone.plugin();
    let late = waiting(&plugin).await;
    plugin.reset();
    token(&plugin).await.unwrap();
    assert_eq!(token_of(late.into_inner()).await.unwrap(), "token-1");
}

/// Ways to drop a token.
fn drops() -> [fn(&Plugin, &Arc<ServiceAccess>); 3] {
    [
        |plugin, _| plugin.reset(),
        |plugin, _| plugin.set_auth_state(None).unwrap(),
        |plugin, used| assert!(plugin.invalidate(used, &nova())),
    ]
}

fn kept(access: Arc<ServiceAccess>) -> Weak<ServiceAccess> {
    Arc::downgrade(&access)
}

#[tokio::test(start_paused = true)]
async fn nothing_keeps_a_token_that_was_dropped() {
    for drop_it in drops() {
        let keystone = Keystone::new();
        let plugin = keystone.plugin();
        let late = waiting(&plugin).await;
        let in_flight = plugin.access().await.unwrap();
        drop_it(&plugin, &in_flight);
        let kept = kept(in_flight);
        assert!(kept.upgrade().is_none());
        assert_eq!(token_of(late.into_inner()).await.unwrap(), "token-2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_keeps_its_token() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let nova = Nova::new(&keystone, || seconds(5));
    let mut behind = nova.behind(&plugin);
    let access = plugin.access().await.unwrap();
    let request = behind.call(get());
    plugin.reset();
    let kept = kept(access);
    assert!(kept.upgrade().is_some());
    assert_eq!(request.await.unwrap().status(), 200);
    assert!(kept.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_keeps_a_service_token_that_was_dropped_nor_the_users() {
    for drop_it in drops() {
        for of_user in [true, false] {
            let (users, services) = (Keystone::new(), Keystone::new());
            let (user, service) = (users.plugin(), services.plugin());
            let both = ServiceTokenAuthWrapper::new(user.clone(), service.clone());
            let late = waiting(&both).await;
            let pair = both.access().await.unwrap();
            assert!(Arc::ptr_eq(&pair, &both.access().await.unwrap()), "it stays the same while it is used");
            let dropped = if of_user { &user } else { &service };
            let used = dropped.access().await.unwrap();
            drop_it(dropped, &used);
            let (pair, used) = (kept(pair), kept(used));
            assert!(pair.upgrade().is_none() && used.upgrade().is_none());
            let renewed = late.into_inner().await.unwrap();
            assert_eq!(token_of_access(&renewed), if of_user { "token-2" } else { "token-1" });
            assert_eq!((users.logins(), services.logins()), if of_user { (2, 1) } else { (1, 2) });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_that_waits_for_a_service_keeps_no_token_that_is_dropped_meanwhile() {
    let (users, services) = (Keystone::new(), Keystone::new());
    services.usually(Answer::Token.slowly(seconds(5)));
    let (user, service) = (users.plugin(), services.plugin());
    let both = ServiceTokenAuthWrapper::new(user.clone(), service);
    for at_hand in [false, true] {
        let mut late = task::spawn(both.access());
        for _ in 0..3 {
            assert_pending!(late.poll());
            settle().await;
        }
        let used = user.access().await.unwrap();
        user.reset();
        assert!(kept(used).upgrade().is_none(), "at hand: {at_hand}");
        assert!(late.into_inner().await.is_ok());
        services.usually(Answer::Token.slowly(seconds(5)));
        both.access().await.unwrap();
        pass(HOUR - 5).await;
        user.renew().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_logins_of_user_and_service_go_side_by_side() {
    let (users, services) = (Keystone::new(), Keystone::new());
    users.usually(Answer::Token.slowly(seconds(5)));
    services.usually(Answer::Token.slowly(seconds(5)));
    let both = ServiceTokenAuthWrapper::new(users.plugin(), services.plugin());
    both.access().await.unwrap();
    assert_eq!(users.time().elapsed(), seconds(5));
}
