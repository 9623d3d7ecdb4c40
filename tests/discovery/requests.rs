//! Requests with a filter that asks for versions.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Request, Response};
use tower::{Layer, Service, ServiceExt};
use tower_keystone::{
    Access, AccessFuture, AccessInfoPlugin, AuthLayer, BoxError, EndpointFilter, Error, FixedEndpointPlugin,
    IdentityPlugin, Interface, discovery::LATEST, endpoint::Origin,
};

use crate::support::*;

const NOVA: &str = "https://nova.example.com/";

/// Sends one request, and says where it went.
async fn sent<P: IdentityPlugin>(layer: &AuthLayer<P>, filter: EndpointFilter) -> Result<String, BoxError> {
    let inner = Servers::default();
    let mut service = layer.layer(inner.clone());
    let request = Request::get("/servers").extension(filter).body(Body::default())?;
    service.ready().await?.call(request).await?;
    Ok(inner.asked().concat())
}

fn plugin(url: &str) -> AccessInfoPlugin {
    AccessInfoPlugin::new(access_info(&[("compute", url)]))
}

fn compute() -> EndpointFilter {
    EndpointFilter::new("compute")
}

#[tokio::test(start_paused = true)]
async fn a_filter_without_versions_never_discovers() {
    let servers = Servers::default();
    let layer = AuthLayer::new(plugin("https://nova.example.com/v2")).discovery(servers.discovery());
    assert_eq!(sent(&layer, compute()).await.unwrap(), "https://nova.example.com/v2/servers +token");
    assert!(servers.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_version_in_the_url_that_will_do_is_used_without_a_request() {
    let servers = Servers::default();
    let layer = AuthLayer::new(plugin("https://nova.example.com/v2.1/p1")).discovery(servers.discovery());
    let filter = compute().version(2, 1);
    assert_eq!(sent(&layer, filter).await.unwrap(), "https://nova.example.com/v2.1/p1/servers +token");
    assert!(servers.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_newest_version_of_the_range_is_found_and_the_project_id_kept() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions());
    let layer = AuthLayer::new(plugin("https://nova.example.com/v2/p1")).discovery(servers.discovery());
    for (filter, expected) in [
        (compute().min_version(2, 1), "https://nova.example.com/v2.1/p1/servers +token"),
        (compute().version(2, LATEST), "https://nova.example.com/v2.1/p1/servers +token"),
        (compute().min_version(LATEST, LATEST), "https://nova.example.com/v2.1/p1/servers +token"),
        (compute().max_version(2, 0), "https://nova.example.com/v2/p1/servers +token"),
    ] {
        assert_eq!(sent(&layer, filter).await.unwrap(), expected);
    }
    assert_eq!(servers.asked(), [NOVA], "one document for all of them");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_with_an_unusable_url_gives_way_to_the_next_match() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions());
    let unusable = ("compute", "https://nova.example.com/v2.1/$(tenant_id)s");
    let plugin = |services: &[_]| AccessInfoPlugin::new(access_info(services));
    let layer = AuthLayer::new(plugin(&[unusable, ("compute", NOVA)])).discovery(servers.discovery());
    for (filter, expected) in [
        (compute(), "https://nova.example.com/servers +token"),
        (compute().version(2, 1), "https://nova.example.com/v2.1/servers +token"),
        (compute().version(2, 1), "https://nova.example.com/v2.1/servers +token"),
    ] {
        assert_eq!(sent(&layer, filter).await.unwrap(), expected);
    }
    assert_eq!(servers.asked(), [NOVA]);

    let layer = AuthLayer::new(plugin(&[unusable])).discovery(servers.discovery());
    let error = sent(&layer, compute().version(2, 1)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::EndpointNotFound(_))), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_not_there_is_an_error_that_lists_what_is() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions());
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    let error = sent(&layer, compute().version(3, 0)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::DiscoveryFailure(_))), "{error}");
    assert_eq!(
        error.to_string(),
        "version 3.0 to 3.latest of compute was not found; https://nova.example.com/ lists \
         2.0 (SUPPORTED), 2.1 (CURRENT); ask for another version, or name the URL of one by an \
         endpoint override (Keystone's by the auth_url)"
    );
}

#[tokio::test(start_paused = true)]
async fn versions_that_cannot_be_are_refused_before_anything_is_sent() {
    let servers = Servers::default();
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    let error = sent(&layer, compute().min_version(3, 0).max_version(2, 0)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::InvalidVersionRange { .. })), "{error}");
    let error = sent(&layer, compute().version(2, 0).min_version(2, 0)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::InvalidVersionRange { .. })), "{error}");

    let layer = AuthLayer::new(AccessInfoPlugin::new(access_info(&[("volumev3", NOVA)])))
        .discovery(servers.discovery());
    let error = sent(&layer, EndpointFilter::new("volumev3").version(2, 0)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::ImpliedVersionMismatch { .. })), "{error}");
    assert!(servers.asked().is_empty());
}

/// A plugin that counts how often it is asked for an access.
struct Asked(Arc<AtomicUsize>);

impl IdentityPlugin for Asked {
    fn access(&self) -> AccessFuture {
        self.0.fetch_add(1, Ordering::Relaxed);
        AccessFuture::ready(Err(Error::plugin(true, "no login is wanted")))
    }

    fn invalidate(&self, _used: &Arc<Access>, _by: &Origin) -> bool {
        false
    }
}

/// Filters that no endpoint can satisfy.
fn contradictory() -> Vec<EndpointFilter> {
    let volume = || EndpointFilter::new("volumev3");
    vec![
        compute().version(2, 1).min_version(2, 0),
        compute().version(2, 1).max_version(2, 9),
        compute().min_version(3, 0).max_version(2, LATEST),
        compute().max_version(2, 0).min_version(2, 1),
        compute().min_version(LATEST, LATEST).max_version(3, 0),
        volume().min_version(2, 0),
        volume().max_version(2, LATEST),
        volume().version(4, 0),
        volume().min_version(LATEST, LATEST),
        compute().newest_microversion("2.79", "2.1"),
        compute().newest_microversion("latest", "2.1"),
        compute().newest_microversion("2.1", "new"),
        EndpointFilter::default().newest_microversion("2.1", "latest"),
        compute().microversion("2.latest"),
        compute().microversion(""),
        EndpointFilter::default().microversion("2.1"),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_contradicts_itself_causes_no_login() {
    let logins = Arc::new(AtomicUsize::new(0));
    let servers = Servers::default();
    let (plugin, discovery) = (Asked(Arc::clone(&logins)), servers.discovery());
    let layer = AuthLayer::new(Asked(Arc::clone(&logins)));
    let discovering = AuthLayer::new(Asked(Arc::clone(&logins))).discovery(servers.discovery());
    for filter in contradictory() {
        let of_request = |error: BoxError| Error::find(&*error).cloned();
        let errors = [
            sent(&layer, filter.clone()).await.err().and_then(of_request),
            sent(&discovering, filter.clone()).await.err().and_then(of_request),
            discovery.endpoint(&plugin, &filter).await.err(),
            discovery.endpoint_data(&plugin, &filter).await.err(),
            discovery.api_major_version(&plugin, &filter).await.err(),
            discovery.all_version_data(&plugin, &filter).await.err(),
        ];
        for error in errors {
            assert!(
                matches!(
                    error,
                    Some(
                        Error::InvalidVersionRange { .. }
                            | Error::ImpliedVersionMismatch { .. }
                            | Error::InvalidMicroversion { .. }
                    )
                ),
                "{filter:?}: {error:?}"
            );
        }
    }
    assert_eq!(logins.load(Ordering::Relaxed), 0);
    assert!(servers.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_version_of_the_url_counts_with_a_maximum_alone() {
    let servers = Servers::default();
    let versions = tower_keystone::fixture::Discovery::new()
        .version("v2.0", "DEPRECATED", "/v2.0/")
        .version("v3.14", "stable", "/v3/");
    servers.at("https://id.example.com/", Answer::document(&versions.identity_document()));
    servers.at(NOVA, nova_versions());
    for (service_type, url, (major, minor)) in [
        ("identity", "https://id.example.com/v3", (3, 0)),
        ("identity", "https://id.example.com/v3", (3, LATEST)),
        ("identity", "https://id.example.com/v2.0", (2, 0)),
        ("compute", "https://nova.example.com/v2/p1", (2, 1)),
        ("compute", "https://nova.example.com/v2.1/p1", (2, 1)),
    ] {
        let plugin = AccessInfoPlugin::new(access_info(&[(service_type, url)]));
        let layer = AuthLayer::new(plugin).discovery(servers.discovery());
        let filter = EndpointFilter::new(service_type).max_version(major, minor);
        assert_eq!(sent(&layer, filter).await.unwrap(), format!("{url}/servers +token"));
        assert!(servers.asked().is_empty(), "the URL says enough");
    }
    let layer = AuthLayer::new(plugin("https://nova.example.com/v2.1")).discovery(servers.discovery());
    let older = compute().max_version(2, 0);
    assert_eq!(sent(&layer, older).await.unwrap(), "https://nova.example.com/v2/servers +token");
}

#[tokio::test(start_paused = true)]
async fn the_document_of_the_urls_version_is_asked_first_with_a_maximum_alone() {
    let servers = Servers::default();
    let all = tower_keystone::fixture::Discovery::new()
        .version("v2.0", "DEPRECATED", "/v2.0/")
        .version("v3.14", "stable", "/v3/");
    let own = tower_keystone::fixture::Discovery::new().version("v3.14", "stable", "/v3/");
    servers.at("https://id.example.com/", Answer::document(&all.identity_document()));
    servers.at("https://id.example.com/v3/", Answer::document(&own.identity_document()));
    let plugin = AccessInfoPlugin::new(access_info(&[("identity", "https://id.example.com/v3")]));
    let filter = EndpointFilter::new("identity").max_version(3, LATEST);
    let endpoint = servers.discovery().endpoint_data(&plugin, &filter).await.unwrap();
    assert_eq!(endpoint.url(), "https://id.example.com/v3/");
    assert_eq!(servers.asked(), ["https://id.example.com/v3/"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_transport_a_filter_that_needs_one_gets_an_error_that_says_so() {
    let layer = AuthLayer::new(plugin(NOVA));
    let error = sent(&layer, compute().version(2, 1)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::NoDiscovery)), "{error}");
    assert!(error.to_string().contains("AuthLayer::discovery"));
}

#[tokio::test(start_paused = true)]
async fn a_service_type_that_stands_for_a_version_is_looked_up_if_that_can_be() {
    let plugin = AccessInfoPlugin::new(access_info(&[("volumev3", "https://cinder.example.com/")]));
    let filter = EndpointFilter::new("volumev3");
    let layer = AuthLayer::new(plugin);
    let expected = "https://cinder.example.com/servers +token";
    assert_eq!(sent(&layer, filter.clone()).await.unwrap(), expected);

    let servers = Servers::default();
    let versions = tower_keystone::fixture::Discovery::new().version("v3.0", "CURRENT", "/v3/");
    servers.at("https://cinder.example.com/", Answer::document(&versions.document()));
    let layer = layer.discovery(servers.discovery());
    assert_eq!(sent(&layer, filter).await.unwrap(), "https://cinder.example.com/v3/servers +token");
}

#[tokio::test(start_paused = true)]
async fn links_lead_nowhere_but_to_the_origin_of_the_document() {
    let servers = Servers::default();
    let versions =
        tower_keystone::fixture::Discovery::new().version("v2.1", "CURRENT", "http://evil.example.com/v2.1/");
    servers.at("https://nova.example.com/compute/", Answer::document(&versions.document()));
    let plugin = plugin("https://nova.example.com/compute/v2");
    let layer = AuthLayer::new(plugin).discovery(servers.discovery());
    let expected = "https://nova.example.com/compute/v2.1/servers +token";
    assert_eq!(sent(&layer, compute().version(2, 1)).await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_sent_for_a_document_only_after_a_401_and_not_over_http_if_https_is_required() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions().with_a_token());
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    sent(&layer, compute().version(2, 1)).await.unwrap();
    assert_eq!(servers.asked(), [NOVA.to_owned(), format!("{NOVA} +token")]);

    let plain = "http://nova.example.com/";
    servers.at(plain, nova_versions().with_a_token());
    let layer = AuthLayer::new(plugin(plain)).discovery(servers.discovery());
    sent(&layer, compute().version(2, 1)).await.unwrap();
    assert_eq!(servers.asked(), [plain.to_owned(), format!("{plain} +token")]);

    let layer = AuthLayer::new(plugin(plain)).discovery(servers.discovery()).require_https();
    let filter = compute().version(2, 1).no_version_hack();
    sent(&layer, filter).await.unwrap_err();
    assert_eq!(servers.asked(), [plain]);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_followed_within_its_origin_only() {
    let servers = Servers::default();
    servers.at(NOVA, Answer::redirect("/versions")).at("https://nova.example.com/versions", nova_versions());
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    let expected = "https://nova.example.com/v2.1/servers +token";
    assert_eq!(sent(&layer, compute().version(2, 1)).await.unwrap(), expected);
    assert_eq!(servers.asked(), [NOVA, "https://nova.example.com/versions"]);

    for location in
        ["https://evil.example.com/", "http://nova.example.com/", "https://nova.example.com:8443/"]
    {
        servers.at(NOVA, Answer::redirect(location));
        let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
        let filter = compute().version(2, 1).no_version_hack();
        let error = sent(&layer, filter).await.unwrap_err();
        assert!(error.to_string().contains("it redirects to another origin"), "{error}");
        assert_eq!(servers.asked(), [NOVA]);
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_document_the_endpoint_of_the_catalog_serves() {
    let servers = Servers::default();
    servers.at(NOVA, Answer::text("<html>a console</html>"));
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    let expected = "https://nova.example.com/servers +token";
    assert_eq!(sent(&layer, compute().version(2, 1)).await.unwrap(), expected);
    let error = sent(&layer, compute().version(2, 1).no_version_hack()).await.unwrap_err();
    assert!(error.to_string().contains("its answer is not a version document"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_version_document_can_be_said_to_be_elsewhere() {
    let servers = Servers::default();
    servers.at("https://nova.example.com/api/versions", nova_versions());
    let layer = AuthLayer::new(plugin("https://nova.example.com/api/public/"));
    let discovery = servers.discovery().version_hack("compute", "/public", "/versions");
    let expected = "https://nova.example.com/v2.1/servers +token";
    let layer = layer.discovery(discovery);
    assert_eq!(sent(&layer, compute().version(2, 1)).await.unwrap(), expected);
    let unhacked = compute().version(2, 1).no_version_hack();
    assert!(sent(&layer, unhacked).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn keystone_itself_and_an_override_have_versions_and_a_fixed_endpoint_has_none() {
    let servers = Servers::default();
    let versions = tower_keystone::fixture::Discovery::new().version("v3.14", "stable", "/v3/");
    servers.at("https://id.example.com/", Answer::document(&versions.identity_document()));
    servers.at(NOVA, nova_versions());
    let auth_url = "https://id.example.com/v2.0".parse().unwrap();
    let layer =
        AuthLayer::new(plugin("https://x.example.com").auth_url(auth_url)).discovery(servers.discovery());
    let keystone = EndpointFilter::new("identity").interface(Interface::Auth).version(3, 0);
    assert_eq!(sent(&layer, keystone).await.unwrap(), "https://id.example.com/v3/servers +token");
    let filter = compute().endpoint_override(NOVA).version(2, 1);
    assert_eq!(sent(&layer, filter).await.unwrap(), "https://nova.example.com/v2.1/servers +token");
    let root = plugin("https://x.example.com").auth_url("https://id.example.com".parse().unwrap());
    let layer = AuthLayer::new(root).discovery(servers.discovery());
    let keystone = EndpointFilter::default().interface(Interface::Auth);
    let versioned = sent(&layer, keystone.clone().version(3, 0)).await.unwrap();
    assert_eq!(versioned, "https://id.example.com/v3/servers +token");
    assert_eq!(sent(&layer, keystone).await.unwrap(), "https://id.example.com/servers +token");

    let fixed = FixedEndpointPlugin::no_auth("https://ironic.example.com/v1".parse().unwrap()).unwrap();
    let filter = EndpointFilter::new("baremetal").version(2, 0);
    let layer = AuthLayer::new(fixed);
    assert_eq!(sent(&layer, filter).await.unwrap(), "https://ironic.example.com/v1/servers");
}

/// Sends one request, and says which microversion it asked for.
async fn asked_for<P: IdentityPlugin>(
    layer: &AuthLayer<P>,
    filter: EndpointFilter,
    uri: &str,
) -> Result<String, BoxError> {
    let inner = tower::service_fn(|request: Request<Body>| async move {
        let value =
            request.headers().get("openstack-api-version").map(|value| value.to_str().unwrap().to_owned());
        Ok::<_, BoxError>(Response::new(format!("{} {}", request.uri(), value.unwrap_or_default())))
    });
    let request = Request::get(uri).extension(filter).body(Body::default())?;
    Ok(layer.layer(inner).oneshot(request).await?.into_body())
}

#[tokio::test(start_paused = true)]
async fn the_newest_microversion_that_the_service_has_is_asked_for() {
    let servers = Servers::default();
    servers.at("https://nova.example.com/v2.1", nova_versions());
    let layer = AuthLayer::new(plugin("https://nova.example.com/v2.1/p1")).discovery(servers.discovery());
    let base = "https://nova.example.com/v2.1/p1";
    for (min, max, expected) in [
        ("2.1", "latest", "compute 2.96"),
        ("2.60", "2.79", "compute 2.79"),
        ("2.96", "2.100", "compute 2.96"),
    ] {
        let filter = compute().newest_microversion(min, max);
        let expected = format!("{base}/servers {expected}");
        assert_eq!(asked_for(&layer, filter.clone(), "/servers").await.unwrap(), expected);
        let absolute = format!("{base}/servers");
        assert_eq!(asked_for(&layer, filter, &absolute).await.unwrap(), expected);
    }
    assert_eq!(servers.asked(), ["https://nova.example.com/v2.1"], "one document for all of them");

    let error = asked_for(&layer, compute().newest_microversion("2.97", "latest"), "/").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "compute has microversions 2.1 to 2.96, and one from 2.97 to latest is asked for; ask for others, or \
         for none"
    );
    let error = AuthLayer::new(plugin(base));
    let error = asked_for(&error, compute().newest_microversion("2.1", "latest"), "/").await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::NoDiscovery)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_range_of_microversions_leaves_the_endpoint_where_it_is() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions()).at("https://ironic.example.com/v1", nova_versions());
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    let filter = compute().newest_microversion("2.1", "latest");
    let asked = asked_for(&layer, filter.clone(), "/servers").await.unwrap();
    assert_eq!(asked, "https://nova.example.com/servers compute 2.96");

    let fixed = FixedEndpointPlugin::no_auth("https://ironic.example.com/v1".parse().unwrap()).unwrap();
    let layer = AuthLayer::new(fixed).discovery(servers.discovery());
    let asked = asked_for(&layer, filter.version(9, 0), "/nodes").await.unwrap();
    assert_eq!(asked, "https://ironic.example.com/v1/nodes compute 2.96");
}
