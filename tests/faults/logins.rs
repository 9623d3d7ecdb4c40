//! Keystone is down, slow, or rejects the login.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tower::util::Oneshot;
use tower_keystone::{BoxError, Error, IdentityPlugin, RenewalPolicy};

use crate::support::*;

cases![
    paused a01_an_outage_at_the_start_is_waited_out_and_its_error_is_shared,
    paused a02_an_outage_in_the_last_minutes_of_a_token_is_not_noticed,
    paused a03_an_expired_token_is_never_sent_however_long_the_outage,
    paused a04_a_slow_keystone_is_waited_for_within_limits_and_by_whoever_still_wants_it,
    paused a06_errors_of_the_server_are_tried_again,
    paused a07_keystone_is_left_alone_for_as_long_as_it_asks_within_limits,
    paused a07_a_token_at_hand_serves_while_keystone_asks_to_wait,
    paused a07_a_wait_longer_than_the_load_timeout_fails_requests_and_is_kept,
    paused a07_no_text_makes_the_pause_longer_than_the_limit_or_none,
    paused a10_a_refused_login_is_tried_three_times_in_half_an_hour,
    paused a10_a_receipt_of_a_second_factor_is_an_error_of_its_own,
    paused a10_an_error_that_is_not_keystones_passes_by_itself,
    paused a10_what_no_waiting_changes_fails_at_once,
    paused a11_errors_of_the_configuration_are_tried_three_times_in_half_an_hour,
    paused a18_tokens_that_live_for_seconds_cause_at_most_six_logins_a_minute,
];

async fn a01_an_outage_at_the_start_is_waited_out_and_its_error_is_shared() {
    let keystone = Keystone::new();
    keystone.usually(Answer::NoConnection);
    let plugin = keystone.plugin();
    let nova = Nova::new(&keystone, || Duration::ZERO).behind(&plugin);
    settle().await;
    assert_eq!(keystone.logins(), 0, "building does nothing");

    let mut callers: JoinSet<_> = (0..100).map(|_| Oneshot::new(nova.clone(), get())).collect();
    pass(20).await;
    keystone.usually(Answer::Token);
    while let Some(response) = callers.join_next().await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert!((3..=8).contains(&keystone.logins()), "{}", keystone.logins());
    assert_eq!(keystone.at_once(), 1);

    let keystone = Keystone::new();
    keystone.usually(Answer::NoConnection);
    let plugin = keystone.plugin();
    let callers: Vec<_> = (0..100).map(|_| tokio::spawn(token_of(plugin.access()))).collect();
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
    assert_eq!(keystone.logins(), logins, "not so soon");
    keystone.usually(Answer::Token);
    pass(30).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), logins + 1);
}

async fn a02_an_outage_in_the_last_minutes_of_a_token_is_not_noticed() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    pass(HOUR - 300).await;
    keystone.usually(Answer::NoConnection);
    for _ in 0..280 {
        assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-1");
        pass(1).await;
    }
    let tries = keystone.logins() - 1;
    assert!((5..=15).contains(&tries), "{tries}");
    keystone.usually(Answer::Token);
    for _ in 0..40 {
        token(&plugin).await.unwrap();
        pass(1).await;
    }
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), tries + 2);
}

async fn a03_an_expired_token_is_never_sent_however_long_the_outage() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let nova = Nova::new(&keystone, || Duration::ZERO);
    let service = nova.behind(&plugin);
    token(&plugin).await.unwrap();
    pass(HOUR - 300).await;
    keystone.usually(Answer::NoConnection);
    let (mut sent, mut longest) = (0, Duration::ZERO);
    while keystone.time().elapsed() < seconds(HOUR + 600) {
        let asked = keystone.time().elapsed();
        let response: Result<_, BoxError> = Oneshot::new(service.clone(), get()).await;
        let now = keystone.time().elapsed();
        assert_eq!(response.is_ok(), now < seconds(HOUR), "at {now:?}");
        sent += usize::from(response.is_ok());
        longest = longest.max(now - asked);
        pass(1).await;
    }
    let seen = nova.seen();
    assert_eq!(seen.len(), sent);
    assert!(!seen.iter().any(|seen| seen.expired));
    assert!(longest <= seconds(30), "{longest:?}");
    // One flight after the other, with a pause between two.
    assert!((20..=150).contains(&keystone.logins()), "{}", keystone.logins());
    assert!(most_within_a_minute(&keystone.logins_at()) <= 15);
    keystone.usually(Answer::Token);
    pass(30).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
}

async fn a04_a_slow_keystone_is_waited_for_within_limits_and_by_whoever_still_wants_it() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Token.slowly(millis(9_900)));
    assert_eq!(token(&keystone.plugin()).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 1);

    for delay in [10_100, 29_000, 31_000] {
        let keystone = Keystone::new();
        keystone.usually(Answer::Token.slowly(millis(delay)));
        assert!(matches!(token(&keystone.plugin()).await, Err(Error::Timeout { .. })), "{delay}");
        assert!(keystone.time().elapsed() <= seconds(30));
        assert!((2..=4).contains(&keystone.logins()), "{delay}: {}", keystone.logins());
        assert_eq!(keystone.at_once(), 1);
    }

    let keystone = Keystone::new();
    keystone.usually(Answer::Token.slowly(seconds(8)));
    let plugin = keystone.plugin();
    let patient = tokio::spawn({
        let plugin = plugin.clone();
        async move { token(&plugin).await }
    });
    assert!(timeout(seconds(5), token(&plugin)).await.is_err(), "the caller's own deadline");
    assert_eq!(patient.await.unwrap().unwrap(), "token-1");
    assert_eq!(keystone.logins(), 1);
}

async fn a06_errors_of_the_server_are_tried_again() {
    for status in [500, 502, 503, 504] {
        let keystone = Keystone::new();
        keystone.then([Answer::Status(status), Answer::Status(status)]);
        let plugin = keystone.plugin();
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "{status}");
        let at = keystone.logins_at();
        assert_eq!(at.len(), 3);
        assert!(at[1] - at[0] >= millis(500) && at[2] - at[1] > at[1] - at[0], "{at:?}");
    }
}

/// What one login costs in time if Keystone first asks to wait.
async fn waits(status: u16, retry_after: &str) -> Duration {
    let time = Time::new();
    let header = retry_after.to_owned();
    let servers = Servers::first(move || answer(status, &[("retry-after", &header)], ""));
    let mut policy = RenewalPolicy::default();
    policy.wait_timeout = seconds(1000);
    assert_eq!(token(&servers.plugin_with(&time, policy)).await.unwrap(), "token-1");
    assert_eq!(servers.posts().len(), 2, "{retry_after}");
    time.elapsed()
}

async fn a07_keystone_is_left_alone_for_as_long_as_it_asks_within_limits() {
    let in_a_minute = std::time::SystemTime::now() + seconds(60);
    let own = millis(500)..=millis(1000);
    for status in [429, 503] {
        for (asked, expected) in [
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
            let waited = waits(status, asked).await;
            assert!(expected.contains(&waited), "{status}, {asked}: {waited:?}");
        }
    }
}

/// The form that RFC 9110 prefers.
fn http_date(time: std::time::SystemTime) -> String {
    let since_epoch = time.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let date = jiff::Timestamp::from_second(since_epoch.as_secs().cast_signed()).unwrap();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap()
}

async fn a07_a_token_at_hand_serves_while_keystone_asks_to_wait() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    pass(HOUR - 350).await;
    keystone.then([Answer::RetryAfter("200")]);
    for _ in 0..260 {
        token_at_once(&plugin).unwrap().unwrap();
        pass(1).await;
    }
    let at = keystone.logins_at();
    assert_eq!(at.len(), 3);
    assert!((seconds(200)..seconds(202)).contains(&(at[2] - at[1])), "{at:?}");
}

async fn a07_a_wait_longer_than_the_load_timeout_fails_requests_and_is_kept() {
    let keystone = Keystone::new();
    keystone.then([Answer::RetryAfter("100")]);
    let plugin = keystone.plugin();
    for _ in 0..99 {
        assert!(matches!(token_at_once_or_settled(&plugin).await, Err(Error::Keystone(_))));
        pass(1).await;
    }
    assert_eq!(keystone.logins(), 1);
    pass(1).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 2);
}

/// The token, or the error that is there without any time passing.
async fn token_at_once_or_settled(plugin: &Plugin) -> Result<String, Error> {
    timeout(millis(1), token(plugin)).await.expect("no request waits that long")
}

async fn a07_no_text_makes_the_pause_longer_than_the_limit_or_none() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let length = random.usize(0..24);
        let alphabet = b"0123456789-+., :eGMTJanSu";
        let text: String = (0..length).map(|_| char::from(*random.choice(alphabet).unwrap())).collect();
        let waited = waits(503, &text).await;
        assert!((millis(500)..=seconds(300)).contains(&waited), "{text:?}: {waited:?}");
    }
}

async fn a10_a_refused_login_is_tried_three_times_in_half_an_hour() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Status(401));
    let plugin = keystone.plugin();
    for _ in 0..10_000 {
        assert!(matches!(token(&plugin).await, Err(Error::Keystone(answer)) if answer.status == 401));
        tokio::time::sleep(millis(180)).await;
    }
    let at: Vec<_> = keystone.logins_at().iter().map(Duration::as_secs).collect();
    assert_eq!(at, [0, 30, 330]);
    keystone.usually(Answer::Token);
    plugin.reset();
    assert_eq!(token(&plugin).await.unwrap(), "token-1", "at once, once it was mended");
    assert_eq!(keystone.logins(), 4);
}

async fn a10_a_receipt_of_a_second_factor_is_an_error_of_its_own() {
    let body = r#"{"receipt": {"methods": ["password"], "expires_at": "2027-01-15T08:05:00.000000Z"},
        "required_auth_methods": [["password", "totp"]]}"#;
    let servers = Servers::new(move |_, _| answer(401, &[("openstack-auth-receipt", "canary")], body));
    let time = Time::new();
    let plugin = servers.plugin(&time);
    for _ in 0..1_800 {
        let error = token(&plugin).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
        match error {
            Error::MissingAuthMethods(missing) => assert_eq!(missing.receipt.expose(), "canary"),
            other => panic!("{other}"),
        }
        pass(1).await;
    }
    assert_eq!(servers.posts().len(), 3);
}

async fn a11_errors_of_the_configuration_are_tried_three_times_in_half_an_hour() {
    for status in [400, 403, 404, 405, 409, 413] {
        let keystone = Keystone::new();
        keystone.usually(Answer::Status(status));
        let plugin = keystone.plugin();
        for _ in 0..1_800 {
            let error = token(&plugin).await.unwrap_err();
            assert!(!error.is_transient(), "{status}");
            pass(1).await;
        }
        assert_eq!(keystone.logins(), 3, "{status}");
    }
}

async fn a18_tokens_that_live_for_seconds_cause_at_most_six_logins_a_minute() {
    for lifetime in [-1, 0, 1, 5] {
        let keystone = Keystone::new();
        keystone.lifetime(Some(lifetime));
        let plugin = keystone.plugin();
        let first = token(&plugin).await;
        assert_eq!(first.is_ok(), lifetime > 0, "{lifetime}: whoever waits gets it while it is good");
        for _ in 0..600 {
            if let Err(error) = token(&plugin).await {
                assert!(matches!(error, Error::ExpiredOnArrival), "{lifetime}: {error}");
            }
            tokio::time::sleep(millis(500)).await;
        }
        let most = most_within_a_minute(&keystone.logins_at());
        assert!((3..=6).contains(&most), "{lifetime}: {most}");
    }
}

/// What stands in front of Keystone, and is no word of it.
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

async fn a10_an_error_that_is_not_keystones_passes_by_itself() {
    for status in [400, 401, 403, 404, 409, 410, 418] {
        for (content_type, body) in PROXIES {
            let keystone = Keystone::new();
            keystone.then([Answer::Proxy(status, content_type, body)]);
            assert_eq!(token(&keystone.plugin()).await.unwrap(), "token-1", "{status} {body}");
            assert_eq!(keystone.logins(), 2, "{status} {body}");
        }
    }
    for body in [
        r#"{"error": {"code": 401, "message": "no", "title": "Unauthorized"}}"#,
        r#"{"error": {"message": "no"}}"#,
        "\u{feff}{\"error\": {\"message\": \"no\"}}",
    ] {
        let keystone = Keystone::new();
        keystone.usually(Answer::Proxy(401, "application/json", body));
        let error = token(&keystone.plugin()).await.unwrap_err();
        assert!(!error.is_transient() && keystone.logins() == 1, "{body}: {error}");
    }
    // Two minutes of it at the start and in the middle: at the latest 30 s later all is well.
    for status in [401, 403, 404] {
        let keystone = Keystone::new();
        let plugin = keystone.plugin();
        keystone.usually(Answer::Proxy(status, "text/plain", "default backend - 404"));
        while keystone.time().elapsed() < seconds(120) {
            assert!(token(&plugin).await.is_err());
            pass(1).await;
        }
        keystone.usually(Answer::Token);
        pass(30).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "{status}");
    }
}

async fn a10_what_no_waiting_changes_fails_at_once() {
    for status in [405, 406, 407, 411, 414, 415, 417, 426, 431, 501, 505] {
        for (content_type, body) in PROXIES {
            let keystone = Keystone::new();
            keystone.usually(Answer::Proxy(status, content_type, body));
            let error = token(&keystone.plugin()).await.unwrap_err();
            assert!(matches!(&error, Error::Keystone(answer) if answer.status == status), "{error}");
            assert!(!error.is_transient(), "{error}");
            assert_eq!(
                (keystone.logins(), keystone.time().elapsed()),
                (1, Duration::ZERO),
                "{status} {body}"
            );
        }
    }
}
