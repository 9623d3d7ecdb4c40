//! One renewal task for all waiting requests, and what follows a failed one.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};
use tower_keystone::{
    BoxError, Credentials, Error, IdentityPlugin, RenewalPolicy, RenewingPlugin, Secret, Transport,
    V3Credentials, identity::AuthRefFuture,
};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn ten_thousand_waiters_cause_one_login_and_share_its_token() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(2)));
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
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Status(401).delayed_by(seconds(2)));
    let plugin = keystone.plugin();
    let waiting: Vec<_> = (0..10_000).map(|_| tokio::spawn(plugin.access())).collect();
    for waiter in waiting {
        assert!(matches!(waiter.await.unwrap(), Err(Error::Keystone(response)) if response.status == 401));
    }
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_tried_three_times_in_half_an_hour() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Status(401));
    let plugin = keystone.plugin();
    for _ in 0..10_000 {
        assert!(token(&plugin).await.is_err());
        tokio::time::sleep(millis(180)).await;
    }
    assert_eq!(keystone.logins(), 3);
    assert_eq!(keystone.login_times().iter().map(|at| at.as_secs()).collect::<Vec<_>>(), [0, 30, 330]);
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_a_corrected_password_is_used_at_once() {
    let keystone = ScriptedKeystone::new();
    keystone.queue_responses([LoginResponse::Status(401)]);
    let plugin = keystone.plugin();
    assert!(token(&plugin).await.is_err());
    assert!(token(&plugin).await.is_err());
    assert_eq!(keystone.logins(), 1);
    plugin.reset();
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_result_of_a_login_that_started_before_a_reset_is_discarded() {
    let keystone = ScriptedKeystone::new();
    keystone.queue_responses([
        LoginResponse::Token.delayed_by(seconds(2)),
        LoginResponse::Token.delayed_by(seconds(5)),
    ]);
    let plugin = keystone.plugin();
    let before = tokio::spawn(plugin.access());
    settle().await;
    plugin.reset();
    let after = tokio::spawn(plugin.access());
    let [before, after] = [before.await, after.await].map(|access| access.unwrap().unwrap());
    assert_eq!((&*token_from_access(&before), &*token_from_access(&after)), ("token-2", "token-2"));
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_forced_renewal_replaces_the_token_and_a_failed_one_keeps_it() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    plugin.renew().await.unwrap();
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    keystone.respond_with(LoginResponse::Status(500));
    assert!(plugin.renew().await.is_err());
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_retried_while_requests_wait() {
    let statuses = [500, 502, 503, 504].map(LoginResponse::Status);
    for failure in statuses.into_iter().chain([
        LoginResponse::NoConnection,
        LoginResponse::Body("<html>"),
        LoginResponse::Never,
    ]) {
        let keystone = ScriptedKeystone::new();
        keystone.queue_responses([failure.clone(), failure.clone()]);
        let plugin = keystone.plugin();
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "{failure:?}");
        assert_eq!(keystone.logins(), 3, "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_fail_after_the_wait_timeout_and_later_ones_succeed() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Never);
    let plugin = keystone.plugin();
    let error = token(&plugin).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(error.to_string().contains(" at https://keystone.test/v3 within "), "{error}");
    assert_eq!(keystone.time().elapsed().as_secs(), 30);
    keystone.respond_with(LoginResponse::Token);
    sleep_secs(30).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn with_fail_fast_the_first_failure_is_returned_at_once() {
    let statuses = [401, 404, 500, 503].map(LoginResponse::Status);
    let others = [LoginResponse::RetryAfter("5"), LoginResponse::NoConnection, LoginResponse::Body("<html>")];
    for failure in statuses.into_iter().chain(others) {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(failure.clone());
        let mut policy = RenewalPolicy::default();
        policy.fail_fast = true;
        let plugin = keystone.plugin_with(policy);
        let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(plugin.access())).collect();
        for waiter in waiting {
            assert!(waiter.await.unwrap().is_err(), "{failure:?}");
        }
        assert_eq!((keystone.logins(), keystone.time().elapsed()), (1, seconds(0)), "{failure:?}");
        // The next login is sent when the back-off is over.
        keystone.respond_with(LoginResponse::Token);
        sleep_secs(30).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_fail_fast_requests_wait_for_one_attempt() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Never);
    let mut policy = RenewalPolicy::default();
    policy.fail_fast = true;
    let plugin = keystone.plugin_with(policy);
    assert!(matches!(token(&plugin).await, Err(Error::Timeout { .. })));
    assert_eq!((keystone.logins(), keystone.time().elapsed().as_secs()), (1, 10));
}

#[tokio::test(start_paused = true)]
async fn a_login_is_retried_when_retry_after_has_passed() {
    for (retry_after, waits) in [("7", 7), ("0", 1), ("100000", 300)] {
        let keystone = ScriptedKeystone::new();
        keystone.queue_responses([LoginResponse::RetryAfter(retry_after)]);
        let mut policy = RenewalPolicy::default();
        policy.wait_timeout = seconds(1000);
        let plugin = keystone.plugin_with(policy);
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        assert_eq!(keystone.time().elapsed().as_secs(), waits, "{retry_after}");
        assert_eq!(keystone.logins(), 2);
    }
}

/// Simulates an outage from 300 s before the expiry of a token until `until` seconds before it, while a request is
/// sent at every interval `every`. Returns the number of failed logins.
async fn outage(seed: u64, until: u64, response: LoginResponse, every: Duration) -> usize {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin().seed(seed);
    token(&plugin).await.unwrap();
    sleep_secs(HOUR - 300).await;
    keystone.respond_with(response);
    let mut attempts = 0;
    while keystone.time().elapsed() < seconds(HOUR + 60) {
        if keystone.time().elapsed() >= seconds(HOUR - until) && attempts == 0 {
            attempts = keystone.logins() - 1;
            keystone.respond_with(LoginResponse::Token);
        }
        let result = token(&plugin).await;
        assert!(result.is_ok(), "seed {seed}, at {:?}: {result:?}", keystone.time().elapsed());
        tokio::time::sleep(every).await;
    }
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), attempts + 2);
    attempts
}

#[tokio::test(start_paused = true)]
async fn an_outage_shortly_before_expiry_causes_at_most_fifteen_logins_and_loses_no_request() {
    for seed in 0..500 {
        let attempts = outage(seed, 20, LoginResponse::NoConnection, seconds(1)).await;
        assert!((5..=15).contains(&attempts), "seed {seed}: {attempts} logins");
    }
    for seed in 0..5 {
        let proxy = LoginResponse::Proxy(404, "text/plain", "default backend - 404");
        for response in [
            LoginResponse::NoConnection,
            LoginResponse::Status(502),
            LoginResponse::Body("<html>"),
            proxy,
            LoginResponse::Never,
        ] {
            let attempts = outage(seed, 20, response.clone(), millis(50)).await;
            assert!((5..=15).contains(&attempts), "seed {seed}, {response:?}: {attempts} logins");
        }
    }
    // The outage lasts into the expiry margin, in which one more login is sent.
    for seed in 0..100 {
        let attempts = outage(seed, 5, LoginResponse::NoConnection, seconds(1)).await;
        assert!((5..=16).contains(&attempts), "seed {seed}: {attempts} logins");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_even_if_the_token_expires_meanwhile() {
    for (before, at_expiry) in [(290, Ok("token-2")), (200, Err(()))] {
        let keystone = ScriptedKeystone::new();
        let plugin = keystone.plugin();
        token(&plugin).await.unwrap();
        sleep_secs(HOUR - before).await;
        keystone.queue_responses([LoginResponse::RetryAfter("300")]);
        for left in (1..=before).rev() {
            assert_eq!(token(&plugin).await.unwrap(), "token-1", "{left} s before its expiry");
            sleep_secs(1).await;
        }
        // A request waits if the rest of the delay is shorter than its wait timeout.
        assert_eq!(token(&plugin).await.as_deref().map_err(drop), at_expiry);
        sleep_secs(110).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-2");
        let at = keystone.login_times();
        let waited = (at[2] - at[1]).as_secs();
        assert!(waited >= 300, "{waited} s");
        assert_eq!(at.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_survive_an_outage_shorter_than_the_wait_timeout() {
    for seed in 0..200 {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(LoginResponse::NoConnection);
        let plugin = keystone.plugin().seed(seed);
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(plugin.access())).collect();
        sleep_secs(20).await;
        keystone.respond_with(LoginResponse::Token);
        let attempts = keystone.logins();
        for waiter in waiting {
            assert_eq!(token_from_access(&waiter.await.unwrap().unwrap()), "token-1", "seed {seed}");
        }
        assert!((4..=6).contains(&attempts), "seed {seed}: {attempts} logins");
        assert_eq!(keystone.logins(), attempts + 1, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_requests_share_the_error_of_a_longer_outage_and_later_ones_succeed() {
    for seed in 0..200 {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(LoginResponse::NoConnection);
        let plugin = keystone.plugin().seed(seed);
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(plugin.access())).collect();
        for waiter in waiting {
            assert!(matches!(waiter.await.unwrap(), Err(Error::ConnectFailure { .. })), "seed {seed}");
        }
        assert!(keystone.time().elapsed() <= seconds(30));
        assert!((6..=10).contains(&keystone.logins()), "seed {seed}: {} logins", keystone.logins());
        keystone.respond_with(LoginResponse::Token);
        sleep_secs(1).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_that_outlasts_the_token_requests_recover_with_one_login() {
    for seed in 0..100 {
        let keystone = ScriptedKeystone::new();
        let plugin = keystone.plugin().seed(seed);
        token(&plugin).await.unwrap();
        sleep_secs(HOUR - 300).await;
        keystone.respond_with(LoginResponse::NoConnection);
        while keystone.time().elapsed() < seconds(HOUR + 600) {
            let result = token(&plugin).await;
            let now = keystone.time().elapsed();
            assert_eq!(result.is_ok(), now < seconds(HOUR), "seed {seed}, at {now:?}: {result:?}");
            sleep_secs(1).await;
        }
        keystone.respond_with(LoginResponse::Token);
        let back = keystone.time().elapsed();
        while token(&plugin).await.is_err() {
            sleep_secs(1).await;
        }
        assert!(keystone.time().elapsed() <= back + seconds(31), "seed {seed}");
        assert_eq!(keystone.issued().len(), 2, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_a_slow_keystone_up_to_the_attempt_timeout() {
    // The response times in milliseconds, whether the request succeeds, after how many milliseconds, and the logins.
    let every = |time| vec![LoginResponse::Token.delayed_by(millis(time)); 9];
    let first = |time| vec![LoginResponse::Token.delayed_by(millis(time))];
    let table = [
        (every(9_900), true, 9_900, 1),
        (every(10_100), false, 30_000, 3),
        (first(10_100), true, 11_000, 2),
        (first(29_000), true, 11_000, 2),
        (first(31_000), true, 11_000, 2),
    ];
    for (responses, succeeds, takes, logins) in table {
        let keystone = ScriptedKeystone::new();
        keystone.queue_responses(responses);
        let plugin = keystone.plugin();
        let impatient = tokio::time::timeout(seconds(5), plugin.access());
        let patient = tokio::spawn(plugin.access());
        assert!(impatient.await.is_err(), "no token within five seconds");
        assert_eq!(patient.await.unwrap().is_ok(), succeeds);
        let took = keystone.time().elapsed();
        assert!(
            took <= millis(takes) && took + millis(160) >= millis(takes),
            "{took:?} instead of {takes} ms"
        );
        assert_eq!(keystone.logins(), logins);
    }
}

/// A response body that never ends: one byte per second.
struct EndlessBody(Pin<Box<Sleep>>);

impl Body for EndlessBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        ready!(self.0.as_mut().poll(cx));
        self.0 = Box::pin(sleep(seconds(1)));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_body_that_never_ends_is_abandoned_after_the_attempt_timeout() {
    let keystone = ScriptedKeystone::new();
    let drip = tower::service_fn(|_: Request<bytes::Bytes>| async {
        Ok::<_, BoxError>(
            Response::builder().status(201).body(EndlessBody(Box::pin(sleep(seconds(1))))).unwrap(),
        )
    });
    let plugin = RenewingPlugin::new(keystone.credentials(), Transport::new(drip)).clock(keystone.time());
    assert!(matches!(token(&plugin).await, Err(Error::Timeout { .. })));
    assert!(keystone.time().elapsed() <= seconds(30));
}

#[tokio::test(start_paused = true)]
async fn a_restored_token_is_not_replaced_by_an_older_login() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    let (one, other) = (keystone.plugin(), keystone.plugin());
    assert!(one.auth_state().is_none());
    token(&one).await.unwrap();
    let state = one.auth_state().unwrap();

    let flight = tokio::spawn(other.access());
    sleep_secs(1).await;
    other.set_auth_state(Some(&state)).unwrap();
    assert_eq!(token(&other).await.unwrap(), "token-1");
    assert_eq!(
        token_from_access(&flight.await.unwrap().unwrap()),
        "token-1",
        "a request that waited for the login gets the restored token"
    );
    assert_eq!(token(&other).await.unwrap(), "token-1");
    // An empty stored state means no token.
    for none in [None, Some(""), Some("\n")] {
        other.set_auth_state(Some(&state)).unwrap();
        other.set_auth_state(none.map(Secret::new).as_ref()).unwrap();
        assert!(other.auth_state().is_none());
    }
    assert_eq!(keystone.logins(), 2);
}

/// Credentials that panic when they are called, or when their future is polled.
struct Panicking {
    auth_url: Uri,
    when_called: bool,
}

impl Credentials for Panicking {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        assert!(!self.when_called, "this panic is part of a test");
        Box::pin(async { panic!("this panic is part of a test") })
    }

    fn auth_url(&self) -> &Uri {
        &self.auth_url
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_credentials_is_an_error_for_all_waiting_requests() {
    for when_called in [true, false] {
        let keystone = ScriptedKeystone::new();
        let credentials = Panicking { auth_url: Uri::from_static("https://keystone.test/v3"), when_called };
        let plugin = keystone.plugin_for(credentials, RenewalPolicy::default());
        let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(plugin.access())).collect();
        for waiter in waiting {
            assert!(matches!(waiter.await.unwrap(), Err(Error::PluginPanicked)));
        }
        sleep_secs(31).await;
        assert!(matches!(token(&plugin).await, Err(Error::PluginPanicked)));
    }
}

/// An error that panics when it is printed.
#[derive(thiserror::Error)]
#[error("cannot be printed")]
struct UnprintableError;

impl std::fmt::Debug for UnprintableError {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("this panic is part of a test")
    }
}

/// Credentials whose first login fails with an [`UnprintableError`].
#[derive(Debug)]
struct FailingOnce {
    credentials: V3Credentials,
    has_failed: AtomicBool,
}

impl Credentials for FailingOnce {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        if self.has_failed.swap(true, SeqCst) {
            return self.credentials.get_auth_ref(transport);
        }
        Box::pin(async { Err(Error::plugin(false, UnprintableError)) })
    }

    fn auth_url(&self) -> &Uri {
        self.credentials.auth_url()
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_the_state_is_locked_leaves_the_plugin_usable() {
    let keystone = ScriptedKeystone::new();
    let credentials = FailingOnce { credentials: keystone.credentials(), has_failed: AtomicBool::new(false) };
    let plugin = keystone.plugin_for(credentials, RenewalPolicy::default());
    assert!(matches!(token(&plugin).await, Err(Error::Plugin { .. })));
    assert!(catch_unwind(AssertUnwindSafe(|| format!("{plugin:?}"))).is_err());
    assert!(matches!(token(&plugin).await, Err(Error::Plugin { .. })));
    sleep_secs(30).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
}
