//! Runs the cases. Contains in-memory servers and an allocator that counts memory.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    future::{Future, Ready, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicIsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tower::{BoxError, Service};
use tower_keystone::{
    AuthMethod, RenewalPolicy, RenewingPlugin, Transport, User, V3Credentials,
    fixture::{CatalogService, V3Token},
};

pub(crate) use crate::renewal::*;

/// A case of the fault matrix.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

/// The message of panics that are part of a case. They are not printed.
pub(crate) const EXPECTED_PANIC: &str = "this panic is part of a test";

/// Defines `CASES`, the cases of a file. Each is preceded by the function that runs it.
macro_rules! cases {
    ($($runtime:ident $name:ident),* $(,)?) => {
        pub(crate) const CASES: &[crate::support::Case] = &[
            $(crate::support::Case {
                name: stringify!($name),
                run: || crate::support::$runtime($name),
            }),*
        ];
    };
}
pub(crate) use cases;

/// Runs a case on a single-threaded runtime with a paused clock, which advances only while all tasks are idle.
pub(crate) fn paused<F: Future<Output = ()>>(case: impl Fn() -> F) {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(case());
}

/// Runs a case that uses sockets, on a single-threaded runtime with the real clock.
pub(crate) fn real_time<F: Future<Output = ()>>(case: impl Fn() -> F) {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(case());
}

/// Runs a case without a runtime.
pub(crate) fn without_runtime(case: impl Fn()) {
    case();
}

type RespondFn = dyn Fn(&Request<Full<Bytes>>, usize) -> Response<Full<Bytes>> + Send + Sync;

/// In-memory servers for all URLs. One function returns the response to a request. Its second argument is the number
/// of earlier requests. Clones share their state.
#[derive(Clone)]
pub(crate) struct Servers {
    requests: Arc<Mutex<Vec<(Method, String)>>>,
    respond: Arc<RespondFn>,
}

impl Servers {
    pub(crate) fn new(
        respond: impl Fn(&Request<Full<Bytes>>, usize) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self { requests: Arc::default(), respond: Arc::new(respond) }
    }

    /// Responds to the first request with `respond`, and to all others with a token.
    pub(crate) fn first(respond: impl Fn() -> Response<Full<Bytes>> + Send + Sync + 'static) -> Self {
        Self::new(
            move |_, before| {
                if before == 0 { respond() } else { token_response("token-1", &token_document()) }
            },
        )
    }

    /// Returns the methods and URLs of all requests.
    pub(crate) fn requests(&self) -> Vec<(Method, String)> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns the URLs of all login requests.
    pub(crate) fn posts(&self) -> Vec<String> {
        let posted = |(method, url)| (method == Method::POST).then_some(url);
        self.requests().into_iter().filter_map(posted).collect()
    }

    pub(crate) fn transport(&self) -> Transport {
        Transport::new(self.clone())
    }

    pub(crate) fn plugin(&self, time: &SimulatedTime) -> Plugin {
        self.plugin_with(time, RenewalPolicy::default())
    }

    pub(crate) fn plugin_with(&self, time: &SimulatedTime, policy: RenewalPolicy) -> Plugin {
        RenewingPlugin::new(password(), self.transport()).policy(policy).clock(time.clone()).seed(7)
    }
}

impl Service<Request<Full<Bytes>>> for Servers {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Full<Bytes>>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let before = {
            let mut requests = self.requests.lock().unwrap();
            requests.push((request.method().clone(), request.uri().to_string()));
            requests.len() - 1
        };
        ready(Ok((self.respond)(&request, before)))
    }
}

/// Returns password credentials for the Keystone at `https://keystone.test/v3`.
pub(crate) fn password() -> V3Credentials {
    password_at("https://keystone.test/v3")
}

pub(crate) fn password_at(auth_url: &str) -> V3Credentials {
    let alice = User::new().username("alice").user_domain_name("Default");
    V3Credentials::new(auth_url, AuthMethod::password(alice, "wonderland"))
}

pub(crate) fn build_response(
    status: u16,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body.into())).unwrap()
}

/// Returns a Keystone error with its document.
pub(crate) fn keystone_error(status: u16) -> Response<Full<Bytes>> {
    let document = json!({"error": {"code": status, "message": "no", "title": "No"}});
    build_response(status, &[("content-type", "application/json")], document.to_string())
}

pub(crate) fn token_response(token: &str, document: &Value) -> Response<Full<Bytes>> {
    build_response(201, &[("x-subject-token", token)], document.to_string())
}

/// Returns a token document with a compute endpoint. It is issued at the start of [`SimulatedTime`], for one hour.
pub(crate) fn token_document() -> Value {
    document_with("2027-01-15T08:00:00.000000Z", "2027-01-15T09:00:00.000000Z".into())
}

pub(crate) fn document_with(issued_at: &str, expires_at: Value) -> Value {
    let nova = CatalogService::new("compute").standard_endpoints("RegionOne", "https://nova.test/v2.1");
    let token = V3Token::new("u1", "alice").project("p1", "demo").service(&nova);
    token.with("issued_at", issued_at.into()).with("expires_at", expires_at).document().clone()
}

/// An allocator that counts the bytes in use and their peak.
struct CountingAllocator;

static IN_USE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

fn count(change: isize) {
    let now = IN_USE.fetch_add(change, Ordering::Relaxed) + change;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

// Safety: all calls are forwarded to the system allocator.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Returns the number of bytes in use.
pub(crate) fn memory_in_use() -> isize {
    IN_USE.load(Ordering::Relaxed)
}

/// Returns a function that returns the peak of memory since this call, in bytes beyond the bytes in use at this call.
pub(crate) fn peak_memory_from_now() -> impl Fn() -> isize {
    let before = memory_in_use();
    PEAK.store(before, Ordering::Relaxed);
    move || PEAK.load(Ordering::Relaxed) - before
}
