//! Many requests wait for one token. Some are dropped, user code panics, or a runtime is shut down.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_test::{assert_pending, task};
use tower::{
    BoxError, Layer, Service,
    buffer::Buffer,
    util::{BoxCloneService, Oneshot},
};
use tower_keystone::{
    AccessFuture, AuthLayer, Credentials, Error, GenericCredentials, IdentityPlugin, RenewalPolicy,
    RenewingPlugin, Transport, User,
    identity::AuthRefFuture,
    renewal::{Clock, Now},
};

use crate::support::*;

cases![
    paused b01_a_login_continues_when_the_request_that_started_it_is_dropped,
    paused b02_a_login_completes_and_is_cached_when_all_waiting_requests_are_dropped,
    paused b03_a_panic_in_credentials_is_an_error_for_the_waiting_requests_only,
    paused b04_a_panic_in_user_code_poisons_no_lock,
    paused b06_a_failed_renewal_sends_one_login_and_all_waiting_requests_share_its_error,
    paused b12_a_transport_that_contains_its_own_layer_is_an_error_instead_of_a_deadlock,
    without_runtime b13_a_login_whose_runtime_was_shut_down_is_sent_again_in_another,
    without_runtime b13_without_a_runtime_a_login_returns_an_error_instead_of_panicking,
    without_runtime b13_a_single_threaded_runtime_is_enough,
    without_runtime b13_two_runtimes_share_one_login,
];

async fn b01_a_login_continues_when_the_request_that_started_it_is_dropped() {
    for polls in 0..8 {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(LoginResponse::Token.delayed_by(seconds(3)));
        let plugin = keystone.plugin();
        let mut leader = task::spawn(plugin.access());
        let others: Vec<_> = (0..10).map(|_| tokio::spawn(token_from_future(plugin.access()))).collect();
        for _ in 0..polls {
            assert_pending!(leader.poll());
            tokio::time::sleep(millis(300)).await;
        }
        drop(leader);
        for other in others {
            assert_eq!(other.await.unwrap().unwrap(), "token-1");
        }
        assert_eq!(keystone.logins(), 1, "dropped after {polls} polls");
    }
}

async fn b02_a_login_completes_and_is_cached_when_all_waiting_requests_are_dropped() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    for response in
        [LoginResponse::Token.delayed_by(seconds(3)), LoginResponse::Status(403).delayed_by(seconds(3))]
    {
        let before = tasks();
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(response.clone());
        let plugin = keystone.plugin();
        let mut waiting: Vec<_> = (0..100).map(|_| task::spawn(plugin.access())).collect();
        waiting.iter_mut().for_each(|waiting| assert_pending!(waiting.poll()));
        settle().await;
        drop(waiting);
        sleep_secs(5).await;
        assert_eq!(tasks(), before, "no task is left");
        let cached = token_without_waiting(&plugin).expect("the result of the login is cached");
        assert_eq!(
            cached.is_ok(),
            matches!(&response, LoginResponse::Delayed(_, delayed) if matches!(**delayed, LoginResponse::Token))
        );
        assert_eq!(keystone.logins(), 1);
    }
}

/// Credentials that panic for the given number of logins, when they are called or when their future is polled.
struct Panicking {
    credentials: tower_keystone::V3Credentials,
    left: AtomicUsize,
    when_called: bool,
}

impl Credentials for Panicking {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        match left {
            0 => self.credentials.get_auth_ref(transport),
            _ if self.when_called => panic_any(EXPECTED_PANIC),
            _ => Box::pin(async { panic_any(EXPECTED_PANIC) }),
        }
    }

    fn auth_url(&self) -> &Uri {
        self.credentials.auth_url()
    }
}

impl fmt::Debug for Panicking {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic_any(EXPECTED_PANIC)
    }
}

async fn b03_a_panic_in_credentials_is_an_error_for_the_waiting_requests_only() {
    for when_called in [true, false] {
        let keystone = ScriptedKeystone::new();
        let credentials = Panicking { credentials: keystone.credentials(), left: 1.into(), when_called };
        let mut policy = RenewalPolicy::default();
        policy.wait_timeout = seconds(1);
        let plugin = keystone.plugin_for(credentials, policy);
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(plugin.access())).collect();
        for waiter in waiting {
            assert!(matches!(waiter.await.unwrap(), Err(Error::PluginPanicked)));
        }
        assert_eq!(keystone.logins(), 0);
        sleep_secs(2).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        assert_eq!(keystone.logins(), 1);
    }
}

/// A clock whose next call panics after the flag is set.
struct PanickingClock(SimulatedTime, Arc<AtomicBool>);

impl Clock for PanickingClock {
    fn now(&self) -> Now {
        if self.1.swap(false, Ordering::Relaxed) {
            panic_any(EXPECTED_PANIC);
        }
        self.0.now()
    }
}

/// A client whose first clone panics.
struct PanickingClient(ScriptedKeystone, Arc<AtomicBool>);

impl Clone for PanickingClient {
    fn clone(&self) -> Self {
        if self.1.swap(false, Ordering::Relaxed) {
            panic_any(EXPECTED_PANIC);
        }
        Self(self.0.clone(), Arc::clone(&self.1))
    }
}

impl Service<Request<Full<Bytes>>> for PanickingClient {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = <ScriptedKeystone as Service<Request<Full<Bytes>>>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.0.call(request)
    }
}

async fn b04_a_panic_in_user_code_poisons_no_lock() {
    let keystone = ScriptedKeystone::new();
    let (clock, clone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let plugin = RenewingPlugin::new(
        Panicking { credentials: keystone.credentials(), left: 0.into(), when_called: true },
        Transport::new(PanickingClient(keystone.clone(), Arc::clone(&clone))),
    )
    .clock(PanickingClock(keystone.time(), Arc::clone(&clock)));
    // The clone panics while the transport is locked, and the login is retried.
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert!(!clone.load(Ordering::Relaxed) && keystone.logins() == 1);

    assert!(catch_unwind(AssertUnwindSafe(|| format!("{plugin:?}"))).is_err());
    // The clock panics when a request calls `access`, or when a waiting request gets its token while the state is
    // locked.
    for has_token in [false, true] {
        plugin.reset();
        let logins = keystone.logins();
        let mut caller = task::spawn(plugin.access());
        assert_pending!(caller.poll());
        settle().await;
        clock.store(true, Ordering::Relaxed);
        let panicked = catch_unwind(AssertUnwindSafe(|| match has_token {
            true => drop(caller.poll()),
            false => drop(plugin.access()),
        }));
        assert!(panicked.is_err());
        assert!(token(&plugin).await.is_ok());
        assert_eq!(keystone.logins(), logins + 1);
    }
}

async fn b06_a_failed_renewal_sends_one_login_and_all_waiting_requests_share_its_error() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Status(401).delayed_by(seconds(2)));
    let plugin = keystone.plugin();
    let waiting: Vec<_> = (0..1_000).map(|_| tokio::spawn(plugin.access())).collect();
    let mut errors = Vec::new();
    for waiter in waiting {
        match waiter.await.unwrap() {
            Err(Error::Keystone(error)) => errors.push(error),
            other => panic!("{other:?}"),
        }
    }
    assert!(errors.iter().all(|error| Arc::ptr_eq(error, &errors[0])));
    assert_eq!(keystone.logins(), 1);
}

type Client = BoxCloneService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

async fn b12_a_transport_that_contains_its_own_layer_is_an_error_instead_of_a_deadlock() {
    for buffered in [false, true] {
        let servers = Servers::new(|_, _| token_response("token-1", &token_document()));
        let client: Arc<Mutex<Option<Client>>> = Arc::default();
        let lent_client = Arc::clone(&client);
        let transport = Transport::new(tower::service_fn(move |request: Request<Full<Bytes>>| {
            Oneshot::new(lent_client.lock().unwrap().clone().unwrap(), request)
        }));
        let auth_url = || "https://keystone.test/v3";
        let alice = User::new().username("alice").user_domain_name("Default");
        let plugins: [Arc<dyn IdentityPlugin>; 2] = [
            Arc::new(RenewingPlugin::new(password(), transport.clone())),
            Arc::new(RenewingPlugin::new(
                GenericCredentials::password(auth_url(), alice, "wonderland"),
                transport,
            )),
        ];
        for plugin in plugins {
            let layer = AuthLayer::new(Arc::clone(&plugin));
            let service = layer.layer(servers.clone());
            *client.lock().unwrap() = Some(match buffered {
                true => BoxCloneService::new(Buffer::new(service, 8)),
                false => BoxCloneService::new(service),
            });
            let error =
                tokio::time::timeout(millis(10), plugin.access()).await.expect("no deadlock").unwrap_err();
            assert!(matches!(error, Error::Recursion), "{error}");
            assert!(!error.is_transient() && error.to_string().contains("without AuthLayer"), "{error}");
            assert_eq!(servers.requests(), []);
        }
    }
}

fn paused_runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Returns a Keystone whose time starts in this runtime.
fn keystone_in(runtime: &Runtime) -> ScriptedKeystone {
    runtime.block_on(async { ScriptedKeystone::new() })
}

/// Returns a request that waits for a login in this runtime.
fn request_in_flight(runtime: &Runtime, plugin: &Plugin) -> AccessFuture {
    let _entered = runtime.enter();
    let mut waiting = task::spawn(plugin.access());
    assert_pending!(waiting.poll());
    runtime.block_on(settle());
    waiting.into_inner()
}

fn b13_a_login_whose_runtime_was_shut_down_is_sent_again_in_another() {
    let (one, other) = (paused_runtime(), paused_runtime());
    let keystone = keystone_in(&one);
    keystone.queue_responses([LoginResponse::Never]);
    let plugin = keystone.plugin();
    let waiting = request_in_flight(&one, &plugin);
    assert_eq!(keystone.logins(), 1);
    drop(one);
    let result = other.block_on(async { token_from_future(waiting).await });
    assert_eq!(result.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 2);
}

fn b13_without_a_runtime_a_login_returns_an_error_instead_of_panicking() {
    let runtime = paused_runtime();
    let keystone = keystone_in(&runtime);
    let plugin = keystone.plugin();
    assert!(matches!(token_without_waiting(&plugin), Some(Err(Error::NoRuntime))));
    assert_eq!(keystone.logins(), 0);
    assert_eq!(runtime.block_on(token(&plugin)).unwrap(), "token-1");
    assert_eq!(
        token_without_waiting(&plugin).unwrap().unwrap(),
        "token-1",
        "a cached token needs no runtime"
    );
    assert_eq!(keystone.logins(), 1);
}

fn b13_a_single_threaded_runtime_is_enough() {
    let runtime = paused_runtime();
    let keystone = keystone_in(&runtime);
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(1)));
    let plugin = keystone.plugin();
    let nova = ScriptedService::new(&keystone, || Duration::ZERO);
    for _ in 0..3 {
        let response = runtime.block_on(Oneshot::new(nova.with_auth(&plugin), get())).unwrap();
        assert_eq!(response.status(), 200);
    }
    assert_eq!((keystone.logins(), nova.take_requests().len()), (1, 3));
}

fn b13_two_runtimes_share_one_login() {
    let (one, other) = (paused_runtime(), paused_runtime());
    let keystone = keystone_in(&one);
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    let plugin = keystone.plugin();
    let here = request_in_flight(&one, &plugin);
    let there = other.spawn(token_from_future(plugin.access()));
    other.block_on(settle());
    assert_eq!(one.block_on(token_from_future(here)).unwrap(), "token-1");
    assert_eq!(other.block_on(there).unwrap().unwrap(), "token-1");
    assert_eq!(keystone.logins(), 1);
    drop(one);
    plugin.reset();
    assert_eq!(other.block_on(token(&plugin)).unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}
