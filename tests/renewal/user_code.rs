//! User code (credentials, clocks, subscribers, wakers, `Drop`) that uses the plugin or panics.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    panic::panic_any,
    pin::Pin,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use http::Uri;
use tokio_test::task;
use tower::{Layer, Service, buffer::Buffer, util::BoxService};
use tower_keystone::{
    AccessInfo, AuthLayer, Credentials, EndpointFilter, Error, IdentityPlugin, RenewalPolicy, RenewingPlugin,
    Transport, V3Credentials,
    discovery::Discovery,
    endpoint::Origin,
    fixture::{CatalogService, V3Token},
    identity::AuthRefFuture,
    renewal::{Clock, Now},
};
use tracing_subscriber::layer::SubscriberExt;

use crate::{log::subscribe, support::*};

type AnyPlugin = RenewingPlugin<Arc<dyn Credentials>>;

/// A handle through which user code uses the plugin that calls it, after the plugin is created. Clones share it.
#[derive(Clone, Default)]
struct PluginHandle(Arc<OnceLock<AnyPlugin>>);

impl PluginHandle {
    /// Creates a plugin from user code (credentials and a clock), and sets it as the plugin of this handle.
    fn plugin(
        &self,
        keystone: &ScriptedKeystone,
        credentials: impl Credentials,
        clock: impl Clock,
    ) -> AnyPlugin {
        let credentials: Arc<dyn Credentials> = Arc::new(credentials);
        let plugin = RenewingPlugin::new(credentials, Transport::new(keystone.clone())).clock(clock).seed(7);
        assert!(self.0.set(plugin.clone()).is_ok());
        plugin
    }

    /// Takes the lock of the plugin. This would be a deadlock if the calling code held the lock.
    fn use_plugin(&self) {
        if let Some(plugin) = self.0.get() {
            assert!(plugin.auth_state().is_none_or(|state| !state.expose().is_empty()));
        }
    }
}

/// A clock that uses the plugin.
struct ReentrantClock(SimulatedTime, PluginHandle);

impl Clock for ReentrantClock {
    fn now(&self) -> Now {
        self.1.use_plugin();
        self.0.now()
    }
}

/// An error that uses the plugin when it is printed or dropped.
#[derive(Debug)]
struct ReentrantError(PluginHandle);

impl fmt::Display for ReentrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.use_plugin();
        f.write_str("no certificate")
    }
}

impl fmt::Debug for PluginHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.use_plugin();
        f.write_str("PluginHandle")
    }
}

impl StdError for ReentrantError {}

impl Drop for ReentrantError {
    fn drop(&mut self) {
        self.0.use_plugin();
    }
}

/// Credentials that use the plugin. Their logins return in turn a transient error, a permanent error and a token.
struct ReentrantCredentials {
    credentials: V3Credentials,
    handle: PluginHandle,
    calls: AtomicUsize,
}

impl Credentials for ReentrantCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let calls = self.calls.fetch_add(1, SeqCst);
        let error = ReentrantError(self.handle.clone());
        match calls % 3 {
            0 => Box::pin(async { Err(Error::plugin(true, error)) }),
            1 => Box::pin(async { Err(Error::plugin(false, error)) }),
            _ => self.credentials.get_auth_ref(transport),
        }
    }

    fn auth_url(&self) -> &Uri {
        self.handle.use_plugin();
        self.credentials.auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        self.handle.use_plugin();
        self.credentials.cache_id()
    }

    fn can_lock_account(&self) -> bool {
        self.handle.use_plugin();
        true
    }
}

/// A waker that uses the plugin when it wakes and when it is dropped.
struct ReentrantWaker(PluginHandle);

impl Wake for ReentrantWaker {
    fn wake(self: Arc<Self>) {
        self.0.use_plugin();
    }
}

impl Drop for ReentrantWaker {
    fn drop(&mut self) {
        self.0.use_plugin();
    }
}

/// A subscriber that uses the plugin at each event.
struct ReentrantSubscriber(PluginHandle);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for ReentrantSubscriber {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.use_plugin();
    }
}

#[tokio::test(start_paused = true)]
async fn no_lock_is_held_while_user_code_runs() {
    let handle = PluginHandle::default();
    let subscriber = tracing_subscriber::registry().with(ReentrantSubscriber(handle.clone()));
    let _guard = subscribe(subscriber);
    let keystone = ScriptedKeystone::new();
    keystone.skew(100);
    let credentials = ReentrantCredentials {
        credentials: keystone.credentials(),
        handle: handle.clone(),
        calls: AtomicUsize::new(0),
    };
    let plugin = handle.plugin(&keystone, credentials, ReentrantClock(keystone.time(), handle.clone()));
    let nova = Origin::from_uri(&Uri::from_static("https://nova.test")).unwrap();
    for round in 0..12 {
        // Polls a request with a waker that uses the plugin, then with another one that replaces it.
        let mut waiting = plugin.access();
        for _ in 0..2 {
            let waker = Waker::from(Arc::new(ReentrantWaker(handle.clone())));
            if Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker)).is_ready() {
                waiting = plugin.access();
            }
        }
        let result = plugin.access().await;
        settle().await;
        drop(waiting);
        match (result, round % 4) {
            (Ok(used), 0) => assert!(plugin.invalidate(&used, &nova)),
            (_, 1) => plugin.reset(),
            (_, 2) => drop(plugin.renew().await),
            _ => plugin.set_auth_state(None).unwrap(),
        }
        sleep_secs(60).await;
    }
    assert!(plugin.credentials().auth_url().host().is_some());

    // A catalog with unusable endpoints, which are logged.
    let templates =
        CatalogService::new("compute").standard_endpoints("RegionOne", "https://nova.test/$(tenant_id)s");
    let stored = V3Token::new("u1", "alice").service(&templates).access_info("token").unwrap();
    plugin.set_auth_state(Some(&stored.auth_state())).unwrap();
}

/// Credentials whose error uses their plugin in its `Debug` output.
#[derive(Clone, Debug, Default)]
struct DebugCredentials(Arc<DebugHandle>);

#[derive(Default)]
struct DebugHandle(OnceLock<RenewingPlugin<DebugCredentials>>);

impl fmt::Debug for DebugHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needs = self.0.get().is_some_and(RenewingPlugin::needs_renewal);
        write!(f, "needs_renewal: {needs}")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("rejected")]
struct DebugError(#[allow(dead_code)] DebugCredentials);

impl Credentials for DebugCredentials {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        let error = DebugError(self.clone());
        Box::pin(async { Err(Error::plugin(false, error)) })
    }

    fn auth_url(&self) -> &Uri {
        static AUTH_URL: LazyLock<Uri> = LazyLock::new(|| Uri::from_static("https://keystone.test/v3"));
        &AUTH_URL
    }
}

#[tokio::test(start_paused = true)]
async fn no_lock_is_held_while_a_plugin_is_printed() {
    let keystone = ScriptedKeystone::new();
    let credentials = DebugCredentials::default();
    let plugin = keystone.plugin_for(credentials.clone(), RenewalPolicy::default());
    assert!(credentials.0.0.set(plugin.clone()).is_ok());
    assert!(token(&plugin).await.is_err());
    let text = format!("{plugin:?}");
    assert!(text.contains("failure") && text.contains("needs_renewal: true"), "{text}");
}

/// Credentials whose login future panics when it is dropped.
struct PanickingDrop(V3Credentials, AtomicUsize);

struct PanickingFuture(AuthRefFuture);

impl Future for PanickingFuture {
    type Output = Result<AccessInfo, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl Drop for PanickingFuture {
    fn drop(&mut self) {
        panic_any("this panic is part of a test");
    }
}

impl Credentials for PanickingDrop {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.1.fetch_add(1, SeqCst);
        Box::pin(PanickingFuture(self.0.get_auth_ref(transport)))
    }

    fn auth_url(&self) -> &Uri {
        self.0.auth_url()
    }
}

/// Returns a plugin whose requests wait for one attempt only.
fn plugin_with_one_attempt<C: Credentials>(keystone: &ScriptedKeystone, credentials: C) -> RenewingPlugin<C> {
    let mut policy = RenewalPolicy::default();
    policy.attempt_timeout = seconds(10);
    policy.wait_timeout = seconds(10);
    policy.initial_backoff = seconds(6);
    keystone.plugin_for(credentials, policy)
}

async fn tokens_of_ten_requests<C: Credentials>(plugin: &RenewingPlugin<C>) -> Vec<Result<String, Error>> {
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(token_from_future(plugin.access()))).collect();
    let mut results = Vec::new();
    for waiting in waiting {
        results.push(waiting.await.unwrap());
    }
    results
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_drop_of_a_credentials_future_is_an_error() {
    for response in [LoginResponse::Token, LoginResponse::Status(500), LoginResponse::Never] {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(response.clone());
        let credentials = PanickingDrop(keystone.credentials(), AtomicUsize::new(0));
        let plugin = plugin_with_one_attempt(&keystone, credentials);
        for result in tokens_of_ten_requests(&plugin).await {
            match (&response, result) {
                (LoginResponse::Never, Err(Error::Timeout { .. })) | (_, Err(Error::PluginPanicked)) => {}
                (_, result) => panic!("{response:?}: {result:?}"),
            }
        }
        assert_eq!(plugin.credentials().1.load(SeqCst), 1, "{response:?}");
    }
}

/// A clock that panics for the given number of calls.
struct PanickingClock(SimulatedTime, Arc<AtomicUsize>);

impl Clock for PanickingClock {
    fn now(&self) -> Now {
        if self.1.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            panic_any("this panic is part of a test");
        }
        self.0.now()
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_clock_during_a_renewal_is_an_error() {
    for panics in [1, 2] {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
        let left = Arc::new(AtomicUsize::new(0));
        let plugin = keystone
            .plugin_for(keystone.credentials(), RenewalPolicy::default())
            .clock(PanickingClock(keystone.time(), Arc::clone(&left)));
        let mut waiting: Vec<_> = (0..10).map(|_| task::spawn(plugin.access())).collect();
        waiting.iter_mut().for_each(|waiting| assert!(waiting.poll().is_pending()));
        sleep_secs(1).await;
        // The next call is by the renewal task, which also reads the clock to record the panic.
        left.store(panics, SeqCst);
        sleep_secs(5).await;
        assert_eq!(left.load(SeqCst), 0);
        for waiting in waiting {
            let result = waiting.into_inner().await;
            assert!(matches!(result, Err(Error::PluginPanicked)), "{result:?}");
        }
        assert_eq!(keystone.logins(), 1);
        sleep_secs(2).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-2");
    }
}

/// A subscriber that panics at each event.
struct PanickingSubscriber(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for PanickingSubscriber {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.fetch_add(1, SeqCst);
        panic_any("this panic is part of a test");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_subscriber_loses_neither_token_nor_error() {
    let events = Arc::new(AtomicUsize::new(0));
    let subscriber = tracing_subscriber::registry().with(PanickingSubscriber(Arc::clone(&events)));
    let _guard = subscribe(subscriber);
    for response in [LoginResponse::Token, LoginResponse::Status(403)] {
        let keystone = ScriptedKeystone::new();
        keystone.skew(100); // The skew is logged, and so is the failure.
        keystone.respond_with(response.clone());
        let plugin = keystone.plugin();
        events.store(0, SeqCst);
        for result in tokens_of_ten_requests(&plugin).await {
            assert_eq!(result.is_ok(), matches!(response, LoginResponse::Token), "{result:?}");
            assert!(!matches!(result, Err(Error::PluginPanicked)));
        }
        assert_eq!((keystone.logins(), events.load(SeqCst)), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_client_during_discovery_is_an_error() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let client = tower::service_fn(move |_: http::Request<http_body_util::Full<bytes::Bytes>>| {
        counter.fetch_add(1, SeqCst);
        async {
            tokio::task::yield_now().await;
            if true {
                panic_any("this panic is part of a test");
            }
            Ok::<_, tower_keystone::BoxError>(http::Response::new(
                http_body_util::Full::<bytes::Bytes>::default(),
            ))
        }
    });
    let discovery = Discovery::new(Transport::new(client));
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let discovery = discovery.clone();
            tokio::spawn(async move { discovery.document("https://nova.test/").await })
        })
        .collect();
    for waiting in waiting {
        let error = waiting.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::DiscoveryFailure(_)) && error.is_transient(), "{error}");
        assert!(error.to_string().contains("panicked"), "{error}");
    }
    assert_eq!(calls.load(SeqCst), 1);
}

/// How credentials use their own plugin.
#[derive(Clone, Copy, Debug)]
enum PluginUse {
    Access,
    AccessAfterReset,
    Renew,
    Layer,
    /// Sends a request through the layer and a buffer, which has its own task.
    Buffer,
    /// Requests the access in another task.
    Task,
}

/// Credentials that use the plugin that calls them.
struct RecursiveCredentials {
    credentials: V3Credentials,
    handle: PluginHandle,
    plugin_use: PluginUse,
    calls: Arc<AtomicUsize>,
    nova: ScriptedService,
}

impl Credentials for RecursiveCredentials {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        self.calls.fetch_add(1, SeqCst);
        let plugin = self.handle.0.get().unwrap().clone();
        let client = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
        let client = BoxService::new(client.layer(self.nova.clone()));
        let mut client = match self.plugin_use {
            PluginUse::Buffer => BoxService::new(Buffer::new(client, 1)),
            _ => client,
        };
        let plugin_use = self.plugin_use;
        if matches!(plugin_use, PluginUse::AccessAfterReset | PluginUse::Layer | PluginUse::Task) {
            plugin.reset();
        }
        Box::pin(async move {
            match plugin_use {
                PluginUse::Access | PluginUse::AccessAfterReset => plugin.access().await.map(drop)?,
                PluginUse::Task => tokio::spawn(plugin.access()).await.unwrap().map(drop)?,
                PluginUse::Renew => plugin.renew().await.map(drop)?,
                PluginUse::Layer | PluginUse::Buffer => {
                    let sent = tower::ServiceExt::ready(&mut client).await.unwrap().call(get()).await;
                    return Err(Error::find(&*sent.unwrap_err()).unwrap().clone());
                }
            }
            unreachable!("the plugin would have waited for itself")
        })
    }

    fn auth_url(&self) -> &Uri {
        self.credentials.auth_url()
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_use_their_own_plugin_get_a_recursion_error_and_are_called_once() {
    for plugin_use in [
        PluginUse::Access,
        PluginUse::AccessAfterReset,
        PluginUse::Renew,
        PluginUse::Layer,
        PluginUse::Buffer,
    ] {
        let keystone = ScriptedKeystone::new();
        let (handle, calls) = (PluginHandle::default(), Arc::new(AtomicUsize::new(0)));
        let credentials = RecursiveCredentials {
            credentials: keystone.credentials(),
            handle: handle.clone(),
            plugin_use,
            calls: Arc::clone(&calls),
            nova: ScriptedService::new(&keystone, || seconds(0)),
        };
        let plugin = handle.plugin(&keystone, credentials, keystone.time());
        let result = tokio::time::timeout(seconds(1), plugin.access()).await.expect("no deadlock");
        assert!(matches!(result, Err(Error::Recursion)), "{plugin_use:?}: {result:?}");
        sleep_secs(60).await;
        assert_eq!(calls.load(SeqCst), 1, "{plugin_use:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_reset_their_own_plugin_in_another_task_are_rate_limited() {
    let keystone = ScriptedKeystone::new();
    let (handle, calls) = (PluginHandle::default(), Arc::new(AtomicUsize::new(0)));
    let credentials = RecursiveCredentials {
        credentials: keystone.credentials(),
        handle: handle.clone(),
        plugin_use: PluginUse::Task,
        calls: Arc::clone(&calls),
        nova: ScriptedService::new(&keystone, || seconds(0)),
    };
    let plugin = handle.plugin(&keystone, credentials, keystone.time());
    assert!(plugin.access().await.is_err());
    sleep_secs(600).await;
    let calls = calls.load(SeqCst);
    assert!(calls <= 30, "{calls} calls in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_the_next_request_logs_in_at_once() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    for round in 1..10 {
        keystone.queue_responses([LoginResponse::Never]);
        let mut waiting = task::spawn(plugin.access());
        assert!(waiting.poll().is_pending());
        settle().await;
        plugin.reset();
        let before = keystone.time().elapsed();
        assert!(token(&plugin).await.is_ok());
        assert_eq!(keystone.time().elapsed(), before, "round {round}");
        plugin.reset();
    }
}
