//! Requests with an `Identity` whose endpoint is discovered.

use std::sync::Arc;

use http::{Request, Uri};
use tower::{BoxError, Layer, ServiceExt};
use tower_keystone::{AccessInfoPlugin, AuthLayer, EndpointFilter, Identity, IdentityPlugin, Interface};

use crate::{support::*, untouched::Untouched};

const NOVA: &str = "https://nova.example.com/";
const VERSIONED: &str = "https://nova.example.com/v2.1/servers +token";

fn layer(servers: &Servers) -> AuthLayer<Untouched> {
    AuthLayer::new(Untouched).discovery(servers.discovery())
}

fn compute() -> EndpointFilter {
    EndpointFilter::new("compute").version(2, 1)
}

/// Sends one request with this identity, and returns the URL that the inner service received.
async fn send<P: IdentityPlugin>(
    layer: &AuthLayer<P>,
    filter: EndpointFilter,
    identity: impl IdentityPlugin,
) -> Result<String, BoxError> {
    let inner = Servers::default();
    let request = Request::get("/servers").extension(filter).extension(Identity::new(identity));
    layer.layer(inner.clone()).oneshot(request.body(Body::default())?).await?;
    Ok(inner.take_requests().concat())
}

fn plugin(token: &str) -> AccessInfoPlugin {
    AccessInfoPlugin::new(token_for(token, "compute", NOVA))
}

#[tokio::test(start_paused = true)]
async fn a_document_without_a_token_is_shared_by_all_identities() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let layer = layer(&servers);
    for token in ["a", "b", "a"] {
        assert_eq!(send(&layer, compute(), plugin(token)).await.unwrap(), VERSIONED);
    }
    assert_eq!(servers.take_requests(), [NOVA]);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_requires_a_token_is_cached_for_this_token_only() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions().requires_token("a"));
    let layer = layer(&servers);
    let (a, b) = (plugin("a"), plugin("b"));
    for _ in 0..2 {
        assert_eq!(send(&layer, compute(), a.clone()).await.unwrap(), VERSIONED);
    }
    assert_eq!(servers.take_requests(), [NOVA.to_owned(), format!("{NOVA} +token")]);

    for _ in 0..2 {
        // Without the document, the URL in the catalog is used.
        let undiscovered = "https://nova.example.com/servers +token";
        assert_eq!(send(&layer, compute(), b.clone()).await.unwrap(), undiscovered);
        assert_eq!(send(&layer, compute(), a.clone()).await.unwrap(), VERSIONED);
    }
    assert!(servers.take_requests().contains(&format!("{NOVA} +token")), "the token of b was tried");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_reported_to_the_identity_and_its_new_token_is_used() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions().requires_token("good"));
    let identity =
        RecordingPlugin::new([token_for("bad", "compute", NOVA), token_for("good", "compute", NOVA)]);
    assert_eq!(send(&layer(&servers), compute(), Arc::clone(&identity)).await.unwrap(), VERSIONED);
    assert_eq!(identity.rejected_by(), ["https://nova.example.com:443"]);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_not_reported_to_the_plugin_whose_token_is_the_service_token() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions().requires_token("good"));
    let service = RecordingPlugin::new([token_for("service", "compute", NOVA)]);
    let identity =
        RecordingPlugin::new([token_for("bad", "compute", NOVA), token_for("good", "compute", NOVA)]);
    let layer = AuthLayer::new(Arc::clone(&service)).discovery(servers.discovery()).send_service_token();
    assert_eq!(send(&layer, compute(), Arc::clone(&identity)).await.unwrap(), VERSIONED);
    assert!(service.rejected_by().is_empty());
    assert_eq!(identity.rejected_by(), ["https://nova.example.com:443"]);
}

#[tokio::test(start_paused = true)]
async fn the_service_token_is_sent_after_discovery() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let layer = AuthLayer::new(AccessInfoPlugin::new(token_for("service", "compute", NOVA)))
        .discovery(servers.discovery())
        .send_service_token();
    for _ in 0..2 {
        let inner = tower::service_fn(|request: Request<Body>| async move {
            assert_eq!(request.uri(), "https://nova.example.com/v2.1/servers");
            assert_eq!(request.headers()["x-auth-token"], "user");
            assert_eq!(request.headers()["x-service-token"], "service");
            Ok::<_, BoxError>(http::Response::new(()))
        });
        let request = Request::get("/servers").extension(compute()).extension(Identity::new(plugin("user")));
        layer.layer(inner).oneshot(request.body(Body::default()).unwrap()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_auth_url_of_the_identity_is_discovered() {
    let servers = Servers::default();
    let versions = tower_keystone::fixture::Discovery::new().version("v3", "stable", "/v3/");
    for host in ["a", "b"] {
        let url = format!("https://{host}.example.com/");
        servers.respond_at(&url, StubResponse::document(&versions.document()));
    }
    let layer = layer(&servers);
    let filter = EndpointFilter::new("identity").interface(Interface::Auth).version(3, 0);
    for host in ["a", "b", "a"] {
        let identity =
            plugin("user").auth_url(format!("https://{host}.example.com/").parse::<Uri>().unwrap());
        let expected = format!("https://{host}.example.com/v3/servers +token");
        assert_eq!(send(&layer, filter.clone(), identity).await.unwrap(), expected);
    }
}
