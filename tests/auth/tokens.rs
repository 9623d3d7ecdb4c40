//! The token that is sent with a request.

use http::Request;
use tower_keystone::{AuthLayer, EndpointFilter, Error, TokenRejected, Unauthenticated};

use crate::support::*;

const FOREIGN: &str = "https://evil.example.org/";

fn with_own_token(uri: &str) -> Request<()> {
    Request::get(uri).header("X-Auth-Token", "own").body(()).unwrap()
}

fn unauthenticated(uri: &str) -> Request<()> {
    Request::get(uri).extension(Unauthenticated).body(()).unwrap()
}

#[tokio::test]
async fn exactly_one_token_is_sent_and_marked_as_sensitive() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    let waited = ScriptedPlugin::default();
    drop(waited.hold());
    let waiting = AuthLayer::new(waited).endpoint(to_nova());
    for seen in [
        sent(&layer, get("/servers")).await,
        sent(&layer, get(NOVA)).await,
        sent(&waiting, get("/servers")).await,
    ] {
        assert_eq!(tokens(&seen), ["token-1"]);
        assert!(seen.headers["x-auth-token"].is_sensitive());
        assert!(!format!("{:?}", seen.headers).contains("token-1"));
    }
}

#[tokio::test]
async fn a_token_set_by_the_caller_is_kept() {
    let plugin = ScriptedPlugin::default();
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    let seen = sent(&layer, with_own_token("/servers")).await;
    assert_eq!(seen.uri, "https://nova.example.com/v2.1/servers");
    assert_eq!(tokens(&seen), ["own"]);

    let seen = sent(&layer, with_own_token(FOREIGN)).await;
    assert_eq!(seen.uri, FOREIGN);
    assert_eq!(tokens(&seen), ["own"]);
    assert_eq!(plugin.access_calls(), 1, "an access is needed only to read the catalog");
}

#[tokio::test]
async fn a_401_for_a_token_set_by_the_caller_invalidates_nothing() {
    let plugin = ScriptedPlugin::default();
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    for uri in ["/servers", NOVA] {
        let response = send(&layer, &Inner::with_statuses([401]), with_own_token(uri)).await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(response.extensions().get::<TokenRejected>().is_none());
    }
    assert!(plugin.invalidated().is_empty());
}

#[tokio::test]
async fn an_empty_token_set_by_the_caller_is_kept() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    let request = Request::get("/servers").header("x-auth-token", "").body(()).unwrap();
    assert_eq!(tokens(&sent(&layer, request).await), [""]);
}

#[tokio::test]
async fn overwrite_token_replaces_all_tokens_set_by_the_caller() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova()).overwrite_token();
    let request = Request::get("/servers").header("x-auth-token", "a").header("X-AUTH-TOKEN", "b");
    let seen = sent(&layer, request.body(()).unwrap()).await;
    assert_eq!(tokens(&seen), ["token-1"]);
    assert!(seen.headers["x-auth-token"].is_sensitive());
}

#[tokio::test]
async fn an_overwriting_token_is_checked_and_invalidated_like_any_other() {
    let plugin = ScriptedPlugin::default();
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova()).overwrite_token();
    let error = refused(&layer, with_own_token(FOREIGN)).await;
    assert!(matches!(error, Error::OriginNotAllowed { .. }));

    let response = send(&layer, &Inner::with_statuses([401]), with_own_token("/servers")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
    assert_eq!(plugin.invalidated().len(), 1);
}

#[tokio::test]
async fn an_unauthenticated_request_is_sent_to_any_origin_without_a_token() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova()).require_https();
    for (uri, expected) in [
        ("/", "https://nova.example.com/v2.1/"),
        (NOVA, NOVA),
        (FOREIGN, FOREIGN),
        ("http://evil.example.org/", "http://evil.example.org/"),
    ] {
        let seen = sent(&layer, unauthenticated(uri)).await;
        assert_eq!(seen.uri, expected);
        assert!(tokens(&seen).is_empty());
        assert!(seen.extensions.get::<Unauthenticated>().is_none());
    }
}

#[tokio::test]
async fn overwrite_token_adds_no_token_to_an_unauthenticated_request() {
    let layer = AuthLayer::new(fixed_token()).overwrite_token();
    assert!(tokens(&sent(&layer, unauthenticated(FOREIGN)).await).is_empty());
}

#[tokio::test]
async fn a_401_for_an_unauthenticated_request_invalidates_nothing() {
    let plugin = ScriptedPlugin::default();
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    // The relative request needs an access to read the catalog, but does not send its token.
    for uri in ["/", NOVA, FOREIGN] {
        let response = send(&layer, &Inner::with_statuses([401]), unauthenticated(uri)).await.unwrap();
        assert!(response.extensions().get::<TokenRejected>().is_none());
    }
    let waiting_plugin = ScriptedPlugin::default();
    drop(waiting_plugin.hold());
    let layer = AuthLayer::new(waiting_plugin.clone()).endpoint(to_nova());
    let response = send(&layer, &Inner::with_statuses([401]), unauthenticated("/")).await.unwrap();
    assert!(response.extensions().get::<TokenRejected>().is_none());
    assert!(plugin.invalidated().is_empty() && waiting_plugin.invalidated().is_empty());
}

#[tokio::test]
async fn an_unauthenticated_request_fails_if_its_endpoint_needs_an_access_that_fails() {
    let plugin = ScriptedPlugin::default();
    plugin.fail(Error::NoToken);
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    assert!(matches!(refused(&layer, unauthenticated("/")).await, Error::NoToken));

    plugin.fail(Error::NoToken);
    let fixed_endpoint = EndpointFilter::default().endpoint_override("https://h/");
    let layer = AuthLayer::new(plugin).endpoint(fixed_endpoint);
    assert!(tokens(&sent(&layer, unauthenticated("/")).await).is_empty());
}
