//! Extreme values of `RenewalPolicy`.

use std::time::Duration;

use tower_keystone::{IdentityPlugin, RenewalPolicy};

use crate::support::*;

type Set<T> = fn(&mut RenewalPolicy, T);

const DURATIONS: [(&str, Set<Duration>); 11] = [
    ("renew_before_expiry", |policy, time| policy.renew_before_expiry = time),
    ("expiry_margin", |policy, time| policy.expiry_margin = time),
    ("default_lifetime", |policy, time| policy.default_lifetime = time),
    ("attempt_timeout", |policy, time| policy.attempt_timeout = time),
    ("wait_timeout", |policy, time| policy.wait_timeout = time),
    ("initial_backoff", |policy, time| policy.initial_backoff = time),
    ("max_backoff", |policy, time| policy.max_backoff = time),
    ("max_retry_after", |policy, time| policy.max_retry_after = time),
    ("permanent_failure_delays", |policy, time| {
        policy.permanent_failure_delays = vec![time];
        policy.permanent_failure_delays_after_success = vec![time];
        policy.permanent_failure_delays_without_lockout = vec![time];
    }),
    ("min_renewal_interval", |policy, time| policy.min_renewal_interval = time),
    ("rejection_window", |policy, time| policy.rejection_window = time),
];

const SHARES: [(&str, Set<f64>); 2] = [
    ("renew_before_expiry_share", |policy, share| policy.renew_before_expiry_share = share),
    ("jitter", |policy, share| policy.jitter = share),
];

/// Returns policies in which one setting or all settings have an extreme value.
fn policies() -> Vec<(String, RenewalPolicy)> {
    let mut policies = Vec::new();
    let mut add = |name: &str, change: &dyn Fn(&mut RenewalPolicy)| {
        let mut policy = RenewalPolicy::default();
        change(&mut policy);
        policies.push((name.to_owned(), policy));
    };
    for time in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        for (name, set) in DURATIONS {
            add(&format!("{name} {time:?}"), &|policy| set(policy, time));
        }
        add(&format!("all {time:?}"), &|policy| DURATIONS.iter().for_each(|(_, set)| set(policy, time)));
    }
    for share in [0.0, -1.0, 1.5, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        for (name, set) in SHARES {
            add(&format!("{name} {share}"), &|policy| set(policy, share));
        }
        add(&format!("all {share}"), &|policy| {
            SHARES.iter().for_each(|(_, set)| set(policy, share));
            (policy.renew_before_expiry, policy.default_lifetime) = (Duration::MAX, Duration::MAX);
        });
    }
    for max in [0, usize::MAX] {
        add(&format!("max_rejections {max}"), &|policy| policy.max_rejections = max);
    }
    add("no delays", &|policy| {
        policy.permanent_failure_delays = Vec::new();
        policy.permanent_failure_delays_after_success = Vec::new();
        policy.permanent_failure_delays_without_lockout = Vec::new();
    });
    policies
}

const DAY: u64 = 24 * HOUR;

#[tokio::test(start_paused = true)]
async fn no_policy_makes_a_renewal_endless_or_a_busy_loop() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for (name, policy) in policies() {
        for response in [
            LoginResponse::NoConnection,
            LoginResponse::Status(401),
            LoginResponse::RetryAfter("0"),
            LoginResponse::Never,
        ] {
            let context = format!("{name}, {response:?}");
            let keystone = ScriptedKeystone::new();
            keystone.respond_with(response);
            let plugin = keystone.plugin_with(policy.clone());
            let access = tokio::time::timeout(seconds(2 * DAY), plugin.access()).await;
            assert!(access.expect(&context).is_err(), "{context}");
            let max = max_per_minute(&keystone.login_times());
            assert!(max <= 4 * 60 + 20, "{context}: {max} logins a minute");

            // No request waits for this login.
            drop(tokio::time::timeout(seconds(1), plugin.renew()).await);
            drop(plugin);
            sleep_secs(2 * DAY).await;
            assert_eq!(tasks(), before, "{context}: a renewal task is still running");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_policy_makes_requests_panic_or_wait_forever() {
    for (name, policy) in policies() {
        for lifetime in [None, Some(0), Some(1), Some(3600), Some(i64::from(u32::MAX))] {
            let keystone = ScriptedKeystone::new();
            keystone.lifetime(lifetime);
            let plugin = keystone.plugin_with(policy.clone());
            for request in 0..50 {
                let result = tokio::time::timeout(seconds(2 * DAY), plugin.access()).await;
                if let Ok(access) = result.unwrap_or_else(|_| panic!("{name}, lifetime {lifetime:?}"))
                    && request % 10 == 9
                {
                    plugin.invalidate(&access, &nova_origin());
                }
                tokio::time::sleep(millis(100)).await;
            }
            assert!(keystone.logins() <= 100, "{name}, lifetime {lifetime:?}: {}", keystone.logins());
        }
    }
}

/// An empty list of delays means the default list, so that a mistake in the policy locks no account.
#[tokio::test(start_paused = true)]
async fn without_delays_a_wrong_password_is_tried_three_times_in_half_an_hour() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Status(401));
    let mut policy = RenewalPolicy::default();
    policy.permanent_failure_delays = Vec::new();
    let plugin = keystone.plugin_with(policy);
    for _ in 0..1800 {
        assert!(token(&plugin).await.is_err());
        sleep_secs(1).await;
    }
    assert_eq!(keystone.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_initial_back_off_of_zero_still_doubles() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::NoConnection);
    let mut policy = RenewalPolicy::default();
    policy.initial_backoff = Duration::ZERO;
    let plugin = keystone.plugin_with(policy);
    assert!(token(&plugin).await.is_err());
    assert!(keystone.time().elapsed() <= seconds(31));
    assert!((10..=40).contains(&keystone.logins()), "{}", keystone.logins());
}
