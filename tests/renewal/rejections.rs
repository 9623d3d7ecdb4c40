//! Tokens that services reject, one at a time and many at once.

use std::{sync::Arc, time::Duration};

use http::Uri;
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};
use tower_keystone::{IdentityPlugin, RenewalPolicy, endpoint::Origin};

use crate::support::*;

/// Revokes a token while this number of requests is in flight. They are rejected at random times within `spread`.
///
/// Returns the number of lost requests and of logins.
async fn burst_of_rejections(seed: u64, requests: usize, spread: Duration) -> (usize, usize) {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(50)));
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    keystone.revoke();
    let random = std::sync::Mutex::new(fastrand::Rng::with_seed(seed));
    let max = spread.as_micros() as u64;
    let nova =
        ScriptedService::new(&keystone, move || Duration::from_micros(random.lock().unwrap().u64(1..=max)));

    let mut in_flight = JoinSet::new();
    for _ in 0..requests {
        in_flight.spawn(nova.with_auth_and_retry(&plugin).oneshot(get()));
    }
    let mut lost = 0;
    while let Some(response) = in_flight.join_next().await {
        lost += usize::from(response.unwrap().unwrap().status() != 200);
    }
    (lost, keystone.logins() - 1)
}

#[tokio::test(start_paused = true)]
async fn a_revocation_with_many_requests_in_flight_loses_none_and_costs_one_login() {
    for seed in 0..1_000 {
        assert_eq!(burst_of_rejections(seed, 50, millis(500)).await, (0, 1), "seed {seed}");
        assert_eq!(burst_of_rejections(seed, 20, millis(400)).await, (0, 1), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn invalidate_permits_a_retry_after_every_rejection() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let glance = Origin::from_uri(&Uri::from_static("https://glance.test")).unwrap();
    for _ in 0..10 {
        let used = plugin.access().await.unwrap();
        assert!(plugin.invalidate(&used, &nova_origin()));
    }
    assert_eq!(keystone.logins(), 4, "the origin is over its limit of rejections");
    let used = plugin.access().await.unwrap();
    assert!(plugin.invalidate(&used, &glance));
    assert!(!Arc::ptr_eq(&plugin.access().await.unwrap(), &used), "another origin is not over its limit");
    assert_eq!(keystone.logins(), 5);
}

#[tokio::test(start_paused = true)]
async fn with_max_rejections_of_zero_a_rejection_does_not_renew_the_token() {
    let keystone = ScriptedKeystone::new();
    let mut policy = RenewalPolicy::default();
    policy.max_rejections = 0;
    let plugin = keystone.plugin_with(policy);
    for _ in 0..3 {
        let used = plugin.access().await.unwrap();
        assert!(plugin.invalidate(&used, &nova_origin()));
    }
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_rejection_of_the_old_token_keeps_the_new_one() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let old = plugin.access().await.unwrap();
    assert!(plugin.invalidate(&old, &nova_origin()));
    let new = plugin.access().await.unwrap();
    assert!(!Arc::ptr_eq(&old, &new));
    for _ in 0..10 {
        assert!(plugin.invalidate(&old, &nova_origin()), "a retry uses the new token");
        assert!(Arc::ptr_eq(&plugin.access().await.unwrap(), &new));
    }
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_rejects_every_token_causes_few_logins_and_gets_each_request_twice() {
    for every in [59, 500, 7_000] {
        let keystone = ScriptedKeystone::new();
        let plugin = keystone.plugin();
        let nova = ScriptedService::new(&keystone, || Duration::ZERO).rejecting_all();
        let mut client = nova.with_auth_and_retry(&plugin);
        let mut requests = 0;
        while keystone.time().elapsed() < seconds(600) {
            let response = client.ready().await.unwrap().call(get()).await.unwrap();
            assert_eq!(response.status(), 401);
            requests += 1;
            assert!(nova.take_requests().len() <= 2);
            tokio::time::sleep(millis(every)).await;
        }
        let in_minute = |minute: u64| {
            let minute = seconds(60 * minute)..seconds(60 * (minute + 1));
            keystone.login_times().iter().filter(|at| minute.contains(at)).count()
        };
        assert_eq!(in_minute(0), 4, "one request in {every} ms");
        for minute in 1..10 {
            assert!((1..=3).contains(&in_minute(minute)), "minute {minute}, one request in {every} ms");
        }
        assert!(requests > 50);
    }
}

/// Three services, one of which rejects every token. All tokens are revoked after half a minute, then periodically.
#[tokio::test(start_paused = true)]
async fn a_service_that_rejects_every_token_does_not_affect_other_services() {
    for revoked_every in [30, 300] {
        let keystone = ScriptedKeystone::new();
        let plugin = keystone.plugin();
        let service =
            |service_type| ScriptedService::new(&keystone, || Duration::ZERO).service_type(service_type);
        let mut accepting =
            [service("compute"), service("image")].map(|nova| nova.with_auth_and_retry(&plugin));
        let mut rejecting = service("volume").rejecting_all().with_auth_and_retry(&plugin);
        for second in 1..=600 {
            assert_eq!(rejecting.ready().await.unwrap().call(get()).await.unwrap().status(), 401);
            for service in &mut accepting {
                let response = service.ready().await.unwrap().call(get()).await.unwrap();
                assert_eq!(response.status(), 200, "after {second} s");
            }
            sleep_secs(1).await;
            if second == 30 || second % revoked_every == 0 {
                keystone.revoke();
            }
        }
        // Four logins for the rejections, and two for the revocations.
        assert!(max_per_minute(&keystone.login_times()) <= 4 + 2);
    }
}

/// Rejections are counted by origin, so services on different paths of one origin share a count. A revoked token is
/// still renewed.
#[tokio::test(start_paused = true)]
async fn a_service_that_rejects_every_token_does_not_affect_others_of_its_origin() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let mut accepting = ScriptedService::new(&keystone, || Duration::ZERO).with_auth_and_retry(&plugin);
    let mut rejecting =
        ScriptedService::new(&keystone, || Duration::ZERO).rejecting_all().with_auth_and_retry(&plugin);
    for second in 1..=600 {
        rejecting.ready().await.unwrap().call(get()).await.unwrap();
        let response = accepting.ready().await.unwrap().call(get()).await.unwrap();
        assert_eq!(response.status(), 200, "after {second} s");
        sleep_secs(1).await;
        if second % 100 == 30 {
            keystone.revoke();
        }
    }
    let max = max_per_minute(&keystone.login_times());
    assert!(max <= 6, "{max} logins a minute");
}

#[tokio::test(start_paused = true)]
async fn one_of_three_replicas_that_rejects_valid_tokens_loses_at_most_three_requests() {
    for revoked_at in [None, Some(100)] {
        let keystone = ScriptedKeystone::new();
        let plugin = keystone.plugin();
        let nova = ScriptedService::new(&keystone, || Duration::ZERO).rejecting(|request| request % 3 == 2);
        let mut client = nova.with_auth_and_retry(&plugin);
        let mut lost = 0;
        for request in 0..300 {
            let response = client.ready().await.unwrap().call(get()).await.unwrap();
            lost += usize::from(response.status() != 200);
            sleep_secs(1).await;
            if revoked_at == Some(request) {
                keystone.revoke();
            }
        }
        assert!(lost <= 3, "{lost} of 300");
        let max = max_per_minute(&keystone.login_times());
        assert!(max <= 5, "{max} logins a minute");
    }
}

/// The token is renewed later than usual, but within 20 s.
#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_renewed_even_when_the_rejections_of_its_origin_are_over_the_limit() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    // The service rejects five of the first requests, and none later.
    let nova =
        ScriptedService::new(&keystone, || Duration::ZERO).rejecting(|request| (1..=5).contains(&request));
    let mut client = nova.with_auth_and_retry(&plugin);
    let mut lost = 0;
    for second in 0..60 {
        let response = client.ready().await.unwrap().call(get()).await.unwrap();
        if second >= 10 {
            lost += usize::from(response.status() != 200);
        }
        sleep_secs(1).await;
        if second == 10 {
            keystone.revoke();
        }
    }
    assert!(lost <= 20, "{lost} seconds");
    assert!(keystone.logins() <= 6, "{}", keystone.logins());
}

#[tokio::test(start_paused = true)]
async fn a_token_rejected_while_its_renewal_is_in_flight_causes_no_second_login() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let old = plugin.access().await.unwrap();
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    sleep_secs(HOUR - 200).await;
    assert!(Arc::ptr_eq(&plugin.access().await.unwrap(), &old), "a token that is due for renewal is used");
    settle().await;
    assert!(plugin.invalidate(&old, &nova_origin()));
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!((keystone.logins(), keystone.max_concurrent_logins()), (2, 1));
}
