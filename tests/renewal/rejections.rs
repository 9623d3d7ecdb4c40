//! Tokens that services reject, one at a time and many at once.

use std::{sync::Arc, time::Duration};

use http::Uri;
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};
use tower_keystone::{IdentityPlugin, RenewalPolicy, endpoint::Origin};

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
async fn whoever_can_renew_lets_every_refused_request_be_sent_once_more() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let glance = Origin::from_uri(&Uri::from_static("https://glance.test")).unwrap();
    for _ in 0..10 {
        let used = plugin.access().await.unwrap();
        assert!(plugin.invalidate(&used, &nova()));
    }
    assert_eq!(keystone.logins(), 4, "the origin is over its count");
    let used = plugin.access().await.unwrap();
    assert!(plugin.invalidate(&used, &glance));
    assert!(!Arc::ptr_eq(&plugin.access().await.unwrap(), &used), "another one is not");
    assert_eq!(keystone.logins(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_refusals_has_no_token_renewed_for_one() {
    let keystone = Keystone::new();
    let mut policy = RenewalPolicy::default();
    policy.max_rejections = 0;
    let plugin = keystone.plugin_with(policy);
    for _ in 0..3 {
        let used = plugin.access().await.unwrap();
        assert!(plugin.invalidate(&used, &nova()));
    }
    assert_eq!(keystone.logins(), 1);
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
async fn a_service_that_refuses_every_token_causes_few_logins_and_two_requests_for_each() {
    for every in [59, 500, 7_000] {
        let keystone = Keystone::new();
        let plugin = keystone.plugin();
        let nova = Nova::new(&keystone, || Duration::ZERO).closed();
        let mut behind = nova.behind_retry(&plugin);
        let mut requests = 0;
        while keystone.time().elapsed() < seconds(600) {
            let answer = behind.ready().await.unwrap().call(get()).await.unwrap();
            assert_eq!(answer.status(), 401);
            requests += 1;
            assert!(nova.seen().len() <= 2);
            tokio::time::sleep(millis(every)).await;
        }
        let in_minute = |minute: u64| {
            let minute = seconds(60 * minute)..seconds(60 * (minute + 1));
            keystone.logins_at().iter().filter(|at| minute.contains(at)).count()
        };
        assert_eq!(in_minute(0), 4, "one request in {every} ms");
        for minute in 1..10 {
            assert!((1..=3).contains(&in_minute(minute)), "minute {minute}, one request in {every} ms");
        }
        assert!(requests > 50);
    }
}

/// Three services, of which one refuses every token. All tokens are revoked after half a minute.
#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_everything_costs_others_nothing() {
    for revoked_every in [30, 300] {
        let keystone = Keystone::new();
        let plugin = keystone.plugin();
        let service = |service_type| Nova::new(&keystone, || Duration::ZERO).of_type(service_type);
        let mut good = [service("compute"), service("image")].map(|nova| nova.behind_retry(&plugin));
        let mut bad = service("volume").closed().behind_retry(&plugin);
        for second in 1..=600 {
            assert_eq!(bad.ready().await.unwrap().call(get()).await.unwrap().status(), 401);
            for service in &mut good {
                let answer = service.ready().await.unwrap().call(get()).await.unwrap();
                assert_eq!(answer.status(), 200, "after {second} s");
            }
            pass(1).await;
            if second == 30 || second % revoked_every == 0 {
                keystone.revoke();
            }
        }
        // The refusals of the bad one, and the revocations.
        assert!(most_within_a_minute(&keystone.logins_at()) <= 4 + 2);
    }
}

/// Services that differ by their paths alone count as one, and a revocation is still noticed.
#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_everything_costs_others_of_its_origin_nothing() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let mut good = Nova::new(&keystone, || Duration::ZERO).behind_retry(&plugin);
    let mut bad = Nova::new(&keystone, || Duration::ZERO).closed().behind_retry(&plugin);
    for second in 1..=600 {
        bad.ready().await.unwrap().call(get()).await.unwrap();
        let answer = good.ready().await.unwrap().call(get()).await.unwrap();
        assert_eq!(answer.status(), 200, "after {second} s");
        pass(1).await;
        if second % 100 == 30 {
            keystone.revoke();
        }
    }
    let most = most_within_a_minute(&keystone.logins_at());
    assert!(most <= 6, "{most} logins a minute");
}

#[tokio::test(start_paused = true)]
async fn one_of_three_replicas_that_refuses_good_tokens_loses_hardly_a_request() {
    for revoked_at in [None, Some(100)] {
        let keystone = Keystone::new();
        let plugin = keystone.plugin();
        let nova = Nova::new(&keystone, || Duration::ZERO).refusing(|request| request % 3 == 2);
        let mut behind = nova.behind_retry(&plugin);
        let mut lost = 0;
        for request in 0..300 {
            let answer = behind.ready().await.unwrap().call(get()).await.unwrap();
            lost += usize::from(answer.status() != 200);
            pass(1).await;
            if revoked_at == Some(request) {
                keystone.revoke();
            }
        }
        assert!(lost <= 3, "{lost} of 300");
        let most = most_within_a_minute(&keystone.logins_at());
        assert!(most <= 5, "{most} logins a minute");
    }
}

/// Services that have refused too much still have a token renewed that was revoked, not at once, but soon.
#[tokio::test(start_paused = true)]
async fn a_revocation_is_noticed_while_the_refusals_of_an_origin_count_no_more() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    // It refuses each request of the first seconds, and none later.
    let nova = Nova::new(&keystone, || Duration::ZERO).refusing(|request| (1..=5).contains(&request));
    let mut behind = nova.behind_retry(&plugin);
    let mut lost = 0;
    for second in 0..60 {
        let answer = behind.ready().await.unwrap().call(get()).await.unwrap();
        if second >= 10 {
            lost += usize::from(answer.status() != 200);
        }
        pass(1).await;
        if second == 10 {
            keystone.revoke();
        }
    }
    assert!(lost <= 20, "{lost} seconds");
    assert!(keystone.logins() <= 6, "{}", keystone.logins());
}

#[tokio::test(start_paused = true)]
async fn a_token_refused_while_its_successor_is_on_the_way_costs_no_second_login() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let old = plugin.access().await.unwrap();
    keystone.usually(Answer::Token.slowly(seconds(5)));
    pass(HOUR - 200).await;
    assert!(Arc::ptr_eq(&plugin.access().await.unwrap(), &old), "it is used while it is due for renewal");
    settle().await;
    assert!(plugin.invalidate(&old, &nova()));
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!((keystone.logins(), keystone.at_once()), (2, 1));
}
