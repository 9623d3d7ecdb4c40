//! Requests with a filter that limits versions or microversions.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Request, Response, Uri};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keystone::{
    AccessFuture, AccessInfoPlugin, AuthLayer, BoxError, Credentials, EndpointFilter, Error,
    FixedEndpointPlugin, GenericCredentials, IdentityPlugin, Interface, ServiceAccess, Transport, User,
    discovery::{Discovery, LATEST, Version},
    endpoint::Origin,
};

use crate::support::*;

const NOVA: &str = "https://nova.example.com/";

/// Sends one request, and returns the URL that the inner service received.
async fn send<P: IdentityPlugin>(layer: &AuthLayer<P>, filter: EndpointFilter) -> Result<String, BoxError> {
    let inner = Servers::default();
    let mut service = layer.layer(inner.clone());
    let request = Request::get("/servers").extension(filter).body(Body::default())?;
    service.ready().await?.call(request).await?;
    Ok(inner.take_requests().concat())
}

fn plugin(url: &str) -> AccessInfoPlugin {
    AccessInfoPlugin::new(access_info(&[("compute", url)]))
}

fn compute() -> EndpointFilter {
    EndpointFilter::new("compute")
}

#[tokio::test(start_paused = true)]
async fn a_filter_without_versions_causes_no_discovery() {
    let servers = Servers::default();
    let layer = AuthLayer::new(plugin("https://nova.example.com/v2")).discovery(servers.discovery());
    assert_eq!(send(&layer, compute()).await.unwrap(), "https://nova.example.com/v2/servers +token");
    assert!(servers.take_requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_matching_version_in_the_url_needs_no_discovery() {
    let servers = Servers::default();
    let layer = AuthLayer::new(plugin("https://nova.example.com/v2.1/p1")).discovery(servers.discovery());
    let filter = compute().version(2, 1);
    assert_eq!(send(&layer, filter).await.unwrap(), "https://nova.example.com/v2.1/p1/servers +token");
    assert!(servers.take_requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_newest_version_in_the_range_is_used_with_the_project_id() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let layer = AuthLayer::new(plugin("https://nova.example.com/v2/p1")).discovery(servers.discovery());
    for (filter, expected) in [
        (compute().min_version(2, 1), "https://nova.example.com/v2.1/p1/servers +token"),
        (compute().version(2, LATEST), "https://nova.example.com/v2.1/p1/servers +token"),
        (compute().min_version(LATEST, LATEST), "https://nova.example.com/v2.1/p1/servers +token"),
        (compute().max_version(2, 0), "https://nova.example.com/v2/p1/servers +token"),
    ] {
        assert_eq!(send(&layer, filter).await.unwrap(), expected);
    }
    assert_eq!(servers.take_requests(), [NOVA], "one document for all of them");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_with_an_unusable_url_is_skipped() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let unusable = ("compute", "https://nova.example.com/v2.1/$(tenant_id)s");
    let plugin = |services: &[_]| AccessInfoPlugin::new(access_info(services));
    let layer = AuthLayer::new(plugin(&[unusable, ("compute", NOVA)])).discovery(servers.discovery());
    for (filter, expected) in [
        (compute(), "https://nova.example.com/servers +token"),
        (compute().version(2, 1), "https://nova.example.com/v2.1/servers +token"),
        (compute().version(2, 1), "https://nova.example.com/v2.1/servers +token"),
    ] {
        assert_eq!(send(&layer, filter).await.unwrap(), expected);
    }
    assert_eq!(servers.take_requests(), [NOVA]);

    let layer = AuthLayer::new(plugin(&[unusable])).discovery(servers.discovery());
    let error = send(&layer, compute().version(2, 1)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::EndpointNotFound(_))), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_version_is_an_error_that_lists_the_available_ones() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    let error = send(&layer, compute().version(3, 0)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::DiscoveryFailure(_))), "{error}");
    assert_eq!(
        error.to_string(),
        "cannot find version 3.0 to 3.latest of compute; https://nova.example.com/ lists \
         2.0 (SUPPORTED), 2.1 (CURRENT); request another version, or set the URL with an endpoint \
         override (for Keystone, with the auth_url)"
    );
}

#[tokio::test(start_paused = true)]
async fn an_impossible_version_range_is_refused_before_sending() {
    let servers = Servers::default();
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    let error = send(&layer, compute().min_version(3, 0).max_version(2, 0)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::InvalidVersionRange { .. })), "{error}");
    let error = send(&layer, compute().version(2, 0).min_version(2, 0)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::InvalidVersionRange { .. })), "{error}");

    let layer = AuthLayer::new(AccessInfoPlugin::new(access_info(&[("volumev3", NOVA)])))
        .discovery(servers.discovery());
    let error = send(&layer, EndpointFilter::new("volumev3").version(2, 0)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::ImpliedVersionMismatch { .. })), "{error}");
    assert!(servers.take_requests().is_empty());
}

/// A plugin that counts the calls of `access`, which all fail.
struct CountingPlugin(Arc<AtomicUsize>);

impl IdentityPlugin for CountingPlugin {
    fn access(&self) -> AccessFuture {
        self.0.fetch_add(1, Ordering::Relaxed);
        AccessFuture::ready(Err(Error::plugin(true, "no login is wanted")))
    }

    fn invalidate(&self, _used: &Arc<ServiceAccess>, _by: &Origin) -> bool {
        false
    }
}

/// Filters that no endpoint can satisfy.
fn contradictory_filters() -> Vec<EndpointFilter> {
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
        EndpointFilter::default().microversion("2.1"),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_contradicts_itself_causes_no_login() {
    let logins = Arc::new(AtomicUsize::new(0));
    let servers = Servers::default();
    let (plugin, discovery) = (CountingPlugin(Arc::clone(&logins)), servers.discovery());
    let layer = AuthLayer::new(CountingPlugin(Arc::clone(&logins)));
    let discovering = AuthLayer::new(CountingPlugin(Arc::clone(&logins))).discovery(servers.discovery());
    for filter in contradictory_filters() {
        let crate_error = |error: BoxError| Error::find(&*error).cloned();
        let errors = [
            send(&layer, filter.clone()).await.err().and_then(crate_error),
            send(&discovering, filter.clone()).await.err().and_then(crate_error),
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
    assert!(servers.take_requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_maximum_alone_is_compared_with_the_version_in_the_url() {
    let servers = Servers::default();
    let versions = tower_keystone::fixture::Discovery::new()
        .version("v2.0", "DEPRECATED", "/v2.0/")
        .version("v3.14", "stable", "/v3/");
    servers.respond_at("https://id.example.com/", StubResponse::document(&versions.identity_document()));
    servers.respond_at(NOVA, nova_versions());
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
        assert_eq!(send(&layer, filter).await.unwrap(), format!("{url}/servers +token"));
        assert!(servers.take_requests().is_empty(), "the version in the URL needs no discovery");
    }
    let layer = AuthLayer::new(plugin("https://nova.example.com/v2.1")).discovery(servers.discovery());
    let older = compute().max_version(2, 0);
    assert_eq!(send(&layer, older).await.unwrap(), "https://nova.example.com/v2/servers +token");
}

#[tokio::test(start_paused = true)]
async fn with_a_maximum_alone_the_versioned_document_is_fetched_first() {
    let servers = Servers::default();
    let all = tower_keystone::fixture::Discovery::new()
        .version("v2.0", "DEPRECATED", "/v2.0/")
        .version("v3.14", "stable", "/v3/");
    let own = tower_keystone::fixture::Discovery::new().version("v3.14", "stable", "/v3/");
    servers.respond_at("https://id.example.com/", StubResponse::document(&all.identity_document()));
    servers.respond_at("https://id.example.com/v3/", StubResponse::document(&own.identity_document()));
    let plugin = AccessInfoPlugin::new(access_info(&[("identity", "https://id.example.com/v3")]));
    let filter = EndpointFilter::new("identity").max_version(3, LATEST);
    let endpoint = servers.discovery().endpoint_data(&plugin, &filter).await.unwrap();
    assert_eq!(endpoint.url(), "https://id.example.com/v3/");
    assert_eq!(servers.take_requests(), ["https://id.example.com/v3/"]);
}

#[tokio::test(start_paused = true)]
async fn a_version_filter_without_discovery_is_an_error() {
    let layer = AuthLayer::new(plugin(NOVA));
    let error = send(&layer, compute().version(2, 1)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::NoDiscovery)), "{error}");
    assert!(error.to_string().contains("AuthLayer::discovery"));
}

#[tokio::test(start_paused = true)]
async fn a_versioned_service_type_is_discovered_if_discovery_is_set() {
    let plugin = AccessInfoPlugin::new(access_info(&[("volumev3", "https://cinder.example.com/")]));
    let filter = EndpointFilter::new("volumev3");
    let layer = AuthLayer::new(plugin);
    let expected = "https://cinder.example.com/servers +token";
    assert_eq!(send(&layer, filter.clone()).await.unwrap(), expected);

    let servers = Servers::default();
    let versions = tower_keystone::fixture::Discovery::new().version("v3.0", "CURRENT", "/v3/");
    servers.respond_at("https://cinder.example.com/", StubResponse::document(&versions.document()));
    let layer = layer.discovery(servers.discovery());
    assert_eq!(send(&layer, filter).await.unwrap(), "https://cinder.example.com/v3/servers +token");
}

#[tokio::test(start_paused = true)]
async fn a_link_to_another_origin_keeps_the_origin_of_the_document() {
    let servers = Servers::default();
    let versions =
        tower_keystone::fixture::Discovery::new().version("v2.1", "CURRENT", "http://evil.example.com/v2.1/");
    servers.respond_at("https://nova.example.com/compute/", StubResponse::document(&versions.document()));
    let plugin = plugin("https://nova.example.com/compute/v2");
    let layer = AuthLayer::new(plugin).discovery(servers.discovery());
    let expected = "https://nova.example.com/compute/v2.1/servers +token";
    assert_eq!(send(&layer, compute().version(2, 1)).await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_sent_for_a_document_only_after_a_401_and_over_https_if_required() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions().requires_any_token());
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    send(&layer, compute().version(2, 1)).await.unwrap();
    assert_eq!(servers.take_requests(), [NOVA.to_owned(), format!("{NOVA} +token")]);

    let plain = "http://nova.example.com/";
    servers.respond_at(plain, nova_versions().requires_any_token());
    let layer = AuthLayer::new(plugin(plain)).discovery(servers.discovery());
    send(&layer, compute().version(2, 1)).await.unwrap();
    assert_eq!(servers.take_requests(), [plain.to_owned(), format!("{plain} +token")]);

    let layer = AuthLayer::new(plugin(plain)).discovery(servers.discovery()).require_https();
    let filter = compute().version(2, 1).no_version_hack();
    send(&layer, filter).await.unwrap_err();
    assert_eq!(servers.take_requests(), [plain]);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_followed_within_its_origin_only() {
    let servers = Servers::default();
    servers
        .respond_at(NOVA, StubResponse::redirect("/versions"))
        .respond_at("https://nova.example.com/versions", nova_versions());
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    let expected = "https://nova.example.com/v2.1/servers +token";
    assert_eq!(send(&layer, compute().version(2, 1)).await.unwrap(), expected);
    assert_eq!(servers.take_requests(), [NOVA, "https://nova.example.com/versions"]);

    for location in
        ["https://evil.example.com/", "http://nova.example.com/", "https://nova.example.com:8443/"]
    {
        servers.respond_at(NOVA, StubResponse::redirect(location));
        let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
        let filter = compute().version(2, 1).no_version_hack();
        let error = send(&layer, filter).await.unwrap_err();
        assert!(error.to_string().contains("it redirects to another origin"), "{error}");
        assert_eq!(servers.take_requests(), [NOVA]);
    }
}

const IDENTITY: &str = "http://id.example.com/";

#[tokio::test(start_paused = true)]
async fn an_override_without_a_document_is_used_unchanged() {
    let override_url = "https://gateway.example.com/nova";
    for stub in [
        StubResponse::status(404),
        StubResponse::status(401),
        StubResponse::status(403),
        StubResponse::status(501),
        StubResponse::text("<html>a gateway</html>"),
        StubResponse::text("{}"),
        StubResponse::text(r#"{"versions": []}"#),
        StubResponse::redirect("https://elsewhere.example.com/"),
    ] {
        let servers = Servers::default();
        servers.respond_at(override_url, stub);
        let plugin =
            RecordingPlugin::new([token_for("good", "compute", NOVA), token_for("better", "compute", NOVA)]);
        let layer = AuthLayer::new(Arc::clone(&plugin)).discovery(servers.discovery());
        let filter = || compute().endpoint_override(override_url);
        for filter in [
            filter().version(2, 1),
            filter().min_version(2, 1),
            filter().max_version(3, 0),
            filter().version(2, 1).no_version_hack(),
            EndpointFilter::default().endpoint_override(override_url).version(2, 1),
        ] {
            for _ in 0..2 {
                let expected = format!("{override_url}/servers +token");
                assert_eq!(send(&layer, filter.clone()).await.unwrap(), expected);
            }
        }
        assert_eq!(plugin.rejected_by(), [""; 0], "no token is reported as rejected");
        assert!(servers.take_requests().len() <= 2, "the missing document is cached");
        // Only a document lists the supported microversions.
        let error = send(&layer, filter().newest_microversion("2.1", "latest")).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::DiscoveryFailure(_))), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_override_whose_document_lacks_the_version_is_refused() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let layer = AuthLayer::new(plugin("https://x.example.com")).discovery(servers.discovery());
    let error = send(&layer, compute().endpoint_override(NOVA).version(3, 0)).await.unwrap_err();
    assert!(error.to_string().contains("lists 2.0 (SUPPORTED), 2.1 (CURRENT)"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_redirect_from_http_to_https_on_the_same_host_is_followed() {
    for (http, location, https) in [
        ("http://nova.example.com/", "https://nova.example.com/", "https://nova.example.com/"),
        ("http://nova.example.com:80/", "https://NOVA.example.com:443/", "https://nova.example.com:443/"),
        ("http://nova.example.com:8774/", "https://nova.example.com:8774/", "https://nova.example.com:8774/"),
        ("http://nova.example.com:8774/", "https://nova.example.com/", "https://nova.example.com/"),
    ] {
        let servers = Servers::default();
        servers.respond_at(http, StubResponse::redirect(location)).respond_at(https, nova_versions());
        servers.respond_at(location, nova_versions());
        let layer = AuthLayer::new(plugin(http)).discovery(servers.discovery());
        // The request with the token is still sent to the endpoint of the catalog.
        let expected = format!("{http}v2.1/servers +token");
        assert_eq!(send(&layer, compute().version(2, 1)).await.unwrap(), expected);
        let microversion = compute().newest_microversion("2.1", "latest");
        let sent = send_with_microversion(&layer, microversion, "/servers").await.unwrap();
        assert_eq!(sent, format!("{http}servers compute 2.96"));
        assert_eq!(servers.take_requests(), [http, location]);
    }
}

#[tokio::test(start_paused = true)]
async fn no_other_redirect_to_another_origin_is_followed() {
    for (from, location) in [
        ("http://nova.example.com/", "https://evil.example.com/"),
        ("http://nova.example.com/", "https://nova.example.com:8443/"),
        ("http://nova.example.com:8774/", "https://nova.example.com:8775/"),
        ("http://nova.example.com/", "http://nova.example.com:8080/"),
        ("http://nova.example.com/", "https://nova.example.com.evil.org/"),
        ("http://nova.example.com/", "https://user@nova.example.com/"),
        ("https://nova.example.com/", "http://nova.example.com/"),
        ("https://nova.example.com/", "https://nova.example.com:8774/"),
    ] {
        let servers = Servers::default();
        servers.respond_at(from, StubResponse::redirect(location)).respond_at(location, nova_versions());
        let layer = AuthLayer::new(plugin(from)).discovery(servers.discovery());
        let error = send(&layer, compute().version(2, 1).no_version_hack()).await.unwrap_err();
        assert!(error.to_string().contains("it redirects to another origin"), "{error}");
        assert_eq!(servers.take_requests(), [from], "{location}");
    }
    // After an upgrade to HTTPS, a redirect back to HTTP is not followed either.
    let servers = Servers::default();
    servers.respond_at("http://nova.example.com/", StubResponse::redirect(NOVA));
    servers.respond_at(NOVA, StubResponse::redirect("http://nova.example.com/versions"));
    servers.discovery().document("http://nova.example.com/").await.unwrap_err();
    assert_eq!(servers.take_requests(), ["http://nova.example.com/", NOVA]);
}

#[tokio::test(start_paused = true)]
async fn the_token_follows_an_https_upgrade_to_known_origins_only() {
    let http = "http://nova.example.com/";
    let known = [("compute", http), ("image", NOVA)];
    for (services, is_known) in [(&known[..1], false), (&known[..], true)] {
        for https_only in [false, true] {
            let servers = Servers::default();
            servers
                .respond_at(http, StubResponse::redirect(NOVA))
                .respond_at(NOVA, nova_versions().requires_any_token());
            let plugin = AccessInfoPlugin::new(access_info(services));
            let mut layer = AuthLayer::new(plugin).discovery(servers.discovery());
            if https_only {
                layer = layer.require_https();
            }
            let filter = compute().newest_microversion("2.1", "latest").no_version_hack();
            let result = send_with_microversion(&layer, filter, NOVA).await;
            let error = result.err().map_or(String::new(), |error| error.to_string());
            let says_why = error.contains("not sent to https://nova.example.com:443, to which it redirects");
            assert_eq!(says_why, !is_known, "{error}");
            let mut expected = vec![http.to_owned(), NOVA.to_owned()];
            expected.extend(is_known.then(|| format!("{NOVA} +token")));
            assert_eq!(servers.take_requests(), expected, "{https_only}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_discover_their_version_behind_a_redirect_to_https() {
    let servers = Servers::default();
    let versions = tower_keystone::fixture::Discovery::new().version("v3.14", "stable", "http://id/v3/");
    servers.respond_at(IDENTITY, StubResponse::redirect("https://id.example.com/"));
    servers.respond_at("https://id.example.com/", StubResponse::document(&versions.identity_document()));
    let alice = || User::new().username("alice").user_domain_name("Default");
    let credentials =
        |auth_url: &'static str| GenericCredentials::password(Uri::from_static(auth_url), alice(), "pw");
    for (auth_url, expected) in [
        (IDENTITY, vec![IDENTITY, "https://id.example.com/", "https://id.example.com/v3/auth/tokens"]),
        ("https://id.example.com/", vec!["https://id.example.com/", "https://id.example.com/v3/auth/tokens"]),
    ] {
        let login = credentials(auth_url).get_auth_ref(Transport::new(servers.clone())).await;
        assert!(matches!(login, Err(Error::Keystone(_))), "{login:?}");
        assert_eq!(servers.take_requests(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_reported_with_the_origin_of_the_document() {
    let url = "https://nova.example.com/v2.1/p1";
    let sources = || [token_for("bad", "compute", url), token_for("good", "compute", url)];
    // The version in the URL is enough for a request, but `endpoint_data` still fetches a document.
    let newest = compute().version(2, 1);
    for filter in [newest.clone(), newest.no_version_hack()] {
        let servers = Servers::default();
        for document in ["https://nova.example.com/v2.1/", NOVA, "https://nova.example.com/v2.1"] {
            servers.respond_at(document, nova_versions().requires_token("good"));
        }
        let plugin = RecordingPlugin::new(sources());
        let endpoint = servers.discovery().endpoint_data(&plugin, &filter).await.unwrap();
        assert_eq!(endpoint.url(), "https://nova.example.com/v2.1/p1");
        assert!(endpoint.max_microversion().is_some(), "the document is fetched with the new token");
        assert_eq!(plugin.rejected_by(), ["https://nova.example.com:443"]);
    }
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions().requires_token("good"));
    let plugin =
        RecordingPlugin::new([token_for("bad", "compute", NOVA), token_for("good", "compute", NOVA)]);
    let layer = AuthLayer::new(Arc::clone(&plugin)).discovery(servers.discovery());
    let expected = "https://nova.example.com/v2.1/servers +token";
    assert_eq!(send(&layer, compute().version(2, 1)).await.unwrap(), expected);
    assert_eq!(plugin.rejected_by(), ["https://nova.example.com:443"]);

    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions().requires_token("good"));
    let plugin =
        RecordingPlugin::new([token_for("bad", "compute", NOVA), token_for("good", "compute", NOVA)]);
    let all = servers.discovery().all_version_data(&plugin, &EndpointFilter::default()).await.unwrap();
    assert_eq!(all["RegionOne"]["public"]["compute"].len(), 2);
    assert_eq!(plugin.rejected_by(), ["https://nova.example.com:443"]);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_reported_even_if_another_document_is_tried() {
    let url = "https://nova.example.com/v2/p1";
    for root in [StubResponse::status(401), nova_versions().requires_token("good")] {
        for versioned in [nova_versions(), StubResponse::status(404)] {
            let servers = Servers::default();
            servers
                .respond_at(NOVA, root.clone())
                .respond_at("https://nova.example.com/v2/", versioned.clone());
            servers.respond_at("https://nova.example.com/v2/p1", versioned);
            let plugin = RecordingPlugin::new([token_for("bad", "compute", url)]);
            let layer = AuthLayer::new(Arc::clone(&plugin)).discovery(servers.discovery());
            send(&layer, compute().min_version(3, 0)).await.ok();
            assert_eq!(plugin.rejected_by(), ["https://nova.example.com:443"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn direct_discovery_sends_no_token_over_http_if_https_is_required() {
    let plain = "http://nova.example.com/";
    let filter = compute().version(2, 1).no_version_hack();
    let servers = Servers::default();
    servers.respond_at(plain, nova_versions().requires_any_token());
    let plugin = plugin(plain);
    servers.discovery().endpoint_data(&plugin, &filter).await.unwrap();
    assert_eq!(servers.take_requests(), [plain.to_owned(), format!("{plain} +token")]);

    let shared = Arc::new(self::plugin(plain));
    let (first, second) = (servers.discovery(), servers.discovery());
    let _ = AuthLayer::new(Arc::clone(&shared)).discovery(first.clone()).require_https();
    let _ = AuthLayer::new(Arc::clone(&shared)).require_https().discovery(second.clone());
    for discovery in [servers.discovery().require_https().timeout(seconds(1)), first, second] {
        let error = discovery.endpoint_data(&plugin, &filter).await.unwrap_err();
        assert!(
            error.to_string().contains(
                "401 Unauthorized, and the token is not sent over plain http, because https is required; use an https \
                 URL"
            ),
            "{error}"
        );
        discovery.endpoint(&plugin, &filter).await.unwrap_err();
        discovery.api_major_version(&plugin, &filter).await.unwrap_err();
        discovery.all_version_data(&plugin, &EndpointFilter::default()).await.unwrap();
        assert_eq!(servers.take_requests(), [plain]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_root_cause_of_a_failed_connection_is_in_the_error() {
    let broken = service_fn(|_: Request<Body>| async {
        let error = anyhow::anyhow!("connection refused").context("client error");
        Err::<Response<Body>, _>(BoxError::from(error))
    });
    let error = Discovery::new(Transport::new(broken)).document(NOVA).await.unwrap_err();
    assert!(error.to_string().contains("(it could not be reached: connection refused)"), "{error}");

    let untrusted = service_fn(|_: Request<Body>| async {
        Err::<Response<Body>, _>(BoxError::from("invalid peer certificate: not for \"nova\""))
    });
    let error = Discovery::new(Transport::new(untrusted)).document(NOVA).await.unwrap_err();
    assert!(error.to_string().contains(r#"certificate: not for "nova"; check"#), "{error}");
}

#[tokio::test(start_paused = true)]
async fn untrusted_texts_are_escaped_and_truncated_in_errors() {
    let service_type = format!("com\n\u{1b}[31mpute{}", "x".repeat(10_000));
    let url = format!("https://nova.example.com/{}", "v".repeat(10_000));
    let servers = Servers::default();
    let plugin = AccessInfoPlugin::new(access_info(&[(&service_type, &url)]));
    let filter = EndpointFilter::new(&service_type).version(2, 1).no_version_hack();
    let error = servers.discovery().endpoint_data(&plugin, &filter).await.unwrap_err();
    let broken = service_fn(|_: Request<Body>| async {
        Err::<Response<Body>, _>(BoxError::from("\u{1b}]0;broken\u{7}".repeat(1_000)))
    });
    let unreachable = Discovery::new(Transport::new(broken)).document(NOVA).await.unwrap_err();
    let with_query =
        servers.discovery().document("https://nova.example.com/?token=secret").await.unwrap_err();
    let with_user_name =
        servers.discovery().document("https://al:secret@nova.example.com/").await.unwrap_err();
    let version = "\u{1b}[2J".repeat(100).parse::<Version>().unwrap_err();
    let range = EndpointFilter::new("volumev3").min_version(2, 0);
    let mismatch = servers.discovery().endpoint(&plugin, &range).await.unwrap_err();
    for error in [error, unreachable, with_query, with_user_name, version.into(), mismatch] {
        let text = error.to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(!text.contains("secret"), "{text}");
        assert!(text.len() < 2_000, "{} bytes", text.len());
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_document_the_endpoint_of_the_catalog_is_used() {
    let servers = Servers::default();
    let expected = "https://nova.example.com/servers +token";
    for stub in [
        StubResponse::status(300),
        StubResponse::status(401),
        StubResponse::status(404),
        StubResponse::status(501),
        StubResponse::text(r#"{"versions": []}"#),
    ] {
        servers.respond_at(NOVA, stub);
        let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
        let sent = send(&layer, compute().version(2, 1)).await;
        let is_listed = matches!(&sent, Err(error) if error.to_string().contains("lists no version"));
        assert!(is_listed || sent.as_deref().is_ok_and(|sent| sent == expected), "{sent:?}");
    }
    servers.respond_at(NOVA, StubResponse::text("<html>a console</html>"));
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    assert_eq!(send(&layer, compute().version(2, 1)).await.unwrap(), expected);
    let error = send(&layer, compute().version(2, 1).no_version_hack()).await.unwrap_err();
    assert!(error.to_string().contains("its response is not a version document"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_does_not_send_requests_for_a_version_to_the_url_of_the_catalog() {
    let requested = |filter: EndpointFilter| [filter.clone().version(2, 1), filter.min_version(2, 0)];
    for failure in [
        StubResponse::status(503),
        StubResponse::status(500),
        StubResponse::status(429),
        StubResponse::refused_connection(),
        nova_versions().delayed(seconds(60)),
    ] {
        // The URL in the catalog contains no version, another version, or a project.
        for path in ["", "v1/", "v1/p1", "p1"] {
            let servers = Servers::default();
            servers.respond_at(NOVA, failure.clone());
            let url = format!("{NOVA}{path}");
            let layer = AuthLayer::new(plugin(&url)).discovery(servers.discovery());
            let at_override = requested(EndpointFilter::default().endpoint_override(NOVA));
            for filter in requested(compute()).into_iter().chain(at_override) {
                let error = send(&layer, filter).await.unwrap_err();
                let Some(Error::DiscoveryFailure(failure)) = Error::find(&*error) else { panic!("{error}") };
                assert!(failure.is_transient(), "{error}");
            }
            servers.respond_at(NOVA, nova_versions());
            tokio::time::sleep(seconds(1)).await;
            for filter in requested(compute()).into_iter().chain(requested(compute().endpoint_override(NOVA)))
            {
                let sent = send(&layer, filter).await.unwrap();
                assert!(sent.starts_with("https://nova.example.com/v2.1/"), "{path}: {sent}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_no_obstacle_if_the_url_of_the_catalog_is_right() {
    let servers = Servers::default();
    for url in [NOVA, "https://nova.example.com/v2.1/"] {
        servers.respond_at(url, StubResponse::status(503));
    }
    let layer = AuthLayer::new(plugin("https://nova.example.com/v2.1/")).discovery(servers.discovery());
    let expected = "https://nova.example.com/v2.1/servers +token";
    assert_eq!(send(&layer, compute().min_version(2, 0)).await.unwrap(), expected);

    // The service type alone implies a version. Without discovery, the request goes to the URL in the catalog, too.
    let volumes = AccessInfoPlugin::new(access_info(&[("volumev3", NOVA)]));
    let layer = AuthLayer::new(volumes).discovery(servers.discovery());
    let expected = "https://nova.example.com/servers +token";
    assert_eq!(send(&layer, EndpointFilter::new("volumev3")).await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn version_hack_sets_the_url_of_a_version_document() {
    let servers = Servers::default();
    servers.respond_at("https://nova.example.com/api/versions", nova_versions());
    let layer = AuthLayer::new(plugin("https://nova.example.com/api/public/"));
    let discovery = servers.discovery().version_hack("compute", "/public", "/versions");
    let expected = "https://nova.example.com/v2.1/servers +token";
    let layer = layer.discovery(discovery);
    assert_eq!(send(&layer, compute().version(2, 1)).await.unwrap(), expected);
    let unhacked = compute().version(2, 1).no_version_hack();
    assert!(send(&layer, unhacked).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_auth_url_and_overrides_are_discovered_and_a_fixed_endpoint_is_not() {
    let servers = Servers::default();
    let versions = tower_keystone::fixture::Discovery::new().version("v3.14", "stable", "/v3/");
    servers.respond_at("https://id.example.com/", StubResponse::document(&versions.identity_document()));
    servers.respond_at(NOVA, nova_versions());
    let auth_url = "https://id.example.com/v2.0";
    let layer =
        AuthLayer::new(plugin("https://x.example.com").auth_url(auth_url)).discovery(servers.discovery());
    let keystone = EndpointFilter::new("identity").interface(Interface::Auth).version(3, 0);
    assert_eq!(send(&layer, keystone).await.unwrap(), "https://id.example.com/v3/servers +token");
    let filter = compute().endpoint_override(NOVA).version(2, 1);
    assert_eq!(send(&layer, filter).await.unwrap(), "https://nova.example.com/v2.1/servers +token");
    let root = plugin("https://x.example.com").auth_url("https://id.example.com");
    let layer = AuthLayer::new(root).discovery(servers.discovery());
    let keystone = EndpointFilter::default().interface(Interface::Auth);
    let versioned = send(&layer, keystone.clone().version(3, 0)).await.unwrap();
    assert_eq!(versioned, "https://id.example.com/v3/servers +token");
    assert_eq!(send(&layer, keystone).await.unwrap(), "https://id.example.com/servers +token");

    let fixed = FixedEndpointPlugin::no_auth("https://ironic.example.com/v1".parse().unwrap()).unwrap();
    let filter = EndpointFilter::new("baremetal").version(2, 0);
    let layer = AuthLayer::new(fixed);
    assert_eq!(send(&layer, filter).await.unwrap(), "https://ironic.example.com/v1/servers");
}

/// Sends one request, and returns the URL and the microversion that the inner service received.
async fn send_with_microversion<P: IdentityPlugin>(
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
async fn the_newest_supported_microversion_is_requested() {
    let servers = Servers::default();
    servers.respond_at("https://nova.example.com/v2.1", nova_versions());
    let layer = AuthLayer::new(plugin("https://nova.example.com/v2.1/p1")).discovery(servers.discovery());
    let base = "https://nova.example.com/v2.1/p1";
    for (min, max, expected) in [
        ("2.1", "latest", "compute 2.96"),
        ("2.60", "2.79", "compute 2.79"),
        ("2.96", "2.100", "compute 2.96"),
    ] {
        let filter = compute().newest_microversion(min, max);
        let expected = format!("{base}/servers {expected}");
        assert_eq!(send_with_microversion(&layer, filter.clone(), "/servers").await.unwrap(), expected);
        let absolute = format!("{base}/servers");
        assert_eq!(send_with_microversion(&layer, filter, &absolute).await.unwrap(), expected);
    }
    assert_eq!(servers.take_requests(), ["https://nova.example.com/v2.1"], "one document for all of them");

    let error = send_with_microversion(&layer, compute().newest_microversion("2.97", "latest"), "/")
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "compute does not support any microversion from 2.97 to latest: its version document lists 2.1 to 2.96; \
         request one of these, or none"
    );
    let without_discovery = AuthLayer::new(plugin(base));
    let error =
        send_with_microversion(&without_discovery, compute().newest_microversion("2.1", "latest"), "/")
            .await
            .unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::NoDiscovery)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_microversion_range_does_not_change_the_endpoint() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions()).respond_at("https://ironic.example.com/v1", nova_versions());
    let layer = AuthLayer::new(plugin(NOVA)).discovery(servers.discovery());
    let filter = compute().newest_microversion("2.1", "latest");
    let sent = send_with_microversion(&layer, filter.clone(), "/servers").await.unwrap();
    assert_eq!(sent, "https://nova.example.com/servers compute 2.96");

    let fixed = FixedEndpointPlugin::no_auth("https://ironic.example.com/v1".parse().unwrap()).unwrap();
    let layer = AuthLayer::new(fixed).discovery(servers.discovery());
    let sent = send_with_microversion(&layer, filter.version(9, 0), "/nodes").await.unwrap();
    assert_eq!(sent, "https://ironic.example.com/v1/nodes compute 2.96");
}
