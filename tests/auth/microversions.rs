//! Microversions of filters and requests.

use http::request::Parts;
use tower_keystone::{AuthLayer, EndpointFilter, Error, Unauthenticated};

use crate::support::*;

fn versions(parts: &Parts) -> Vec<String> {
    let named = parts.headers.iter().filter(|(name, _)| name.as_str().contains("api-version"));
    let mut all: Vec<_> = named.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    all.sort();
    all
}

fn layer(filter: EndpointFilter) -> AuthLayer<impl tower_keystone::IdentityPlugin> {
    AuthLayer::new(fixed_token()).endpoint(filter)
}

const NOVA_2_79: [&str; 2] = ["openstack-api-version: compute 2.79", "x-openstack-nova-api-version: 2.79"];

#[tokio::test]
async fn the_microversion_of_the_layer_is_sent_with_each_request() {
    let layer = layer(to_nova().microversion("2.79"));
    assert_eq!(versions(&sent(&layer, get("/servers")).await), NOVA_2_79);
    assert_eq!(versions(&sent(&layer, get("https://nova.example.com/v2.1/servers")).await), NOVA_2_79);
    let mut unauthenticated = get("/servers");
    unauthenticated.extensions_mut().insert(Unauthenticated);
    assert_eq!(versions(&sent(&layer, unauthenticated).await), NOVA_2_79);
}

#[tokio::test]
async fn the_microversion_of_a_request_replaces_that_of_the_layer() {
    let layer = layer(to_nova().microversion("2.79"));
    let with = |filter: EndpointFilter| {
        let mut request = get("/");
        request.extensions_mut().insert(filter);
        request
    };
    let latest = sent(&layer, with(to_nova().microversion("latest"))).await;
    let expected = ["openstack-api-version: compute latest", "x-openstack-nova-api-version: latest"];
    assert_eq!(versions(&latest), expected);
    assert_eq!(
        versions(&sent(&layer, with(to_nova())).await),
        NOVA_2_79,
        "a microversion that the request does not set is inherited from the layer"
    );
    let volumes = EndpointFilter::new("volumev3").microversion("3.70");
    assert_eq!(versions(&sent(&layer, with(volumes)).await), ["openstack-api-version: volume 3.70"]);
}

#[tokio::test]
async fn microversion_for_sets_the_service_type() {
    let unnamed = EndpointFilter::default().endpoint_override("https://o.example.com/");
    let layer = layer(unnamed.microversion_for("sharev2", "2.51"));
    let expected = ["openstack-api-version: shared-file-system 2.51", "x-openstack-manila-api-version: 2.51"];
    assert_eq!(versions(&sent(&layer, get("/shares")).await), expected);
}

#[tokio::test]
async fn microversion_headers_set_by_the_caller_are_kept() {
    let layer = layer(to_nova().microversion("2.79"));
    for (name, kept, added) in [
        ("x-openstack-nova-api-version", "2.1", "openstack-api-version: compute 2.79"),
        ("openstack-api-version", "volume 3.0", "x-openstack-nova-api-version: 2.79"),
    ] {
        let mut request = get("/servers");
        request.headers_mut().insert(name, kept.parse().unwrap());
        let mut expected = [format!("{name}: {kept}"), added.to_owned()];
        expected.sort();
        assert_eq!(versions(&sent(&layer, request).await), expected);
    }
}

#[tokio::test]
async fn an_invalid_microversion_is_refused_before_sending() {
    let unnamed = EndpointFilter::default().endpoint_override("https://o.example.com/");
    for (filter, advice) in [
        (to_nova().microversion("2.latest"), "use `latest` alone"),
        (to_nova().microversion("abc"), "neither two numbers"),
        (unnamed.clone().microversion("2.0"), "microversion_for"),
        (unnamed.clone().microversion_for("", "2.0"), "microversion_for"),
        (
            EndpointFilter::new("").endpoint_override("https://o.example.com/").microversion("2.0"),
            "microversion_for",
        ),
    ] {
        let error = refused(&layer(filter), get("/servers")).await;
        assert!(matches!(error, Error::InvalidMicroversion { .. }), "{error}");
        assert!(error.to_string().contains(advice), "{error}");
        assert!(!error.is_transient());
    }
}
