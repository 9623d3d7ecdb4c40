//! The headers of a request to a service that validates tokens.

use std::{convert::Infallible, future::ready};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, request::Parts};
use http_body_util::Full;
use serde_json::json;
use tower::service_fn;
use tower_keystone::{Caller, IdentityStatus, Transport, ValidateTokenLayer, Validation};

use crate::{
    input::line,
    service::{document, layer, send},
};

const IDENTITY_HEADERS: [&str; 20] = [
    "domain-id",
    "domain-name",
    "project-id",
    "project-name",
    "project-domain-id",
    "project-domain-name",
    "user-id",
    "user-name",
    "user-domain-id",
    "user-domain-name",
    "roles",
    "identity-status",
    "is-admin-project",
    "service-catalog",
    "role",
    "user",
    "tenant",
    "tenant-id",
    "tenant-name",
    "openstack-system-scope",
];

/// The first line has the letters of settings. Each other line is a header.
pub fn run(input: &[u8]) {
    let (settings, mut rest) = line(input);
    let mut request = Request::new(());
    while !rest.is_empty() {
        let (header, after) = line(rest);
        rest = after;
        let Some(colon) = header.iter().position(|byte| *byte == b':') else { continue };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&header[..colon]), HeaderValue::from_bytes(&header[colon + 1..]))
        {
            request.headers_mut().append(name, value);
        }
    }
    let has = |setting| settings.contains(&setting);
    let mut layer = layer(keystone());
    if has(b'd') {
        layer = layer.delay_auth_decision();
    }
    if has(b'b') {
        layer = layer.bearer_tokens();
    }
    if has(b'h') {
        layer = layer.identity_headers();
    }
    if has(b'o') {
        layer = layer.service_token_roles_required(false);
    }
    if has(b's') {
        layer = layer.max_token_length(7);
    }
    // The second request finds its tokens in the cache.
    let first = check(&layer, request.clone(), has(b'd'), has(b'h'));
    assert_eq!(first, check(&layer, request, has(b'd'), has(b'h')));
}

fn check(
    layer: &ValidateTokenLayer,
    request: Request<()>,
    is_delayed: bool,
    has_identity_headers: bool,
) -> Option<(IdentityStatus, IdentityStatus)> {
    let sent = request.headers().clone();
    let (response, seen) = send(layer, request);
    assert!(matches!(response.status().as_u16(), 200 | 401), "{}", response.status());
    let Some(Parts { headers, extensions, .. }) = seen else {
        assert!(!is_delayed);
        assert_eq!(response.status(), 401);
        return None;
    };
    let validation = Validation::from_extensions(&extensions).expect("the layer inserts it");
    let is_confirmed = validation.status() == IdentityStatus::Confirmed;
    assert!(is_confirmed || is_delayed);
    if let Ok(caller) = Caller::from_extensions(&extensions) {
        let token = caller.access_info().auth_token().expect("a token");
        assert!(matches!(token, "good" | "service" | "plain" | "old"), "{token:?}");
        let names = ["x-auth-token", "x-storage-token", "authorization"];
        let mut values = names.iter().flat_map(|name| sent.get_all(*name));
        assert!(
            values.any(|value| value.as_bytes().trim_ascii().ends_with(token.as_bytes())),
            "the request has no token {token}"
        );
        if token == "old" {
            let service = caller.service().expect("a service lets expired tokens through");
            assert_eq!(service.username(), Some("nova"));
        }
    }
    if let Some(service) = validation.service() {
        let token = service.auth_token().expect("a token");
        let mut values = sent.get_all("x-service-token").iter();
        assert!(values.all(|value| value.as_bytes().trim_ascii() == token.as_bytes()));
    }
    for (name, value) in &headers {
        let normalized = name.as_str().replace('_', "-");
        let short = normalized.strip_prefix("x-").unwrap_or(&normalized);
        let short = short.strip_prefix("service-").filter(|_| short != "service-catalog").unwrap_or(short);
        let is_common = IDENTITY_HEADERS[..12].contains(&short);
        let is_identity = normalized.starts_with("x-") && is_common
            || IDENTITY_HEADERS[12..19].iter().any(|short| normalized == format!("x-{short}"))
            || normalized == "openstack-system-scope";
        if is_identity {
            assert!(has_identity_headers && !name.as_str().contains('_'), "{name} was let through");
            assert_eq!(headers.get_all(name).iter().count(), 1);
        }
        if let "x-auth-token" | "x-service-token" | "x-storage-token" | "authorization" = &*normalized {
            assert!(value.is_sensitive(), "{name}");
        }
    }
    if has_identity_headers {
        let caller = Caller::from_extensions(&extensions).ok();
        let status = if is_confirmed { "Confirmed" } else { "Invalid" };
        assert_eq!(headers["x-identity-status"], status);
        let name = headers.get("x-user-name").map(|value| value.to_str().expect("a name"));
        assert_eq!(name, caller.and_then(|caller| caller.access_info().username()));
        let service = headers.get("x-service-user-name").map(|value| value.to_str().expect("a name"));
        assert_eq!(service, validation.service().and_then(|service| service.username()));
    }
    Some((validation.status(), validation.service_status()))
}

/// A Keystone that knows four tokens.
fn keystone() -> Transport {
    Transport::new(service_fn(|request: Request<Full<Bytes>>| {
        let token = &request.headers()["x-subject-token"];
        assert!(token.as_bytes().iter().all(u8::is_ascii_graphic), "{:?}", token.as_bytes());
        let allow_expired = request.uri().query() == Some("allow_expired=1");
        let valid = "2027-01-15T20:00:00Z";
        let document = match token.as_bytes() {
            b"good" => document("alice", &["member"], valid),
            b"service" => document("nova", &["service"], valid),
            b"plain" => document("bob", &[], valid),
            b"old" if allow_expired => document("alice", &["member"], "2027-01-15T07:00:00Z"),
            _ => {
                let error = json!({"error": {"code": 404, "message": "unknown", "title": "Not Found"}});
                let body = Full::new(Bytes::from(error.to_string()));
                return ready(Ok::<_, Infallible>(Response::builder().status(404).body(body).expect("it")));
            }
        };
        ready(Ok(Response::new(Full::new(json!({ "token": document }).to_string().into()))))
    }))
}
