//! The question to Keystone, and what its answers mean.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use tokio::time::Instant;

use super::{
    super::{Asker, Outcome},
    stub::*,
};
use crate::{
    AccessFuture, AccessInfo, AuthMethod, IdentityPlugin, Interface, RenewingPlugin, ServiceAccess, User,
    V3Credentials, endpoint::Origin,
};

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_about_with_the_token_of_the_service() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    let Outcome::Valid(token) = outcome(&validator, "good", false).await else { panic!("not valid") };
    assert_eq!(token.access_info().auth_token(), Some("good"));
    assert_eq!(token.access_info().username(), Some("alice"));
    let [asked] = &stub.take_asked()[..] else { panic!("not one question") };
    assert_eq!(asked.url, "http://keystone.internal/v3/auth/tokens");
    assert_eq!(asked.token.as_deref(), Some("own"));
    assert_eq!(asked.subject.as_deref(), Some("good"));
    assert_eq!(asked.access_rules.as_deref(), Some("1"));

    assert_eq!(validate(&validator, "bad").await, "unknown");
    assert_eq!(stub.questions(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_settings_choose_the_endpoint_and_the_query() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator_with(&stub, |settings| {
        settings.region_name = Some("RegionTwo".into());
        settings.include_service_catalog = false;
    });
    assert_eq!(validate(&validator, "good").await, "valid");
    assert_eq!(validate_expired(&validator, "other").await, "unknown");
    let urls: Vec<_> = stub.take_asked().into_iter().map(|asked| asked.url).collect();
    let expected = [
        "http://keystone.two/v3/auth/tokens?nocatalog",
        "http://keystone.two/v3/auth/tokens?nocatalog&allow_expired=1",
    ];
    assert_eq!(urls, expected);
    let validator = validator_with(&stub, |settings| settings.interface = Interface::Public);
    assert_eq!(validate_expired(&validator, "good").await, "valid");
    assert_eq!(stub.take_asked()[0].url, "http://keystone.public/v3/auth/tokens?allow_expired=1");
}

#[tokio::test(start_paused = true)]
async fn answers_have_their_meaning() {
    let other_version = r#"{"access": {"token": {"id": "good", "expires": "2026-01-15T23:00:00Z"}}}"#;
    let document = |text: &str| Reply::Document(text.to_owned());
    for (reply, expected) in [
        (Reply::Error(404), "unknown"),
        (Reply::Status(404), "unavailable"),
        (Reply::Status(431), "unknown"),
        (Reply::Status(204), "unavailable"),
        (Reply::Status(300), "unavailable"),
        (Reply::Status(304), "unavailable"),
        (Reply::Status(400), "unavailable"),
        (Reply::Status(401), "unavailable"),
        (Reply::Status(403), "unavailable"),
        (Reply::Status(429), "unavailable"),
        (Reply::Status(500), "unavailable"),
        (Reply::Status(503), "unavailable"),
        (document(""), "unavailable"),
        (document("<html>"), "unavailable"),
        (document("{}"), "unavailable"),
        (document(r#"{"token": {"user": {"id": "u"}, "expires_at": "soon"}}"#), "unavailable"),
        (document(r#"{"token": {}}"#), "unavailable"),
        (document(r#"{"token": {"user": {}, "expires_at": "2026-01-15T23:00:00Z"}}"#), "unavailable"),
        (document(r#"{"token": {"expires_at": "2026-01-15T23:00:00Z"}}"#), "unavailable"),
        (document(other_version), "unavailable"),
        (document(&"[".repeat(5_000)), "unavailable"),
        (Reply::Redirect("http://elsewhere.example/v3/auth/tokens"), "unavailable"),
    ] {
        let stub = Stub::new(move |_| reply.clone());
        assert_eq!(validate(&validator(&stub), "good").await, expected);
        assert_eq!(stub.questions(), 1, "asked once");
    }
}

#[tokio::test(start_paused = true)]
async fn redirects_within_the_origin_are_followed() {
    let stub = Stub::new(|asked| match asked.url.as_str() {
        "http://keystone.internal/v3/auth/tokens" => Reply::Redirect("/moved/v3/auth/tokens"),
        _ => Reply::Document(document("good", 60)),
    });
    assert_eq!(validate(&validator(&stub), "good").await, "valid");
    assert_eq!(stub.questions(), 2);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_passed_on_within_limits() {
    for (after, expected) in [("7", 7), ("0", 1), ("86400", 60), ("soon", 5)] {
        let stub = Stub::new(move |_| Reply::RetryAfter(503, after));
        let outcome = outcome(&validator(&stub), "good", false).await;
        let Outcome::Unavailable(retry_after) = outcome else { panic!("{outcome:?}") };
        assert_eq!(retry_after, Duration::from_secs(expected), "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_retried_three_times() {
    let stub = Stub::new(|_| Reply::Refuse);
    let start = Instant::now();
    let validator = validator(&stub);
    assert_eq!(validate(&validator, "good").await, "unavailable");
    assert_eq!(stub.questions(), 4);
    assert_eq!(start.elapsed(), Duration::from_millis(3_500 + 4 * 10));
    stub.set(knowing(&["good"]));
    assert_eq!(validate(&validator, "good").await, "valid");

    let count = AtomicUsize::new(0);
    let stub = Stub::new(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Reply::Refuse,
        _ => Reply::Document(document("good", 60)),
    });
    assert_eq!(validate(&self::validator(&stub), "good").await, "valid");
    assert_eq!(stub.questions(), 3);
    let none = validator_with(&Stub::new(|_| Reply::Refuse), |settings| settings.connect_retries = 0);
    let start = Instant::now();
    assert_eq!(validate(&none, "good").await, "unavailable");
    assert_eq!(start.elapsed(), Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_validation_has_a_timeout() {
    let stub = Stub::new(|_| Reply::Hang);
    let validator = validator_with(&stub, |settings| settings.validation_timeout = Duration::from_secs(4));
    let start = Instant::now();
    assert_eq!(validate(&validator, "good").await, "unavailable");
    assert_eq!(start.elapsed(), Duration::from_secs(4));
    assert_eq!(validator.metrics().snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn texts_that_are_no_tokens_are_unknown_without_a_question() {
    let stub = Stub::knowing(&[]);
    let validator = validator(&stub);
    for text in [&b""[..], b"a b", b"\xc3\xa9", b"tab\tbed"] {
        let value = HeaderValue::from_bytes(text).unwrap();
        assert!(matches!(validator.validate(&value, false, None), Ok(Outcome::Unknown)), "{text:?}");
    }
    assert_eq!(stub.questions(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_a_version_is_discovered() {
    let plugin = |url: &str| {
        let document = document("own", 3_600).replace("http://keystone.internal/v3", url);
        crate::AccessInfoPlugin::new(AccessInfo::new("own", document).unwrap())
    };
    let stub = Stub::new(|asked| match asked.url.as_str() {
        "http://keystone.internal/identity/" | "http://keystone.internal/identity" => Reply::Document(
            r#"{"versions": {"values": [{"id": "v3.14", "status": "stable",
                "links": [{"rel": "self", "href": "http://keystone.internal/identity/v3/"}]}]}}"#
                .to_owned(),
        ),
        "http://keystone.internal/identity/v3/auth/tokens" => Reply::Document(document("good", 60)),
        _ => Reply::Error(404),
    });
    let validator = validator_of(&stub, plugin("http://keystone.internal/identity"), |_| {});
    assert_eq!(validate(&validator, "good").await, "valid");
    stub.questions();
    // Without a version document, a 404 would be about the URL and not about the token.
    let validator = validator_of(&stub, plugin("http://keystone.internal/nowhere"), |_| {});
    assert_eq!(validate(&validator, "good").await, "unavailable");
    assert!(stub.take_asked().iter().all(|asked| !asked.url.ends_with("/auth/tokens")));
}

/// A plugin whose second token is good.
struct TwoTokens {
    is_renewed: AtomicBool,
    renewals: AtomicUsize,
}

impl IdentityPlugin for TwoTokens {
    fn access(&self) -> AccessFuture {
        let token = if self.is_renewed.load(Ordering::Relaxed) { "new" } else { "old" };
        let info = AccessInfo::new(token, document("own", 3_600)).unwrap();
        AccessFuture::ready(ServiceAccess::from_auth_ref(info).map(Arc::new))
    }

    fn invalidate(&self, _access: &Arc<ServiceAccess>, _origin: &Origin) -> bool {
        self.renewals.fetch_add(1, Ordering::Relaxed);
        self.is_renewed.store(true, Ordering::Relaxed);
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_of_the_service_is_renewed_once() {
    let plugin = Arc::new(TwoTokens { is_renewed: AtomicBool::new(false), renewals: AtomicUsize::new(0) });
    let stub = Stub::new(|asked| match asked.token.as_deref() {
        Some("new") => Reply::Document(document("good", 60)),
        _ => Reply::Status(401),
    });
    let validator = validator_of(&stub, Arc::clone(&plugin), |_| {});
    assert_eq!(validate_expired(&validator, "good").await, "valid");
    let asked = stub.take_asked();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|asked| asked.url.ends_with("?allow_expired=1")), "{asked:?}");

    stub.set(|_| Reply::Status(401));
    assert_eq!(validate(&validator, "other").await, "unavailable");
    assert_eq!(stub.questions(), 2);
    assert_eq!(cached(&validator, "other"), "none");
}

fn password_plugin(stub: &Stub) -> RenewingPlugin<V3Credentials> {
    let user = User::new().username("service").user_domain_name("Default");
    let method = AuthMethod::password(user, "wrong");
    RenewingPlugin::new(V3Credentials::new("http://keystone.public/v3", method), stub.transport())
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_of_the_service_says_nothing_about_the_token() {
    for status in [401, 403, 404, 500] {
        let stub = Stub::new(move |_| Reply::Error(status));
        let validator = validator_of(&stub, password_plugin(&stub), |_| {});
        assert_eq!(validate(&validator, "good").await, "unavailable", "{status}");
        assert!(stub.take_asked().iter().all(|asked| asked.subject.is_none()));
        assert_eq!(cached(&validator, "good"), "none");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_of_the_service_does_not_cause_a_login_per_request() {
    let stub = Stub::new(|_| Reply::Error(401));
    let plugin = password_plugin(&stub);
    let validator = validator_of(&stub, plugin, |_| {});
    for number in 0..50 {
        assert_eq!(validate(&validator, &format!("token{number}")).await, "unavailable");
    }
    assert_eq!(stub.questions(), 1, "one login");
}

#[tokio::test(start_paused = true)]
async fn a_token_can_validate_itself() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator_with(&stub, |settings| {
        settings.asker = Asker::TokenItself("http://keystone.public/v3".into());
    });
    assert_eq!(validator.auth_url().unwrap(), "http://keystone.public/v3");
    assert_eq!(validate(&validator, "good").await, "valid");
    let [asked] = &stub.take_asked()[..] else { panic!("not one question") };
    assert_eq!(asked.url, "http://keystone.public/v3/auth/tokens");
    assert_eq!((asked.token.as_deref(), asked.subject.as_deref()), (Some("good"), Some("good")));
    for status in [401, 404] {
        stub.set(move |_| Reply::Status(status));
        assert_eq!(validate(&validator, "bad").await, "unavailable");
        assert_eq!(stub.questions(), 1);
        stub.set(move |_| Reply::Error(status));
        let token = format!("bad{status}");
        assert_eq!(validate(&validator, &token).await, "unknown");
        assert_eq!((cached(&validator, &token), stub.questions()), ("unknown", 1));
    }
    stub.set(|_| Reply::Status(503));
    assert_eq!(validate(&validator, "another").await, "unavailable");
    stub.set(|asked| match asked.url.as_str() {
        "http://keystone.public/" => Reply::Document(
            r#"{"versions": {"values": [{"id": "v3.14", "status": "stable",
                "links": [{"rel": "self", "href": "http://keystone.public/v3/"}]}]}}"#
                .to_owned(),
        ),
        _ => Reply::Document(document("good", 60)),
    });
    let validator = validator_with(&stub, |settings| {
        settings.asker = Asker::TokenItself("http://keystone.public".into());
    });
    assert_eq!(validate(&validator, "good").await, "valid", "at a URL without a version");
    let invalid = validator_with(&stub, |settings| settings.asker = Asker::TokenItself("keystone".into()));
    assert_eq!(validate(&invalid, "good").await, "unavailable");
}
