//! Documents from outside use at most a few times the memory of their text.

#[path = "discovery/allocations.rs"]
mod allocations;

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use allocations::peak_and_retained;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{ServiceExt, service_fn};
use tower_keystone::{AccessInfo, RaiseForStatus, RaiseForStatusLayer, Secret};

use tower::Layer;

/// Maximum memory for reading a document, as a multiple of the size of its text.
const MAX_FACTOR: usize = 8;

/// Generates JSON lists of about `bytes` bytes, which as `serde_json::Value` would take a hundred times the memory.
fn junk(bytes: usize) -> impl Iterator<Item = String> {
    ["{\"\":0}", "[]", "[[]]", "0", "\"\"", "{\"\":{\"\":{}}}", "null"].into_iter().map(move |element| {
        let list = vec![element; bytes / (element.len() + 1)].join(",");
        format!("[{list}]")
    })
}

#[test]
fn an_error_body_of_a_service_uses_bounded_memory() {
    for list in junk(60_000) {
        for body in [
            format!(r#"{{"error": {list}}}"#),
            format!(r#"{{"errors": {list}}}"#),
            format!(r#"{{"message": {list}, "error": {list:?}}}"#),
            format!(r#"{{"a": {{"details": {list}}}}}"#),
            list,
        ] {
            let body = Bytes::from(body);
            let text = body.len().min(64 * 1024);
            let service = RaiseForStatusLayer::new().layer(service_fn(move |_: Request<()>| {
                let response = Response::builder().status(400).header("content-type", "application/json");
                ready(Ok::<_, Infallible>(response.body(Full::new(body.clone())).unwrap()))
            }));
            let (peak, retained) = peak_and_retained(|| send(service));
            assert!(peak <= MAX_FACTOR * text, "{} times", peak / text);
            assert!(retained <= 3 * text, "{} times", retained / text);
        }
    }
}

/// Sends a request that carries a secret, and returns its error as text.
fn send<S, E>(service: RaiseForStatus<S>) -> String
where
    S: tower::Service<Request<()>, Response = Response<Full<Bytes>>, Error = E>,
    E: Into<tower::BoxError> + std::fmt::Debug,
{
    let request = Request::get("/").header("x-auth-token", "gAAAA-canary").body(()).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(service.oneshot(request)).poll(&mut cx) {
        Poll::Ready(Err(error)) => error.to_string(),
        _ => panic!("expected an error without waiting"),
    }
}

#[test]
fn a_token_document_uses_bounded_memory() {
    for list in junk(250_000) {
        for document in [
            format!(r#"{{"token": {{"roles": {list}}}}}"#),
            format!(r#"{{"token": {{"user": {{"": {list}}}, "roles": []}}}}"#),
            format!(r#"{{"token": {{"unknown": {list}}}}}"#),
            format!(r#"{{"token": {{"catalog": {list}}}}}"#),
            format!(r#"{{"access": {{"token": {{"id": "t", "x": {list}}}}}}}"#),
            format!(r#"{{"access": {{"serviceCatalog": {list}}}}}"#),
            format!(r#"{{"unknown": {list}, "token": {{}}}}"#),
        ] {
            let (peak, retained) =
                peak_and_retained(|| AccessInfo::new("gAAAA", &document).map_err(|error| error.to_string()));
            let (peak, retained) =
                (peak as f64 / document.len() as f64, retained as f64 / document.len() as f64);
            assert!(
                peak <= MAX_FACTOR as f64,
                "{peak:.1} times, {retained:.1} retained: {}",
                &document[..60]
            );
        }
    }
}

#[test]
fn a_token_with_many_roles_is_read_in_bounded_memory() {
    let role = r#"{"id": "9fe2ff9ee4384b1894a90878d3e92bab", "name": "member"}"#;
    let roles = vec![role; 250].join(",");
    let document = format!(r#"{{"token": {{"user": {{"id": "u"}}, "roles": [{roles}]}}}}"#);
    let (peak, _) = peak_and_retained(|| AccessInfo::new("gAAAA", &document).unwrap());
    assert!(peak < 300_000, "{peak} bytes");
    assert_eq!(AccessInfo::new("gAAAA", &document).unwrap().role_names().count(), 250);
}

#[test]
fn a_stored_auth_state_uses_bounded_memory() {
    let members = (0..20_000).map(|number| format!(r#""{number}":0"#)).collect::<Vec<_>>().join(",");
    let state = Secret::new(format!(r#"{{{members},"auth_token":"gAAAA","body":{{"token":{{}}}}}}"#));
    let (peak, _) = peak_and_retained(|| AccessInfo::from_auth_state(&state).unwrap());
    assert!(peak <= state.expose().len(), "{peak} bytes");
}

/// Returns a v2.0 token document with one service, which has these endpoints.
fn v2_catalog(endpoints: &str) -> String {
    let service = format!(r#"{{"type":"a","endpoints":[{endpoints}]}}"#);
    format!(r#"{{"access":{{"token":{{"id":"t"}},"serviceCatalog":[{service}]}}}}"#)
}

#[test]
fn a_catalog_of_minimal_entries_uses_bounded_memory() {
    let many = |entry: &dyn Fn(usize) -> String| (0..30_000).map(entry).collect::<Vec<_>>().join(",");
    let endpoints = many(&|_| r#"{"url":"u"}"#.to_owned());
    let v2_endpoints = many(&|_| r#"{"publicURL":"u"}"#.to_owned());
    let own_endpoints = many(&|number| format!(r#"{{"{number}URL":"u"}}"#));
    let urls = many(&|number| format!(r#""{number}URL":"u""#));
    let filler = "x".repeat(80);
    let with_filler = many(&|_| format!(r#"{{"aURL":"u","bURL":"u","x":"{filler}"}}"#));
    let services = many(&|_| r#"{"type":"a"}"#.to_owned());
    let own_types = many(&|number| format!(r#"{{"type":"{number}"}}"#));
    for document in [
        format!(r#"{{"token":{{"catalog":[{{"type":"a","endpoints":[{endpoints}]}}]}}}}"#),
        v2_catalog(&v2_endpoints),
        v2_catalog(&own_endpoints),
        v2_catalog(&format!("{{{urls}}}")),
        v2_catalog(&with_filler),
        format!(r#"{{"token":{{"catalog":[{{"type":"a","endpoints":[{{{urls}}}]}}]}}}}"#),
        format!(r#"{{"token":{{"catalog":[{services}]}}}}"#),
        format!(r#"{{"token":{{"catalog":[{own_types}]}}}}"#),
    ] {
        let (peak, retained) =
            peak_and_retained(|| AccessInfo::new("gAAAA", &document).map_err(|error| error.to_string()));
        let (peak, retained) = (peak as f64 / document.len() as f64, retained as f64 / document.len() as f64);
        assert!(peak <= MAX_FACTOR as f64, "{peak:.1} times, {retained:.1} retained: {}", &document[..80]);
    }
}

#[test]
fn a_catalog_of_many_endpoints_is_read_in_bounded_memory() {
    let endpoint = r#"{"interface":"public","region":"R","url":"https://nova.example.com:8774/v2.1"}"#;
    let endpoints = vec![endpoint; 20_000].join(",");
    let document = format!(r#"{{"token":{{"catalog":[{{"type":"compute","endpoints":[{endpoints}]}}]}}}}"#);
    let (peak, _) = peak_and_retained(|| AccessInfo::new("gAAAA", &document).unwrap());
    assert!(peak <= MAX_FACTOR * document.len(), "{peak} bytes");

    let urls =
        ["public", "internal", "admin"].map(|name| format!(r#""{name}URL":"http://10.0.0.1:8774/v2""#));
    let endpoint = format!(r#"{{"region":"R","id":"9fe2ff9ee4384b1894a90878d3e92bab",{}}}"#, urls.join(","));
    let document = v2_catalog(&vec![&*endpoint; 20_000].join(","));
    let (peak, _) = peak_and_retained(|| AccessInfo::from_body(&document).unwrap());
    assert!(peak <= MAX_FACTOR * document.len(), "{peak} bytes");
}
