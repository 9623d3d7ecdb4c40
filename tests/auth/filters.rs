//! What the filter of a request inherits from the filter of the layer.

use http::Request;
use serde_json::json;
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, EndpointFilter, Error, IdentityPlugin, Interface, Microversion,
};

use crate::support::*;

/// Returns a plugin whose catalog lists each service in two regions with three interfaces. An endpoint URL names
/// its interface, region and service.
fn cloud() -> AccessInfoPlugin {
    let services: Vec<_> = [("compute", "nova"), ("volumev3", "cinder"), ("identity", "keystone"), ("zun", "z")]
        .map(|(service_type, name)| {
            let endpoints: Vec<_> = ["One", "Two"]
                .into_iter()
                .flat_map(|region| ["public", "internal", "admin"].map(|interface| (region, interface)))
                .map(|(region, interface)| {
                    let url = format!("https://{interface}.{region}.example.com/{name}");
                    json!({"interface": interface, "region_id": region, "url": url, "id": format!("{interface}{region}")})
                })
                .collect();
            json!({"type": service_type, "name": name, "endpoints": endpoints})
        })
        .into();
    AccessInfoPlugin::new(access_info_with("token-1", json!(services))).auth_url(uri(AUTH_URL))
}

fn layer(filter: EndpointFilter) -> AuthLayer<AccessInfoPlugin> {
    AuthLayer::new(cloud()).endpoint(filter)
}

fn with(filter: EndpointFilter) -> Request<()> {
    Request::get("/x").extension(filter).body(()).unwrap()
}

async fn sent_uri(layer: &AuthLayer<impl IdentityPlugin>, filter: EndpointFilter) -> String {
    let sent_to = sent(layer, with(filter.clone())).await.uri.to_string();
    // The second request uses the cached filter and must be sent to the same URI.
    assert_eq!(sent(layer, with(filter)).await.uri.to_string(), sent_to);
    sent_to
}

#[tokio::test]
async fn region_and_interface_are_inherited_from_the_layer() {
    let layer = layer(EndpointFilter::new("compute").region("Two").interface("internal"));
    for (filter, expected) in [
        (EndpointFilter::new("compute"), "internal.Two.example.com/nova"),
        (EndpointFilter::new("compute").microversion("2.79"), "internal.Two.example.com/nova"),
        (EndpointFilter::new("compute").region("One"), "internal.One.example.com/nova"),
        (EndpointFilter::new("compute").interface("admin"), "admin.Two.example.com/nova"),
        (EndpointFilter::new("compute").any_interface(), "public.Two.example.com/nova"),
        (EndpointFilter::new("block-storage"), "internal.Two.example.com/cinder"),
        (
            EndpointFilter::new("block-storage").region("One").interface("admin"),
            "admin.One.example.com/cinder",
        ),
        (EndpointFilter::default().region("One"), "internal.One.example.com/nova"),
        (EndpointFilter::default(), "internal.Two.example.com/nova"),
        (EndpointFilter::new("zun"), "internal.Two.example.com/z"),
    ] {
        assert_eq!(sent_uri(&layer, filter.clone()).await, format!("https://{expected}/x"), "{filter:?}");
    }
    assert_eq!(sent(&layer, get("/x")).await.uri, "https://internal.Two.example.com/nova/x");
}

#[tokio::test]
async fn other_settings_are_inherited_for_the_same_service_only() {
    let overridden = layer(EndpointFilter::new("volumev3").endpoint_override("https://own.example.com"));
    for same in [EndpointFilter::new("block-storage"), EndpointFilter::new("volumev2").region("One")] {
        assert_eq!(sent_uri(&overridden, same).await, "https://own.example.com/x");
    }
    assert_eq!(
        sent_uri(&overridden, EndpointFilter::new("compute")).await,
        "https://public.One.example.com/nova/x"
    );

    let named =
        layer(EndpointFilter::new("compute").endpoint_id("adminTwo").any_interface().service_name("nova"));
    assert_eq!(
        sent_uri(&named, EndpointFilter::new("compute")).await,
        "https://admin.Two.example.com/nova/x"
    );
    assert_eq!(
        sent_uri(&named, EndpointFilter::new("identity")).await,
        "https://public.One.example.com/keystone/x"
    );
    let other_name = with(EndpointFilter::new("compute").service_name("other"));
    assert!(matches!(refused(&named, other_name).await, Error::EndpointNotFound(_)));

    let versioned = layer(EndpointFilter::new("compute").version(2, 1));
    assert!(matches!(refused(&versioned, with(EndpointFilter::new("compute"))).await, Error::NoDiscovery));
    sent_uri(&versioned, EndpointFilter::new("block-storage")).await;
    // A minimum of the request does not contradict the version of the layer.
    let newer = with(EndpointFilter::new("compute").min_version(2, 0));
    assert!(matches!(refused(&versioned, newer).await, Error::NoDiscovery));
}

#[tokio::test]
async fn two_unknown_service_types_are_two_services() {
    let layer = layer(EndpointFilter::new("z").endpoint_override("https://own.example.com"));
    let unknown = with(EndpointFilter::new("unknown"));
    assert!(matches!(refused(&layer, unknown).await, Error::EndpointNotFound(_)));
    assert_eq!(sent_uri(&layer, EndpointFilter::new("z")).await, "https://own.example.com/x");
}

#[tokio::test]
async fn the_auth_interface_is_inherited_for_keystone_only() {
    let layer = layer(EndpointFilter::new("identity").interface(Interface::Auth).region("Two"));
    assert_eq!(sent_uri(&layer, EndpointFilter::new("identity")).await, format!("{AUTH_URL}/x"));
    assert_eq!(
        sent_uri(&layer, EndpointFilter::new("compute")).await,
        "https://public.Two.example.com/nova/x"
    );
}

#[tokio::test]
async fn more_filters_than_the_cache_holds_inherit_correctly() {
    let layer = layer(EndpointFilter::new("compute").region("Two").interface("internal"));
    for round in 0..2 {
        for number in 0..100 {
            let filter = EndpointFilter::new("compute").service_id(format!("s{number}"));
            assert_eq!(
                sent_uri(&layer, filter).await,
                "https://internal.Two.example.com/nova/x",
                "{round} {number}"
            );
        }
    }
}

#[tokio::test]
async fn a_new_endpoint_of_the_layer_resets_the_cached_filters() {
    let layer = layer(EndpointFilter::new("compute").region("Two"));
    let filter = EndpointFilter::new("compute");
    assert_eq!(sent_uri(&layer, filter.clone()).await, "https://public.Two.example.com/nova/x");
    let layer = layer.endpoint(EndpointFilter::new("compute").region("One"));
    assert_eq!(sent_uri(&layer, filter).await, "https://public.One.example.com/nova/x");
}

#[tokio::test]
async fn a_filter_without_a_region_matches_the_first_region_of_the_catalog() {
    let layer = AuthLayer::new(cloud());
    assert_eq!(
        sent_uri(&layer, EndpointFilter::new("compute")).await,
        "https://public.One.example.com/nova/x"
    );
}

#[test]
fn a_filter_derived_for_another_service_keeps_region_and_interface() {
    let compute = EndpointFilter::new("compute")
        .region("Two")
        .interface("internal")
        .service_name("nova")
        .service_id("s1")
        .endpoint_id("e1")
        .endpoint_override("https://own.example.com")
        .min_version(2, 1)
        .microversion("2.79");
    let bare = |service_type| EndpointFilter::new(service_type).region("Two").interface("internal");
    assert_eq!(compute.clone().service_type("image"), bare("image"));
    assert_eq!(compute.clone().service_type("unknown"), bare("unknown"));
    assert_eq!(compute.clone().service_type("compute"), compute);
    assert_eq!(compute.clone().service_type(""), compute);
    let volume = EndpointFilter::new("volumev3").service_name("cinder").microversion("3.70");
    let expected = EndpointFilter::new("block-storage").service_name("cinder").microversion("3.70");
    assert_eq!(volume.service_type("block-storage"), expected);
    let unnamed = EndpointFilter::default().microversion("2.79").version(2, 1);
    assert_eq!(
        unnamed.service_type("compute"),
        EndpointFilter::new("compute").microversion("2.79").version(2, 1)
    );
}

#[tokio::test]
async fn a_microversion_can_be_set_on_a_request_without_a_filter() {
    let layer = layer(EndpointFilter::new("compute").region("Two").microversion("2.1"));
    let asks = |microversion| Request::get("/x").extension(microversion);
    let header =
        |parts: http::request::Parts| parts.headers["openstack-api-version"].to_str().unwrap().to_owned();

    let seen = sent(&layer, asks(Microversion::new("2.79")).body(()).unwrap()).await;
    assert_eq!(seen.uri, "https://public.Two.example.com/nova/x");
    assert!(seen.extensions.get::<Microversion>().is_none());
    assert_eq!(header(seen), "compute 2.79");
    let placement = Microversion::new("1.30").service_type("placement");
    assert_eq!(header(sent(&layer, asks(placement).body(()).unwrap()).await), "placement 1.30");
    let filtered = asks(Microversion::new("3.70")).extension(EndpointFilter::new("block-storage"));
    let seen = sent(&layer, filtered.body(()).unwrap()).await;
    assert_eq!(seen.uri, "https://public.Two.example.com/cinder/x");
    assert_eq!(header(seen), "volume 3.70");

    let error = refused(&layer, asks(Microversion::new("two")).body(()).unwrap()).await;
    assert!(matches!(error, Error::InvalidMicroversion { .. }), "{error}");
    let unnamed = Request::get("https://public.One.example.com/nova/x").extension(Microversion::new("2.79"));
    let error = refused(&AuthLayer::new(cloud()), unnamed.body(()).unwrap()).await;
    assert!(matches!(error, Error::InvalidMicroversion { .. }), "{error}");
}

#[test]
fn an_empty_string_counts_as_not_set() {
    let filter = EndpointFilter::new("compute");
    let empty =
        filter.clone().region("").service_name("").service_id("").endpoint_id("").endpoint_override("");
    assert_eq!(empty, filter);
    assert_eq!(filter.clone().interface("").microversion("").microversion_for("compute", ""), filter);
    assert_eq!(filter.clone().interfaces(["", "internal"]), filter.interface("internal"));
}
