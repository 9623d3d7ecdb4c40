//! Runs the cases, with servers in memory and counted memory.

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

/// One case of the matrix.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
}

/// What panics say that cases are about. They are not shown.
pub(crate) const WANTED_PANIC: &str = "a test wants this panic";

/// The cases of a file, each with the kind of runtime it wants.
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

/// On one thread, with a clock that moves only when nothing else does.
pub(crate) fn paused<F: Future<Output = ()>>(case: impl Fn() -> F) {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(case());
}

/// On one thread with a clock that runs: for sockets.
pub(crate) fn running<F: Future<Output = ()>>(case: impl Fn() -> F) {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(case());
}

/// Without a runtime.
pub(crate) fn alone(case: impl Fn()) {
    case();
}

type Answering = dyn Fn(&Request<Full<Bytes>>, usize) -> Response<Full<Bytes>> + Send + Sync;

/// All servers there are, in memory. They answer by one function, which is told how many requests came
/// before. Clones are the same.
#[derive(Clone)]
pub(crate) struct Servers {
    seen: Arc<Mutex<Vec<(Method, String)>>>,
    answer: Arc<Answering>,
}

impl Servers {
    pub(crate) fn new(
        answer: impl Fn(&Request<Full<Bytes>>, usize) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        Self { seen: Arc::default(), answer: Arc::new(answer) }
    }

    /// Answers the first request as told, and all others with a token.
    pub(crate) fn first(answer: impl Fn() -> Response<Full<Bytes>> + Send + Sync + 'static) -> Self {
        Self::new(move |_, before| if before == 0 { answer() } else { token_answer("token-1", &hour()) })
    }

    /// The methods and URLs of what came.
    pub(crate) fn seen(&self) -> Vec<(Method, String)> {
        self.seen.lock().unwrap().clone()
    }

    /// The URLs that credentials were sent to.
    pub(crate) fn posts(&self) -> Vec<String> {
        let posted = |(method, url)| (method == Method::POST).then_some(url);
        self.seen().into_iter().filter_map(posted).collect()
    }

    pub(crate) fn transport(&self) -> Transport {
        Transport::new(self.clone())
    }

    pub(crate) fn plugin(&self, time: &Time) -> Plugin {
        self.plugin_with(time, RenewalPolicy::default())
    }

    pub(crate) fn plugin_with(&self, time: &Time, policy: RenewalPolicy) -> Plugin {
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
            let mut seen = self.seen.lock().unwrap();
            seen.push((request.method().clone(), request.uri().to_string()));
            seen.len() - 1
        };
        ready(Ok((self.answer)(&request, before)))
    }
}

/// Alice's password, for the Keystone at `https://keystone.test/v3`.
pub(crate) fn password() -> V3Credentials {
    password_at("https://keystone.test/v3")
}

pub(crate) fn password_at(auth_url: &str) -> V3Credentials {
    let alice = User::new().username("alice").user_domain_name("Default");
    V3Credentials::new(auth_url, AuthMethod::password(alice, "wonderland"))
}

pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Full::new(body.into())).unwrap()
}

/// An error of Keystone, with its document.
pub(crate) fn refusal(status: u16) -> Response<Full<Bytes>> {
    let document = json!({"error": {"code": status, "message": "no", "title": "No"}});
    answer(status, &[("content-type", "application/json")], document.to_string())
}

pub(crate) fn token_answer(token: &str, document: &Value) -> Response<Full<Bytes>> {
    answer(201, &[("x-subject-token", token)], document.to_string())
}

/// A document of a token for Nova that was issued when [`Time`] began, and lives for an hour.
pub(crate) fn hour() -> Value {
    document_with("2027-01-15T08:00:00.000000Z", "2027-01-15T09:00:00.000000Z".into())
}

pub(crate) fn document_with(issued_at: &str, expires_at: Value) -> Value {
    let nova = CatalogService::new("compute").standard_endpoints("RegionOne", "https://nova.test/v2.1");
    let token = V3Token::new("u1", "alice").project("p1", "demo").service(&nova);
    token.with("issued_at", issued_at.into()).with("expires_at", expires_at).document().clone()
}

/// Counts the memory that is in use, and the most of it.
struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

fn count(change: isize) {
    let now = IN_USE.fetch_add(change, Ordering::Relaxed) + change;
    MOST.fetch_max(now, Ordering::Relaxed);
}

// Safety: all is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
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
static COUNTING: Counting = Counting;

/// How many bytes are in use.
pub(crate) fn in_use() -> isize {
    IN_USE.load(Ordering::Relaxed)
}

/// How many bytes more than now were in use at the most until the answer is asked for.
pub(crate) fn most_from_now() -> impl Fn() -> isize {
    let before = in_use();
    MOST.store(before, Ordering::Relaxed);
    move || MOST.load(Ordering::Relaxed) - before
}
