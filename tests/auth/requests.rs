use http::{Method, Request, Version};
use tower_keystone::{AuthLayer, EndpointFilter, Error, Interface, Unauthenticated};

use crate::support::*;

#[tokio::test]
async fn a_relative_uri_is_joined_byte_for_byte() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    for (relative, expected) in [
        ("/servers", "https://nova.example.com/v2.1/servers"),
        ("/servers/", "https://nova.example.com/v2.1/servers/"),
        ("/", "https://nova.example.com/v2.1/"),
        ("/servers/detail?limit=9&marker=", "https://nova.example.com/v2.1/servers/detail?limit=9&marker="),
        ("/?all_tenants=1", "https://nova.example.com/v2.1/?all_tenants=1"),
        ("/a%2Fb/%e3%81%82%20c/%E3", "https://nova.example.com/v2.1/a%2Fb/%e3%81%82%20c/%E3"),
        ("/a+b;c=d//e/./f/..x", "https://nova.example.com/v2.1/a+b;c=d//e/./f/..x"),
        (
            "/s?name=%2F..%2f&q=../..&u=https://h/",
            "https://nova.example.com/v2.1/s?name=%2F..%2f&q=../..&u=https://h/",
        ),
    ] {
        assert_eq!(sent(&layer, get(relative)).await.uri, expected);
    }
}

#[tokio::test]
async fn a_trailing_slash_of_an_endpoint_is_not_doubled() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova().region("RegionTwo"));
    assert_eq!(sent(&layer, get("/servers")).await.uri, "https://nova.two.example.com/v2.1/servers");
}

#[tokio::test]
async fn method_version_headers_and_extensions_are_not_changed() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    let request = Request::builder()
        .method(Method::PATCH)
        .version(Version::HTTP_2)
        .uri("/servers")
        .header("openstack-api-version", "compute 2.96")
        .header("x-twice", "1")
        .header("x-twice", "2")
        .extension("the caller's own")
        .body(())
        .unwrap();
    let seen = sent(&layer, request).await;
    assert_eq!((seen.method, seen.version), (Method::PATCH, Version::HTTP_2));
    assert_eq!(seen.headers["openstack-api-version"], "compute 2.96");
    assert_eq!(seen.headers.get_all("x-twice").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(seen.headers.len(), 4);
    assert_eq!(seen.extensions.get(), Some(&"the caller's own"));
}

#[tokio::test]
async fn extensions_for_the_layer_are_removed_before_sending() {
    for uri in ["/servers", "https://nova.example.com/v2.1/servers"] {
        let request = Request::get(uri).extension(to_nova()).extension(Unauthenticated);
        let seen = sent(&AuthLayer::new(fixed_token()), request.body(()).unwrap()).await;
        assert!(seen.extensions.get::<EndpointFilter>().is_none());
        assert!(seen.extensions.get::<Unauthenticated>().is_none());
    }
}

#[tokio::test]
async fn a_filter_is_also_removed_after_waiting_for_a_token() {
    let plugin = ScriptedPlugin::default();
    drop(plugin.hold());
    let request = Request::get("/servers").extension(to_nova());
    let seen = sent(&AuthLayer::new(plugin), request.body(()).unwrap()).await;
    assert_eq!(seen.uri, "https://nova.example.com/v2.1/servers");
    assert!(seen.extensions.get::<EndpointFilter>().is_none());
}

#[tokio::test]
async fn the_first_requested_interface_in_the_catalog_is_used() {
    let layer = |filter| AuthLayer::new(fixed_token()).endpoint(filter);
    let wanted = [Interface::from("internalURL"), Interface::Public];
    let cinder = EndpointFilter::new("block-storage").interfaces(wanted.clone());
    assert_eq!(sent(&layer(cinder), get("/x")).await.uri, "https://cinder.example.com:8776/v3/p1/x");
    let nova = to_nova().interfaces(wanted);
    assert_eq!(sent(&layer(nova), get("/x")).await.uri, "https://nova.internal:8774/v2.1/x");
    let any = to_nova().any_interface();
    assert_eq!(sent(&layer(any), get("/x")).await.uri, "https://nova.admin.example.com:8774/v2.1/x");
}

#[tokio::test]
async fn a_relative_uri_without_a_filter_that_names_a_service_is_refused() {
    let plugin = fixed_token().auth_url(uri(AUTH_URL));
    let error = refused(&AuthLayer::new(plugin.clone()), get("/servers")).await;
    assert!(matches!(error, Error::NoEndpointFilter));
    let anything = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::default().region("RegionOne"));
    assert!(matches!(refused(&anything, get("/servers")).await, Error::NoEndpointFilter));

    let unauthenticated = Request::get("/servers").extension(Unauthenticated).body(()).unwrap();
    assert!(matches!(refused(&AuthLayer::new(plugin), unauthenticated).await, Error::NoEndpointFilter));
}

#[tokio::test]
async fn a_path_traversal_above_the_endpoint_is_refused() {
    let override_ = EndpointFilter::default().endpoint_override("https://proxy.example.com/a/b");
    let auth = EndpointFilter::default().interface(Interface::Auth);
    for filter in [to_nova(), override_, auth] {
        let layer = AuthLayer::new(fixed_token().auth_url(uri(AUTH_URL))).endpoint(filter);
        for path in ["/..", "/../v3", "/servers/../../v3", "/%2e%2E/x", "/a%2f..%2F../x", "//../x"] {
            let error = refused(&layer, get(path)).await;
            assert!(matches!(error, Error::PathTraversal), "{path}: {error}");
        }
        assert!(sent(&layer, get("/servers/../flavors")).await.uri.path().ends_with("/servers/../flavors"));
    }
}

#[tokio::test]
async fn a_uri_that_is_neither_absolute_nor_a_path_is_refused() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    for not_a_path in ["nova.example.com:443", "nova.example.com", "*"] {
        let error = refused(&layer, get(not_a_path)).await;
        assert!(matches!(error, Error::InvalidRequestUri), "{not_a_path}: {error}");
    }
}

#[tokio::test]
async fn an_absolute_uri_is_sent_unchanged_despite_a_filter() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    let absolute = "https://cinder.example.com:8776/v3/p1/../../%2e%2e/x?y=%20";
    let seen = sent(&layer, get(absolute)).await;
    assert_eq!(seen.uri, absolute);
    assert_eq!(tokens(&seen), ["token-1"]);
}
