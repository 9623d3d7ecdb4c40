//! Tokens that services refuse, one at a time and many at once.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tower::{Service, ServiceExt};
use tower_keystone::IdentityPlugin;

use crate::support::*;

/// So many requests are in flight when their token is revoked, and are refused at random times within
/// this time. Returns how many were lost, and how many logins it took.
async fn storm(seed: u64, requests: usize, spread: Duration) -> (usize, usize) {
    let keystone = Keystone::new();
    keystone.usually(Answer::Token.slowly(millis(50)));
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    keystone.revoke();
    let random = std::sync::Mutex::new(fastrand::Rng::with_seed(seed));
    let most = spread.as_micros() as u64;
    let nova = Nova::new(&keystone, move || Duration::from_micros(random.lock().unwrap().u64(1..=most)));

    let mut under_way = JoinSet::new();
    for _ in 0..requests {
        under_way.spawn(nova.behind_retry(&plugin).oneshot(get()));
    }
    let mut lost = 0;
    while let Some(answer) = under_way.join_next().await {
        lost += usize::from(answer.unwrap().unwrap().status() != 200);
    }
    (lost, keystone.logins() - 1)
}

#[tokio::test(start_paused = true)]
async fn a_revocation_with_many_requests_in_flight_loses_none_and_costs_one_login() {
    for seed in 0..1_000 {
        assert_eq!(storm(seed, 50, millis(500)).await, (0, 1), "seed {seed}");
        assert_eq!(storm(seed, 20, millis(400)).await, (0, 1), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_refusal_of_the_old_token_keeps_the_new_one() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let old = plugin.access().await.unwrap();
    assert!(plugin.invalidate(&old, &nova()));
    let new = plugin.access().await.unwrap();
    assert!(!Arc::ptr_eq(&old, &new));
    for _ in 0..10 {
        assert!(plugin.invalidate(&old, &nova()), "it makes sense to try again");
        assert!(Arc::ptr_eq(&plugin.access().await.unwrap(), &new));
    }
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_every_token_causes_few_logins() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let nova = Nova::new(&keystone, || Duration::ZERO).closed();
    let mut behind = nova.behind_retry(&plugin);
    for _ in 0..1_000 {
        let answer = behind.ready().await.unwrap().call(get()).await.unwrap();
        assert_eq!(answer.status(), 401);
        tokio::time::sleep(millis(59)).await;
    }
    assert_eq!(keystone.logins(), 4, "in one minute");
    assert!(nova.seen().len() <= 1_003, "what is refused for good is not sent again");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_every_token_for_long_causes_few_logins_in_any_minute() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let nova = Nova::new(&keystone, || Duration::ZERO).closed();
    let mut behind = nova.behind_retry(&plugin);
    for _ in 0..6_000 {
        behind.ready().await.unwrap().call(get()).await.unwrap();
        tokio::time::sleep(millis(100)).await;
    }
    let most = most_within_a_minute(&keystone.logins_at());
    assert!((1..=4).contains(&most), "{most}");
    assert!(keystone.logins() > 20, "it is tried again every minute");
}

#[tokio::test(start_paused = true)]
async fn a_token_refused_while_its_successor_is_on_the_way_costs_no_second_login() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let old = plugin.access().await.unwrap();
    keystone.usually(Answer::Token.slowly(seconds(5)));
    pass(HOUR - 200).await;
    assert!(Arc::ptr_eq(&plugin.access().await.unwrap(), &old), "it serves while it is soft");
    settle().await;
    assert!(plugin.invalidate(&old, &nova()));
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!((keystone.logins(), keystone.at_once()), (2, 1));
}
