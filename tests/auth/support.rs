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

/// Returns an access info of user `u1` that is scoped to project `p1` and has this catalog.
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

/// Returns an access info whose catalog lists Nova in two regions, and Cinder and Swift in one.
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

/// Returns a plugin whose only token is `token-1` and cannot be renewed.
pub(crate) fn fixed_token() -> AccessInfoPlugin {
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

/// Sends one request through `layer` to `inner`.
pub(crate) async fn send<P: IdentityPlugin>(
    layer: &AuthLayer<P>,
    inner: &Inner,
    request: Request<()>,
) -> Result<Response<()>, BoxError> {
    layer.layer(inner.clone()).oneshot(request).await
}

/// Sends one request and returns its head as the inner service received it.
pub(crate) async fn sent<P: IdentityPlugin>(layer: &AuthLayer<P>, request: Request<()>) -> Parts {
    let inner = Inner::new();
    send(layer, &inner, request).await.unwrap();
    assert_eq!(inner.count(), 1);
    inner.seen().remove(0)
}

/// Sends one request that the layer must refuse, and returns the error.
pub(crate) async fn refused<P: IdentityPlugin>(layer: &AuthLayer<P>, request: Request<()>) -> Error {
    let inner = Inner::new();
    let error = send(layer, &inner, request).await.unwrap_err();
    assert_eq!(inner.count(), 0, "the request was sent despite the error: {error}");
    Error::find(&*error).unwrap().clone()
}

/// Returns the values of all `X-Auth-Token` headers of a request.
pub(crate) fn tokens(parts: &Parts) -> Vec<&str> {
    parts.headers.get_all("x-auth-token").iter().map(|value| value.to_str().unwrap()).collect()
}

/// Returns the next request of a mock, which must have arrived already: waiting for it could block forever.
pub(crate) fn next_request<T, U>(handle: &mut Handle<T, U>) -> (T, SendResponse<U>) {
    assert_ready!(handle.poll_request()).unwrap()
}

/// Lets other tasks run until the condition holds.
pub(crate) async fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the condition does not hold after 1,000 yields");
}

/// Awaits the future, and panics after a day. With a paused clock, this detects a future that never resolves.
pub(crate) async fn within_a_day<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(86_400), future).await.unwrap()
}

type Responder = dyn Fn(&Parts) -> Response<()> + Send + Sync;

/// The service inside the layer. It records the requests that it receives.
///
/// It panics if a clone is called that was not polled ready.
pub(crate) struct Inner<B = ()> {
    seen: Arc<Mutex<Vec<Parts>>>,
    responder: Arc<Responder>,
    clones: Arc<AtomicUsize>,
    ready: bool,
    body: PhantomData<fn(B)>,
}

impl Inner {
    /// Always responds with 200.
    pub(crate) fn new() -> Self {
        Self::with_statuses([])
    }

    /// Responds with these statuses one after the other, and then with 200.
    pub(crate) fn with_statuses(statuses: impl Into<VecDeque<u16>>) -> Self {
        let statuses = Mutex::new(statuses.into());
        Self::respond_with(move |_| status(statuses.lock().unwrap().pop_front().unwrap_or(200)))
    }
}

impl<B> Inner<B> {
    pub(crate) fn respond_with(responder: impl Fn(&Parts) -> Response<()> + Send + Sync + 'static) -> Self {
        let (seen, clones) = Default::default();
        Self { seen, responder: Arc::new(responder), clones, ready: false, body: PhantomData }
    }

    /// Returns the heads of all requests so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Vec<Parts>> {
        self.seen.lock().unwrap()
    }

    /// Returns how often the service was cloned.
    pub(crate) fn clones(&self) -> usize {
        self.clones.load(Ordering::Relaxed)
    }

    /// Returns the number of requests so far.
    pub(crate) fn count(&self) -> usize {
        self.seen().len()
    }

    /// Returns the tokens of all requests so far.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.seen().iter().flat_map(tokens).map(str::to_owned).collect()
    }

    /// Returns the URIs of all requests so far.
    pub(crate) fn uris(&self) -> Vec<String> {
        self.seen().iter().map(|parts| parts.uri.to_string()).collect()
    }
}

impl<B> Clone for Inner<B> {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::Relaxed);
        let (seen, responder, clones) = (self.seen.clone(), self.responder.clone(), self.clones.clone());
        Self { seen, responder, clones, ready: false, body: PhantomData }
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
        let response = (self.responder)(&parts);
        self.seen().push(parts);
        ready(Ok(response))
    }
}

pub(crate) fn status(code: u16) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

/// A plugin that issues `token-1`, `token-2` and so on, and fails or waits as the test says. Clones share one state.
#[derive(Clone, Default)]
pub(crate) struct ScriptedPlugin(Arc<State>);

#[derive(Default)]
struct State {
    current: Mutex<Option<Arc<ServiceAccess>>>,
    /// Each call of `access` without a current access takes the next gate and waits for it.
    gates: Mutex<VecDeque<oneshot::Receiver<()>>>,
    failures: Mutex<VecDeque<Error>>,
    invalidated: Mutex<Vec<Arc<ServiceAccess>>>,
    access_calls: AtomicUsize,
    issued: AtomicUsize,
}

impl ScriptedPlugin {
    /// Makes the next request that needs a new token wait until the returned sender is used or dropped.
    pub(crate) fn hold(&self) -> oneshot::Sender<()> {
        let (release, gate) = oneshot::channel();
        self.0.gates.lock().unwrap().push_back(gate);
        release
    }

    /// Makes the next renewal fail with this error.
    pub(crate) fn fail(&self, error: Error) {
        self.0.failures.lock().unwrap().push_back(error);
    }

    /// Returns how often `access` was called.
    pub(crate) fn access_calls(&self) -> usize {
        self.0.access_calls.load(Ordering::Relaxed)
    }

    /// Returns how many tokens were issued.
    pub(crate) fn issued(&self) -> usize {
        self.0.issued.load(Ordering::Relaxed)
    }

    pub(crate) fn current(&self) -> Option<Arc<ServiceAccess>> {
        self.0.current.lock().unwrap().clone()
    }

    /// Returns the accesses that were passed to `invalidate`.
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

impl IdentityPlugin for ScriptedPlugin {
    fn access(&self) -> AccessFuture {
        self.0.access_calls.fetch_add(1, Ordering::Relaxed);
        if let Some(access) = self.current() {
            return AccessFuture::ready(Ok(access));
        }
        let Some(gate) = self.0.gates.lock().unwrap().pop_front() else {
            return AccessFuture::ready(self.0.renew());
        };
        let state = self.0.clone();
        AccessFuture::new(async move {
            // A gate is also open if its sender was dropped.
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
