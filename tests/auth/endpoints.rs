//! Endpoint overrides, the `auth_url` as an endpoint, and catalogs without a match.

use std::sync::Arc;

use http::{Request, Uri};
use serde_json::{Value, json};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, BoxError, Credentials, EndpointFilter, Error, Interface,
    Transport, Unauthenticated, discovery::Discovery, error::EndpointNotFound, identity::AuthRefFuture,
};

use crate::{log::Log, support::*};

fn overridden(url: &str) -> EndpointFilter {
    EndpointFilter::new("compute").endpoint_override(url)
}

fn unscoped() -> AccessInfoPlugin {
    AccessInfoPlugin::new(AccessInfo::new("token-1", r#"{"token": {"user": {"id": "u1"}}}"#).unwrap())
}

fn compute_at(urls: &[&str]) -> AccessInfoPlugin {
    let endpoints: Value = urls.iter().map(|url| json!({"interface": "public", "url": url})).collect();
    AccessInfoPlugin::new(access_info_with("token-1", json!([{"type": "compute", "endpoints": endpoints}])))
}

async fn not_found(plugin: AccessInfoPlugin, filter: EndpointFilter) -> Arc<EndpointNotFound> {
    match refused(&AuthLayer::new(plugin).endpoint(filter), get("/servers")).await {
        Error::EndpointNotFound(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_auth_interface_is_the_auth_url_of_the_plugin() {
    let filter = EndpointFilter::new("identity").interface(Interface::Auth);
    for plugin in [fixed_token(), unscoped()] {
        let layer = AuthLayer::new(plugin.auth_url(uri(AUTH_URL))).endpoint(filter.clone());
        let seen = sent(&layer, get("/users?name=a")).await;
        assert_eq!(seen.uri, "https://keystone.example.com:5000/v3/users?name=a");
        assert_eq!(tokens(&seen), ["token-1"]);
    }
    assert!(matches!(
        refused(&AuthLayer::new(fixed_token()).endpoint(filter), get("/users")).await,
        Error::NoAuthUrl
    ));
}

#[tokio::test]
async fn an_auth_url_that_is_no_valid_base_url_is_refused() {
    let filter = EndpointFilter::default().interface(Interface::Auth);
    for auth_url in ["/v3", "keystone:5000", "https://admin:canary@keystone/v3", "https://keystone/v3?x=1"] {
        let layer = AuthLayer::new(fixed_token().auth_url(uri(auth_url))).endpoint(filter.clone());
        let error = refused(&layer, get("/users")).await;
        assert!(matches!(error, Error::InvalidEndpoint { .. }), "{auth_url}");
        assert!(!error.to_string().contains("canary"));
    }
}

#[tokio::test]
async fn an_override_replaces_the_endpoint_of_the_catalog() {
    for (url, expected) in [
        ("https://proxy.example.com/nova/", "https://proxy.example.com/nova/servers"),
        ("http://127.0.0.1:8774", "http://127.0.0.1:8774/servers"),
        ("https://swift/v1/AUTH_%(project_id)s", "https://swift/v1/AUTH_p1/servers"),
        (
            "https://%(user_id)s.example.com/%(project_id)s/%(user_id)s/",
            "https://u1.example.com/p1/u1/servers",
        ),
    ] {
        let seen = sent(&AuthLayer::new(fixed_token()).endpoint(overridden(url)), get("/servers")).await;
        assert_eq!(seen.uri, expected);
        assert_eq!(tokens(&seen), ["token-1"]);
    }
}

#[tokio::test]
async fn no_version_is_discovered_for_an_override_of_a_versioned_service_type() {
    let transport = Transport::new(tower::service_fn(|_: http::Request<bytes::Bytes>| async {
        Err::<http::Response<http_body_util::Full<bytes::Bytes>>, BoxError>("no document is needed".into())
    }));
    let filter = EndpointFilter::new("volumev3").endpoint_override("https://proxy.example.com/cinder");
    let layer = AuthLayer::new(fixed_token()).discovery(Discovery::new(transport)).endpoint(filter);
    assert_eq!(sent(&layer, get("/volumes")).await.uri, "https://proxy.example.com/cinder/volumes");
}

#[tokio::test]
async fn an_override_needs_no_catalog() {
    let layer = AuthLayer::new(unscoped()).endpoint(overridden("https://proxy.example.com/%(user_id)s"));
    assert_eq!(sent(&layer, get("/x")).await.uri, "https://proxy.example.com/u1/x");
}

#[tokio::test]
async fn an_override_with_a_placeholder_without_a_value_is_refused() {
    for (plugin, url, missing) in [
        (unscoped(), "https://h/%(project_id)s", "project_id"),
        (fixed_token(), "https://h/%(tenant_id)s", "tenant_id"),
        (fixed_token(), "https://h/%(project_id)s/%(region)s", "region"),
        (fixed_token(), "https://h/%()s", ""),
    ] {
        match refused(&AuthLayer::new(plugin).endpoint(overridden(url)), get("/x")).await {
            Error::MissingOverrideValue { name, .. } => assert_eq!(&*name, missing),
            other => panic!("{url}: {other}"),
        }
    }
}

#[tokio::test]
async fn an_override_that_is_no_valid_base_url_is_refused() {
    for url in [
        "/v2.1",
        "file:///etc",
        "https://alice:canary@h/v2.1",
        "https://h/v2.1?x=1",
        "https://h/%(project_id",
        "https://h/$(project_id)s",
    ] {
        let error = refused(&AuthLayer::new(fixed_token()).endpoint(overridden(url)), get("/x")).await;
        assert!(matches!(error, Error::InvalidEndpoint { .. }), "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

#[tokio::test]
async fn an_id_that_would_change_the_url_of_an_override_is_refused() {
    for id in [".", "..", "p1/../..", "p1?x", "p1#x", "evil.example.com/", "p 1", "%2e", "é"] {
        let body = json!({"token": {"project": {"id": id}}}).to_string();
        let plugin = AccessInfoPlugin::new(AccessInfo::new("token-1", body).unwrap());
        let layer = AuthLayer::new(plugin).endpoint(overridden("https://%(project_id)s/v1"));
        let error = refused(&layer, get("/x")).await;
        assert!(matches!(error, Error::InvalidEndpoint { .. }), "{id}: {error}");
    }
}

#[tokio::test]
async fn a_request_that_needs_no_access_does_not_ask_for_one() {
    let plugin = ScriptedPlugin::default();
    let layer = AuthLayer::new(plugin.clone()).endpoint(overridden("https://proxy.example.com/v2.1"));
    for uri in ["/", "https://elsewhere.example.org/"] {
        let request = Request::get(uri).extension(Unauthenticated).body(()).unwrap();
        assert!(tokens(&sent(&layer, request).await).is_empty());
    }
    assert_eq!(plugin.access_calls(), 0);

    // An access is needed for the ids in an override, and for the endpoints of the catalog.
    for (calls, filter) in
        [(1, overridden("https://h/%(project_id)s")), (2, EndpointFilter::new("block-storage"))]
    {
        let request = Request::get("/").extension(Unauthenticated).extension(filter).body(()).unwrap();
        assert!(tokens(&sent(&layer, request).await).is_empty());
        assert_eq!(plugin.access_calls(), calls);
    }
}

#[tokio::test]
async fn an_endpoint_with_an_unusable_url_is_skipped() {
    for unusable in [
        "https://admin:canary@nova.example.com/v2.1",
        "file:///v2.1",
        "https://nova.example.com/v2.1/%(tenant_id)s",
        "https://nova.example.com/v2.1/$(project_id)s",
        "https://nova.example.com/v2.1?x=1",
        "https://nova.example.com/v2.1#x",
        "nova.example.com/v2.1",
        "",
    ] {
        let plugin = compute_at(&[unusable, "https://next.example.com/v2.1"]);
        let layer = AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute"));
        assert_eq!(sent(&layer, get("/x")).await.uri, "https://next.example.com/v2.1/x", "{unusable}");
    }
}

#[tokio::test]
async fn an_error_lists_why_each_match_is_unusable() {
    let unusable = ["https://admin:canary@nova.example.com/v2.1", "ftp://nova.example.com/v2.1"];
    let error = not_found(compute_at(&unusable), EndpointFilter::new("compute")).await;
    let reasons: Vec<_> = error.near_misses.iter().map(|miss| &*miss.reason).collect();
    assert_eq!(reasons, ["the URL has a user name", "the URL is neither http nor https"]);
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[tokio::test]
async fn an_endpoint_that_is_not_found_is_explained_by_near_misses() {
    let filter =
        EndpointFilter::new("compute").interface("internal").region("RegionTwo").service_name("nova");
    let error = not_found(fixed_token(), filter).await;
    assert_eq!(
        error.requested,
        "service type compute, interface internal, region RegionTwo, service name nova"
    );
    assert_eq!(
        error.to_string(),
        "the service catalog has no endpoint for \
         service type compute, interface internal, region RegionTwo, service name nova; near misses: \
         compute (nova) admin in RegionOne (its region is RegionOne), \
         compute (nova) public in RegionOne (its region is RegionOne), \
         compute (nova) internal in RegionOne (its region is RegionOne), \
         compute (nova) public in RegionTwo (its interface is public); \
         request an endpoint of the catalog, or a token with another scope"
    );
}

#[tokio::test]
async fn a_missing_service_type_is_explained_by_the_listed_types() {
    let error = not_found(fixed_token(), EndpointFilter::new("key-manager")).await;
    assert!(error.near_misses.is_empty());
    assert_eq!(
        error.to_string(),
        "the service catalog has no endpoint for service type key-manager, interface public; \
         the catalog lists compute, volumev3, object-store; request an endpoint of the catalog, or a token with \
         another scope"
    );
}

#[tokio::test]
async fn an_empty_or_missing_catalog_is_its_own_error() {
    let empty = AccessInfoPlugin::new(access_info_with("token-1", json!([])));
    for plugin in [empty, unscoped()] {
        let error = refused(&AuthLayer::new(plugin).endpoint(to_nova()), get("/servers")).await;
        assert!(matches!(error, Error::EmptyCatalog), "{error}");
    }
}

#[tokio::test]
async fn a_skipped_endpoint_is_logged_once_and_without_its_url() {
    let (log, _guard) = Log::new();
    let urls = ["https://admin:canary@nova.example.com/", "https://nova.example.com/"];
    let layer = AuthLayer::new(compute_at(&urls));
    for region in ["", "", "other"] {
        let inner = Inner::new();
        let filter = EndpointFilter::new("compute").region(region);
        let request = Request::get("/servers").extension(filter).body(()).unwrap();
        assert_eq!(send(&layer, &inner, request).await.is_ok(), region.is_empty());
    }
    let lines = log.take_lines();
    let [warning] = &*lines else { panic!("{lines:?}") };
    assert!(warning.contains("WARN") && warning.contains("interface=\"public\""), "{warning}");
    assert!(warning.contains("user name") && !warning.contains("canary"), "{warning}");
}

/// Credentials whose login returns an access info with this catalog.
struct Login {
    auth_url: Uri,
    catalog: Value,
}

impl Credentials for Login {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        let auth_ref = access_info_with("token-1", self.catalog.clone());
        Box::pin(async { Ok(auth_ref) })
    }

    fn auth_url(&self) -> &Uri {
        &self.auth_url
    }
}

#[tokio::test]
async fn a_skipped_endpoint_is_logged_only_when_requested_and_once_for_all_tokens() {
    let (log, _guard) = Log::new();
    let services = (0..54).map(|number| {
        let url = format!("https://service-{number}.example.com/v1/$(tenant_id)s");
        json!({"type": format!("type-{number}"), "endpoints": [{"interface": "public", "url": url}]})
    });
    let nova = json!({"type": "compute", "endpoints": [{"interface": "public", "url": "https://nova.example.com/"}]});
    let catalog = services.chain([nova]).collect();
    let unreachable = tower::service_fn(async |_: http::Request<bytes::Bytes>| {
        Err::<http::Response<http_body_util::Empty<bytes::Bytes>>, _>("unreachable")
    });
    let credentials = Login { auth_url: uri(AUTH_URL), catalog };
    let plugin = tower_keystone::RenewingPlugin::new(credentials, Transport::new(unreachable));
    let layer = AuthLayer::new(plugin.clone());

    for _ in 0..3 {
        plugin.renew().await.unwrap();
        for uri in ["/servers", "https://nova.example.com/servers"] {
            let request = Request::get(uri).extension(EndpointFilter::new("compute")).body(()).unwrap();
            assert_eq!(sent(&layer, request).await.uri, "https://nova.example.com/servers");
        }
    }
    let warnings = || {
        log.take_lines().into_iter().filter(|line| line.contains("skipping an endpoint")).collect::<Vec<_>>()
    };
    assert_eq!(warnings(), [""; 0], "no unusable endpoint was requested");

    for _ in 0..3 {
        plugin.renew().await.unwrap();
        for _ in 0..2 {
            let request = Request::get("/").extension(EndpointFilter::new("type-7")).body(()).unwrap();
            assert!(matches!(refused(&layer, request).await, Error::EndpointNotFound(_)));
        }
    }
    let lines = warnings();
    let [warning] = &*lines else { panic!("{lines:?}") };
    assert!(warning.contains("type-7") && warning.contains("placeholder"), "{warning}");
}
