use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Future, Ready, ready},
    marker::PhantomData,
    mem,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode, Uri, request::Parts};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_test::assert_ready;
use tower::{Layer, Service, ServiceExt};
use tower_keystone::{
    AccessFuture, AccessInfo, AccessInfoPlugin, AuthLayer, BoxError, EndpointFilter, Error, IdentityPlugin,
    ServiceAccess, endpoint::Origin,
};
use tower_test::mock::{Handle, SendResponse};

pub(crate) const NOVA: &str = "https://nova.example.com/v2.1";
pub(crate) const AUTH_URL: &str = "https://keystone.example.com:5000/v3";

/// A v3 document of user `u1` with this catalog, scoped to project `p1`.
pub(crate) fn access_info_with(token: &str, catalog: Value) -> AccessInfo {
    let body = json!({"token": {
        "methods": ["password"],
        "user": {"id": "u1", "name": "alice", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p1", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "expires_at": "2999-01-01T00:00:00.000000Z",
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "catalog": catalog,
    }});
    AccessInfo::new(token, body.to_string()).unwrap()
}

pub(crate) fn access_info(token: &str) -> AccessInfo {
    let endpoint = |interface: &str, region: &str, url: &str| {
        json!({
            "id": format!("{interface}-{region}"),
            "interface": interface,
            "region": region,
            "region_id": region,
            "url": url,
        })
    };
    access_info_with(
        token,
        json!([
            {"type": "compute", "name": "nova", "id": "s1", "endpoints": [
                endpoint("admin", "RegionOne", "https://nova.admin.example.com:8774/v2.1"),
                endpoint("public", "RegionOne", NOVA),
                endpoint("internal", "RegionOne", "https://nova.internal:8774/v2.1"),
                endpoint("public", "RegionTwo", "https://nova.two.example.com/v2.1/"),
            ]},
            {"type": "volumev3", "name": "cinder", "id": "s2", "endpoints": [
                endpoint("public", "RegionOne", "https://cinder.example.com:8776/v3/p1"),
            ]},
            {"type": "object-store", "name": "swift", "id": "s3", "endpoints": [
                endpoint("public", "RegionOne", "http://swift.example.com:8080/v1/AUTH_p1"),
            ]},
        ]),
    )
}

/// A plugin that sends `token-1` and cannot renew it.
pub(crate) fn fixed() -> AccessInfoPlugin {
    AccessInfoPlugin::new(access_info("token-1"))
}

pub(crate) fn to_nova() -> EndpointFilter {
    EndpointFilter::new("compute").region("RegionOne")
}

pub(crate) fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).unwrap()
}

pub(crate) fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

pub(crate) fn origin(url: &str) -> Origin {
    Origin::from_uri(&uri(url)).unwrap()
}

/// Sends one request through a layer around `inner`.
pub(crate) async fn send<P: IdentityPlugin>(
    layer: &AuthLayer<P>,
    inner: &Inner,
    request: Request<()>,
) -> Result<Response<()>, BoxError> {
    layer.layer(inner.clone()).oneshot(request).await
}

/// What the inner service got of one request that went through.
pub(crate) async fn sent<P: IdentityPlugin>(layer: &AuthLayer<P>, request: Request<()>) -> Parts {
    let inner = Inner::new();
    send(layer, &inner, request).await.unwrap();
    assert_eq!(inner.count(), 1);
    inner.seen().remove(0)
}

/// The error of one request that must not reach the inner service.
pub(crate) async fn refused<P: IdentityPlugin>(layer: &AuthLayer<P>, request: Request<()>) -> Error {
    let inner = Inner::new();
    let error = send(layer, &inner, request).await.unwrap_err();
    assert_eq!(inner.count(), 0, "sent in spite of {error}");
    Error::find(&*error).unwrap().clone()
}

/// The tokens that a request carries, however many.
pub(crate) fn tokens(parts: &Parts) -> Vec<&str> {
    parts.headers.get_all("x-auth-token").iter().map(|value| value.to_str().unwrap()).collect()
}

/// What a mock must have got by now; waiting for it could hang.
pub(crate) fn next<T, U>(handle: &mut Handle<T, U>) -> (T, SendResponse<U>) {
    assert_ready!(handle.poll_request()).unwrap()
}

/// Lets other tasks run until something has happened.
pub(crate) async fn until(happened: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if happened() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it does not happen");
}

/// Fails, where the clock is paused, if the future waits for what never comes.
pub(crate) async fn in_the_end<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(86_400), future).await.unwrap()
}

type Answer = dyn Fn(&Parts) -> Response<()> + Send + Sync;

/// The service inside the layer: writes down what it gets. As strict as tower's own about
/// readiness: whoever calls a clone that was not polled ready gets a panic.
pub(crate) struct Inner<B = ()> {
    seen: Arc<Mutex<Vec<Parts>>>,
    answer: Arc<Answer>,
    clones: Arc<AtomicUsize>,
    ready: bool,
    body: PhantomData<fn(B)>,
}

impl Inner {
    /// Always answers 200.
    pub(crate) fn new() -> Self {
        Self::answering([])
    }

    /// Answers these statuses one after the other, and then 200.
    pub(crate) fn answering(statuses: impl Into<VecDeque<u16>>) -> Self {
        let statuses = Mutex::new(statuses.into());
        Self::with(move |_| status(statuses.lock().unwrap().pop_front().unwrap_or(200)))
    }
}

impl<B> Inner<B> {
    pub(crate) fn with(answer: impl Fn(&Parts) -> Response<()> + Send + Sync + 'static) -> Self {
        let (seen, clones) = Default::default();
        Self { seen, answer: Arc::new(answer), clones, ready: false, body: PhantomData }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Vec<Parts>> {
        self.seen.lock().unwrap()
    }

    /// How often it was cloned.
    pub(crate) fn clones(&self) -> usize {
        self.clones.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) -> usize {
        self.seen().len()
    }

    /// The tokens of all requests so far.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.seen().iter().flat_map(tokens).map(str::to_owned).collect()
    }

    pub(crate) fn uris(&self) -> Vec<String> {
        self.seen().iter().map(|parts| parts.uri.to_string()).collect()
    }
}

impl<B> Clone for Inner<B> {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        let (seen, answer, clones) = (self.seen.clone(), self.answer.clone(), self.clones.clone());
        Self { seen, answer, clones, ready: false, body: PhantomData }
    }
}

impl<B> Service<Request<B>> for Inner<B> {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(mem::take(&mut self.ready), "called without having been polled ready");
        let (parts, _) = request.into_parts();
        let response = (self.answer)(&parts);
        self.seen().push(parts);
        ready(Ok(response))
    }
}

pub(crate) fn status(code: u16) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

/// A plugin that renews: token-1, token-2 and so on. Clones are the same plugin.
#[derive(Clone, Default)]
pub(crate) struct RenewingPlugin(Arc<State>);

#[derive(Default)]
struct State {
    current: Mutex<Option<Arc<ServiceAccess>>>,
    /// What calls of `access` without a current access wait for, in this order.
    gates: Mutex<VecDeque<oneshot::Receiver<()>>>,
    failures: Mutex<VecDeque<Error>>,
    invalidated: Mutex<Vec<Arc<ServiceAccess>>>,
    asked: AtomicUsize,
    issued: AtomicUsize,
}

impl RenewingPlugin {
    /// Lets the next request that needs a new token wait until the answer is used or dropped.
    pub(crate) fn hold(&self) -> oneshot::Sender<()> {
        let (release, gate) = oneshot::channel();
        self.0.gates.lock().unwrap().push_back(gate);
        release
    }

    /// Lets the next renewal fail.
    pub(crate) fn fail(&self, error: Error) {
        self.0.failures.lock().unwrap().push_back(error);
    }

    /// How often `access` was called.
    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// How many tokens were issued.
    pub(crate) fn issued(&self) -> usize {
        self.0.issued.load(Ordering::Relaxed)
    }

    pub(crate) fn current(&self) -> Option<Arc<ServiceAccess>> {
        self.0.current.lock().unwrap().clone()
    }

    /// What `invalidate` was called with.
    pub(crate) fn invalidated(&self) -> Vec<Arc<ServiceAccess>> {
        self.0.invalidated.lock().unwrap().clone()
    }
}

impl State {
    fn renew(&self) -> Result<Arc<ServiceAccess>, Error> {
        let mut current = self.current.lock().unwrap();
        if let Some(access) = &*current {
            return Ok(access.clone());
        }
        if let Some(error) = self.failures.lock().unwrap().pop_front() {
            return Err(error);
        }
        let number = self.issued.fetch_add(1, Ordering::Relaxed) + 1;
        let access = ServiceAccess::from_auth_ref(access_info(&format!("token-{number}"))).map(Arc::new)?;
        *current = Some(access.clone());
        Ok(access)
    }
}

impl IdentityPlugin for RenewingPlugin {
    fn access(&self) -> AccessFuture {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(access) = self.current() {
            return AccessFuture::ready(Ok(access));
        }
        let Some(gate) = self.0.gates.lock().unwrap().pop_front() else {
            return AccessFuture::ready(self.0.renew());
        };
        let state = self.0.clone();
        AccessFuture::new(async move {
            // A gate whose other end was dropped is open as well.
            let _ = gate.await;
            state.renew()
        })
    }

    fn invalidate(&self, used: &Arc<ServiceAccess>, _by: &Origin) -> bool {
        self.0.invalidated.lock().unwrap().push(used.clone());
        let mut current = self.0.current.lock().unwrap();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, used)) {
            *current = None;
        }
        true
    }
}
