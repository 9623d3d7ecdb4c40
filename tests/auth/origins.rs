//! The origins that the token is sent to.

use http::Request;
use serde_json::json;
use tower_keystone::{AccessInfoPlugin, AuthLayer, EndpointFilter, Error, Interface};

use crate::support::*;

async fn refused_origin(layer: &AuthLayer<AccessInfoPlugin>, url: &str) -> String {
    match refused(layer, get(url)).await {
        error @ Error::OriginNotAllowed { .. } => error.to_string(),
        other => panic!("{url}: {other}"),
    }
}

#[tokio::test]
async fn every_origin_in_the_catalog_gets_the_token() {
    // All services, regions and interfaces count, not only those of the filter.
    let layer = AuthLayer::new(fixed_token()).endpoint(EndpointFilter::new("block-storage"));
    for url in [
        "https://nova.example.com/v2.1/servers",
        "https://nova.example.com:443/other/path",
        "HTTPS://NOVA.Example.COM/",
        "https://nova.admin.example.com:8774/",
        "https://nova.internal:8774/v2.1/?x=1",
        "https://nova.two.example.com/",
        "http://swift.example.com:8080/v1/AUTH_other/c/o",
    ] {
        let seen = sent(&layer, get(url)).await;
        assert_eq!(seen.uri, uri(url));
        assert_eq!(tokens(&seen), ["token-1"], "{url}");
    }
}

#[tokio::test]
async fn a_foreign_origin_is_refused() {
    let layer = AuthLayer::new(fixed_token().auth_url(uri(AUTH_URL))).endpoint(to_nova());
    for url in [
        "https://evil.example.org/v2.1/servers",
        "https://nova.example.com:8774/v2.1/servers",
        "https://nova.internal/v2.1/servers",
        "http://nova.example.com/v2.1/servers",
        "http://nova.example.com:443/v2.1/servers",
        "https://nova.example.com./v2.1/servers",
        "https://nova.example.com.evil.example.org/v2.1/servers",
        "https://evil-nova.example.com/v2.1/servers",
        "https://example.com/v2.1/servers",
        "https://evil.example.org/nova.example.com",
        "https://swift.example.com:8080/v1/AUTH_p1",
        "https://keystone.example.com/v3",
    ] {
        assert!(refused_origin(&layer, url).await.contains("AuthLayer::allow_origin"), "{url}");
    }
    for url in [
        "https://user@nova.example.com/v2.1/servers",
        "https://user:pass@nova.example.com/v2.1/servers",
        "https://nova.example.com@evil.example.org/v2.1/servers",
        "https://nova.example.com:443@evil.example.org/v2.1/servers",
    ] {
        let message = refused_origin(&layer, url).await;
        assert!(message.contains("or has a user name") && !message.contains("pass"), "{message}");
    }
    assert!(refused_origin(&layer, "ftp://nova.example.com/").await.contains("is not http or https"));
}

#[tokio::test]
async fn the_error_names_the_origin_and_no_other_part_of_the_url() {
    let layer = AuthLayer::new(fixed_token());
    let message = refused_origin(&layer, "https://evil.example.org:1/canary?canary").await;
    assert!(message.starts_with("https://evil.example.org:1 is not an origin"), "{message}");
    assert!(message.contains("Unauthenticated") && !message.contains("canary"), "{message}");
    let message = refused_origin(&layer, "https://alice:canary@evil.example.org:1/canary?canary").await;
    assert!(message.starts_with("the token is not sent to https://evil.example.org:1, "), "{message}");
    assert!(!message.contains("canary") && !message.contains("alice"), "{message}");
}

#[tokio::test]
async fn a_foreign_origin_is_also_refused_after_waiting_for_a_token() {
    let plugin = ScriptedPlugin::default();
    drop(plugin.hold());
    let layer = AuthLayer::new(plugin).endpoint(to_nova());
    let error = refused(&layer, get("https://evil.example.org/")).await;
    assert!(matches!(error, Error::OriginNotAllowed { .. }));
}

#[tokio::test]
async fn without_a_catalog_no_origin_gets_the_token() {
    let plugin = AccessInfoPlugin::new(access_info_with("token-1", json!([])));
    refused_origin(&AuthLayer::new(plugin), NOVA).await;
}

#[tokio::test]
async fn the_origin_of_an_unusable_url_does_not_get_the_token() {
    let endpoints = json!([
        {"interface": "public", "url": "https://user@nova.example.com/v2.1"},
        {"interface": "internal", "url": "https://cinder.example.com/v3/$(project_id)s"},
    ]);
    let catalog = json!([{"type": "compute", "endpoints": endpoints}]);
    let layer = AuthLayer::new(AccessInfoPlugin::new(access_info_with("token-1", catalog)));
    refused_origin(&layer, "https://nova.example.com/v2.1").await;
    refused_origin(&layer, "https://cinder.example.com/v3/p1").await;
}

#[tokio::test]
async fn the_origin_of_the_auth_url_gets_the_token() {
    let layer = AuthLayer::new(fixed_token().auth_url(uri(AUTH_URL)));
    let seen = sent(&layer, get("https://keystone.example.com:5000/elsewhere")).await;
    assert_eq!(tokens(&seen), ["token-1"]);
    refused_origin(&AuthLayer::new(fixed_token()), "https://keystone.example.com:5000/elsewhere").await;
}

#[tokio::test]
async fn the_origin_of_the_override_in_use_gets_the_token() {
    let proxy = |url| EndpointFilter::default().endpoint_override(url);
    let layer = AuthLayer::new(fixed_token());
    for filter in [proxy("https://p1.example.com/nova"), proxy("https://%(project_id)s.example.com/nova")] {
        let request = Request::get("https://p1.example.com/x").extension(filter.clone()).body(()).unwrap();
        assert_eq!(tokens(&sent(&layer, request).await), ["token-1"]);
        let with_filter = layer.clone().endpoint(filter);
        assert_eq!(tokens(&sent(&with_filter, get("https://p1.example.com/x")).await), ["token-1"]);
        refused_origin(&with_filter, "https://p2.example.com/x").await;

        // The filter of the request replaces the layer's filter and its override.
        let request = Request::get("https://p1.example.com/x").extension(to_nova()).body(()).unwrap();
        assert!(matches!(refused(&with_filter, request).await, Error::OriginNotAllowed { .. }));
    }
    refused_origin(&layer, "https://p1.example.com/x").await;
}

#[tokio::test]
async fn an_allowed_origin_gets_the_token() {
    let plain = AuthLayer::new(fixed_token());
    let layer = plain.clone().allow_origin(&uri("https://proxy.example.com/ignored?x")).unwrap();
    let layer = layer.allow_origin(&uri("http://[2001:db8::1]:8080")).unwrap();
    for url in ["https://proxy.example.com:443/x", "http://[2001:DB8::1]:8080/y"] {
        assert_eq!(tokens(&sent(&layer, get(url)).await), ["token-1"]);
        refused_origin(&plain, url).await;
    }
    refused_origin(&layer, "http://proxy.example.com/x").await;
    refused_origin(&layer, "https://sub.proxy.example.com/x").await;
}

#[test]
fn a_url_without_a_valid_origin_cannot_be_allowed() {
    for url in
        ["/", "proxy.example.com", "proxy.example.com:443", "ftp://h/", "https://user@h/", "https://h:99999/"]
    {
        let error = AuthLayer::new(fixed_token()).allow_origin(&uri(url)).unwrap_err();
        assert!(matches!(error, Error::InvalidEndpoint { .. }), "{url}");
    }
}

#[tokio::test]
async fn require_https_refuses_http_origins_that_would_get_the_token() {
    let plugin = fixed_token().auth_url(uri("http://keystone:5000/v3"));
    let swift = EndpointFilter::new("object-store");
    let auth = EndpointFilter::default().interface(Interface::Auth);
    let proxy = EndpointFilter::default().endpoint_override("http://proxy.example.com/");
    let absolute = "http://swift.example.com:8080/v1/AUTH_p1/c";
    let allowed = "http://allowed.example.com/";
    let plain = AuthLayer::new(plugin).allow_origin(&uri(allowed)).unwrap();
    let strict = plain.clone().require_https();
    for (filter, url) in
        [(&swift, "/c"), (&auth, "/users"), (&proxy, "/x"), (&swift, absolute), (&swift, allowed)]
    {
        let request = || Request::get(url).extension(filter.clone()).body(()).unwrap();
        assert_eq!(tokens(&sent(&plain, request()).await), ["token-1"]);
        let error = refused(&strict, request()).await;
        assert!(matches!(error, Error::HttpsRequired { .. }), "{filter}, {url}: {error}");
    }
    assert_eq!(tokens(&sent(&strict, get(NOVA)).await), ["token-1"]);
}
