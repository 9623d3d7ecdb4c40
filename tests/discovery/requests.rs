//! Requests with a filter that asks for versions.

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
         2.0 (SUPPORTED), 2.1 (CURRENT); request another version, or set the URL with an endpoint \
         override (for Keystone, with the auth_url)"
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

    fn invalidate(&self, _used: &Arc<ServiceAccess>, _by: &Origin) -> bool {
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

const IDENTITY: &str = "http://id.example.com/";

#[tokio::test(start_paused = true)]
async fn an_override_without_a_document_is_used_as_it_is() {
    let place = "https://gateway.example.com/nova";
    for answer in [
        Answer::status(404),
        Answer::status(401),
        Answer::status(403),
        Answer::status(503),
        Answer::text("<html>a gateway</html>"),
        Answer::text("{}"),
        Answer::text(r#"{"versions": []}"#),
        Answer::no_connection(),
        Answer::redirect("https://elsewhere.example.com/"),
        nova_versions().after(seconds(60)),
    ] {
        let servers = Servers::default();
        servers.at(place, answer);
        let plugin = Told::new([token_of("good", "compute", NOVA), token_of("better", "compute", NOVA)]);
        let layer = AuthLayer::new(Arc::clone(&plugin)).discovery(servers.discovery());
        let filter = || compute().endpoint_override(place);
        for filter in [
            filter().version(2, 1),
            filter().min_version(2, 1),
            filter().max_version(3, 0),
            filter().version(2, 1).no_version_hack(),
            EndpointFilter::default().endpoint_override(place).version(2, 1),
        ] {
            for _ in 0..2 {
                let expected = format!("{place}/servers +token");
                assert_eq!(sent(&layer, filter.clone()).await.unwrap(), expected);
            }
        }
        assert_eq!(plugin.refused_by(), [""; 0], "a good token is not spent there");
        assert!(servers.asked().len() <= 2, "what is not there is remembered");
        // Which microversions there are is for the document to say.
        let error = sent(&layer, filter().newest_microversion("2.1", "latest")).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::DiscoveryFailure(_))), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_override_whose_document_lists_other_versions_only_is_refused() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions());
    let layer = AuthLayer::new(plugin("https://x.example.com")).discovery(servers.discovery());
    let error = sent(&layer, compute().endpoint_override(NOVA).version(3, 0)).await.unwrap_err();
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
        servers.at(http, Answer::redirect(location)).at(https, nova_versions());
        servers.at(location, nova_versions());
        let layer = AuthLayer::new(plugin(http)).discovery(servers.discovery());
        // The token goes where the catalog says.
        let expected = format!("{http}v2.1/servers +token");
        assert_eq!(sent(&layer, compute().version(2, 1)).await.unwrap(), expected);
        let microversion = compute().newest_microversion("2.1", "latest");
        let asked = asked_for(&layer, microversion, "/servers").await.unwrap();
        assert_eq!(asked, format!("{http}servers compute 2.96"));
        assert_eq!(servers.asked(), [http, location]);
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
        servers.at(from, Answer::redirect(location)).at(location, nova_versions());
        let layer = AuthLayer::new(plugin(from)).discovery(servers.discovery());
        let error = sent(&layer, compute().version(2, 1).no_version_hack()).await.unwrap_err();
        assert!(error.to_string().contains("it redirects to another origin"), "{error}");
        assert_eq!(servers.asked(), [from], "{location}");
    }
    // Nor back from where an upgrade led to.
    let servers = Servers::default();
    servers.at("http://nova.example.com/", Answer::redirect(NOVA));
    servers.at(NOVA, Answer::redirect("http://nova.example.com/versions"));
    servers.discovery().document("http://nova.example.com/").await.unwrap_err();
    assert_eq!(servers.asked(), ["http://nova.example.com/", NOVA]);
}

#[tokio::test(start_paused = true)]
async fn the_token_follows_an_upgrade_to_known_origins_only() {
    let http = "http://nova.example.com/";
    let known = [("compute", http), ("image", NOVA)];
    for (services, token_goes) in [(&known[..1], false), (&known[..], true)] {
        for https_only in [false, true] {
            let servers = Servers::default();
            servers.at(http, Answer::redirect(NOVA)).at(NOVA, nova_versions().with_a_token());
            let plugin = AccessInfoPlugin::new(access_info(services));
            let mut layer = AuthLayer::new(plugin).discovery(servers.discovery());
            if https_only {
                layer = layer.require_https();
            }
            let filter = compute().newest_microversion("2.1", "latest").no_version_hack();
            asked_for(&layer, filter, NOVA).await.ok();
            let mut expected = vec![http.to_owned(), NOVA.to_owned()];
            expected.extend(token_goes.then(|| format!("{NOVA} +token")));
            assert_eq!(servers.asked(), expected, "{https_only}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_find_their_version_behind_a_redirect_to_https() {
    let servers = Servers::default();
    let versions = tower_keystone::fixture::Discovery::new().version("v3.14", "stable", "http://id/v3/");
    servers.at(IDENTITY, Answer::redirect("https://id.example.com/"));
    servers.at("https://id.example.com/", Answer::document(&versions.identity_document()));
    let alice = || User::new().username("alice").user_domain_name("Default");
    let credentials =
        |auth_url: &'static str| GenericCredentials::password(Uri::from_static(auth_url), alice(), "pw");
    for (auth_url, asked) in [
        (IDENTITY, vec![IDENTITY, "https://id.example.com/", "https://id.example.com/v3/auth/tokens"]),
        ("https://id.example.com/", vec!["https://id.example.com/", "https://id.example.com/v3/auth/tokens"]),
    ] {
        let login = credentials(auth_url).get_auth_ref(Transport::new(servers.clone())).await;
        assert!(matches!(login, Err(Error::Keystone(_))), "{login:?}");
        assert_eq!(servers.asked(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn the_plugin_is_told_who_refuses_a_token_for_a_document() {
    let url = "https://nova.example.com/v2.1/p1";
    let sources = || [token_of("bad", "compute", url), token_of("good", "compute", url)];
    // The URL says enough for a request, and yet a document may be wanted.
    let newest = compute().version(2, 1);
    for filter in [newest.clone(), newest.no_version_hack()] {
        let servers = Servers::default();
        for document in ["https://nova.example.com/v2.1/", NOVA, "https://nova.example.com/v2.1"] {
            servers.at(document, nova_versions().with_token("good"));
        }
        let plugin = Told::new(sources());
        let endpoint = servers.discovery().endpoint_data(&plugin, &filter).await.unwrap();
        assert_eq!(endpoint.url(), "https://nova.example.com/v2.1/p1");
        assert!(endpoint.max_microversion().is_some(), "what the document says is known with the new token");
        assert_eq!(plugin.refused_by(), ["https://nova.example.com:443"]);
    }
    let servers = Servers::default();
    servers.at(NOVA, nova_versions().with_token("good"));
    let plugin = Told::new([token_of("bad", "compute", NOVA), token_of("good", "compute", NOVA)]);
    let layer = AuthLayer::new(Arc::clone(&plugin)).discovery(servers.discovery());
    let expected = "https://nova.example.com/v2.1/servers +token";
    assert_eq!(sent(&layer, compute().version(2, 1)).await.unwrap(), expected);
    assert_eq!(plugin.refused_by(), ["https://nova.example.com:443"]);

    let servers = Servers::default();
    servers.at(NOVA, nova_versions().with_token("good"));
    let plugin = Told::new([token_of("bad", "compute", NOVA), token_of("good", "compute", NOVA)]);
    let all = servers.discovery().all_version_data(&plugin, &EndpointFilter::default()).await.unwrap();
    assert_eq!(all["RegionOne"]["public"]["compute"].len(), 2);
    assert_eq!(plugin.refused_by(), ["https://nova.example.com:443"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_where_another_document_is_found_or_none_that_will_do() {
    let url = "https://nova.example.com/v2/p1";
    for root in [Answer::status(401), nova_versions().with_token("good")] {
        for versioned in [nova_versions(), Answer::status(404)] {
            let servers = Servers::default();
            servers.at(NOVA, root.clone()).at("https://nova.example.com/v2/", versioned.clone());
            servers.at("https://nova.example.com/v2/p1", versioned);
            let plugin = Told::new([token_of("bad", "compute", url)]);
            let layer = AuthLayer::new(Arc::clone(&plugin)).discovery(servers.discovery());
            sent(&layer, compute().min_version(3, 0)).await.ok();
            assert_eq!(plugin.refused_by(), ["https://nova.example.com:443"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_without_the_layer_sends_no_token_over_http_either_if_https_is_required() {
    let plain = "http://nova.example.com/";
    let filter = compute().version(2, 1).no_version_hack();
    let servers = Servers::default();
    servers.at(plain, nova_versions().with_a_token());
    let plugin = plugin(plain);
    servers.discovery().endpoint_data(&plugin, &filter).await.unwrap();
    assert_eq!(servers.asked(), [plain.to_owned(), format!("{plain} +token")]);

    let (first, second) = (servers.discovery(), servers.discovery());
    let _ = AuthLayer::new(()).discovery(first.clone()).require_https();
    let _ = AuthLayer::new(()).require_https().discovery(second.clone());
    for discovery in [servers.discovery().require_https().timeout(seconds(1)), first, second] {
        let error = discovery.endpoint_data(&plugin, &filter).await.unwrap_err();
        assert!(
            error.to_string().contains("401 Unauthorized, and the token may not be sent to that origin"),
            "{error}"
        );
        discovery.endpoint(&plugin, &filter).await.unwrap_err();
        discovery.api_major_version(&plugin, &filter).await.unwrap_err();
        discovery.all_version_data(&plugin, &EndpointFilter::default()).await.unwrap();
        assert_eq!(servers.asked(), [plain]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_from_outside_is_escaped_and_cut_in_errors() {
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
    let unclear = servers.discovery().document("https://al:secret@nova.example.com/").await.unwrap_err();
    let version = "\u{1b}[2J".repeat(100).parse::<Version>().unwrap_err();
    let range = EndpointFilter::new("volumev3").min_version(2, 0);
    let mismatch = servers.discovery().endpoint(&plugin, &range).await.unwrap_err();
    for error in [error, unreachable, with_query, unclear, version.into(), mismatch] {
        let text = error.to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(!text.contains("secret"), "{text}");
        assert!(text.len() < 2_000, "{} bytes", text.len());
        assert!(!format!("{error:?}").contains("secret"));
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
    assert!(error.to_string().contains("its response is not a version document"), "{error}");
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
    let auth_url = "https://id.example.com/v2.0";
    let layer =
        AuthLayer::new(plugin("https://x.example.com").auth_url(auth_url)).discovery(servers.discovery());
    let keystone = EndpointFilter::new("identity").interface(Interface::Auth).version(3, 0);
    assert_eq!(sent(&layer, keystone).await.unwrap(), "https://id.example.com/v3/servers +token");
    let filter = compute().endpoint_override(NOVA).version(2, 1);
    assert_eq!(sent(&layer, filter).await.unwrap(), "https://nova.example.com/v2.1/servers +token");
    let root = plugin("https://x.example.com").auth_url("https://id.example.com");
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
        "compute does not support any microversion from 2.97 to latest: its version document lists 2.1 to 2.96; \
         request one of these, or none"
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
