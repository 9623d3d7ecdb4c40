//! Keystone is down, slow, or rejects the login.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tower::util::Oneshot;
use tower_keystone::{BoxError, Error, IdentityPlugin, RenewalPolicy};

use crate::support::*;

cases![
    paused a01_requests_wait_during_an_outage_at_the_start_and_share_its_error,
    paused a02_an_outage_shortly_before_expiry_affects_no_request,
    paused a03_an_expired_token_is_never_sent_even_in_a_long_outage,
    paused a04_requests_wait_for_a_slow_keystone_within_limits,
    paused a06_server_errors_are_retried,
    paused a07_retry_after_is_obeyed_within_limits,
    paused a07_the_cached_token_is_used_until_retry_after_has_passed,
    paused a07_a_retry_after_longer_than_the_wait_timeout_fails_requests_at_once,
    paused a07_no_retry_after_text_makes_the_delay_zero_or_longer_than_the_limit,
    paused a10_a_rejected_login_is_tried_three_times_in_half_an_hour,
    paused a10_a_missing_second_factor_is_a_distinct_error_with_its_receipt,
    paused a10_an_error_that_is_not_from_keystone_is_transient,
    paused a10_an_error_that_a_retry_cannot_change_fails_at_once,
    paused a11_configuration_errors_are_tried_three_times_in_half_an_hour,
    paused a18_tokens_with_a_lifetime_of_seconds_cause_at_most_six_logins_a_minute,
];

async fn a01_requests_wait_during_an_outage_at_the_start_and_share_its_error() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::NoConnection);
    let plugin = keystone.plugin();
    let nova = ScriptedService::new(&keystone, || Duration::ZERO).with_auth(&plugin);
    settle().await;
    assert_eq!(keystone.logins(), 0, "creating the layer sends no login");

    let mut callers: JoinSet<_> = (0..100).map(|_| Oneshot::new(nova.clone(), get())).collect();
    sleep_secs(20).await;
    keystone.respond_with(LoginResponse::Token);
    while let Some(response) = callers.join_next().await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert!((3..=8).contains(&keystone.logins()), "{}", keystone.logins());
    assert_eq!(keystone.max_concurrent_logins(), 1);

    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::NoConnection);
    let plugin = keystone.plugin();
    let callers: Vec<_> = (0..100).map(|_| tokio::spawn(token_from_future(plugin.access()))).collect();
    let mut sources = Vec::new();
    for caller in callers {
        match caller.await.unwrap() {
            Err(Error::ConnectFailure { source, .. }) => sources.push(source),
            other => panic!("{other:?}"),
        }
    }
    assert!(sources.iter().all(|source| Arc::ptr_eq(source, &sources[0])));
    let (waited, logins) = (keystone.time().elapsed(), keystone.logins());
    assert!((seconds(20)..=seconds(30)).contains(&waited), "{waited:?}");
    assert!((4..=10).contains(&logins), "{logins}");
    assert!(token(&plugin).await.is_err());
    assert_eq!(keystone.logins(), logins, "the back-off is not over");
    keystone.respond_with(LoginResponse::Token);
    sleep_secs(30).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), logins + 1);
}

async fn a02_an_outage_shortly_before_expiry_affects_no_request() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    sleep_secs(HOUR - 300).await;
    keystone.respond_with(LoginResponse::NoConnection);
    for _ in 0..280 {
        assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-1");
        sleep_secs(1).await;
    }
    let attempts = keystone.logins() - 1;
    assert!((5..=15).contains(&attempts), "{attempts}");
    keystone.respond_with(LoginResponse::Token);
    for _ in 0..40 {
        token(&plugin).await.unwrap();
        sleep_secs(1).await;
    }
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), attempts + 2);
}

async fn a03_an_expired_token_is_never_sent_even_in_a_long_outage() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let nova = ScriptedService::new(&keystone, || Duration::ZERO);
    let service = nova.with_auth(&plugin);
    token(&plugin).await.unwrap();
    sleep_secs(HOUR - 300).await;
    keystone.respond_with(LoginResponse::NoConnection);
    let (mut sent, mut longest) = (0, Duration::ZERO);
    while keystone.time().elapsed() < seconds(HOUR + 600) {
        let started = keystone.time().elapsed();
        let response: Result<_, BoxError> = Oneshot::new(service.clone(), get()).await;
        let now = keystone.time().elapsed();
        assert_eq!(response.is_ok(), now < seconds(HOUR), "at {now:?}");
        sent += usize::from(response.is_ok());
        longest = longest.max(now - started);
        sleep_secs(1).await;
    }
    let requests = nova.take_requests();
    assert_eq!(requests.len(), sent);
    assert!(!requests.iter().any(|request| request.token_expired));
    assert!(longest <= seconds(30), "{longest:?}");
    // Logins are sent one after the other, with a back-off between two.
    assert!((20..=150).contains(&keystone.logins()), "{}", keystone.logins());
    assert!(max_per_minute(&keystone.login_times()) <= 15);
    keystone.respond_with(LoginResponse::Token);
    sleep_secs(30).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
}

async fn a04_requests_wait_for_a_slow_keystone_within_limits() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(9_900)));
    assert_eq!(token(&keystone.plugin()).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 1);

    for delay in [10_100, 29_000, 31_000] {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(LoginResponse::Token.delayed_by(millis(delay)));
        assert!(matches!(token(&keystone.plugin()).await, Err(Error::Timeout { .. })), "{delay}");
        assert!(keystone.time().elapsed() <= seconds(30));
        assert!((2..=4).contains(&keystone.logins()), "{delay}: {}", keystone.logins());
        assert_eq!(keystone.max_concurrent_logins(), 1);
    }

    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(8)));
    let plugin = keystone.plugin();
    let patient = tokio::spawn({
        let plugin = plugin.clone();
        async move { token(&plugin).await }
    });
    assert!(timeout(seconds(5), token(&plugin)).await.is_err(), "the caller has a shorter timeout");
    assert_eq!(patient.await.unwrap().unwrap(), "token-1");
    assert_eq!(keystone.logins(), 1);
}

async fn a06_server_errors_are_retried() {
    for status in [500, 502, 503, 504] {
        let keystone = ScriptedKeystone::new();
        keystone.queue_responses([LoginResponse::Status(status), LoginResponse::Status(status)]);
        let plugin = keystone.plugin();
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "{status}");
        let at = keystone.login_times();
        assert_eq!(at.len(), 3);
        assert!(at[1] - at[0] >= millis(500) && at[2] - at[1] > at[1] - at[0], "{at:?}");
    }
}

/// Returns the time until a login succeeds, if the first response has this status and `Retry-After`.
async fn time_until_login(status: u16, retry_after: &str) -> Duration {
    let time = SimulatedTime::new();
    let header = retry_after.to_owned();
    let servers = Servers::first(move || build_response(status, &[("retry-after", &header)], ""));
    let mut policy = RenewalPolicy::default();
    policy.wait_timeout = seconds(1000);
    assert_eq!(token(&servers.plugin_with(&time, policy)).await.unwrap(), "token-1");
    assert_eq!(servers.posts().len(), 2, "{retry_after}");
    time.elapsed()
}

async fn a07_retry_after_is_obeyed_within_limits() {
    let in_a_minute = std::time::SystemTime::now() + seconds(60);
    let own = millis(500)..=millis(1000);
    for status in [429, 503] {
        for (retry_after, expected) in [
            ("7", seconds(7)..=seconds(7)),
            ("0", seconds(1)..=seconds(1)),
            ("315360000", seconds(300)..=seconds(300)),
            (&http_date(in_a_minute), seconds(45)..=seconds(60)),
            ("Fri, 31 Dec 2100 23:59:59 GMT", seconds(300)..=seconds(300)),
            ("-5", own.clone()),
            ("Sun, 06 Nov 1994 08:49:37 GMT", own.clone()),
            ("soon", own.clone()),
            ("99999999999999999999999", own.clone()),
        ] {
            let waited = time_until_login(status, retry_after).await;
            assert!(expected.contains(&waited), "{status}, {retry_after}: {waited:?}");
        }
    }
}

/// Formats a time in the form that RFC 9110 prefers.
fn http_date(time: std::time::SystemTime) -> String {
    let since_epoch = time.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let date = jiff::Timestamp::from_second(since_epoch.as_secs().cast_signed()).unwrap();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap()
}

async fn a07_the_cached_token_is_used_until_retry_after_has_passed() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    sleep_secs(HOUR - 350).await;
    keystone.queue_responses([LoginResponse::RetryAfter("200")]);
    for _ in 0..260 {
        token_without_waiting(&plugin).unwrap().unwrap();
        sleep_secs(1).await;
    }
    let at = keystone.login_times();
    assert_eq!(at.len(), 3);
    assert!((seconds(200)..seconds(202)).contains(&(at[2] - at[1])), "{at:?}");
}

async fn a07_a_retry_after_longer_than_the_wait_timeout_fails_requests_at_once() {
    let keystone = ScriptedKeystone::new();
    keystone.queue_responses([LoginResponse::RetryAfter("100")]);
    let plugin = keystone.plugin();
    for _ in 0..99 {
        assert!(matches!(token_within_a_millisecond(&plugin).await, Err(Error::Keystone(_))));
        sleep_secs(1).await;
    }
    assert_eq!(keystone.logins(), 1);
    sleep_secs(1).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 2);
}

/// Returns the token or the error of a request that must not wait.
async fn token_within_a_millisecond(plugin: &Plugin) -> Result<String, Error> {
    timeout(millis(1), token(plugin)).await.expect("no request waits that long")
}

async fn a07_no_retry_after_text_makes_the_delay_zero_or_longer_than_the_limit() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let length = random.usize(0..24);
        let alphabet = b"0123456789-+., :eGMTJanSu";
        let text: String = (0..length).map(|_| char::from(*random.choice(alphabet).unwrap())).collect();
        let waited = time_until_login(503, &text).await;
        assert!((millis(500)..=seconds(300)).contains(&waited), "{text:?}: {waited:?}");
    }
}

async fn a10_a_rejected_login_is_tried_three_times_in_half_an_hour() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Status(401));
    let plugin = keystone.plugin();
    for _ in 0..10_000 {
        assert!(matches!(token(&plugin).await, Err(Error::Keystone(response)) if response.status == 401));
        tokio::time::sleep(millis(180)).await;
    }
    let at: Vec<_> = keystone.login_times().iter().map(Duration::as_secs).collect();
    assert_eq!(at, [0, 30, 330]);
    keystone.respond_with(LoginResponse::Token);
    plugin.reset();
    assert_eq!(token(&plugin).await.unwrap(), "token-1", "the corrected login is sent at once");
    assert_eq!(keystone.logins(), 4);
}

async fn a10_a_missing_second_factor_is_a_distinct_error_with_its_receipt() {
    let body = r#"{"receipt": {"methods": ["password"], "expires_at": "2027-01-15T08:05:00.000000Z"},
        "required_auth_methods": [["password", "totp"]]}"#;
    let servers =
        Servers::new(move |_, _| build_response(401, &[("openstack-auth-receipt", "canary")], body));
    let time = SimulatedTime::new();
    let plugin = servers.plugin(&time);
    for _ in 0..1_800 {
        let error = token(&plugin).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
        match error {
            Error::MissingAuthMethods(missing) => assert_eq!(missing.receipt.expose(), "canary"),
            other => panic!("{other}"),
        }
        sleep_secs(1).await;
    }
    assert_eq!(servers.posts().len(), 3);
}

async fn a11_configuration_errors_are_tried_three_times_in_half_an_hour() {
    for status in [400, 403, 404, 405, 409, 413] {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(LoginResponse::Status(status));
        let plugin = keystone.plugin();
        for _ in 0..1_800 {
            let error = token(&plugin).await.unwrap_err();
            assert!(!error.is_transient(), "{status}");
            sleep_secs(1).await;
        }
        assert_eq!(keystone.logins(), 3, "{status}");
    }
}

async fn a18_tokens_with_a_lifetime_of_seconds_cause_at_most_six_logins_a_minute() {
    for lifetime in [-1, 0, 1, 5] {
        let keystone = ScriptedKeystone::new();
        keystone.lifetime(Some(lifetime));
        let plugin = keystone.plugin();
        let first = token(&plugin).await;
        assert_eq!(
            first.is_ok(),
            lifetime > 0,
            "{lifetime}: a waiting request gets a token that has not expired"
        );
        for _ in 0..600 {
            if let Err(error) = token(&plugin).await {
                assert!(matches!(error, Error::ExpiredOnArrival), "{lifetime}: {error}");
            }
            tokio::time::sleep(millis(500)).await;
        }
        let max = max_per_minute(&keystone.login_times());
        assert!((3..=6).contains(&max), "{lifetime}: {max}");
    }
}

/// Responses of proxies in front of Keystone: content type and body.
const PROXIES: [(&str, &str); 12] = [
    ("text/plain", "default backend - 404"),
    ("text/html", "<html><h1>Forbidden</h1></html>"),
    ("text/html", ""),
    ("", ""),
    ("application/json", ""),
    ("application/json", "{}"),
    ("application/json", "[]"),
    ("application/json", r#"{"message": "no Route matched with those values"}"#),
    ("application/json", r#"{"error": "not found"}"#),
    ("application/json", r#"{"error": {}}"#),
    ("application/json", r#"{"error": {"message": 404}}"#),
    ("application/json", r#"{"error": {"message": "broken off"#),
];

async fn a10_an_error_that_is_not_from_keystone_is_transient() {
    for status in [400, 401, 403, 404, 409, 410, 418] {
        for (content_type, body) in PROXIES {
            let keystone = ScriptedKeystone::new();
            keystone.queue_responses([LoginResponse::Proxy(status, content_type, body)]);
            assert_eq!(token(&keystone.plugin()).await.unwrap(), "token-1", "{status} {body}");
            assert_eq!(keystone.logins(), 2, "{status} {body}");
        }
    }
    for body in [
        r#"{"error": {"code": 401, "message": "no", "title": "Unauthorized"}}"#,
        r#"{"error": {"message": "no"}}"#,
        "\u{feff}{\"error\": {\"message\": \"no\"}}",
    ] {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(LoginResponse::Proxy(401, "application/json", body));
        let error = token(&keystone.plugin()).await.unwrap_err();
        assert!(!error.is_transient() && keystone.logins() == 1, "{body}: {error}");
    }
    // Two minutes of proxy errors, at the start and later: requests succeed at the latest 30 s after them.
    for status in [401, 403, 404] {
        let keystone = ScriptedKeystone::new();
        let plugin = keystone.plugin();
        keystone.respond_with(LoginResponse::Proxy(status, "text/plain", "default backend - 404"));
        while keystone.time().elapsed() < seconds(120) {
            assert!(token(&plugin).await.is_err());
            sleep_secs(1).await;
        }
        keystone.respond_with(LoginResponse::Token);
        sleep_secs(30).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "{status}");
    }
}

async fn a10_an_error_that_a_retry_cannot_change_fails_at_once() {
    for status in [405, 406, 407, 411, 414, 415, 417, 426, 431, 501, 505] {
        for (content_type, body) in PROXIES {
            let keystone = ScriptedKeystone::new();
            keystone.respond_with(LoginResponse::Proxy(status, content_type, body));
            let error = token(&keystone.plugin()).await.unwrap_err();
            assert!(matches!(&error, Error::Keystone(response) if response.status == status), "{error}");
            assert!(!error.is_transient(), "{error}");
            assert_eq!(
                (keystone.logins(), keystone.time().elapsed()),
                (1, Duration::ZERO),
                "{status} {body}"
            );
        }
    }
}
