//! What a request costs, by counters: allocations, and clones of the inner service.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use http::{Request, Response};
use tower::{Layer, Service};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter, Interface,
    fixture::{CatalogService, V3Token},
};

const REQUESTS: usize = 1_000;

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// Safety: all is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATIONS.get();
    black_box(work());
    ALLOCATIONS.get() - before
}

/// Answers at once, and counts its calls and clones.
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

/// The allocations of so many requests, beyond those of building them, and the clones of the inner service.
fn cost_of_requests(uri: &str, filter_in_request: bool) -> (usize, usize) {
    cost_with(to_type_7(), uri, filter_in_request)
}

fn to_type_7() -> EndpointFilter {
    EndpointFilter::new("type-7").region("RegionOne").interface(Interface::Internal)
}

fn cost_with(filter: EndpointFilter, uri: &str, filter_in_request: bool) -> (usize, usize) {
    let inner = Inner::default();
    let (calls, clones) = (Arc::clone(&inner.calls), Arc::clone(&inner.clones));
    let mut layer = AuthLayer::new(AccessInfoPlugin::new(access_info(20)));
    if !filter_in_request {
        layer = layer.endpoint(filter.clone());
    }
    let mut auth = layer.layer(inner);
    let mut send = || {
        let mut request = Request::get(uri).header("accept", "application/json");
        if filter_in_request {
            request = request.extension(filter.clone());
        }
        let request = request.body(()).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        allocations(|| {
            let Poll::Ready(Ok(())) = Service::<Request<()>>::poll_ready(&mut auth, &mut cx) else {
                panic!("the inner service is ready")
            };
            let Poll::Ready(Ok(response)) = pin!(auth.call(request)).poll(&mut cx) else {
                panic!("the inner service answers at once")
            };
            response
        })
    };
    // The first request reads the URL of its endpoint.
    send();
    let allocated = (0..REQUESTS).map(|_| send()).sum();
    assert_eq!(calls.load(Ordering::Relaxed), REQUESTS + 1);
    (allocated, clones.load(Ordering::Relaxed))
}

#[test]
fn a_relative_uri_costs_the_allocation_of_the_join_and_no_clone() {
    assert_eq!(cost_of_requests("/servers/detail?limit=9", false), (REQUESTS, 0));
}

#[test]
fn a_filter_in_the_request_costs_no_more_allocations() {
    assert_eq!(cost_of_requests("/servers/detail?limit=9", true), (REQUESTS, 0));
}

#[test]
fn a_microversion_costs_no_more_allocations() {
    let filter = to_type_7().microversion_for("compute", "2.79");
    for in_request in [false, true] {
        assert_eq!(cost_with(filter.clone(), "/servers/detail?limit=9", in_request), (REQUESTS, 0));
    }
}

#[test]
fn an_absolute_uri_costs_no_allocation_and_no_clone() {
    let uri = "https://service-7.example.com:8774/v2.1/servers/detail?limit=9";
    assert_eq!(cost_of_requests(uri, false), (0, 0));
}

#[test]
fn a_lookup_allocates_nothing_however_many_services_there_are() {
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
