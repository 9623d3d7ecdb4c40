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

/// The origin of a service that refuses a token.
pub(crate) fn nova() -> Origin {
    Origin::from_uri(&Uri::from_static("https://nova.example.com")).unwrap()
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Lets time pass, and whatever happens meanwhile happen.
pub(crate) async fn pass(time: u64) {
    sleep(seconds(time)).await;
}

/// Lets what can happen without time passing happen.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// The clocks of the machine under test, and the true time, which is Keystone's. Clones are the same.
#[derive(Clone)]
pub(crate) struct Time(Arc<Mutex<Clocks>>);

struct Clocks {
    start: Instant,
    suspended: Duration,
    wall_error: i64,
}

impl Time {
    pub(crate) fn new() -> Self {
        let start = Instant::now();
        Self(Arc::new(Mutex::new(Clocks { start, suspended: Duration::ZERO, wall_error: 0 })))
    }

    /// The true time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        let clocks = self.0.lock().unwrap();
        clocks.start.elapsed() + clocks.suspended
    }

    /// Sets the time of day forth or back. Nothing else notices.
    pub(crate) fn step_wall(&self, seconds: i64) {
        self.0.lock().unwrap().wall_error += seconds;
    }

    /// The machine sleeps: its monotonic clock stands still.
    pub(crate) fn suspend(&self, time: Duration) {
        self.0.lock().unwrap().suspended += time;
    }
}

/// What a clock shows that is some seconds wrong.
pub(crate) fn wall(elapsed: Duration, error: i64) -> SystemTime {
    let shown = SystemTime::UNIX_EPOCH + seconds(1_800_000_000) + elapsed;
    if error < 0 { shown - seconds(error.unsigned_abs()) } else { shown + seconds(error.unsigned_abs()) }
}

impl Clock for Time {
    fn now(&self) -> Now {
        let elapsed = self.elapsed();
        let clocks = self.0.lock().unwrap();
        Now::new(wall(elapsed, clocks.wall_error), Instant::now().into_std())
    }
}

/// What Keystone does with one login.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Token,
    /// An error of Keystone, with its document.
    Status(u16),
    /// An error of a proxy in front of it: status, content type and body.
    Proxy(u16, &'static str, &'static str),
    RetryAfter(&'static str),
    Body(&'static str),
    NoConnection,
    Hang,
    After(Duration, Box<Answer>),
}

impl Answer {
    pub(crate) fn slowly(self, time: Duration) -> Self {
        Self::After(time, Box::new(self))
    }
}

/// A Keystone that answers each login as it is told. Clones are the same.
#[derive(Clone)]
pub(crate) struct Keystone(Arc<Mutex<State>>);

struct State {
    time: Time,
    script: VecDeque<Answer>,
    usual: Answer,
    lifetime: Option<i64>,
    skew: i64,
    logins: Vec<Duration>,
    issued: Vec<Issued>,
    under_way: usize,
    at_once: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct Issued {
    pub(crate) expires: Duration,
    pub(crate) revoked: bool,
}

impl Keystone {
    /// Issues tokens that live for an hour.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            time: Time::new(),
            script: VecDeque::new(),
            usual: Answer::Token,
            lifetime: Some(3600),
            skew: 0,
            logins: Vec::new(),
            issued: Vec::new(),
            under_way: 0,
            at_once: 0,
        })))
    }

    pub(crate) fn time(&self) -> Time {
        self.state().time.clone()
    }

    /// What it does from now on, unless the script has more.
    pub(crate) fn usually(&self, answer: Answer) {
        self.state().usual = answer;
    }

    /// What it does with the next logins.
    pub(crate) fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state().script.extend(answers);
    }

    /// How many seconds tokens live from now on; `None` lets their documents not say it.
    pub(crate) fn lifetime(&self, lifetime: Option<i64>) {
        self.state().lifetime = lifetime;
    }

    /// Sets its clock wrong by so many seconds.
    pub(crate) fn skew(&self, seconds: i64) {
        self.state().skew = seconds;
    }

    /// Revokes all tokens there are.
    pub(crate) fn revoke(&self) {
        self.state().issued.iter_mut().for_each(|issued| issued.revoked = true);
    }

    /// How many logins reached it.
    pub(crate) fn logins(&self) -> usize {
        self.state().logins.len()
    }

    /// When they did.
    pub(crate) fn logins_at(&self) -> Vec<Duration> {
        self.state().logins.clone()
    }

    /// The most of them that were under way at once.
    pub(crate) fn at_once(&self) -> usize {
        self.state().at_once
    }

    pub(crate) fn issued(&self) -> Vec<Issued> {
        self.state().issued.clone()
    }

    /// What it knows of a token.
    pub(crate) fn look_up(&self, token: &str) -> Option<Issued> {
        let number: usize = token.strip_prefix("token-")?.parse().ok()?;
        self.state().issued.get(number.checked_sub(1)?).copied()
    }

    fn is_good(&self, token: &str) -> bool {
        let now = self.time().elapsed();
        self.look_up(token).is_some_and(|issued| !issued.revoked && now < issued.expires)
    }

    pub(crate) fn credentials(&self) -> V3Credentials {
        let alice = User::new().username("alice").user_domain_name("Default");
        V3Credentials::new("https://keystone.test/v3", AuthMethod::password(alice, "wonderland"))
    }

    pub(crate) fn plugin(&self) -> Plugin {
        self.plugin_with(RenewalPolicy::default())
    }

    pub(crate) fn plugin_with(&self, policy: RenewalPolicy) -> Plugin {
        self.plugin_of(self.credentials(), policy)
    }

    pub(crate) fn plugin_of<C: Credentials>(
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

    fn arrived(&self) -> (Answer, UnderWay) {
        let mut state = self.state();
        let now = state.time.elapsed();
        state.logins.push(now);
        state.under_way += 1;
        state.at_once = state.at_once.max(state.under_way);
        let answer = state.script.pop_front().unwrap_or_else(|| state.usual.clone());
        (answer, UnderWay(self.clone()))
    }

    fn issue(&self) -> Response<Full<Bytes>> {
        let mut state = self.state();
        let at = state.time.elapsed();
        let expires = match state.lifetime {
            Some(lifetime) => at + seconds(lifetime.max(0).unsigned_abs()),
            None => Duration::MAX,
        };
        state.issued.push(Issued { expires, revoked: false });
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

/// The most of these moments that are within one minute.
pub(crate) fn most_within_a_minute(moments: &[Duration]) -> usize {
    let within = |from: Duration| moments.iter().filter(|at| (from..from + seconds(60)).contains(at)).count();
    moments.iter().map(|from| within(*from)).max().unwrap_or_default()
}

/// A login under way; dropped when it was answered, or given up.
struct UnderWay(Keystone);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}

impl Service<Request<Full<Bytes>>> for Keystone {
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
            let (mut answer, _under_way) = keystone.arrived();
            while let Answer::After(time, later) = answer {
                sleep(time).await;
                answer = *later;
            }
            let empty = |status: u16| Response::builder().status(status);
            match answer {
                Answer::Token => Ok(keystone.issue()),
                Answer::Status(status) => {
                    let document =
                        format!(r#"{{"error": {{"code": {status}, "message": "no", "title": "No"}}}}"#);
                    Ok(empty(status).header("content-type", "application/json").body(document.into())?)
                }
                Answer::Proxy(status, content_type, body) => {
                    Ok(empty(status).header("content-type", content_type).body(body.into())?)
                }
                Answer::RetryAfter(time) => {
                    Ok(empty(503).header("retry-after", time).body(Full::default())?)
                }
                Answer::Body(body) => {
                    Ok(empty(201).header("x-subject-token", "gAAAA").body(Full::from(body))?)
                }
                Answer::NoConnection => Err("connection refused".into()),
                Answer::Hang | Answer::After(..) => std::future::pending().await,
            }
        })
    }
}

/// The token of the access that a plugin has, which may take its time.
pub(crate) async fn token<C: Credentials>(plugin: &RenewingPlugin<C>) -> Result<String, Error> {
    token_of(plugin.access()).await
}

/// The same if the access is there without waiting.
pub(crate) fn token_at_once<C: Credentials>(plugin: &RenewingPlugin<C>) -> Option<Result<String, Error>> {
    match task::spawn(token(plugin)).poll() {
        Poll::Ready(token) => Some(token),
        Poll::Pending => None,
    }
}

pub(crate) async fn token_of(access: AccessFuture) -> Result<String, Error> {
    Ok(token_of_access(&*access.await?))
}

pub(crate) fn token_of_access(access: &ServiceAccess) -> String {
    access.auth_ref().unwrap().auth_token().unwrap().to_owned()
}

/// A service that lets in whoever has a good token, and says so after a while. It looks at the token when
/// the request comes. Clones are the same.
#[derive(Clone)]
pub(crate) struct Nova {
    keystone: Keystone,
    takes: Arc<dyn Fn() -> Duration + Send + Sync>,
    seen: Arc<Mutex<Vec<Seen>>>,
    service_type: &'static str,
    /// Whether it refuses a request of this number, whatever the token.
    refuses: fn(usize) -> bool,
    requests: Arc<AtomicUsize>,
}

/// A request that came.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) expired: bool,
}

impl Nova {
    pub(crate) fn new(keystone: &Keystone, takes: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self {
            keystone: keystone.clone(),
            takes: Arc::new(takes),
            seen: Arc::default(),
            service_type: "compute",
            refuses: |_| false,
            requests: Arc::default(),
        }
    }

    /// Another service of the catalog.
    pub(crate) fn of_type(self, service_type: &'static str) -> Self {
        Self { service_type, ..self }
    }

    /// Answers 401 to requests of these numbers, whatever the token.
    pub(crate) fn refusing(self, refuses: fn(usize) -> bool) -> Self {
        Self { refuses, ..self }
    }

    /// Answers 401 whatever the token.
    pub(crate) fn closed(self) -> Self {
        self.refusing(|_| true)
    }

    /// What came since this was last asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        mem::take(&mut *self.seen.lock().unwrap())
    }

    pub(crate) fn behind(&self, plugin: &Plugin) -> Auth<Plugin, Self> {
        AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new(self.service_type)).layer(self.clone())
    }

    /// The same with one more go for what was refused.
    pub(crate) fn behind_retry(&self, plugin: &Plugin) -> Retry<OnceMore, Auth<Plugin, Self>> {
        Retry::new(OnceMore::default(), self.behind(plugin))
    }
}

impl Service<Request<()>> for Nova {
    type Response = Response<()>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<()>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let token = request.headers()["x-auth-token"].to_str().unwrap().to_owned();
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let good = self.keystone.is_good(&token) && !(self.refuses)(number);
        let now = self.keystone.time().elapsed();
        let expired = self.keystone.look_up(&token).is_none_or(|issued| now >= issued.expires);
        self.seen.lock().unwrap().push(Seen { expired });
        let time = (self.takes)();
        Box::pin(async move {
            if !time.is_zero() {
                sleep(time).await;
            }
            Ok(Response::builder().status(if good { 200 } else { 401 }).body(()).unwrap())
        })
    }
}

pub(crate) fn get() -> Request<()> {
    Request::get("/servers").body(()).unwrap()
}

/// Sends a request once more if it was refused and the plugin says that it makes sense.
#[derive(Clone, Default)]
pub(crate) struct OnceMore {
    done: bool,
}

impl Policy<Request<()>, Response<()>, BoxError> for OnceMore {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<()>,
        result: &mut Result<Response<()>, BoxError>,
    ) -> Option<Ready<()>> {
        let refusal = result.as_ref().ok()?.extensions().get::<TokenRejected>()?;
        (!refusal.is_final() && !mem::replace(&mut self.done, true)).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<()>) -> Option<Request<()>> {
        Some(request.clone())
    }
}
