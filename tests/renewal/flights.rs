//! One flight for all who wait, and what comes after a flight that failed.

use std::sync::Arc;

use http::Uri;
use tower_keystone::{Credentials, Error, IdentityPlugin, RenewalPolicy, Transport, identity::AuthRefFuture};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn ten_thousand_waiters_cause_one_login_and_share_its_token() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Token.slowly(seconds(2)));
    let plugin = keystone.plugin();
    let waiting: Vec<_> = (0..10_000).map(|_| tokio::spawn(plugin.access())).collect();
    let mut first = None;
    for waiter in waiting {
        let access = waiter.await.unwrap().unwrap();
        assert!(Arc::ptr_eq(first.get_or_insert_with(|| Arc::clone(&access)), &access));
    }
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_waiters_cause_one_login_and_share_its_failure() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Status(401).slowly(seconds(2)));
    let plugin = keystone.plugin();
    let waiting: Vec<_> = (0..10_000).map(|_| tokio::spawn(plugin.access())).collect();
    for waiter in waiting {
        assert!(matches!(waiter.await.unwrap(), Err(Error::Http(answer)) if answer.status == 401));
    }
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_tried_three_times_in_half_an_hour() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Status(401));
    let plugin = keystone.plugin();
    for _ in 0..10_000 {
        assert!(token(&plugin).await.is_err());
        tokio::time::sleep(millis(180)).await;
    }
    assert_eq!(keystone.logins(), 3);
    assert_eq!(keystone.logins_at().iter().map(|at| at.as_secs()).collect::<Vec<_>>(), [0, 30, 330]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_logs_in_at_once_after_the_password_was_mended() {
    let keystone = Keystone::new();
    keystone.then([Answer::Status(401)]);
    let plugin = keystone.plugin();
    assert!(token(&plugin).await.is_err());
    assert!(token(&plugin).await.is_err());
    assert_eq!(keystone.logins(), 1);
    plugin.reset();
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_forced_renewal_brings_a_new_token_and_a_failed_one_keeps_the_old() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    plugin.force().await.unwrap();
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    keystone.usually(Answer::Status(500));
    assert!(plugin.force().await.is_err());
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_requests_wait_a_failure_that_may_pass_is_tried_again() {
    for failure in [Answer::Status(503), Answer::NoConnection, Answer::Body("<html>"), Answer::Hang] {
        let keystone = Keystone::new();
        keystone.then([failure.clone(), failure.clone()]);
        let plugin = keystone.plugin();
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "{failure:?}");
        assert_eq!(keystone.logins(), 3, "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_wait_no_longer_than_the_load_timeout_and_recover_by_themselves() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Hang);
    let plugin = keystone.plugin();
    assert!(matches!(token(&plugin).await, Err(Error::Timeout { .. })));
    assert_eq!(keystone.time().elapsed().as_secs(), 30);
    keystone.usually(Answer::Token);
    pass(30).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn keystone_is_left_alone_for_as_long_as_it_asks() {
    for (asked, waits) in [("7", 7), ("0", 1), ("100000", 300)] {
        let keystone = Keystone::new();
        keystone.then([Answer::RetryAfter(asked)]);
        let mut policy = RenewalPolicy::default();
        policy.load_timeout = seconds(1000);
        let plugin = keystone.plugin_with(policy);
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        assert_eq!(keystone.time().elapsed().as_secs(), waits, "{asked}");
        assert_eq!(keystone.logins(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_before_the_end_of_a_token_is_not_noticed() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    pass(HOUR - 300).await;
    keystone.usually(Answer::NoConnection);
    for _ in 0..280 {
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        pass(1).await;
    }
    let tries = keystone.logins() - 1;
    assert!((5..=20).contains(&tries), "{tries} tries");
    keystone.usually(Answer::Token);
    for _ in 0..60 {
        token(&plugin).await.unwrap();
        pass(1).await;
    }
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), tries + 2);
}

#[tokio::test(start_paused = true)]
async fn a_stored_token_is_taken_over_and_no_flight_displaces_what_was_set() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Token.slowly(seconds(5)));
    let (one, other) = (keystone.plugin(), keystone.plugin());
    assert!(one.auth_state().is_none());
    token(&one).await.unwrap();
    let state = one.auth_state().unwrap();

    let flight = tokio::spawn(other.access());
    pass(1).await;
    other.set_auth_state(Some(&state)).unwrap();
    assert_eq!(token(&other).await.unwrap(), "token-1");
    assert_eq!(token_of_access(&flight.await.unwrap().unwrap()), "token-2", "who waited for it gets it");
    assert_eq!(token(&other).await.unwrap(), "token-1");
    other.set_auth_state(None).unwrap();
    assert!(other.auth_state().is_none());
    assert_eq!(keystone.logins(), 2);
}

fn token_of_access(access: &tower_keystone::Access) -> String {
    access.auth_ref().unwrap().auth_token().unwrap().to_owned()
}

/// Credentials that panic, at once or when they are waited for.
struct Panicking {
    auth_url: Uri,
    at_once: bool,
}

impl Credentials for Panicking {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        assert!(!self.at_once, "a test wants this panic");
        Box::pin(async { panic!("a test wants this panic") })
    }

    fn auth_url(&self) -> &Uri {
        &self.auth_url
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_panic_are_an_error_to_all_who_wait() {
    for at_once in [true, false] {
        let keystone = Keystone::new();
        let credentials = Panicking { auth_url: Uri::from_static("https://keystone.test/v3"), at_once };
        let plugin = keystone.plugin_of(credentials, RenewalPolicy::default());
        let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(plugin.access())).collect();
        for waiter in waiting {
            assert!(matches!(waiter.await.unwrap(), Err(Error::PluginPanicked)));
        }
        pass(31).await;
        assert!(matches!(token(&plugin).await, Err(Error::PluginPanicked)));
    }
}
