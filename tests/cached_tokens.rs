//! The memory of many cached tokens whose service catalogs are equal.

#[path = "discovery/allocations.rs"]
mod allocations;

use std::{
    convert::Infallible,
    future::{Future, ready},
};

use allocations::peak_and_retained;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::runtime;
use tower::{Layer, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, EndpointFilter, Transport, ValidateTokenLayer, Validation,
};

const SERVICES: usize = 20;

/// Returns an id as Keystone makes them.
fn id(what: &str, number: usize) -> String {
    format!(
        "{:08x}{number:024x}",
        what.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31) + u32::from(byte))
    )
}

/// Returns the catalog of a project. Half of its URLs contain the id of the project.
fn catalog(project_id: &str) -> String {
    let services: Vec<_> = (0..SERVICES)
        .map(|service| {
            let path = match service % 4 {
                0 => format!("/v3/{project_id}"),
                1 => format!("/v1/AUTH_{project_id}"),
                _ => "/v2.1".to_owned(),
            };
            let endpoints = ["public", "internal", "admin"].map(|interface| {
                let url = format!("https://service{service}.{interface}.example.com:8774{path}");
                format!(
                    r#"{{"id": "{}", "interface": "{interface}", "region_id": "RegionOne", "url": "{url}", "region": "RegionOne"}}"#,
                    id(interface, service)
                )
            });
            format!(
                r#"{{"endpoints": [{}], "id": "{}", "type": "type{service}", "name": "name{service}"}}"#,
                endpoints.join(", "),
                id("service", service)
            )
        })
        .collect();
    services.join(", ")
}

/// Returns the members of a token document, as Keystone writes them, without the catalog.
fn members(user: usize, project: usize) -> String {
    let roles = ["reader", "member", "manager"]
        .map(|name| format!(r#"{{"id": "{}", "name": "{name}"}}"#, id(name, 0)));
    format!(
        r#""methods": ["password"], "user": {{"domain": {{"id": "default", "name": "Default"}}, "id": "{}",
        "name": "user{user}", "password_expires_at": null}}, "audit_ids": ["3T2dc1CGQ{user:05}HdDu{project:04}"],
        "expires_at": "2099-11-27T13:00:00.000000Z", "issued_at": "2026-11-26T13:00:00.000000Z",
        "project": {{"domain": {{"id": "default", "name": "Default"}}, "id": "{}", "name": "project{project}"}},
        "is_domain": false, "roles": [{}]"#,
        id("user", user),
        id("project", project),
        roles.join(", "),
    )
}

/// Returns a token document. The catalogs are equal but for the id of the project.
fn document(number: usize) -> String {
    let (user, project) = (number % 5_000, number % 1_000);
    format!(
        r#"{{"token": {{{}, "catalog": [{}]}}}}"#,
        members(user, project),
        catalog(&id("project", project))
    )
}

/// Returns a token document whose catalog no other token has.
fn unequal_document(number: usize) -> String {
    document(number).replace("RegionOne", &format!("Region{number}"))
}

/// Returns a token that is as long as Keystone's.
fn token(number: usize) -> String {
    format!("gAAAAAB{number:0193}")
}

/// Confirms every token.
fn keystone(document: fn(usize) -> String) -> Transport {
    Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let number =
            request.headers()["x-subject-token"].to_str().unwrap()["gAAAAAB".len()..].parse().unwrap();
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(document(number))))))
    }))
}

fn layer(document: fn(usize) -> String) -> ValidateTokenLayer {
    let identity = r#"{"token": {"catalog": [{"type": "identity", "endpoints": [
        {"interface": "internal", "url": "https://keystone.example.com/v3"}]}]}}"#;
    let plugin = AccessInfoPlugin::new(AccessInfo::new("gAAAA-service", identity).unwrap());
    ValidateTokenLayer::new(plugin, keystone(document))
}

/// Sends a request with each of these tokens. If `use_url`, the service looks up an endpoint with the caller's catalog.
async fn send(layer: &ValidateTokenLayer, tokens: std::ops::Range<usize>, use_url: bool) {
    let service = layer.layer(service_fn(async |request: Request<()>| {
        let caller = request.extensions().get::<Validation>().unwrap().caller().unwrap();
        let info = caller.access_info();
        if use_url {
            let filter = EndpointFilter::new("type1").interface("internal");
            let url = info.service_catalog().url_for(&filter).unwrap();
            assert!(url.ends_with(&format!("/v1/AUTH_{}", info.project_id().unwrap())), "{url}");
        }
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    for number in tokens {
        let request = Request::get("/").header("x-auth-token", token(number)).body(()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

/// Returns a layer that has cached this many tokens, and the memory that it takes.
fn cached(count: usize, document: fn(usize) -> String) -> (ValidateTokenLayer, usize) {
    // What is allocated once in a process.
    drop(AccessInfo::new(token(1), self::document(1)));
    let (_, empty) = peak_and_retained(|| layer(document));
    let mut layer = None;
    let (_, bytes) =
        peak_and_retained(|| block_on(send(layer.insert(self::layer(document)), 0..count, false)));
    let layer = layer.unwrap();
    let metrics = layer.metrics().snapshot();
    assert_eq!((metrics.cached_tokens, metrics.valid), (count, count as u64));
    println!(
        "{count} cached tokens: {bytes} bytes; estimated {}; an empty cache takes {empty}",
        metrics.cached_bytes
    );
    let estimate = metrics.cached_bytes as f64 / (bytes - empty) as f64;
    assert!((0.8..1.2).contains(&estimate), "{estimate}");
    (layer, bytes)
}

/// The allocator counts for each thread, and this runtime has only this one.
fn block_on<F: Future>(future: F) -> F::Output {
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn tokens_with_unequal_catalogs_weigh_what_they_take() {
    let (_, bytes) = cached(500, unequal_document);
    assert!(bytes < 500 * 40_000, "{bytes} bytes");
}

#[test]
fn ten_thousand_cached_tokens_take_less_than_24_mb() {
    let (layer, bytes) = cached(10_000, document);
    assert!(bytes < 24_000_000, "{bytes} bytes");

    let (_, used) = peak_and_retained(|| block_on(send(&layer, 0..10_000, true)));
    assert_eq!(layer.metrics().snapshot().hits, 10_000);
    println!("after the use of a URL with the project's id: {used} bytes more");
    assert!(used < 10_000_000, "{used} bytes");
}

#[test]
fn an_access_info_takes_little_more_memory_than_its_text() {
    for (what, document, most) in [
        ("without a catalog", format!(r#"{{"token": {{{}}}}}"#, members(1, 1)), 1_700),
        ("with 20 services", document(1), 30_000),
    ] {
        let read = || AccessInfo::new(token(1), &document).unwrap();
        // The first one also allocates what all share.
        drop(read());
        let (_, bytes) = peak_and_retained(read);
        println!("an access info {what} (document of {} bytes): {bytes} bytes", document.len());
        assert!(bytes <= most, "{bytes} bytes");
    }
}
