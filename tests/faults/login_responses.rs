//! Keystone, or a proxy in front of it, returns something other than a token.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::BoxError;
use tower_keystone::{
    AccessInfo, AuthRefFuture, Credentials, Error, GenericCredentials, RenewalPolicy, Transport, User,
    fixture::Discovery,
};

use crate::support::*;

cases![
    paused a08_a_version_document_never_sends_credentials_to_another_origin,
    paused a09_a_login_follows_redirects_within_its_origin_only,
    paused a13_a_response_without_a_token_document_is_retried_and_not_shown_in_the_error,
    paused a14_an_endless_response_is_read_up_to_the_size_limit,
    paused a14_an_endless_response_in_tiny_frames_yields_to_other_tasks_and_is_abandoned,
    paused a14_an_error_response_uses_at_most_eight_times_its_size_of_memory,
    paused a14_other_members_of_a_token_document_use_bounded_memory,
    paused a14_an_error_keeps_a_bounded_part_of_a_receipt,
    paused a14_a_malformed_response_uses_at_most_twice_its_size_of_memory,
    paused a15_a_response_without_exactly_one_token_is_a_permanent_error,
    paused a16_a_token_that_is_not_a_valid_header_value_is_a_permanent_error,
    paused a17_every_form_of_an_expiry_is_parsed,
    paused a17_an_expiry_that_is_not_a_time_is_a_permanent_error,
];

async fn a08_a_version_document_never_sends_credentials_to_another_origin() {
    for href in [
        "https://evil.test/v3/",
        "http://keystone.test/v3/",
        "http://keystone.test:443/v3/",
        "//evil.test/v3/",
        "https://keystone.test.evil.test/v3/",
        "https://keystone.test@evil.test/v3/",
        "https://keystone.test:8443/v3/",
        "HTTPS://EVIL.test/v3/",
        "/v3/",
        "v3/",
    ] {
        let versions = Discovery::new().version("v3.14", "stable", href).identity_document().to_string();
        let servers = Servers::new(move |request, _| match request.method().as_str() {
            "GET" => build_response(300, &[("content-type", "application/json")], versions.clone()),
            _ => token_response("token-1", &token_document()),
        });
        let alice = User::new().username("alice").user_domain_name("Default");
        let auth_url = "https://keystone.test/";
        let credentials = GenericCredentials::password(auth_url, alice, "wonderland");
        let _ = credentials.get_auth_ref(servers.transport()).await;
        assert!(servers.posts().len() <= 1);
        for (method, url) in servers.requests() {
            assert!(url.starts_with("https://keystone.test/"), "{href}: {method} {url}");
        }
    }
    // A login response with status 300 (multiple choices) is an error.
    let evil = [("location", "https://evil.test/v3/auth/tokens")];
    let servers = Servers::new(move |_, _| build_response(300, &evil, "{}"));
    let error = password().get_auth_ref(servers.transport()).await.unwrap_err();
    assert!(matches!(&error, Error::Keystone(response) if response.status == 300), "{error}");
    assert_eq!(servers.requests().len(), 1);
}

const TOKENS: &str = "https://keystone.test/v3/auth/tokens";

/// Sends a login whose first response is a redirect. Returns the URLs of the login requests, and the result.
async fn redirected_login(
    status: u16,
    location: Option<&'static str>,
) -> (Vec<String>, Result<AccessInfo, Error>) {
    let servers = Servers::new(move |request, _| {
        let headers: Vec<_> = location.map(|location| ("location", location)).into_iter().collect();
        if request.uri() == TOKENS {
            return build_response(status, &headers, "");
        }
        assert_eq!(request.method(), "POST");
        token_response("token-1", &token_document())
    });
    let result = password().get_auth_ref(servers.transport()).await;
    (servers.posts(), result)
}

async fn a09_a_login_follows_redirects_within_its_origin_only() {
    for status in [307, 308] {
        for to in ["https://keystone.test/identity/v3/auth/tokens", "/identity/v3/auth/tokens", "../identity"]
        {
            let (posts, result) = redirected_login(status, Some(to)).await;
            assert_eq!(result.unwrap().auth_token(), Some("token-1"), "{status} {to}");
            assert!(posts.len() == 2 && posts[1].starts_with("https://keystone.test/"), "{posts:?}");
        }
    }
    let elsewhere = [
        Some("https://evil.test/canary?x=canary"),
        Some("http://keystone.test/v3/auth/tokens"),
        Some("https://keystone.test:8443/v3/auth/tokens"),
        Some("//evil.test/v3/auth/tokens"),
        Some("https://alice@keystone.test/v3/auth/tokens"),
        Some("https://[evil"),
        None,
    ];
    let same = [Some("https://keystone.test/identity/v3/auth/tokens"), Some("/v3")];
    let to_other_origins =
        [307, 308].iter().flat_map(|status| elsewhere.iter().map(move |to| (*status, *to)));
    let never = elsewhere.iter().chain(&same);
    let never = [301, 302, 303].iter().flat_map(|status| never.clone().map(move |to| (*status, *to)));
    for (status, to) in to_other_origins.chain(never) {
        let (posts, result) = redirected_login(status, to).await;
        let error = result.unwrap_err();
        assert!(matches!(error, Error::LoginRedirected { .. }), "{status} {to:?}: {error}");
        assert!(error.to_string().contains(TOKENS) && !error.is_transient(), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        assert_eq!(posts, [TOKENS], "{status} {to:?}");
    }
    // A redirect loop: three redirects are followed.
    let (posts, result) = redirected_login(307, Some(TOKENS)).await;
    assert!(matches!(result, Err(Error::LoginRedirected { .. })));
    assert_eq!(posts.len(), 4);
}

async fn a13_a_response_without_a_token_document_is_retried_and_not_shown_in_the_error() {
    for body in [
        "",
        "<html>canary</html>",
        "canary",
        "\"canary\"",
        "[\"canary\"]",
        "{\"canary\": {}}",
        "{\"token\": 1}",
    ] {
        let time = SimulatedTime::new();
        let invalid = move || build_response(201, &[("x-subject-token", "token-0")], body);
        let servers = Servers::first(invalid);
        assert_eq!(token(&servers.plugin(&time)).await.unwrap(), "token-1", "{body}");
        assert_eq!(servers.posts().len(), 2, "{body}");

        let servers = Servers::new(move |_, _| invalid());
        let error = token(&servers.plugin(&time)).await.unwrap_err();
        assert!(matches!(error, Error::InvalidResponse { .. }) && error.is_transient(), "{body}: {error}");
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert!((4..=10).contains(&servers.posts().len()), "{}", servers.posts().len());
    }
}

/// Size limit of a response, in bytes.
const CAP: usize = 4 * 1024 * 1024;
/// Size limit of a response with a status of 400 or above, in bytes.
const ERROR_CAP: usize = 64 * 1024;
const CHUNK: usize = 64 * 1024;

/// A body of this number of spaces, created as it is read.
pub(crate) struct Endless {
    left: usize,
    read: Arc<AtomicUsize>,
}

impl Endless {
    pub(crate) fn new(left: usize) -> Self {
        Self { left, read: Arc::default() }
    }
}

impl Body for Endless {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= CHUNK;
        self.read.fetch_add(CHUNK, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b' '; CHUNK])))))
    }
}

async fn a14_an_endless_response_is_read_up_to_the_size_limit() {
    for status in [201, 401, 500] {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let client = tower::service_fn(move |_: Request<Full<Bytes>>| {
            let body = Endless { read: Arc::clone(&counted), ..Endless::new(1 << 30) };
            let response = Response::builder().status(status).header("x-subject-token", "token-1").body(body);
            async move { Ok::<_, BoxError>(response?) }
        });
        let peak = peak_memory_from_now();
        let error = password().get_auth_ref(Transport::new(client)).await.unwrap_err();
        let cap = match &error {
            Error::InvalidResponse { reason, .. } if reason.contains("4 MiB") => CAP,
            Error::Keystone(response) if response.status == status => ERROR_CAP,
            other => panic!("{other}"),
        };
        assert_eq!(cap == CAP, status == 201, "{error}");
        assert!(read.load(Ordering::Relaxed) <= cap + CHUNK, "{} bytes read", read.load(Ordering::Relaxed));
        assert!(peak() <= 2 * cap.cast_signed() + CHUNK.cast_signed(), "{} bytes in use", peak());
    }
}

/// A body that never ends, in frames of `length` bytes. It counts the frames.
struct Frames {
    length: usize,
    made: Arc<AtomicUsize>,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.made.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"  ").slice(..self.length)))))
    }
}

/// Returns a login whose response body is [`Frames`], and the number of frames.
fn login_with_frames(status: u16, length: usize) -> (AuthRefFuture, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let client = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let body = Frames { length, made: Arc::clone(&counted) };
        async move { Ok::<_, BoxError>(Response::builder().status(status).body(body)?) }
    });
    (password().get_auth_ref(Transport::new(client)), made)
}

async fn a14_an_endless_response_in_tiny_frames_yields_to_other_tasks_and_is_abandoned() {
    for (status, length) in [(201, 0), (401, 0), (503, 0), (201, 1), (401, 1)] {
        let (mut login, made) = login_with_frames(status, length);
        let pending = poll_fn(|cx| Poll::Ready(login.as_mut().poll(cx).is_pending())).await;
        assert!(pending, "{status}, frames of {length} bytes: the whole body was read in one poll");
        assert!(made.load(Ordering::Relaxed) <= 128, "{} frames in one poll", made.load(Ordering::Relaxed));

        let peak = peak_memory_from_now();
        let error = login.await.unwrap_err();
        match status {
            201 => assert!(matches!(error, Error::InvalidResponse { .. }), "{error}"),
            _ => assert!(matches!(&error, Error::Keystone(response) if response.status == status), "{error}"),
        }
        let (cap, frames) = (if status == 201 { CAP } else { ERROR_CAP }, made.load(Ordering::Relaxed));
        assert!(frames <= if length == 0 { 10_000 } else { cap + 1 }, "{frames} frames");
        assert!(peak() <= 2 * cap.cast_signed() + CHUNK.cast_signed(), "{} bytes in use", peak());
    }
}

async fn a14_a_malformed_response_uses_at_most_twice_its_size_of_memory() {
    let endpoint = r#"{"id": "0123456789abcdef0123456789abcdef", "interface": "public", "region": "RegionOne",
        "region_id": "RegionOne", "url": "https://nova.example.com:8774/v2.1/0123456789abcdef0123456789abcdef"},"#;
    let catalog = format!(r#"{{"token": {{"catalog": [{{"type": "compute", "endpoints": [{endpoint}"#);
    let broken_off = format!("{catalog}{}", endpoint.repeat((CAP - catalog.len()) / endpoint.len()));
    for (what, body) in [
        ("a truncated catalog", broken_off),
        ("deep arrays", format!("{{\"token\": {}", "[".repeat(10_000))),
        ("deep objects", format!("{{\"token\": {}", "{\"a\":".repeat(10_000))),
        ("only brackets", "[".repeat(CAP)),
        ("an unterminated string", format!("{{\"token\": {{\"x\": \"{}", "a".repeat(CAP - 64))),
    ] {
        let body = Bytes::from(body);
        let servers =
            Servers::new(move |_, _| build_response(201, &[("x-subject-token", "token-1")], body.clone()));
        let peak = peak_memory_from_now();
        let error = password().get_auth_ref(servers.transport()).await.unwrap_err();
        assert!(matches!(error, Error::InvalidResponse { .. }), "{what}: {error}");
        assert!(peak() <= 2 * CAP.cast_signed(), "{what}: {} bytes in use", peak());
        assert_eq!(servers.posts().len(), 1, "{what}");
    }
}

async fn a15_a_response_without_exactly_one_token_is_a_permanent_error() {
    for tokens in [&[][..], &[""], &["token-1", "token-2"], &["", "token-1"]] {
        let time = SimulatedTime::new();
        let servers = Servers::new(|_, _| {
            let headers: Vec<_> = tokens.iter().map(|token| ("x-subject-token", *token)).collect();
            build_response(201, &headers, token_document().to_string())
        });
        let plugin = servers.plugin(&time);
        for _ in 0..1_800 {
            let error = token(&plugin).await.unwrap_err();
            assert!(matches!(error, Error::NoToken | Error::InvalidToken { .. }), "{tokens:?}: {error}");
            sleep_secs(1).await;
        }
        assert_eq!(servers.posts().len(), 3, "{tokens:?}");
    }
    let twice = [("x-subject-token", "token-1"), ("x-subject-token", "token-1")];
    let servers = Servers::new(move |_, _| build_response(201, &twice, token_document().to_string()));
    assert_eq!(token(&servers.plugin(&SimulatedTime::new())).await.unwrap(), "token-1");
    assert_eq!(servers.posts().len(), 1);
}

async fn a16_a_token_that_is_not_a_valid_header_value_is_a_permanent_error() {
    let long = "c".repeat(128 * 1024 + 1);
    for invalid in [
        "canary\r\nx-evil: 1",
        "canary\n",
        "canary\0",
        " canary",
        "canary ",
        "can ary",
        "canary\t",
        "canary\u{e9}",
        "canary\u{7f}",
        "\u{feff}canary",
        &long,
    ] {
        let error = AccessInfo::new(invalid, token_document().to_string()).unwrap_err();
        let Error::InvalidToken { length, offset, .. } = error else { panic!("{error}") };
        assert_eq!(length, invalid.len());
        assert_eq!(offset, invalid.bytes().position(|byte| !byte.is_ascii_graphic()), "{invalid:?}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");

        // If HTTP permits the value in a response header, the login fails with the same error and is not retried.
        let Ok(header) = HeaderValue::from_bytes(invalid.as_bytes()) else { continue };
        let time = SimulatedTime::new();
        let servers = Servers::new(move |_, _| {
            let mut response = token_response("token-1", &token_document());
            response.headers_mut().insert("x-subject-token", header.clone());
            response
        });
        let plugin = servers.plugin(&time);
        for _ in 0..100 {
            let error = token(&plugin).await.unwrap_err();
            assert!(matches!(error, Error::InvalidToken { .. }) && !error.is_transient(), "{error}");
        }
        assert_eq!(servers.posts().len(), 1, "{invalid:?}");
    }
    let servers = Servers::new(|_, _| token_response(&"c".repeat(128 * 1024), &token_document()));
    assert_eq!(token(&servers.plugin(&SimulatedTime::new())).await.unwrap().len(), 128 * 1024);
}

/// Returns the age in seconds at which a token with this expiry is renewed.
async fn renewal_age(expires_at: Value) -> u64 {
    let time = SimulatedTime::new();
    let document = document_with("2027-01-15T08:00:00.000000Z", expires_at);
    let servers = Servers::new(move |_, _| token_response("token-1", &document));
    let mut policy = RenewalPolicy::default();
    policy.jitter = 0.0;
    let plugin = servers.plugin_with(&time, policy);
    token(&plugin).await.unwrap();
    while !plugin.needs_renewal() && time.elapsed() < seconds(100 * HOUR) {
        sleep_secs(1).await;
    }
    assert_eq!(servers.posts().len(), 1);
    time.elapsed().as_secs()
}

async fn a17_every_form_of_an_expiry_is_parsed() {
    for an_hour in [
        "2027-01-15T09:00:00Z",
        "2027-01-15T09:00:00",
        "2027-01-15 09:00:00",
        "2027-01-15T09:00:00.000000Z",
        "2027-01-15T09:00:00.000000",
        "2027-01-15T09:00:00.000000000Z",
        "2027-01-15T09:00:00+00:00",
        "2027-01-15T11:30:00+02:30",
        "2027-01-15T01:00:00-0800",
    ] {
        assert_eq!(renewal_age(an_hour.into()).await, 3240, "{an_hour}");
    }
    assert_eq!(
        renewal_age(Value::Null).await,
        180,
        "a lifetime of five minutes, and due for renewal in the last two"
    );
    assert_eq!(renewal_age("9999-12-31T23:59:59.999999Z".into()).await, 100 * HOUR, "no overflow");

    let mut missing = token_document();
    missing["token"].as_object_mut().unwrap().remove("expires_at");
    let time = SimulatedTime::new();
    let servers = Servers::new(move |_, before| match before {
        0 => token_response("token-1", &missing),
        _ => keystone_error(403),
    });
    let plugin = servers.plugin(&time);
    while token(&plugin).await.is_ok() {
        sleep_secs(1).await;
    }
    assert_eq!(time.elapsed(), seconds(300));
}

async fn a17_an_expiry_that_is_not_a_time_is_a_permanent_error() {
    for invalid in [
        json!("garbage"),
        json!("2027-01-15T09:00:60Z"),
        json!("2016-12-31T23:59:60Z"),
        json!("2027-02-30T00:00:00Z"),
        json!("10000-01-01T00:00:00Z"),
        json!("2027-01-15T09:00:00 CET"),
        json!(1_800_003_600),
        json!(["2027"]),
        json!({}),
        json!(true),
    ] {
        let time = SimulatedTime::new();
        let document = document_with("2027-01-15T08:00:00.000000Z", invalid.clone());
        let servers = Servers::new(move |_, _| token_response("token-1", &document));
        let plugin = servers.plugin(&time);
        for _ in 0..100 {
            let error = token(&plugin).await.unwrap_err();
            assert!(
                matches!(error, Error::InvalidTimestamp { .. }) && !error.is_transient(),
                "{invalid}: {error}"
            );
        }
        assert_eq!(servers.posts().len(), 1, "{invalid}");
    }
}

/// Returns documents that use many times their size of memory when they are parsed into values.
fn expensive_documents(length: usize) -> Vec<String> {
    let filled = |begin: &str, unit: &str, end: &str| {
        let units = length.saturating_sub(begin.len() + end.len() + 1) / (unit.len() + 1);
        let units = vec![unit; units].join(",");
        format!("{begin}{units}{end}")
    };
    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(100), close.repeat(100));
    vec![
        filled("[", "{\"\":0}", "]"),
        filled("{\"error\":[", "{\"\":0}", "]}"),
        filled("{\"error\":{\"message\":\"m\",\"x\":[", "{\"\":0}", "]}}"),
        filled("{\"x\":[", "[]", "],\"error\":{\"message\":\"m\"}}"),
        filled("{\"errors\":[", "{\"\":[]}", "]}"),
        filled("[", &nested("[", "]"), "]"),
        filled("{\"receipt\":{\"methods\":[", "\"\"", "]},\"required_auth_methods\":[[]]}"),
        filled("{\"required_auth_methods\":[", "[\"\"]", "],\"receipt\":{\"methods\":[]}}"),
        format!("{{{}}}", (0..length / 12).map(|n| format!("\"{n:05}\":{{}}")).collect::<Vec<_>>().join(",")),
        "[".repeat(length),
        " ".repeat(length),
    ]
}

async fn a14_an_error_response_uses_at_most_eight_times_its_size_of_memory() {
    for length in [ERROR_CAP / 8, ERROR_CAP, CAP] {
        for body in expensive_documents(length) {
            let begin = body[..40].to_owned();
            let cap = (8 * body.len().min(ERROR_CAP)).cast_signed();
            let body = Bytes::from(body);
            for status in [300, 400, 401, 503] {
                let sent = body.clone();
                let servers = Servers::new(move |_, _| {
                    let headers =
                        [("content-type", "application/json"), ("openstack-auth-receipt", "receipt")];
                    build_response(status, &headers, sent.clone())
                });
                let (peak, before) = (peak_memory_from_now(), memory_in_use());
                let error = password().get_auth_ref(servers.transport()).await.unwrap_err();
                assert!(peak() <= cap, "{status} {begin}: {} of {length} bytes in use", peak());
                drop(servers);
                let retained = memory_in_use() - before;
                assert!(
                    retained <= 2 * ERROR_CAP.cast_signed(),
                    "{status} {begin}: {retained} bytes kept by {error}"
                );
            }
        }
    }
}

/// The limit also applies to the memory that a valid token keeps.
async fn a14_other_members_of_a_token_document_use_bounded_memory() {
    const SIZE: usize = 255 * 1024;
    for unit in
        [r#"{"":0}"#, r#"{"id":"r"}"#, "[]", "[0]", "0", r#""""#, r#"{"":{"":{"":0}}}"#, r#"{"a":0,"b":0}"#]
    {
        for member in ["roles", "audit_ids", "x"] {
            let list = vec![unit; SIZE / (unit.len() + 1)].join(",");
            let mut document = token_document().to_string();
            document
                .insert_str(document.find("{\"token\":{").unwrap() + 10, &format!("\"{member}\":[{list}],"));
            let document = document.replacen(",,", ",", 1);
            let body = Bytes::from(document);
            let servers = Servers::new(move |_, _| {
                build_response(201, &[("x-subject-token", "token-1")], body.clone())
            });
            let (peak, before) = (peak_memory_from_now(), memory_in_use());
            let result = password().get_auth_ref(servers.transport()).await;
            let (peak, retained) = (peak(), memory_in_use() - before);
            assert!(peak <= 9 * 256 * 1024, "{member} of {unit}: {peak} bytes in use");
            assert!(retained <= 9 * 256 * 1024, "{member} of {unit}: {retained} bytes kept");
            match result {
                Ok(access_info) => assert_eq!(access_info.auth_token(), Some("token-1")),
                Err(error) => assert!(matches!(error, Error::InvalidResponse { .. }), "{error}"),
            }
        }
    }
    // A token with 200 roles is accepted.
    let role = json!({"id": "0123456789abcdef0123456789abcdef", "name": "member"});
    let mut document = token_document();
    document["token"]["roles"] = vec![role; 200].into();
    let servers = Servers::new(move |_, _| token_response("token-1", &document));
    let access_info = password().get_auth_ref(servers.transport()).await.unwrap();
    assert_eq!(access_info.role_names().count(), 200);
}

async fn a14_an_error_keeps_a_bounded_part_of_a_receipt() {
    let long = "m".repeat(10_000);
    let many: Vec<_> = (0..1_000).map(|n| format!("method\n{n}")).collect();
    let expires_at = "2027-01-15T08:05:00.000000Z";
    for (methods, required) in [
        (json!([long]), json!([[long]])),
        (json!(many), json!([many])),
        (json!(["password"]), json!(vec![vec!["m".repeat(60); 16]; 16])),
        (json!(["password"]), json!(many.iter().map(|method| [method]).collect::<Vec<_>>())),
    ] {
        let receipt = json!({"methods": methods, "expires_at": expires_at});
        let body = json!({"receipt": receipt, "required_auth_methods": required}).to_string();
        let servers =
            Servers::new(move |_, _| build_response(401, &[("openstack-auth-receipt", "r")], body.clone()));
        let error = password().get_auth_ref(servers.transport()).await.unwrap_err();
        let Error::MissingAuthMethods(missing) = &error else { panic!("{error}") };
        let sets = &missing.required_auth_methods;
        let names = || missing.methods.iter().chain(sets.iter().flatten());
        assert!(sets.len() <= 16 && sets.iter().all(|set| set.len() <= 16) && missing.methods.len() <= 16);
        assert!(names().count() >= 2 && names().all(|name| name.len() <= 64));
        assert!(!error.to_string().contains('\n') && error.to_string().len() < 1_000, "{error}");
    }
}
