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

/// Policies with one figure out of the ordinary, or all of them.
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
    add("no pauses", &|policy| {
        policy.permanent_failure_delays = Vec::new();
        policy.permanent_failure_delays_after_success = Vec::new();
        policy.permanent_failure_delays_without_lockout = Vec::new();
    });
    policies
}

const DAY: u64 = 24 * HOUR;

#[tokio::test(start_paused = true)]
async fn no_policy_makes_a_flight_endless_or_a_busy_loop() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for (name, policy) in policies() {
        for answer in [Answer::NoConnection, Answer::Status(401), Answer::RetryAfter("0"), Answer::Hang] {
            let context = format!("{name}, {answer:?}");
            let keystone = Keystone::new();
            keystone.usually(answer);
            let plugin = keystone.plugin_with(policy.clone());
            let patient = tokio::time::timeout(seconds(2 * DAY), plugin.access()).await;
            assert!(patient.expect(&context).is_err(), "{context}");
            let most = most_within_a_minute(&keystone.logins_at());
            assert!(most <= 4 * 60 + 20, "{context}: {most} logins a minute");

            // Nobody waits for this one.
            drop(tokio::time::timeout(seconds(1), plugin.renew()).await);
            drop(plugin);
            pass(2 * DAY).await;
            assert_eq!(tasks(), before, "{context}: a flight goes on");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_policy_makes_requests_panic_or_wait_in_vain() {
    for (name, policy) in policies() {
        for lifetime in [None, Some(0), Some(1), Some(3600), Some(i64::from(u32::MAX))] {
            let keystone = Keystone::new();
            keystone.lifetime(lifetime);
            let plugin = keystone.plugin_with(policy.clone());
            for request in 0..50 {
                let brought = tokio::time::timeout(seconds(2 * DAY), plugin.access()).await;
                if let Ok(access) = brought.unwrap_or_else(|_| panic!("{name}, lifetime {lifetime:?}"))
                    && request % 10 == 9
                {
                    plugin.invalidate(&access, &nova());
                }
                tokio::time::sleep(millis(100)).await;
            }
            assert!(keystone.logins() <= 100, "{name}, lifetime {lifetime:?}: {}", keystone.logins());
        }
    }
}

/// A list of pauses that is empty is the default one: no account is locked by a mistake.
#[tokio::test(start_paused = true)]
async fn without_pauses_a_wrong_password_is_tried_three_times_in_half_an_hour() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Status(401));
    let mut policy = RenewalPolicy::default();
    policy.permanent_failure_delays = Vec::new();
    let plugin = keystone.plugin_with(policy);
    for _ in 0..1800 {
        assert!(token(&plugin).await.is_err());
        pass(1).await;
    }
    assert_eq!(keystone.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_first_pause_of_nothing_still_doubles() {
    let keystone = Keystone::new();
    keystone.usually(Answer::NoConnection);
    let mut policy = RenewalPolicy::default();
    policy.initial_backoff = Duration::ZERO;
    let plugin = keystone.plugin_with(policy);
    assert!(token(&plugin).await.is_err());
    assert!(keystone.time().elapsed() <= seconds(31));
    assert!((10..=40).contains(&keystone.logins()), "{}", keystone.logins());
}
