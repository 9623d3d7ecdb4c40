//! Code of the program (credentials, clocks, subscribers, `Drop`) that uses the plugin, or panics.

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

/// A plugin that code of others knows, once there is one. Clones are the same.
#[derive(Clone, Default)]
struct Known(Arc<OnceLock<AnyPlugin>>);

impl Known {
    /// A plugin of these credentials that is known from now on, in which nothing but its clock is of others.
    fn plugin(&self, keystone: &Keystone, credentials: impl Credentials, clock: impl Clock) -> AnyPlugin {
        let credentials: Arc<dyn Credentials> = Arc::new(credentials);
        let plugin = RenewingPlugin::new(credentials, Transport::new(keystone.clone())).clock(clock).seed(7);
        assert!(self.0.set(plugin.clone()).is_ok());
        plugin
    }

    /// Takes the lock of the plugin. It would wait for itself if it were locked.
    fn look(&self) {
        if let Some(plugin) = self.0.get() {
            assert!(plugin.auth_state().is_none_or(|state| !state.expose().is_empty()));
        }
    }
}

/// A clock that looks at the plugin.
struct LookingClock(Time, Known);

impl Clock for LookingClock {
    fn now(&self) -> Now {
        self.1.look();
        self.0.now()
    }
}

/// An error that looks at the plugin when it is printed or dropped.
#[derive(Debug)]
struct LookingError(Known);

impl fmt::Display for LookingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.look();
        f.write_str("no certificate")
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.look();
        f.write_str("Known")
    }
}

impl StdError for LookingError {}

impl Drop for LookingError {
    fn drop(&mut self) {
        self.0.look();
    }
}

/// Credentials with errors that look at the plugin: some that pass and some that do not, and now and then a token.
struct LookingCredentials {
    credentials: V3Credentials,
    known: Known,
    asked: AtomicUsize,
}

impl Credentials for LookingCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let asked = self.asked.fetch_add(1, SeqCst);
        let error = LookingError(self.known.clone());
        match asked % 3 {
            0 => Box::pin(async { Err(Error::plugin(true, error)) }),
            1 => Box::pin(async { Err(Error::plugin(false, error)) }),
            _ => self.credentials.get_auth_ref(transport),
        }
    }

    fn auth_url(&self) -> &Uri {
        self.known.look();
        self.credentials.auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        self.known.look();
        self.credentials.cache_id()
    }

    fn can_lock_account(&self) -> bool {
        self.known.look();
        true
    }
}

/// A waker that looks at the plugin when it wakes and when it is dropped.
struct LookingWaker(Known);

impl Wake for LookingWaker {
    fn wake(self: Arc<Self>) {
        self.0.look();
    }
}

impl Drop for LookingWaker {
    fn drop(&mut self) {
        self.0.look();
    }
}

/// A subscriber that looks at the plugin at each event.
struct Looking(Known);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Looking {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.look();
    }
}

#[tokio::test(start_paused = true)]
async fn no_lock_is_held_while_code_of_others_runs() {
    let known = Known::default();
    let subscriber = tracing_subscriber::registry().with(Looking(known.clone()));
    let _guard = subscribe(subscriber);
    let keystone = Keystone::new();
    keystone.skew(100);
    let credentials = LookingCredentials {
        credentials: keystone.credentials(),
        known: known.clone(),
        asked: AtomicUsize::new(0),
    };
    let plugin = known.plugin(&keystone, credentials, LookingClock(keystone.time(), known.clone()));
    let nova = Origin::from_uri(&Uri::from_static("https://nova.test")).unwrap();
    for round in 0..12 {
        // One who waits with a waker of others, and one whose waker is replaced.
        let mut waiting = plugin.access();
        for _ in 0..2 {
            let waker = Waker::from(Arc::new(LookingWaker(known.clone())));
            if Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker)).is_ready() {
                waiting = plugin.access();
            }
        }
        let brought = plugin.access().await;
        settle().await;
        drop(waiting);
        match (brought, round % 4) {
            (Ok(used), 0) => assert!(plugin.invalidate(&used, &nova)),
            (_, 1) => plugin.reset(),
            (_, 2) => drop(plugin.renew().await),
            _ => plugin.set_auth_state(None).unwrap(),
        }
        pass(60).await;
    }
    assert!(plugin.credentials().auth_url().host().is_some());

    // A catalog with endpoints that cannot be used, of which the subscriber may hear.
    let templates =
        CatalogService::new("compute").standard_endpoints("RegionOne", "https://nova.test/$(tenant_id)s");
    let stored = V3Token::new("u1", "alice").service(&templates).access_info("token").unwrap();
    plugin.set_auth_state(Some(&stored.auth_state())).unwrap();
}

/// Credentials with an error that looks at their plugin when it is printed for debugging.
#[derive(Clone, Debug, Default)]
struct Printed(Arc<PrintedPlugin>);

#[derive(Default)]
struct PrintedPlugin(OnceLock<RenewingPlugin<Printed>>);

impl fmt::Debug for PrintedPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needs = self.0.get().is_some_and(RenewingPlugin::needs_renewal);
        write!(f, "needs_renewal: {needs}")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct PrintedError(#[allow(dead_code)] Printed);

impl Credentials for Printed {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        let error = PrintedError(self.clone());
        Box::pin(async { Err(Error::plugin(false, error)) })
    }

    fn auth_url(&self) -> &Uri {
        static AUTH_URL: LazyLock<Uri> = LazyLock::new(|| Uri::from_static("https://keystone.test/v3"));
        &AUTH_URL
    }
}

#[tokio::test(start_paused = true)]
async fn no_lock_is_held_while_a_plugin_is_printed() {
    let keystone = Keystone::new();
    let printed = Printed::default();
    let plugin = keystone.plugin_of(printed.clone(), RenewalPolicy::default());
    assert!(printed.0.0.set(plugin.clone()).is_ok());
    assert!(token(&plugin).await.is_err());
    let text = format!("{plugin:?}");
    assert!(text.contains("failure") && text.contains("needs_renewal: true"), "{text}");
}

/// Credentials whose future panics when it is dropped.
struct PanickingDrop(V3Credentials, AtomicUsize);

struct Asking(AuthRefFuture);

impl Future for Asking {
    type Output = Result<AccessInfo, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        panic_any("a test wants this panic");
    }
}

impl Credentials for PanickingDrop {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.1.fetch_add(1, SeqCst);
        Box::pin(Asking(self.0.get_auth_ref(transport)))
    }

    fn auth_url(&self) -> &Uri {
        self.0.auth_url()
    }
}

/// A plugin whose requests wait for one attempt.
fn of_one_attempt<C: Credentials>(keystone: &Keystone, credentials: C) -> RenewingPlugin<C> {
    let mut policy = RenewalPolicy::default();
    policy.attempt_timeout = seconds(10);
    policy.wait_timeout = seconds(10);
    policy.initial_backoff = seconds(6);
    keystone.plugin_of(credentials, policy)
}

async fn ten_of<C: Credentials>(plugin: &RenewingPlugin<C>) -> Vec<Result<String, Error>> {
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(token_of(plugin.access()))).collect();
    let mut brought = Vec::new();
    for waiting in waiting {
        brought.push(waiting.await.unwrap());
    }
    brought
}

#[tokio::test(start_paused = true)]
async fn a_panic_where_credentials_are_dropped_is_a_failure_like_others() {
    for answer in [Answer::Token, Answer::Status(500), Answer::Hang] {
        let keystone = Keystone::new();
        keystone.usually(answer.clone());
        let credentials = PanickingDrop(keystone.credentials(), AtomicUsize::new(0));
        let plugin = of_one_attempt(&keystone, credentials);
        for brought in ten_of(&plugin).await {
            match (&answer, brought) {
                (Answer::Hang, Err(Error::Timeout { .. })) | (_, Err(Error::PluginPanicked)) => {}
                (_, brought) => panic!("{answer:?}: {brought:?}"),
            }
        }
        assert_eq!(plugin.credentials().1.load(SeqCst), 1, "{answer:?}");
    }
}

/// A clock that panics as often as it is told.
struct PanickingClock(Time, Arc<AtomicUsize>);

impl Clock for PanickingClock {
    fn now(&self) -> Now {
        if self.1.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            panic_any("a test wants this panic");
        }
        self.0.now()
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_panics_under_a_flight_is_a_failure_like_others() {
    for panics in [1, 2] {
        let keystone = Keystone::new();
        keystone.usually(Answer::Token.slowly(seconds(5)));
        let left = Arc::new(AtomicUsize::new(0));
        let plugin = keystone
            .plugin_of(keystone.credentials(), RenewalPolicy::default())
            .clock(PanickingClock(keystone.time(), Arc::clone(&left)));
        let mut waiting: Vec<_> = (0..10).map(|_| task::spawn(plugin.access())).collect();
        waiting.iter_mut().for_each(|waiting| assert!(waiting.poll().is_pending()));
        pass(1).await;
        // The next to ask is the flight, which also asks when the panic is entered.
        left.store(panics, SeqCst);
        pass(5).await;
        assert_eq!(left.load(SeqCst), 0);
        for waiting in waiting {
            let brought = waiting.into_inner().await;
            assert!(matches!(brought, Err(Error::PluginPanicked)), "{brought:?}");
        }
        assert_eq!(keystone.logins(), 1);
        pass(2).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-2");
    }
}

/// A subscriber that panics at each event.
struct PanickingSubscriber(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for PanickingSubscriber {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.fetch_add(1, SeqCst);
        panic_any("a test wants this panic");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_takes_neither_token_nor_error_along() {
    let events = Arc::new(AtomicUsize::new(0));
    let subscriber = tracing_subscriber::registry().with(PanickingSubscriber(Arc::clone(&events)));
    let _guard = subscribe(subscriber);
    for answer in [Answer::Token, Answer::Status(403)] {
        let keystone = Keystone::new();
        keystone.skew(100); // which is logged, and so is the failure
        keystone.usually(answer.clone());
        let plugin = keystone.plugin();
        events.store(0, SeqCst);
        for brought in ten_of(&plugin).await {
            assert_eq!(brought.is_ok(), matches!(answer, Answer::Token), "{brought:?}");
            assert!(!matches!(brought, Err(Error::PluginPanicked)));
        }
        assert_eq!((keystone.logins(), events.load(SeqCst)), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_panics_under_discovery_is_a_failure_like_others() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let client = tower::service_fn(move |_: http::Request<http_body_util::Full<bytes::Bytes>>| {
        counted.fetch_add(1, SeqCst);
        async {
            tokio::task::yield_now().await;
            if true {
                panic_any("a test wants this panic");
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
    assert_eq!(asked.load(SeqCst), 1);
}

/// What credentials do with their own plugin.
#[derive(Clone, Copy, Debug)]
enum Asks {
    Access,
    AccessAfterReset,
    Force,
    Layer,
    /// The same with a task between, which takes the request.
    Buffer,
    /// A task of its own does it.
    Task,
}

/// Credentials that ask the plugin which asks them.
struct Circular {
    credentials: V3Credentials,
    known: Known,
    asks: Asks,
    asked: Arc<AtomicUsize>,
    nova: Nova,
}

impl Credentials for Circular {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        self.asked.fetch_add(1, SeqCst);
        let plugin = self.known.0.get().unwrap().clone();
        let around = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
        let around = BoxService::new(around.layer(self.nova.clone()));
        let mut around = match self.asks {
            Asks::Buffer => BoxService::new(Buffer::new(around, 1)),
            _ => around,
        };
        let asks = self.asks;
        if matches!(asks, Asks::AccessAfterReset | Asks::Layer | Asks::Task) {
            plugin.reset();
        }
        Box::pin(async move {
            match asks {
                Asks::Access | Asks::AccessAfterReset => plugin.access().await.map(drop)?,
                Asks::Task => tokio::spawn(plugin.access()).await.unwrap().map(drop)?,
                Asks::Force => plugin.renew().await.map(drop)?,
                Asks::Layer | Asks::Buffer => {
                    let sent = tower::ServiceExt::ready(&mut around).await.unwrap().call(get()).await;
                    return Err(Error::find(&*sent.unwrap_err()).unwrap().clone());
                }
            }
            unreachable!("it would have waited for itself")
        })
    }

    fn auth_url(&self) -> &Uri {
        self.credentials.auth_url()
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_ask_their_own_plugin_are_told_so_and_asked_once() {
    for asks in [Asks::Access, Asks::AccessAfterReset, Asks::Force, Asks::Layer, Asks::Buffer] {
        let keystone = Keystone::new();
        let (known, asked) = (Known::default(), Arc::new(AtomicUsize::new(0)));
        let credentials = Circular {
            credentials: keystone.credentials(),
            known: known.clone(),
            asks,
            asked: Arc::clone(&asked),
            nova: Nova::new(&keystone, || seconds(0)),
        };
        let plugin = known.plugin(&keystone, credentials, keystone.time());
        let brought = tokio::time::timeout(seconds(1), plugin.access()).await.expect("no deadlock");
        assert!(matches!(brought, Err(Error::Recursion)), "{asks:?}: {brought:?}");
        pass(60).await;
        assert_eq!(asked.load(SeqCst), 1, "{asks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_reset_their_own_plugin_in_another_task_are_slowed_down() {
    let keystone = Keystone::new();
    let (known, asked) = (Known::default(), Arc::new(AtomicUsize::new(0)));
    let credentials = Circular {
        credentials: keystone.credentials(),
        known: known.clone(),
        asks: Asks::Task,
        asked: Arc::clone(&asked),
        nova: Nova::new(&keystone, || seconds(0)),
    };
    let plugin = known.plugin(&keystone, credentials, keystone.time());
    assert!(plugin.access().await.is_err());
    pass(600).await;
    let asked = asked.load(SeqCst);
    assert!(asked <= 30, "asked {asked} times in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn after_a_reset_the_next_request_logs_in_at_once() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    for round in 1..10 {
        keystone.then([Answer::Hang]);
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
