//! Caching of version documents, and requests that share one fetch.

use std::{sync::Arc, time::Duration};

use http::Request;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, EndpointFilter, Error, IdentityPlugin, Transport,
    discovery::{Discovery, Endpoint},
    fixture::{CatalogService, V3Token},
};

use crate::support::*;

const NOVA: &str = "https://nova.example.com/";
const GLANCE: &str = "https://glance.example.com/";

fn plugin() -> AccessInfoPlugin {
    AccessInfoPlugin::new(access_info(&[("compute", NOVA), ("image", GLANCE)]))
}

fn compute() -> EndpointFilter {
    EndpointFilter::new("compute").version(2, 1)
}

async fn discover(discovery: &Discovery) -> Result<Endpoint, Error> {
    discovery.endpoint(&plugin(), &compute().no_version_hack()).await
}

#[tokio::test(start_paused = true)]
async fn a_thousand_concurrent_requests_share_one_discovery() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions().delayed(seconds(2)));
    let layer = AuthLayer::new(plugin()).discovery(servers.discovery());
    for (filter, discoveries) in [(EndpointFilter::new("compute"), 0), (compute(), 1), (compute(), 0)] {
        let inner = Servers::default();
        let mut in_flight = JoinSet::new();
        for _ in 0..1000 {
            let request = Request::get("/servers").extension(filter.clone()).body(Body::default()).unwrap();
            in_flight.spawn(layer.layer(inner.clone()).oneshot(request));
        }
        assert_eq!(in_flight.join_all().await.into_iter().filter(Result::is_ok).count(), 1000);
        assert_eq!(inner.take_requests().len(), 1000);
        assert_eq!(servers.take_requests().len(), discoveries);
    }
}

#[tokio::test(start_paused = true)]
async fn a_protected_document_is_fetched_once_without_a_token_and_once_per_token() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions().requires_any_token().delayed(seconds(1)));
    let discovery = servers.discovery();
    let mut in_flight = JoinSet::new();
    for token in ["alices", "bobs"] {
        let plugin = AccessInfoPlugin::new(token_for(token, "compute", NOVA));
        let layer = AuthLayer::new(plugin).discovery(discovery.clone()).endpoint(compute());
        for _ in 0..100 {
            let request = Request::get("/servers").body(Body::default()).unwrap();
            in_flight.spawn(layer.layer(Servers::default()).oneshot(request));
        }
    }
    assert_eq!(in_flight.join_all().await.into_iter().filter(Result::is_ok).count(), 200);
    let with_token = format!("{NOVA} +token");
    assert_eq!(servers.take_requests(), [NOVA, &with_token, &with_token]);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_waiting_request_does_not_cancel_the_fetch() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions().delayed(seconds(2)));
    let discovery = servers.discovery();
    let first = tokio::spawn({
        let discovery = discovery.clone();
        async move { discover(&discovery).await.map(drop) }
    });
    sleep(seconds(1)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    discover(&discovery).await.unwrap();
    assert_eq!(servers.take_requests(), [NOVA]);
}

#[test]
fn a_fetch_on_a_stopped_runtime_does_not_block_another_runtime() {
    let single_threaded =
        || -> Runtime { Builder::new_current_thread().enable_all().start_paused(true).build().unwrap() };
    let (one, other) = (single_threaded(), single_threaded());
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions().delayed(seconds(2)));
    let discovery = servers.discovery();
    let timed_out = one.block_on(async { timeout(seconds(1), discovery.document(NOVA)).await });
    assert!(timed_out.is_err());
    let fetched = other.block_on(async { timeout(seconds(60), discovery.document(NOVA)).await });
    assert!(fetched.expect("a document takes 10 s at most").is_ok());
    assert_eq!(servers.take_requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_does_not_affect_requests_with_other_tokens() {
    let service = service_fn(|request: Request<Body>| async move {
        let is_bobs = request.headers().get("x-auth-token").is_some_and(|token| token == "bobs");
        let stub = if is_bobs { nova_versions() } else { StubResponse::status(401) };
        let servers = Servers::default();
        servers.respond_at(NOVA, stub.delayed(seconds(1)));
        servers.oneshot(request).await
    });
    let discovery = Discovery::new(Transport::new(service));
    let nova_with = |token: &str| {
        let nova = CatalogService::new("compute").standard_endpoints("RegionOne", NOVA);
        let access_info = V3Token::new("u", token).service(&nova).access_info(token).unwrap();
        let layer = AuthLayer::new(AccessInfoPlugin::new(access_info)).discovery(discovery.clone());
        layer.endpoint(compute().no_version_hack()).layer(Servers::default())
    };
    let get = || Request::get("/servers").body(Body::default()).unwrap();
    for _ in 0..2 {
        let error = nova_with("alices").oneshot(get()).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::DiscoveryFailure(_))), "{error}");
    }
    sleep(seconds(10)).await;
    let (alices, bobs) = tokio::join!(nova_with("alices").oneshot(get()), nova_with("bobs").oneshot(get()));
    assert!(alices.is_err() && bobs.is_ok(), "the response to Alice is not used for Bob");
}

/// Returns a function that sends a request to a Nova whose version document requires the token `good`. The request
/// resolves to whether the token was rejected, and the URLs that the inner service received.
fn send_to_protected_nova() -> impl Fn(&str, EndpointFilter) -> tokio::task::JoinHandle<(bool, Vec<String>)> {
    let service = service_fn(|request: Request<Body>| async move {
        let is_good = request.headers().get("x-auth-token").is_some_and(|token| token == "good");
        let servers = Servers::default();
        servers.respond_at(
            NOVA,
            if is_good { nova_versions() } else { StubResponse::status(401) }.delayed(seconds(1)),
        );
        servers.oneshot(request).await
    });
    let discovery = Discovery::new(Transport::new(service));
    move |token, filter| {
        let (plugin, sent) = (RecordingPlugin::new([token_for(token, "compute", NOVA)]), Servers::default());
        let layer = AuthLayer::new(Arc::clone(&plugin)).discovery(discovery.clone()).endpoint(filter);
        let request = Request::get("/servers").body(Body::default()).unwrap();
        let response = layer.layer(sent.clone()).oneshot(request);
        tokio::spawn(async move {
            let _ = response.await;
            (!plugin.rejected_by().is_empty(), sent.take_requests())
        })
    }
}

const DISCOVERED_REQUEST: &str = "https://nova.example.com/v2.1/servers +token";

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_served_despite_many_rejected_ones() {
    let send = send_to_protected_nova();
    let filter = compute().no_version_hack();
    let bad: Vec<_> = (0..20).map(|number| send(&format!("bad-{number}"), filter.clone())).collect();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(send("good", filter).await.unwrap(), (false, vec![DISCOVERED_REQUEST.to_owned()]));
    for bad in bad {
        assert_eq!(bad.await.unwrap(), (true, vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_after_a_rejected_token_is_not_cached_for_other_tokens() {
    let send = send_to_protected_nova();
    assert_eq!(send("bad", compute()).await.unwrap(), (true, vec![format!("{NOVA}servers +token")]));
    assert_eq!(send("good", compute()).await.unwrap(), (false, vec![DISCOVERED_REQUEST.to_owned()]));
}

#[test]
fn a_cached_document_needs_no_runtime() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let discovery = servers.discovery();
    let one = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let first = one.block_on(discovery.document(NOVA)).unwrap();
    for _ in 0..2 {
        let again = tokio_test::task::spawn(discovery.document(NOVA)).poll();
        assert_eq!(tokio_test::assert_ready!(again).unwrap().url(), first.url());
    }
    assert_eq!(servers.take_requests().len(), 1);
}

#[test]
fn all_version_data_without_a_runtime_uses_the_cache_or_fails() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let (discovery, filter) = (servers.discovery(), EndpointFilter::default());
    let plugin = AccessInfoPlugin::new(access_info(&[("compute", NOVA)]));
    let all = || {
        let polled = tokio_test::task::spawn(discovery.all_version_data(&plugin, &filter)).poll();
        tokio_test::assert_ready!(polled)
    };
    assert!(matches!(all(), Err(Error::NoRuntime)));
    let one = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let known = one.block_on(discovery.all_version_data(&plugin, &filter)).unwrap();
    assert_eq!(all().unwrap(), known);
}

#[tokio::test(start_paused = true)]
async fn a_document_is_cached_for_an_hour() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let discovery = servers.discovery();
    discover(&discovery).await.unwrap();
    sleep(seconds(3599)).await;
    discover(&discovery).await.unwrap();
    assert_eq!(servers.take_requests().len(), 1);
    sleep(seconds(2)).await;
    discover(&discovery).await.unwrap();
    assert_eq!(servers.take_requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cache_lifetime_can_be_unlimited() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let discovery = servers.discovery().timeout(Duration::MAX).cache_lifetimes(Duration::MAX, Duration::MAX);
    let layer = AuthLayer::new(plugin()).discovery(discovery.clone()).endpoint(compute());
    for discoveries in [1, 0] {
        let request = Request::get("/servers").body(Body::default()).unwrap();
        layer.layer(Servers::default()).oneshot(request).await.unwrap();
        discover(&discovery).await.unwrap();
        discovery.document(GLANCE).await.unwrap_err();
        assert_eq!(servers.take_requests().len(), 2 * discoveries);
        sleep(seconds(365 * 24 * 3600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_after_an_hour_fetches_the_document_again() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let layer = AuthLayer::new(plugin()).discovery(servers.discovery()).endpoint(compute());
    for (after, discoveries) in [(0, 1), (3599, 0), (2, 1)] {
        sleep(seconds(after)).await;
        let request = Request::get("/servers").body(Body::default()).unwrap();
        layer.layer(Servers::default()).oneshot(request).await.unwrap();
        assert_eq!(servers.take_requests().len(), discoveries);
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_cached_for_ten_seconds_and_a_transient_one_for_one() {
    let busy = StubResponse::status(503);
    for (failure, is_transient, millis) in [
        (StubResponse::status(404), false, 10_000),
        (StubResponse::refused_connection(), true, 1_000),
        (busy.clone(), true, 1_000),
        (busy.clone().retry_after("7"), true, 7_000),
        (busy.retry_after("3600"), true, 10_000),
    ] {
        let servers = Servers::default();
        servers.respond_at(NOVA, failure);
        let discovery = servers.discovery();
        let error = discover(&discovery).await.unwrap_err();
        assert_eq!(error.is_transient(), is_transient, "{error}");
        sleep(Duration::from_millis(millis - 1)).await;
        assert!(discover(&discovery).await.is_err());
        assert_eq!(servers.take_requests().len(), 1);
        servers.respond_at(NOVA, nova_versions());
        sleep(Duration::from_millis(1)).await;
        discover(&discovery).await.unwrap();
        assert_eq!(servers.take_requests().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_document_is_used_while_the_service_is_unreachable() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let discovery = servers.discovery();
    discover(&discovery).await.unwrap();
    assert_eq!(servers.take_requests().len(), 1);
    sleep(seconds(3601)).await;
    for failure in
        [StubResponse::refused_connection(), StubResponse::status(503), nova_versions().delayed(seconds(60))]
    {
        servers.respond_at(NOVA, failure);
        assert_eq!(discover(&discovery).await.unwrap().url(), "https://nova.example.com/v2.1/");
        assert_eq!(servers.take_requests().len(), 1);
        sleep(seconds(11)).await;
    }
    servers.respond_at(NOVA, StubResponse::status(404));
    assert!(discover(&discovery).await.is_err(), "a 404 says that the document is gone");
}

#[tokio::test(start_paused = true)]
async fn a_slow_service_times_out_after_ten_seconds_and_blocks_no_other() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions().delayed(seconds(60)));
    let images = tower_keystone::fixture::Discovery::new().version("v2.1", "CURRENT", "/v2/");
    servers.respond_at(GLANCE, StubResponse::document(&images.document()));
    let discovery = servers.discovery();
    let start = Instant::now();
    let slow = tokio::spawn({
        let discovery = discovery.clone();
        async move { discover(&discovery).await.map(drop) }
    });
    let image = EndpointFilter::new("image").version(2, 0);
    discovery.endpoint(&plugin(), &image).await.unwrap();
    assert_eq!(start.elapsed(), seconds(0));
    let error = slow.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("it did not respond within 10000 ms"), "{error}");
    assert_eq!(start.elapsed(), seconds(10));
}

#[tokio::test(start_paused = true)]
async fn a_new_token_causes_discovery_only_if_its_catalog_differs() {
    let servers = Servers::default();
    servers.respond_at(NOVA, nova_versions());
    let elsewhere = "https://elsewhere.example.com/";
    servers.respond_at(elsewhere, nova_versions());
    let discovery = servers.discovery();
    let mut urls = Vec::new();
    for catalog in [NOVA, NOVA, elsewhere, NOVA] {
        let plugin = AccessInfoPlugin::new(access_info(&[("compute", catalog)]));
        let layer = AuthLayer::new(plugin).discovery(discovery.clone()).endpoint(compute());
        let inner = Servers::default();
        let request = Request::get("/x").body(Body::default()).unwrap();
        layer.layer(inner.clone()).oneshot(request).await.unwrap();
        urls.extend(inner.take_requests());
    }
    assert_eq!(servers.take_requests(), [NOVA, elsewhere]);
    assert_eq!(urls[2], "https://elsewhere.example.com/v2.1/x +token");
    assert_eq!(urls[3], "https://nova.example.com/v2.1/x +token");
}

#[tokio::test(start_paused = true)]
async fn all_version_data_fetches_eight_documents_at_once() {
    let servers = Servers::default();
    let urls: Vec<_> = (0..20).map(|number| format!("https://s{number}.example.com/")).collect();
    let types: Vec<_> = (0..20).map(|number| format!("service-{number}")).collect();
    let services: Vec<_> = types.iter().map(String::as_str).zip(urls.iter().map(String::as_str)).collect();
    for url in &urls {
        servers.respond_at(url, nova_versions().delayed(seconds(1)));
    }
    let plugin = Arc::new(AccessInfoPlugin::new(access_info(&services)));
    let start = Instant::now();
    let all = servers.discovery().all_version_data(&plugin, &EndpointFilter::default()).await.unwrap();
    assert_eq!(start.elapsed(), seconds(3), "eight fetches run at once");
    assert_eq!(servers.take_requests().len(), 20);
    let public = &all["RegionOne"]["public"];
    assert_eq!(public.len(), 20);
    assert_eq!(public["service-7"].len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_document_the_version_is_read_from_the_url_above_the_project() {
    let services = [
        ("object-store", "https://swift.example.com/v1/AUTH_p1"),
        ("volume", "https://cinder.example.com/v3/p1/"),
        ("compute", "https://nova.example.com/v2.1/p12"),
    ];
    let plugin = AccessInfoPlugin::new(access_info(&services));
    let discovery = Servers::default().discovery();
    let all = discovery.all_version_data(&plugin, &EndpointFilter::default()).await.unwrap();
    for (service_type, version, url) in [
        ("object-store", "1.0", "https://swift.example.com/v1/"),
        ("block-storage", "3.0", "https://cinder.example.com/v3/"),
        ("compute", "2.1", "https://nova.example.com/v2.1/p12/"),
    ] {
        let [data] = &*all["RegionOne"]["public"][service_type] else { panic!("{service_type}") };
        assert_eq!((&*data.version.unwrap().to_string(), &*data.url), (version, url));
    }
}

#[tokio::test(start_paused = true)]
async fn thousands_of_documents_are_cached() {
    let servers = Servers::default();
    let urls: Vec<_> = (0..2_000).map(|number| format!("https://s{number}.example.com/")).collect();
    let discovery = servers.discovery();
    for url in &urls {
        servers.respond_at(url, nova_versions());
        discovery.document(url).await.unwrap();
    }
    assert_eq!(servers.take_requests().len(), 2_000);
    for url in &urls {
        discovery.document(url).await.unwrap();
    }
    assert!(servers.take_requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_document_fetched_with_a_token_is_not_used_for_other_tokens() {
    let servers = Servers::default();
    let protected = nova_versions().requires_token("alices");
    servers.respond_at(NOVA, protected);
    let discovery = servers.discovery();
    let send = |token: &str, filter: EndpointFilter| {
        let plugin = AccessInfoPlugin::new(token_for(token, "compute", NOVA));
        let layer = AuthLayer::new(plugin).discovery(discovery.clone()).endpoint(filter);
        let sent = Servers::default();
        let response =
            layer.layer(sent.clone()).oneshot(Request::get("/servers").body(Body::default()).unwrap());
        async move { response.await.map(|_| sent.take_requests().concat()) }
    };
    let strict = || compute().no_version_hack();
    assert_eq!(send("alices", strict()).await.unwrap(), DISCOVERED_REQUEST);
    assert!(send("bobs", strict()).await.is_err());
    assert_eq!(send("bobs", compute()).await.unwrap(), format!("{NOVA}servers +token"));
    assert_eq!(send("alices", strict()).await.unwrap(), DISCOVERED_REQUEST);
    discovery.document(NOVA).await.unwrap_err();

    let plugin_with = |token: &str| AccessInfoPlugin::new(token_for(token, "compute", NOVA));
    assert!(discovery.endpoint_data(&plugin_with("alices"), &strict()).await.is_ok());
    assert!(discovery.endpoint_data(&plugin_with("bobs"), &strict()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn cached_entries_hold_no_token() {
    let servers = Servers::default();
    servers
        .respond_at(NOVA, nova_versions().requires_token("good"))
        .respond_at(GLANCE, StubResponse::status(401).requires_any_token());
    let discovery = servers.discovery();
    for (token, url) in [("good", NOVA), ("bad", NOVA), ("good", GLANCE)] {
        let plugin = Arc::new(AccessInfoPlugin::new(token_for(token, "compute", url)));
        let access = Arc::downgrade(&plugin.access().await.unwrap());
        let layer = AuthLayer::new(Arc::clone(&plugin)).discovery(discovery.clone()).endpoint(compute());
        let request = Request::get("/servers").body(Body::default()).unwrap();
        drop(layer.layer(Servers::default()).oneshot(request).await);
        discovery.endpoint_data(&plugin, &compute()).await.ok();
        drop((layer, plugin));
        assert!(access.upgrade().is_none(), "{token} at {url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_without_a_waiter_holds_no_token() {
    let servers = Servers::default();
    for stub in
        [nova_versions().delayed(seconds(9)), nova_versions().requires_token("good").delayed(seconds(9))]
    {
        servers.respond_at(NOVA, stub);
        let discovery = servers.discovery();
        let plugin = AccessInfoPlugin::new(token_for("good", "compute", NOVA));
        let access = Arc::downgrade(&plugin.access().await.unwrap());
        let waiting = tokio::spawn(async move { discovery.endpoint_data(&plugin, &compute()).await });
        sleep(seconds(5)).await;
        assert!(access.upgrade().is_some());
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert!(access.upgrade().is_none());
    }
}
