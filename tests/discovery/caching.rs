//! What is cached and for how long, and requests that share one fetch.

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

async fn found(discovery: &Discovery) -> Result<Endpoint, Error> {
    discovery.endpoint(&plugin(), &compute().no_version_hack()).await
}

#[tokio::test(start_paused = true)]
async fn a_thousand_first_requests_cause_one_discovery_and_none_without_versions() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions().after(seconds(2)));
    let layer = AuthLayer::new(plugin()).discovery(servers.discovery());
    for (filter, discoveries) in [(EndpointFilter::new("compute"), 0), (compute(), 1), (compute(), 0)] {
        let inner = Servers::default();
        let mut under_way = JoinSet::new();
        for _ in 0..1000 {
            let request = Request::get("/servers").extension(filter.clone()).body(Body::default()).unwrap();
            under_way.spawn(layer.layer(inner.clone()).oneshot(request));
        }
        assert_eq!(under_way.join_all().await.into_iter().filter(Result::is_ok).count(), 1000);
        assert_eq!(inner.asked().len(), 1000);
        assert_eq!(servers.asked().len(), discoveries);
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_for_tokens_is_asked_for_once_without_and_once_with_each() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions().with_a_token().after(seconds(1)));
    let discovery = servers.discovery();
    let mut under_way = JoinSet::new();
    for token in ["alices", "bobs"] {
        let plugin = AccessInfoPlugin::new(token_of(token, "compute", NOVA));
        let layer = AuthLayer::new(plugin).discovery(discovery.clone()).endpoint(compute());
        for _ in 0..100 {
            let request = Request::get("/servers").body(Body::default()).unwrap();
            under_way.spawn(layer.layer(Servers::default()).oneshot(request));
        }
    }
    assert_eq!(under_way.join_all().await.into_iter().filter(Result::is_ok).count(), 200);
    let with_token = format!("{NOVA} +token");
    assert_eq!(servers.asked(), [NOVA, &with_token, &with_token]);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_dropped_while_waiting_takes_nothing_along() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions().after(seconds(2)));
    let discovery = servers.discovery();
    let first = tokio::spawn({
        let discovery = discovery.clone();
        async move { found(&discovery).await.map(drop) }
    });
    sleep(seconds(1)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    found(&discovery).await.unwrap();
    assert_eq!(servers.asked(), [NOVA]);
}

#[test]
fn a_runtime_that_nobody_drives_keeps_nobody_waiting() {
    let one_thread =
        || -> Runtime { Builder::new_current_thread().enable_all().start_paused(true).build().unwrap() };
    let (one, other) = (one_thread(), one_thread());
    let servers = Servers::default();
    servers.at(NOVA, nova_versions().after(seconds(2)));
    let discovery = servers.discovery();
    let given_up = one.block_on(async { timeout(seconds(1), discovery.document(NOVA)).await });
    assert!(given_up.is_err());
    let brought = other.block_on(async { timeout(seconds(60), discovery.document(NOVA)).await });
    assert!(brought.expect("a document takes 10 s at most").is_ok());
    assert_eq!(servers.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_refused_is_nobody_elses_affair() {
    let service = service_fn(|request: Request<Body>| async move {
        let is_bobs = request.headers().get("x-auth-token").is_some_and(|token| token == "bobs");
        let answer = if is_bobs { nova_versions() } else { Answer::status(401) };
        let servers = Servers::default();
        servers.at(NOVA, answer.after(seconds(1)));
        servers.oneshot(request).await
    });
    let discovery = Discovery::new(Transport::new(service));
    let of = |token: &str| {
        let nova = CatalogService::new("compute").standard_endpoints("RegionOne", NOVA);
        let access_info = V3Token::new("u", token).service(&nova).access_info(token).unwrap();
        let layer = AuthLayer::new(AccessInfoPlugin::new(access_info)).discovery(discovery.clone());
        layer.endpoint(compute().no_version_hack()).layer(Servers::default())
    };
    let get = || Request::get("/servers").body(Body::default()).unwrap();
    for _ in 0..2 {
        let error = of("alices").oneshot(get()).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::DiscoveryFailure(_))), "{error}");
    }
    sleep(seconds(10)).await;
    let (alices, bobs) = tokio::join!(of("alices").oneshot(get()), of("bobs").oneshot(get()));
    assert!(alices.is_err() && bobs.is_ok(), "he has waited for what she was told");
}

/// A Nova whose version document is for those with the token `good`, and requests to it with another token.
fn guarded() -> impl Fn(&str, EndpointFilter) -> tokio::task::JoinHandle<(bool, Vec<String>)> {
    let service = service_fn(|request: Request<Body>| async move {
        let is_good = request.headers().get("x-auth-token").is_some_and(|token| token == "good");
        let servers = Servers::default();
        servers.at(NOVA, if is_good { nova_versions() } else { Answer::status(401) }.after(seconds(1)));
        servers.oneshot(request).await
    });
    let discovery = Discovery::new(Transport::new(service));
    move |token, filter| {
        let (plugin, sent) = (Told::new([token_of(token, "compute", NOVA)]), Servers::default());
        let layer = AuthLayer::new(Arc::clone(&plugin)).discovery(discovery.clone()).endpoint(filter);
        let request = Request::get("/servers").body(Body::default()).unwrap();
        let answer = layer.layer(sent.clone()).oneshot(request);
        tokio::spawn(async move {
            let _ = answer.await;
            (!plugin.refused_by().is_empty(), sent.asked())
        })
    }
}

const FOUND: &str = "https://nova.example.com/v2.1/servers +token";

#[tokio::test(start_paused = true)]
async fn however_many_tokens_are_refused_the_good_one_is_served() {
    let send = guarded();
    let filter = compute().no_version_hack();
    let bad: Vec<_> = (0..20).map(|number| send(&format!("bad-{number}"), filter.clone())).collect();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(send("good", filter).await.unwrap(), (false, vec![FOUND.to_owned()]));
    for bad in bad {
        assert_eq!(bad.await.unwrap(), (true, vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn where_one_is_refused_and_goes_without_a_document_the_next_one_does_not() {
    let send = guarded();
    assert_eq!(send("bad", compute()).await.unwrap(), (true, vec![format!("{NOVA}servers +token")]));
    assert_eq!(send("good", compute()).await.unwrap(), (false, vec![FOUND.to_owned()]));
}

#[test]
fn what_is_known_serves_without_a_runtime_too() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions());
    let discovery = servers.discovery();
    let one = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let first = one.block_on(discovery.document(NOVA)).unwrap();
    for _ in 0..2 {
        let again = tokio_test::task::spawn(discovery.document(NOVA)).poll();
        assert_eq!(tokio_test::assert_ready!(again).unwrap().url(), first.url());
    }
    assert_eq!(servers.asked().len(), 1);
}

#[test]
fn the_versions_of_a_cloud_are_known_without_a_runtime_too_or_an_error() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions());
    let (discovery, filter) = (servers.discovery(), EndpointFilter::default());
    let plugin = AccessInfoPlugin::new(access_info(&[("compute", NOVA)]));
    let all = || {
        let asked = tokio_test::task::spawn(discovery.all_version_data(&plugin, &filter)).poll();
        tokio_test::assert_ready!(asked)
    };
    assert!(matches!(all(), Err(Error::NoRuntime)));
    let one = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let known = one.block_on(discovery.all_version_data(&plugin, &filter)).unwrap();
    assert_eq!(all().unwrap(), known);
}

#[tokio::test(start_paused = true)]
async fn a_document_is_remembered_for_an_hour() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions());
    let discovery = servers.discovery();
    found(&discovery).await.unwrap();
    sleep(seconds(3599)).await;
    found(&discovery).await.unwrap();
    assert_eq!(servers.asked().len(), 1);
    sleep(seconds(2)).await;
    found(&discovery).await.unwrap();
    assert_eq!(servers.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_for_ever_is_remembered_for_years() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions());
    let discovery = servers.discovery().timeout(Duration::MAX).cache_lifetimes(Duration::MAX, Duration::MAX);
    let layer = AuthLayer::new(plugin()).discovery(discovery.clone()).endpoint(compute());
    for discoveries in [1, 0] {
        let request = Request::get("/servers").body(Body::default()).unwrap();
        layer.layer(Servers::default()).oneshot(request).await.unwrap();
        found(&discovery).await.unwrap();
        discovery.document(GLANCE).await.unwrap_err();
        assert_eq!(servers.asked().len(), 2 * discoveries);
        sleep(seconds(365 * 24 * 3600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_notice_that_an_hour_has_passed() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions());
    let layer = AuthLayer::new(plugin()).discovery(servers.discovery()).endpoint(compute());
    for (after, discoveries) in [(0, 1), (3599, 0), (2, 1)] {
        sleep(seconds(after)).await;
        let request = Request::get("/servers").body(Body::default()).unwrap();
        layer.layer(Servers::default()).oneshot(request).await.unwrap();
        assert_eq!(servers.asked().len(), discoveries);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_for_ten_seconds() {
    let servers = Servers::default();
    servers.at(NOVA, Answer::no_connection());
    let discovery = servers.discovery();
    let error = found(&discovery).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    sleep(seconds(9)).await;
    assert!(found(&discovery).await.is_err());
    assert_eq!(servers.asked().len(), 1);
    servers.at(NOVA, nova_versions());
    sleep(seconds(2)).await;
    found(&discovery).await.unwrap();
    assert_eq!(servers.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_known_serves_while_the_service_cannot_be_asked() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions());
    let discovery = servers.discovery();
    found(&discovery).await.unwrap();
    assert_eq!(servers.asked().len(), 1);
    sleep(seconds(3601)).await;
    for failure in [Answer::no_connection(), Answer::status(503), nova_versions().after(seconds(60))] {
        servers.at(NOVA, failure);
        assert_eq!(found(&discovery).await.unwrap().url(), "https://nova.example.com/v2.1/");
        assert_eq!(servers.asked().len(), 1);
        sleep(seconds(11)).await;
    }
    servers.at(NOVA, Answer::status(404));
    assert!(found(&discovery).await.is_err(), "it says that there is nothing any more");
}

#[tokio::test(start_paused = true)]
async fn a_slow_service_blocks_no_other_and_itself_for_ten_seconds() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions().after(seconds(60)));
    let images = tower_keystone::fixture::Discovery::new().version("v2.1", "CURRENT", "/v2/");
    servers.at(GLANCE, Answer::document(&images.document()));
    let discovery = servers.discovery();
    let start = Instant::now();
    let slow = tokio::spawn({
        let discovery = discovery.clone();
        async move { found(&discovery).await.map(drop) }
    });
    let image = EndpointFilter::new("image").version(2, 0);
    discovery.endpoint(&plugin(), &image).await.unwrap();
    assert_eq!(start.elapsed(), seconds(0));
    let error = slow.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("it did not respond within 10000 ms"), "{error}");
    assert_eq!(start.elapsed(), seconds(10));
}

#[tokio::test(start_paused = true)]
async fn a_new_token_of_the_same_scope_changes_nothing_and_another_catalog_does() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions());
    let elsewhere = "https://elsewhere.example.com/";
    servers.at(elsewhere, nova_versions());
    let discovery = servers.discovery();
    let mut urls = Vec::new();
    for catalog in [NOVA, NOVA, elsewhere, NOVA] {
        let plugin = AccessInfoPlugin::new(access_info(&[("compute", catalog)]));
        let layer = AuthLayer::new(plugin).discovery(discovery.clone()).endpoint(compute());
        let inner = Servers::default();
        let request = Request::get("/x").body(Body::default()).unwrap();
        layer.layer(inner.clone()).oneshot(request).await.unwrap();
        urls.extend(inner.asked());
    }
    assert_eq!(servers.asked(), [NOVA, elsewhere]);
    assert_eq!(urls[2], "https://elsewhere.example.com/v2.1/x +token");
    assert_eq!(urls[3], "https://nova.example.com/v2.1/x +token");
}

#[tokio::test(start_paused = true)]
async fn services_are_asked_side_by_side_for_the_versions_of_a_cloud() {
    let servers = Servers::default();
    let urls: Vec<_> = (0..20).map(|number| format!("https://s{number}.example.com/")).collect();
    let types: Vec<_> = (0..20).map(|number| format!("service-{number}")).collect();
    let services: Vec<_> = types.iter().map(String::as_str).zip(urls.iter().map(String::as_str)).collect();
    for url in &urls {
        servers.at(url, nova_versions().after(seconds(1)));
    }
    let plugin = Arc::new(AccessInfoPlugin::new(access_info(&services)));
    let start = Instant::now();
    let all = servers.discovery().all_version_data(&plugin, &EndpointFilter::default()).await.unwrap();
    assert_eq!(start.elapsed(), seconds(3), "eight at once");
    assert_eq!(servers.asked().len(), 20);
    let public = &all["RegionOne"]["public"];
    assert_eq!(public.len(), 20);
    assert_eq!(public["service-7"].len(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_a_service_that_says_nothing_the_version_is_what_is_above_the_project_in_its_url() {
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
async fn thousands_of_documents_are_remembered() {
    let servers = Servers::default();
    let urls: Vec<_> = (0..2_000).map(|number| format!("https://s{number}.example.com/")).collect();
    let discovery = servers.discovery();
    for url in &urls {
        servers.at(url, nova_versions());
        discovery.document(url).await.unwrap();
    }
    assert_eq!(servers.asked().len(), 2_000);
    for url in &urls {
        discovery.document(url).await.unwrap();
    }
    assert!(servers.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_one_is_told_for_a_token_is_not_for_others() {
    let servers = Servers::default();
    let hers = nova_versions().with_token("alices");
    servers.at(NOVA, hers);
    let discovery = servers.discovery();
    let send = |token: &str, filter: EndpointFilter| {
        let plugin = AccessInfoPlugin::new(token_of(token, "compute", NOVA));
        let layer = AuthLayer::new(plugin).discovery(discovery.clone()).endpoint(filter);
        let sent = Servers::default();
        let answer =
            layer.layer(sent.clone()).oneshot(Request::get("/servers").body(Body::default()).unwrap());
        async move { answer.await.map(|_| sent.asked().concat()) }
    };
    let strict = || compute().no_version_hack();
    assert_eq!(send("alices", strict()).await.unwrap(), FOUND);
    assert!(send("bobs", strict()).await.is_err());
    assert_eq!(send("bobs", compute()).await.unwrap(), format!("{NOVA}servers +token"));
    assert_eq!(send("alices", strict()).await.unwrap(), FOUND);
    discovery.document(NOVA).await.unwrap_err();

    let of = |token: &str| AccessInfoPlugin::new(token_of(token, "compute", NOVA));
    assert!(discovery.endpoint_data(&of("alices"), &strict()).await.is_ok());
    assert!(discovery.endpoint_data(&of("bobs"), &strict()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_remembered_holds_a_token() {
    let servers = Servers::default();
    servers.at(NOVA, nova_versions().with_token("good")).at(GLANCE, Answer::status(401).with_a_token());
    let discovery = servers.discovery();
    for (token, url) in [("good", NOVA), ("bad", NOVA), ("good", GLANCE)] {
        let plugin = Arc::new(AccessInfoPlugin::new(token_of(token, "compute", url)));
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
async fn a_task_that_goes_on_alone_holds_no_token() {
    let servers = Servers::default();
    for answer in [nova_versions().after(seconds(9)), nova_versions().with_token("good").after(seconds(9))] {
        servers.at(NOVA, answer);
        let discovery = servers.discovery();
        let plugin = AccessInfoPlugin::new(token_of("good", "compute", NOVA));
        let access = Arc::downgrade(&plugin.access().await.unwrap());
        let waiting = tokio::spawn(async move { discovery.endpoint_data(&plugin, &compute()).await });
        sleep(seconds(5)).await;
        assert!(access.upgrade().is_some());
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert!(access.upgrade().is_none());
    }
}
