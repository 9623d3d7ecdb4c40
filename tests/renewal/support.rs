use std::{
    collections::VecDeque,
    future::{Future, Ready, ready},
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tokio_test::task;
use tower::{
    Layer, Service,
    retry::{Policy, Retry},
};
use tower_keystone::{
    AccessFuture, Auth, AuthLayer, AuthMethod, BoxError, Credentials, EndpointFilter, Error, IdentityPlugin,
    RenewalPolicy, RenewingPlugin, ServiceAccess, TokenRejected, Transport, User, V3Credentials,
    endpoint::Origin,
    fixture::{CatalogService, V3Token},
    renewal::{Clock, Now},
};

pub(crate) type Plugin = RenewingPlugin<V3Credentials>;

/// The default lifetime of a token. It is due for renewal 360 to 432 s before its expiry.
pub(crate) const HOUR: u64 = 3600;

/// Returns the origin of a service that rejects a token.
pub(crate) fn nova_origin() -> Origin {
    Origin::from_uri(&Uri::from_static("https://nova.example.com")).unwrap()
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Advances the paused clock by this number of seconds and runs all tasks meanwhile.
pub(crate) async fn sleep_secs(time: u64) {
    sleep(seconds(time)).await;
}

/// Runs the other tasks until they can make no more progress, without advancing the clock.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// The clocks of the client machine. The true time, which Keystone uses, can differ from them.
///
/// Clones share their state.
#[derive(Clone)]
pub(crate) struct SimulatedTime(Arc<Mutex<Clocks>>);

struct Clocks {
    start: Instant,
    suspended: Duration,
    wall_error: i64,
}

impl SimulatedTime {
    pub(crate) fn new() -> Self {
        let start = Instant::now();
        Self(Arc::new(Mutex::new(Clocks { start, suspended: Duration::ZERO, wall_error: 0 })))
    }

    /// Returns the true time since the start of the test.
    pub(crate) fn elapsed(&self) -> Duration {
        let clocks = self.0.lock().unwrap();
        clocks.start.elapsed() + clocks.suspended
    }

    /// Sets the wall clock of the client forward or back. The monotonic clock and the true time stay unchanged.
    pub(crate) fn step_wall(&self, seconds: i64) {
        self.0.lock().unwrap().wall_error += seconds;
    }

    /// Suspends the client machine: the true time goes on, and the monotonic clock stands still.
    pub(crate) fn suspend(&self, time: Duration) {
        self.0.lock().unwrap().suspended += time;
    }
}

/// Returns the time of a wall clock that is wrong by `error` seconds.
pub(crate) fn wall(elapsed: Duration, error: i64) -> SystemTime {
    let shown = SystemTime::UNIX_EPOCH + seconds(1_800_000_000) + elapsed;
    if error < 0 { shown - seconds(error.unsigned_abs()) } else { shown + seconds(error.unsigned_abs()) }
}

impl Clock for SimulatedTime {
    fn now(&self) -> Now {
        let elapsed = self.elapsed();
        let clocks = self.0.lock().unwrap();
        Now::new(wall(elapsed, clocks.wall_error), Instant::now().into_std())
    }
}

/// How [`ScriptedKeystone`] responds to one login.
#[derive(Clone, Debug)]
pub(crate) enum LoginResponse {
    /// A new token.
    Token,
    /// A new token, which is issued at once and arrives after this time.
    TokenInTransit(Duration),
    /// A Keystone error with its document.
    Status(u16),
    /// An error from a proxy in front of Keystone: status, content type and body.
    Proxy(u16, &'static str, &'static str),
    /// Status 503 with this `Retry-After`.
    RetryAfter(&'static str),
    /// Status 201 and a token header, with this body instead of a token document.
    Body(&'static str),
    /// An error of the client: the connection is refused.
    NoConnection,
    /// No response at all.
    Never,
    /// A response after this delay.
    Delayed(Duration, Box<LoginResponse>),
}

impl LoginResponse {
    pub(crate) fn delayed_by(self, time: Duration) -> Self {
        Self::Delayed(time, Box::new(self))
    }
}

/// A Keystone that responds to each login according to a script. Clones share their state.
#[derive(Clone)]
pub(crate) struct ScriptedKeystone(Arc<Mutex<State>>);

struct State {
    time: SimulatedTime,
    queued_responses: VecDeque<LoginResponse>,
    default_response: LoginResponse,
    lifetime: Option<i64>,
    skew: i64,
    logins: Vec<Duration>,
    issued: Vec<IssuedToken>,
    in_flight: usize,
    max_in_flight: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct IssuedToken {
    pub(crate) expires: Duration,
    pub(crate) revoked: bool,
}

impl ScriptedKeystone {
    /// Creates a Keystone that issues tokens with a lifetime of one hour.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            time: SimulatedTime::new(),
            queued_responses: VecDeque::new(),
            default_response: LoginResponse::Token,
            lifetime: Some(3600),
            skew: 0,
            logins: Vec::new(),
            issued: Vec::new(),
            in_flight: 0,
            max_in_flight: 0,
        })))
    }

    pub(crate) fn time(&self) -> SimulatedTime {
        self.state().time.clone()
    }

    /// Responds to all further logins like this, after the queued responses are used up.
    pub(crate) fn respond_with(&self, response: LoginResponse) {
        self.state().default_response = response;
    }

    /// Queues a response for each of the next logins.
    pub(crate) fn queue_responses(&self, responses: impl IntoIterator<Item = LoginResponse>) {
        self.state().queued_responses.extend(responses);
    }

    /// Sets the lifetime of new tokens, in seconds. With `None`, their documents contain no expiry.
    pub(crate) fn lifetime(&self, lifetime: Option<i64>) {
        self.state().lifetime = lifetime;
    }

    /// Sets the error of the Keystone clock, in seconds.
    pub(crate) fn skew(&self, seconds: i64) {
        self.state().skew = seconds;
    }

    /// Revokes all issued tokens.
    pub(crate) fn revoke(&self) {
        self.state().issued.iter_mut().for_each(|issued| issued.revoked = true);
    }

    /// Returns the number of logins that reached Keystone.
    pub(crate) fn logins(&self) -> usize {
        self.state().logins.len()
    }

    /// Returns the times of all logins.
    pub(crate) fn login_times(&self) -> Vec<Duration> {
        self.state().logins.clone()
    }

    /// Returns the largest number of logins that were in flight at the same time.
    pub(crate) fn max_concurrent_logins(&self) -> usize {
        self.state().max_in_flight
    }

    pub(crate) fn issued(&self) -> Vec<IssuedToken> {
        self.state().issued.clone()
    }

    /// Returns the token if it was issued by this Keystone.
    pub(crate) fn issued_token(&self, token: &str) -> Option<IssuedToken> {
        let number: usize = token.strip_prefix("token-")?.parse().ok()?;
        self.state().issued.get(number.checked_sub(1)?).copied()
    }

    fn is_valid(&self, token: &str) -> bool {
        let now = self.time().elapsed();
        self.issued_token(token).is_some_and(|issued| !issued.revoked && now < issued.expires)
    }

    pub(crate) fn credentials(&self) -> V3Credentials {
        let alice = User::new().username("alice").user_domain_name("Default");
        V3Credentials::new("https://keystone.test/v3", AuthMethod::password(alice, "wonderland"))
    }

    pub(crate) fn plugin(&self) -> Plugin {
        self.plugin_with(RenewalPolicy::default())
    }

    pub(crate) fn plugin_with(&self, policy: RenewalPolicy) -> Plugin {
        self.plugin_for(self.credentials(), policy)
    }

    pub(crate) fn plugin_for<C: Credentials>(
        &self,
        credentials: C,
        policy: RenewalPolicy,
    ) -> RenewingPlugin<C> {
        RenewingPlugin::new(credentials, Transport::new(self.clone()))
            .policy(policy)
            .clock(self.time())
            .seed(7)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn start_login(&self) -> (LoginResponse, InFlightLogin) {
        let mut state = self.state();
        let now = state.time.elapsed();
        state.logins.push(now);
        state.in_flight += 1;
        state.max_in_flight = state.max_in_flight.max(state.in_flight);
        let response = state.queued_responses.pop_front().unwrap_or_else(|| state.default_response.clone());
        (response, InFlightLogin(self.clone()))
    }

    fn issue(&self) -> Response<Full<Bytes>> {
        let mut state = self.state();
        let at = state.time.elapsed();
        let expires = match state.lifetime {
            Some(lifetime) => at + seconds(lifetime.max(0).unsigned_abs()),
            None => Duration::MAX,
        };
        state.issued.push(IssuedToken { expires, revoked: false });
        let token = format!("token-{}", state.issued.len());
        let nova = CatalogService::new("compute").standard_endpoints("RegionOne", "https://nova.test/v2.1");
        let glance = CatalogService::new("image").standard_endpoints("RegionOne", "https://glance.test");
        let cinder = CatalogService::new("volume").standard_endpoints("RegionOne", "https://cinder.test/v3");
        let mut document = V3Token::new("u1", "alice")
            .project("p1", "demo")
            .service(&glance)
            .service(&cinder)
            .service(&nova)
            .issued(wall(at, state.skew))
            .expires(wall(at, state.skew + state.lifetime.unwrap_or_default()));
        if state.lifetime.is_none() {
            document = document.with("expires_at", serde_json::Value::Null);
        }
        let body = Full::from(document.document().to_string());
        Response::builder().status(201).header("x-subject-token", token).body(body).unwrap()
    }
}

/// Returns the largest number of these times that fall within one minute.
pub(crate) fn max_per_minute(moments: &[Duration]) -> usize {
    let within = |from: Duration| moments.iter().filter(|at| (from..from + seconds(60)).contains(at)).count();
    moments.iter().map(|from| within(*from)).max().unwrap_or_default()
}

/// Counts a login as in flight until it is dropped: when the response is sent or the client gives up.
struct InFlightLogin(ScriptedKeystone);

impl Drop for InFlightLogin {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

impl Service<Request<Full<Bytes>>> for ScriptedKeystone {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        assert_eq!(request.uri(), "https://keystone.test/v3/auth/tokens");
        let keystone = self.clone();
        Box::pin(async move {
            let (mut response, _in_flight) = keystone.start_login();
            while let LoginResponse::Delayed(time, delayed) = response {
                sleep(time).await;
                response = *delayed;
            }
            let builder = |status: u16| Response::builder().status(status);
            match response {
                LoginResponse::Token => Ok(keystone.issue()),
                LoginResponse::TokenInTransit(time) => {
                    let response = keystone.issue();
                    sleep(time).await;
                    Ok(response)
                }
                LoginResponse::Status(status) => {
                    let document =
                        format!(r#"{{"error": {{"code": {status}, "message": "no", "title": "No"}}}}"#);
                    Ok(builder(status).header("content-type", "application/json").body(document.into())?)
                }
                LoginResponse::Proxy(status, content_type, body) => {
                    Ok(builder(status).header("content-type", content_type).body(body.into())?)
                }
                LoginResponse::RetryAfter(time) => {
                    Ok(builder(503).header("retry-after", time).body(Full::default())?)
                }
                LoginResponse::Body(body) => {
                    Ok(builder(201).header("x-subject-token", "gAAAA").body(Full::from(body))?)
                }
                LoginResponse::NoConnection => Err("connection refused".into()),
                LoginResponse::Never | LoginResponse::Delayed(..) => std::future::pending().await,
            }
        })
    }
}

/// Waits for the access of a plugin and returns its token.
pub(crate) async fn token<C: Credentials>(plugin: &RenewingPlugin<C>) -> Result<String, Error> {
    token_from_future(plugin.access()).await
}

/// Returns the token of a plugin if the access is ready, or `None` if a request would have to wait.
pub(crate) fn token_without_waiting<C: Credentials>(
    plugin: &RenewingPlugin<C>,
) -> Option<Result<String, Error>> {
    match task::spawn(token(plugin)).poll() {
        Poll::Ready(token) => Some(token),
        Poll::Pending => None,
    }
}

pub(crate) async fn token_from_future(access: AccessFuture) -> Result<String, Error> {
    Ok(token_from_access(&*access.await?))
}

pub(crate) fn token_from_access(access: &ServiceAccess) -> String {
    access.auth_ref().unwrap().auth_token().unwrap().to_owned()
}

/// A service that validates the token of a request when it arrives, and responds after a delay.
///
/// Clones share their state.
#[derive(Clone)]
pub(crate) struct ScriptedService {
    keystone: ScriptedKeystone,
    response_time: Arc<dyn Fn() -> Duration + Send + Sync>,
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
    service_type: &'static str,
    /// Returns whether to respond with 401 to the request of this number, even if its token is valid.
    rejects: fn(usize) -> bool,
    request_count: Arc<AtomicUsize>,
}

/// A request that reached the service.
#[derive(Clone)]
pub(crate) struct ReceivedRequest {
    pub(crate) token_expired: bool,
}

impl ScriptedService {
    pub(crate) fn new(
        keystone: &ScriptedKeystone,
        response_time: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self {
            keystone: keystone.clone(),
            response_time: Arc::new(response_time),
            requests: Arc::default(),
            service_type: "compute",
            rejects: |_| false,
            request_count: Arc::default(),
        }
    }

    /// Sets the service type in the catalog. The default is `compute`.
    pub(crate) fn service_type(self, service_type: &'static str) -> Self {
        Self { service_type, ..self }
    }

    /// Responds with 401 to requests of these numbers, even if their token is valid.
    pub(crate) fn rejecting(self, rejects: fn(usize) -> bool) -> Self {
        Self { rejects, ..self }
    }

    /// Responds with 401 to every request, even if its token is valid.
    pub(crate) fn rejecting_all(self) -> Self {
        self.rejecting(|_| true)
    }

    /// Returns and forgets the requests that arrived since the last call.
    pub(crate) fn take_requests(&self) -> Vec<ReceivedRequest> {
        mem::take(&mut *self.requests.lock().unwrap())
    }

    /// Wraps the service in [`AuthLayer`].
    pub(crate) fn with_auth(&self, plugin: &Plugin) -> Auth<Plugin, Self> {
        AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new(self.service_type)).layer(self.clone())
    }

    /// Wraps the service in [`AuthLayer`], and retries each rejected request once.
    pub(crate) fn with_auth_and_retry(&self, plugin: &Plugin) -> Retry<RetryOnce, Auth<Plugin, Self>> {
        Retry::new(RetryOnce::default(), self.with_auth(plugin))
    }
}

impl Service<Request<()>> for ScriptedService {
    type Response = Response<()>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<()>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let token = request.headers()["x-auth-token"].to_str().unwrap().to_owned();
        let number = self.request_count.fetch_add(1, Ordering::Relaxed);
        let accepted = self.keystone.is_valid(&token) && !(self.rejects)(number);
        let now = self.keystone.time().elapsed();
        let token_expired = self.keystone.issued_token(&token).is_none_or(|issued| now >= issued.expires);
        self.requests.lock().unwrap().push(ReceivedRequest { token_expired });
        let time = (self.response_time)();
        Box::pin(async move {
            if !time.is_zero() {
                sleep(time).await;
            }
            Ok(Response::builder().status(if accepted { 200 } else { 401 }).body(()).unwrap())
        })
    }
}

pub(crate) fn get() -> Request<()> {
    Request::get("/servers").body(()).unwrap()
}

/// Retries a request once if the service rejected its token and the rejection is not final.
#[derive(Clone, Default)]
pub(crate) struct RetryOnce {
    has_retried: bool,
}

impl Policy<Request<()>, Response<()>, BoxError> for RetryOnce {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<()>,
        result: &mut Result<Response<()>, BoxError>,
    ) -> Option<Ready<()>> {
        let rejection = result.as_ref().ok()?.extensions().get::<TokenRejected>()?;
        (!rejection.is_final() && !mem::replace(&mut self.has_retried, true)).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<()>) -> Option<Request<()>> {
        Some(request.clone())
    }
}
