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
        assert!(matches!(waiter.await.unwrap(), Err(Error::Keystone(answer)) if answer.status == 401));
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
async fn a_flight_that_a_reset_overtook_is_no_longer_the_one_that_counts() {
    let keystone = Keystone::new();
    keystone.then([Answer::Token.slowly(seconds(2)), Answer::Token.slowly(seconds(5))]);
    let plugin = keystone.plugin();
    let before = tokio::spawn(plugin.access());
    settle().await;
    plugin.reset();
    let after = tokio::spawn(plugin.access());
    let [before, after] = [before.await, after.await].map(|access| access.unwrap().unwrap());
    assert_eq!((&*token_of_access(&before), &*token_of_access(&after)), ("token-2", "token-2"));
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_forced_renewal_brings_a_new_token_and_a_failed_one_keeps_the_old() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    plugin.renew().await.unwrap();
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    keystone.usually(Answer::Status(500));
    assert!(plugin.renew().await.is_err());
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_requests_wait_a_failure_that_may_pass_is_tried_again() {
    let statuses = [500, 502, 503, 504].map(Answer::Status);
    for failure in statuses.into_iter().chain([Answer::NoConnection, Answer::Body("<html>"), Answer::Hang]) {
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
    let error = token(&plugin).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(error.to_string().contains(" at https://keystone.test/v3 within "), "{error}");
    assert_eq!(keystone.time().elapsed().as_secs(), 30);
    keystone.usually(Answer::Token);
    pass(30).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_to_fail_fast_gets_the_first_failure_at_once() {
    let statuses = [401, 404, 500, 503].map(Answer::Status);
    let others = [Answer::RetryAfter("5"), Answer::NoConnection, Answer::Body("<html>")];
    for failure in statuses.into_iter().chain(others) {
        let keystone = Keystone::new();
        keystone.usually(failure.clone());
        let mut policy = RenewalPolicy::default();
        policy.fail_fast = true;
        let plugin = keystone.plugin_with(policy);
        let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(plugin.access())).collect();
        for waiter in waiting {
            assert!(waiter.await.unwrap().is_err(), "{failure:?}");
        }
        assert_eq!((keystone.logins(), keystone.time().elapsed()), (1, seconds(0)), "{failure:?}");
        // The next one is tried when the pause is over.
        keystone.usually(Answer::Token);
        pass(30).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_wants_to_fail_fast_waits_for_one_attempt() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Hang);
    let mut policy = RenewalPolicy::default();
    policy.fail_fast = true;
    let plugin = keystone.plugin_with(policy);
    assert!(matches!(token(&plugin).await, Err(Error::Timeout { .. })));
    assert_eq!((keystone.logins(), keystone.time().elapsed().as_secs()), (1, 10));
}

#[tokio::test(start_paused = true)]
async fn keystone_is_left_alone_for_as_long_as_it_asks() {
    for (asked, waits) in [("7", 7), ("0", 1), ("100000", 300)] {
        let keystone = Keystone::new();
        keystone.then([Answer::RetryAfter(asked)]);
        let mut policy = RenewalPolicy::default();
        policy.wait_timeout = seconds(1000);
        let plugin = keystone.plugin_with(policy);
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        assert_eq!(keystone.time().elapsed().as_secs(), waits, "{asked}");
        assert_eq!(keystone.logins(), 2);
    }
}

/// Keystone is down from 300 s before the end of a token until so many seconds before it. Returns the tries that
/// are made meanwhile by requests that come so often.
async fn outage(seed: u64, until: u64, answer: Answer, every: Duration) -> usize {
    let keystone = Keystone::new();
    let plugin = keystone.plugin().seed(seed);
    token(&plugin).await.unwrap();
    pass(HOUR - 300).await;
    keystone.usually(answer);
    let mut tries = 0;
    while keystone.time().elapsed() < seconds(HOUR + 60) {
        if keystone.time().elapsed() >= seconds(HOUR - until) && tries == 0 {
            tries = keystone.logins() - 1;
            keystone.usually(Answer::Token);
        }
        let brought = token(&plugin).await;
        assert!(brought.is_ok(), "seed {seed}, at {:?}: {brought:?}", keystone.time().elapsed());
        tokio::time::sleep(every).await;
    }
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), tries + 2);
    tries
}

#[tokio::test(start_paused = true)]
async fn an_outage_before_the_end_of_a_token_costs_fifteen_tries_at_most_and_no_request() {
    for seed in 0..500 {
        let tries = outage(seed, 20, Answer::NoConnection, seconds(1)).await;
        assert!((5..=15).contains(&tries), "seed {seed}: {tries} tries");
    }
    for seed in 0..5 {
        let proxy = Answer::Proxy(404, "text/plain", "default backend - 404");
        for answer in [Answer::NoConnection, Answer::Status(502), Answer::Body("<html>"), proxy, Answer::Hang]
        {
            let tries = outage(seed, 20, answer.clone(), millis(50)).await;
            assert!((5..=15).contains(&tries), "seed {seed}, {answer:?}: {tries} tries");
        }
    }
    // To the last seconds, in which there is one more.
    for seed in 0..100 {
        let tries = outage(seed, 5, Answer::NoConnection, seconds(1)).await;
        assert!((5..=16).contains(&tries), "seed {seed}: {tries} tries");
    }
}

#[tokio::test(start_paused = true)]
async fn keystone_is_never_asked_earlier_than_it_wants_though_a_token_expires_meanwhile() {
    for (before, at_its_end) in [(290, Ok("token-2")), (200, Err(()))] {
        let keystone = Keystone::new();
        let plugin = keystone.plugin();
        token(&plugin).await.unwrap();
        pass(HOUR - before).await;
        keystone.then([Answer::RetryAfter("300")]);
        for left in (1..=before).rev() {
            assert_eq!(token(&plugin).await.unwrap(), "token-1", "{left} s before its end");
            pass(1).await;
        }
        // Whoever comes when the rest of the time is one that requests wait, waits for it.
        assert_eq!(token(&plugin).await.as_deref().map_err(drop), at_its_end);
        pass(110).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-2");
        let at = keystone.logins_at();
        let waited = (at[2] - at[1]).as_secs();
        assert!(waited >= 300, "{waited} s");
        assert_eq!(at.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_get_through_an_outage_that_is_shorter_than_their_patience() {
    for seed in 0..200 {
        let keystone = Keystone::new();
        keystone.usually(Answer::NoConnection);
        let plugin = keystone.plugin().seed(seed);
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(plugin.access())).collect();
        pass(20).await;
        keystone.usually(Answer::Token);
        let tries = keystone.logins();
        for waiter in waiting {
            assert_eq!(token_of_access(&waiter.await.unwrap().unwrap()), "token-1", "seed {seed}");
        }
        assert!((4..=6).contains(&tries), "seed {seed}: {tries} tries");
        assert_eq!(keystone.logins(), tries + 1, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_share_the_failure_of_a_longer_outage_and_the_next_ones_recover() {
    for seed in 0..200 {
        let keystone = Keystone::new();
        keystone.usually(Answer::NoConnection);
        let plugin = keystone.plugin().seed(seed);
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(plugin.access())).collect();
        for waiter in waiting {
            assert!(matches!(waiter.await.unwrap(), Err(Error::ConnectFailure { .. })), "seed {seed}");
        }
        assert!(keystone.time().elapsed() <= seconds(30));
        assert!((6..=10).contains(&keystone.logins()), "seed {seed}: {} tries", keystone.logins());
        keystone.usually(Answer::Token);
        pass(1).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_that_outlasts_the_token_the_first_success_is_everybodys() {
    for seed in 0..100 {
        let keystone = Keystone::new();
        let plugin = keystone.plugin().seed(seed);
        token(&plugin).await.unwrap();
        pass(HOUR - 300).await;
        keystone.usually(Answer::NoConnection);
        while keystone.time().elapsed() < seconds(HOUR + 600) {
            let brought = token(&plugin).await;
            let now = keystone.time().elapsed();
            assert_eq!(brought.is_ok(), now < seconds(HOUR), "seed {seed}, at {now:?}: {brought:?}");
            pass(1).await;
        }
        keystone.usually(Answer::Token);
        let back = keystone.time().elapsed();
        while token(&plugin).await.is_err() {
            pass(1).await;
        }
        assert!(keystone.time().elapsed() <= back + seconds(31), "seed {seed}");
        assert_eq!(keystone.issued().len(), 2, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_keystone_is_waited_for_as_long_as_an_attempt_may_take() {
    // How long every answer takes, and the first one alone; the time and the logins that it costs.
    let every = |time| vec![Answer::Token.slowly(millis(time)); 9];
    let first = |time| vec![Answer::Token.slowly(millis(time))];
    let table = [
        (every(9_900), true, 9_900, 1),
        (every(10_100), false, 30_000, 3),
        (first(10_100), true, 11_000, 2),
        (first(29_000), true, 11_000, 2),
        (first(31_000), true, 11_000, 2),
    ];
    for (answers, succeeds, takes, logins) in table {
        let keystone = Keystone::new();
        keystone.then(answers);
        let plugin = keystone.plugin();
        let hasty = tokio::time::timeout(seconds(5), plugin.access());
        let patient = tokio::spawn(plugin.access());
        assert!(hasty.await.is_err(), "who waits no longer than five seconds gets nothing");
        assert_eq!(patient.await.unwrap().is_ok(), succeeds);
        let took = keystone.time().elapsed();
        assert!(
            took <= millis(takes) && took + millis(160) >= millis(takes),
            "{took:?} instead of {takes} ms"
        );
        assert_eq!(keystone.logins(), logins);
    }
}

/// An answer that never ends: a byte each second.
struct Drip(Pin<Box<Sleep>>);

impl Body for Drip {
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
async fn an_answer_that_drips_is_given_up_when_the_attempt_has_taken_its_time() {
    let keystone = Keystone::new();
    let drip = tower::service_fn(|_: Request<bytes::Bytes>| async {
        Ok::<_, BoxError>(Response::builder().status(201).body(Drip(Box::pin(sleep(seconds(1))))).unwrap())
    });
    let plugin = RenewingPlugin::new(keystone.credentials(), Transport::new(drip)).clock(keystone.time());
    assert!(matches!(token(&plugin).await, Err(Error::Timeout { .. })));
    assert!(keystone.time().elapsed() <= seconds(30));
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
    assert_eq!(token_of_access(&flight.await.unwrap().unwrap()), "token-1", "who waited for it looks again");
    assert_eq!(token(&other).await.unwrap(), "token-1");
    // An empty state is none.
    for none in [None, Some(""), Some("\n")] {
        other.set_auth_state(Some(&state)).unwrap();
        other.set_auth_state(none.map(Secret::new).as_ref()).unwrap();
        assert!(other.auth_state().is_none());
    }
    assert_eq!(keystone.logins(), 2);
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

/// The cause of an error that panics when it is printed.
#[derive(thiserror::Error)]
#[error("a bomb")]
struct Bomb;

impl std::fmt::Debug for Bomb {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("a test wants this panic")
    }
}

/// Credentials whose first login fails with a bomb.
#[derive(Debug)]
struct Mined {
    credentials: V3Credentials,
    stepped_on: AtomicBool,
}

impl Credentials for Mined {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        if self.stepped_on.swap(true, SeqCst) {
            return self.credentials.get_auth_ref(transport);
        }
        Box::pin(async { Err(Error::plugin(false, Bomb)) })
    }

    fn auth_url(&self) -> &Uri {
        self.credentials.auth_url()
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_the_state_is_locked_leaves_the_plugin_usable() {
    let keystone = Keystone::new();
    let credentials = Mined { credentials: keystone.credentials(), stepped_on: AtomicBool::new(false) };
    let plugin = keystone.plugin_of(credentials, RenewalPolicy::default());
    assert!(matches!(token(&plugin).await, Err(Error::Plugin { .. })));
    assert!(catch_unwind(AssertUnwindSafe(|| format!("{plugin:?}"))).is_err());
    assert!(matches!(token(&plugin).await, Err(Error::Plugin { .. })));
    pass(30).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
}
