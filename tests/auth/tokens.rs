//! Which token a request carries.

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
async fn the_token_is_sensitive_and_the_only_one() {
    let layer = AuthLayer::new(fixed()).endpoint(to_nova());
    let waited = RenewingPlugin::default();
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
async fn a_token_of_the_callers_own_is_kept() {
    let plugin = RenewingPlugin::default();
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    let seen = sent(&layer, with_own_token("/servers")).await;
    assert_eq!(seen.uri, "https://nova.example.com/v2.1/servers");
    assert_eq!(tokens(&seen), ["own"]);

    let seen = sent(&layer, with_own_token(FOREIGN)).await;
    assert_eq!(seen.uri, FOREIGN);
    assert_eq!(tokens(&seen), ["own"]);
    assert_eq!(plugin.asked(), 1, "only the catalog takes an access");
}

#[tokio::test]
async fn a_401_to_a_token_of_the_callers_own_is_no_refusal_of_ours() {
    let plugin = RenewingPlugin::default();
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    for uri in ["/servers", NOVA] {
        let response = send(&layer, &Inner::answering([401]), with_own_token(uri)).await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(response.extensions().get::<TokenRejected>().is_none());
    }
    assert!(plugin.invalidated().is_empty());
}

#[tokio::test]
async fn even_an_empty_token_is_the_callers_own() {
    let layer = AuthLayer::new(fixed()).endpoint(to_nova());
    let request = Request::get("/servers").header("x-auth-token", "").body(()).unwrap();
    assert_eq!(tokens(&sent(&layer, request).await), [""]);
}

#[tokio::test]
async fn overwrite_token_replaces_every_token_of_the_callers_own() {
    let layer = AuthLayer::new(fixed()).endpoint(to_nova()).overwrite_token();
    let request = Request::get("/servers").header("x-auth-token", "a").header("X-AUTH-TOKEN", "b");
    let seen = sent(&layer, request.body(()).unwrap()).await;
    assert_eq!(tokens(&seen), ["token-1"]);
    assert!(seen.headers["x-auth-token"].is_sensitive());
}

#[tokio::test]
async fn what_is_overwritten_is_guarded_and_refused_as_our_own() {
    let plugin = RenewingPlugin::default();
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova()).overwrite_token();
    let error = refused(&layer, with_own_token(FOREIGN)).await;
    assert!(matches!(error, Error::OriginNotAllowed { .. }));

    let response = send(&layer, &Inner::answering([401]), with_own_token("/servers")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
    assert_eq!(plugin.invalidated().len(), 1);
}

#[tokio::test]
async fn an_unauthenticated_request_goes_without_a_token_anywhere() {
    let layer = AuthLayer::new(fixed()).endpoint(to_nova()).require_https();
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
async fn overwrite_token_gives_none_to_an_unauthenticated_request() {
    let layer = AuthLayer::new(fixed()).overwrite_token();
    assert!(tokens(&sent(&layer, unauthenticated(FOREIGN)).await).is_empty());
}

#[tokio::test]
async fn a_401_to_an_unauthenticated_request_is_no_refusal() {
    let plugin = RenewingPlugin::default();
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    // The relative one takes an access for its catalog, which does not make it the access's request.
    for uri in ["/", NOVA, FOREIGN] {
        let response = send(&layer, &Inner::answering([401]), unauthenticated(uri)).await.unwrap();
        assert!(response.extensions().get::<TokenRejected>().is_none());
    }
    let held = RenewingPlugin::default();
    drop(held.hold());
    let layer = AuthLayer::new(held.clone()).endpoint(to_nova());
    let response = send(&layer, &Inner::answering([401]), unauthenticated("/")).await.unwrap();
    assert!(response.extensions().get::<TokenRejected>().is_none());
    assert!(plugin.invalidated().is_empty() && held.invalidated().is_empty());
}

#[tokio::test]
async fn an_access_that_only_the_endpoint_needs_can_fail_the_request() {
    let plugin = RenewingPlugin::default();
    plugin.fail(Error::NoToken);
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    assert!(matches!(refused(&layer, unauthenticated("/")).await, Error::NoToken));

    plugin.fail(Error::NoToken);
    let fixed_endpoint = EndpointFilter::default().endpoint_override("https://h/");
    let layer = AuthLayer::new(plugin).endpoint(fixed_endpoint);
    assert!(tokens(&sent(&layer, unauthenticated("/")).await).is_empty());
}
