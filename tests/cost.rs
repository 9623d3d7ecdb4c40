//! Allocations and clones of the inner service per request.

#[path = "../benches/cost/counting.rs"]
mod counting;

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use counting::allocations;
use http::{Extensions, Request, Response, Uri};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, AuthMethod, BoxError, CloudConfig, EndpointFilter, Identity,
    IdentityPlugin, Interface, RaiseForStatusLayer, RenewingPlugin, SharedTokens, Transport, User,
    V3Credentials,
    fixture::{CatalogService, Discovery as Versions, V3Token},
};

const REQUESTS: usize = 1_000;

/// An inner service that responds at once and counts its calls and clones.
#[derive(Default)]
struct Inner {
    calls: Arc<AtomicUsize>,
    clones: Arc<AtomicUsize>,
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        Self { calls: Arc::clone(&self.calls), clones: Arc::clone(&self.clones) }
    }
}

impl Service<Request<()>> for Inner {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        assert_eq!(request.uri(), "https://service-7.example.com:8774/v2.1/servers/detail?limit=9");
        assert_eq!(request.headers()["x-auth-token"], "gAAAA");
        self.calls.fetch_add(1, Ordering::Relaxed);
        ready(Ok(Response::new(())))
    }
}

fn access_info(services: usize) -> AccessInfo {
    let token = (0..services).fold(V3Token::new("u", "alice").project("p", "demo"), |token, index| {
        let url = format!("https://service-{index}.example.com:8774/v2.1");
        let service = CatalogService::new(format!("type-{index}"));
        token.service(&service.standard_endpoints("RegionOne", &url))
    });
    token.access_info("gAAAA").unwrap()
}

fn layer() -> AuthLayer<AccessInfoPlugin> {
    AuthLayer::new(AccessInfoPlugin::new(access_info(20)))
}

fn filter() -> EndpointFilter {
    EndpointFilter::new("type-7").region("RegionOne").interface(Interface::Internal)
}

/// Sends [`REQUESTS`] requests through this layer, and returns the number of allocations, without those for building
/// the requests, and the number of clones of the inner service.
fn cost_of_requests<P: IdentityPlugin>(
    layer: &AuthLayer<P>,
    uri: &str,
    filter: Option<EndpointFilter>,
) -> (usize, usize) {
    cost_of_requests_with(layer, uri, |extensions| {
        drop(filter.clone().map(|filter| extensions.insert(filter)))
    })
}

/// The same for requests with these extensions.
fn cost_of_requests_with<P: IdentityPlugin>(
    layer: &AuthLayer<P>,
    uri: &str,
    insert: impl Fn(&mut Extensions),
) -> (usize, usize) {
    let inner = Inner::default();
    let (calls, clones) = (Arc::clone(&inner.calls), Arc::clone(&inner.clones));
    let mut auth = layer.layer(inner);
    let mut send = || {
        let mut request = Request::get(uri).header("accept", "application/json").body(()).unwrap();
        insert(request.extensions_mut());
        let mut cx = Context::from_waker(Waker::noop());
        allocations(|| {
            let Poll::Ready(Ok(())) = Service::<Request<()>>::poll_ready(&mut auth, &mut cx) else {
                panic!("the inner service is ready")
            };
            let Poll::Ready(Ok(response)) = pin!(auth.call(request)).poll(&mut cx) else {
                panic!("the inner service responds at once")
            };
            response
        })
    };
    // The first request parses the URL of the endpoint.
    send();
    let allocated = (0..REQUESTS).map(|_| send()).sum();
    assert_eq!(calls.load(Ordering::Relaxed), REQUESTS + 1);
    (allocated, clones.load(Ordering::Relaxed))
}

#[test]
fn a_relative_uri_costs_one_allocation_and_no_clone() {
    assert_eq!(cost_of_requests(&layer().endpoint(filter()), "/servers/detail?limit=9", None), (REQUESTS, 0));
}

#[test]
fn a_filter_in_the_request_costs_no_more_allocations() {
    assert_eq!(cost_of_requests(&layer(), "/servers/detail?limit=9", Some(filter())), (REQUESTS, 0));
}

#[test]
fn a_microversion_costs_no_more_allocations() {
    let filter = filter().microversion_for("compute", "2.79");
    assert_eq!(cost_of_requests(&layer(), "/servers/detail?limit=9", Some(filter.clone())), (REQUESTS, 0));
    assert_eq!(cost_of_requests(&layer().endpoint(filter), "/servers/detail?limit=9", None), (REQUESTS, 0));
}

#[test]
fn auth_url_and_override_cost_no_more_allocations() {
    let url = "https://service-7.example.com:8774/v2.1";
    let plugin = AccessInfoPlugin::new(access_info(20)).auth_url(url);
    for filter in [filter().interface(Interface::Auth), filter().endpoint_override(url)] {
        let layer = AuthLayer::new(plugin.clone()).endpoint(filter);
        assert_eq!(cost_of_requests(&layer, "/servers/detail?limit=9", None), (REQUESTS, 0));
    }
}

#[test]
fn a_store_costs_no_more_allocations_and_no_clone() {
    let alice = AuthMethod::password(User::new().user_id("u"), "wonderland");
    let credentials = V3Credentials::new(Uri::from_static("https://identity.example.com/v3"), alice);
    let nobody = tower::service_fn(|_: Request<Full<Bytes>>| {
        ready(Err::<Response<Full<Bytes>>, BoxError>("no request is expected".into()))
    });
    let plugin = RenewingPlugin::new(credentials, Transport::new(nobody)).store(SharedTokens::in_memory());
    plugin.set_auth_state(Some(&access_info(20).auth_state())).unwrap();
    let layer = AuthLayer::new(plugin).endpoint(filter());
    assert_eq!(cost_of_requests(&layer, "/servers/detail?limit=9", None), (REQUESTS, 0));
}

#[test]
fn an_identity_costs_no_more_allocations_and_no_clone() {
    let identity = Identity::new(AccessInfoPlugin::new(access_info(20)));
    for layer in [layer(), layer().send_service_token()] {
        let layer = layer.endpoint(filter());
        let cost = cost_of_requests_with(&layer, "/servers/detail?limit=9", |extensions| {
            extensions.insert(identity.clone());
        });
        assert_eq!(cost, (REQUESTS, 0));
    }
}

#[test]
fn an_absolute_uri_costs_no_allocation_and_no_clone() {
    let uri = "https://service-7.example.com:8774/v2.1/servers/detail?limit=9";
    assert_eq!(cost_of_requests(&layer().endpoint(filter()), uri, None), (0, 0));
}

#[tokio::test]
async fn a_discovered_version_costs_no_more_allocations() {
    let service = tower::service_fn(|_: Request<Full<Bytes>>| {
        let versions = Versions::new().version("v2.1", "CURRENT", "/v2.1/").document();
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(versions.to_string()))))
    });
    let layer = layer().discovery(Transport::new(service)).endpoint(filter().min_version(2, 0));
    let first = Request::get("/servers/detail?limit=9").body(()).unwrap();
    layer.layer(Inner::default()).oneshot(first).await.unwrap();
    assert_eq!(cost_of_requests(&layer, "/servers/detail?limit=9", None), (REQUESTS, 0));
}

#[test]
fn settings_of_services_cost_no_allocation() {
    let config = CloudConfig::builder()
        .load_files(false)
        .load_envvars(false)
        .set("auth_type", "none")
        .set("region_name", "RegionOne")
        .set("compute_default_microversion", "2.79");
    let service = tower::service_fn(|request: Request<()>| {
        ready(Ok::<_, Infallible>(request.extensions().get::<EndpointFilter>().cloned()))
    });
    let mut service = config.build().unwrap().service_layer().layer(service);
    let mut send = |filter: Option<EndpointFilter>| {
        let mut request = Request::new(());
        if let Some(filter) = filter {
            request.extensions_mut().insert(filter);
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut completed = None;
        let allocated = allocations(|| match pin!(service.call(request)).poll(&mut cx) {
            Poll::Ready(Ok(filter)) => completed = filter,
            _ => panic!("the inner service responds at once"),
        });
        (allocated, completed)
    };
    assert_eq!(send(None), (0, None));
    let (_, first) = send(Some(EndpointFilter::new("compute")));
    let expected =
        EndpointFilter::new("compute").interface("public").region("RegionOne").microversion("2.79");
    assert_eq!(first.as_ref(), Some(&expected));
    assert_eq!(send(Some(EndpointFilter::new("compute"))), (0, first));
}

#[test]
fn raise_for_status_costs_no_allocation_without_secret_and_error() {
    let inner = tower::service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let mut service = RaiseForStatusLayer::new().layer(inner);
    let request = Request::get("/servers").header("accept", "application/json").body(()).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let allocated = allocations(|| {
        let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut cx) else {
            panic!("the inner service responds at once")
        };
        response
    });
    assert_eq!(allocated, 0);
}

#[test]
fn a_catalog_lookup_costs_no_allocation() {
    for services in [20, 1_000] {
        let access_info = access_info(services);
        let catalog = access_info.service_catalog();
        for name in ["type-7", "type-19", "compute", "nothing-of-the-kind"] {
            for filter in [
                EndpointFilter::new(name),
                EndpointFilter::new(name).region("RegionOne").interfaces(["admin", "internal"]),
                EndpointFilter::new(name).region("RegionTwo").any_interface(),
            ] {
                assert_eq!(allocations(|| catalog.urls(&filter).count()), 0, "{filter:?}");
            }
        }
    }
}

#[test]
fn reading_the_origins_of_a_catalog_allocates_per_host() {
    let token = (0..1_000).fold(V3Token::new("u", "alice").project("p", "demo"), |token, index| {
        let url = format!("https://service-7.example.com:8774/{index}/v1");
        token.service(&CatalogService::new(format!("type-{index}")).standard_endpoints("RegionOne", &url))
    });
    let plugin = AccessInfoPlugin::new(token.access_info("gAAAA").unwrap());
    let mut auth = AuthLayer::new(plugin).layer(Inner::default());
    let uri = "https://service-7.example.com:8774/v2.1/servers/detail?limit=9";
    let mut first = || {
        let request = Request::get(uri).body(()).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(pin!(auth.call(request)).poll(&mut cx), Poll::Ready(Ok(_))));
    };
    assert!(allocations(&mut first) < 30);
}
