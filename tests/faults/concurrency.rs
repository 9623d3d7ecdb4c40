//! Many requests wait for one token: some are dropped, some panic, some lose their runtime.

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
    paused b01_the_flight_goes_on_when_the_one_who_started_it_is_dropped,
    paused b02_the_flight_ends_and_is_kept_when_all_who_wait_are_dropped,
    paused b03_credentials_that_panic_are_an_error_to_all_who_wait_and_to_nobody_after,
    paused b04_a_panic_in_the_users_own_code_poisons_nothing,
    paused b06_a_failed_flight_is_one_flight_and_one_error_for_all,
    paused b12_a_transport_that_leads_back_into_the_layer_is_an_error_and_no_deadlock,
    alone b13_a_flight_whose_runtime_is_gone_is_taken_over_in_another,
    alone b13_without_a_runtime_there_is_an_error_and_no_panic,
    alone b13_one_thread_without_other_tasks_is_enough,
    alone b13_two_runtimes_share_one_flight,
];

async fn b01_the_flight_goes_on_when_the_one_who_started_it_is_dropped() {
    for polls in 0..8 {
        let keystone = Keystone::new();
        keystone.usually(Answer::Token.slowly(seconds(3)));
        let plugin = keystone.plugin();
        let mut leader = task::spawn(plugin.access());
        let others: Vec<_> = (0..10).map(|_| tokio::spawn(token_of(plugin.access()))).collect();
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

async fn b02_the_flight_ends_and_is_kept_when_all_who_wait_are_dropped() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    for answer in [Answer::Token.slowly(seconds(3)), Answer::Status(403).slowly(seconds(3))] {
        let before = tasks();
        let keystone = Keystone::new();
        keystone.usually(answer.clone());
        let plugin = keystone.plugin();
        let mut waiting: Vec<_> = (0..100).map(|_| task::spawn(plugin.access())).collect();
        waiting.iter_mut().for_each(|waiting| assert_pending!(waiting.poll()));
        settle().await;
        drop(waiting);
        pass(5).await;
        assert_eq!(tasks(), before, "no task is left");
        let kept = token_at_once(&plugin).expect("what it brought is there");
        assert_eq!(
            kept.is_ok(),
            matches!(&answer, Answer::After(_, then) if matches!(**then, Answer::Token))
        );
        assert_eq!(keystone.logins(), 1);
    }
}

/// Credentials that panic as often as told, at once or when they are waited for.
struct Panicking {
    credentials: tower_keystone::V3Credentials,
    left: AtomicUsize,
    at_once: bool,
}

impl Credentials for Panicking {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        match left {
            0 => self.credentials.get_auth_ref(transport),
            _ if self.at_once => panic_any(WANTED_PANIC),
            _ => Box::pin(async { panic_any(WANTED_PANIC) }),
        }
    }

    fn auth_url(&self) -> &Uri {
        self.credentials.auth_url()
    }
}

impl fmt::Debug for Panicking {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic_any(WANTED_PANIC)
    }
}

async fn b03_credentials_that_panic_are_an_error_to_all_who_wait_and_to_nobody_after() {
    for at_once in [true, false] {
        let keystone = Keystone::new();
        let credentials = Panicking { credentials: keystone.credentials(), left: 1.into(), at_once };
        let mut policy = RenewalPolicy::default();
        policy.wait_timeout = seconds(1);
        let plugin = keystone.plugin_of(credentials, policy);
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(plugin.access())).collect();
        for waiter in waiting {
            assert!(matches!(waiter.await.unwrap(), Err(Error::PluginPanicked)));
        }
        assert_eq!(keystone.logins(), 0);
        pass(2).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        assert_eq!(keystone.logins(), 1);
    }
}

/// A clock that panics once if so told.
struct PanickingClock(Time, Arc<AtomicBool>);

impl Clock for PanickingClock {
    fn now(&self) -> Now {
        if self.1.swap(false, Ordering::Relaxed) {
            panic_any(WANTED_PANIC);
        }
        self.0.now()
    }
}

/// A client whose first clone panics.
struct PanickingClient(Keystone, Arc<AtomicBool>);

impl Clone for PanickingClient {
    fn clone(&self) -> Self {
        if self.1.swap(false, Ordering::Relaxed) {
            panic_any(WANTED_PANIC);
        }
        Self(self.0.clone(), Arc::clone(&self.1))
    }
}

impl Service<Request<Full<Bytes>>> for PanickingClient {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = <Keystone as Service<Request<Full<Bytes>>>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.0.call(request)
    }
}

async fn b04_a_panic_in_the_users_own_code_poisons_nothing() {
    let keystone = Keystone::new();
    let (clock, clone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    let plugin = RenewingPlugin::new(
        Panicking { credentials: keystone.credentials(), left: 0.into(), at_once: true },
        Transport::new(PanickingClient(keystone.clone(), Arc::clone(&clone))),
    )
    .clock(PanickingClock(keystone.time(), Arc::clone(&clock)));
    // The clone panics under the lock of the transport; it is tried again.
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert!(!clone.load(Ordering::Relaxed) && keystone.logins() == 1);

    assert!(catch_unwind(AssertUnwindSafe(|| format!("{plugin:?}"))).is_err());
    // The clock panics: where a request comes, and under the lock of the state where its token has come.
    for landed in [false, true] {
        plugin.reset();
        let logins = keystone.logins();
        let mut caller = task::spawn(plugin.access());
        assert_pending!(caller.poll());
        settle().await;
        clock.store(true, Ordering::Relaxed);
        let panicked = catch_unwind(AssertUnwindSafe(|| match landed {
            true => drop(caller.poll()),
            false => drop(plugin.access()),
        }));
        assert!(panicked.is_err());
        assert!(token(&plugin).await.is_ok());
        assert_eq!(keystone.logins(), logins + 1);
    }
}

async fn b06_a_failed_flight_is_one_flight_and_one_error_for_all() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Status(401).slowly(seconds(2)));
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

async fn b12_a_transport_that_leads_back_into_the_layer_is_an_error_and_no_deadlock() {
    for buffered in [false, true] {
        let servers = Servers::new(|_, _| token_answer("token-1", &hour()));
        let client: Arc<Mutex<Option<Client>>> = Arc::default();
        let lent = Arc::clone(&client);
        let transport = Transport::new(tower::service_fn(move |request: Request<Full<Bytes>>| {
            Oneshot::new(lent.lock().unwrap().clone().unwrap(), request)
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
            let around = layer.layer(servers.clone());
            *client.lock().unwrap() = Some(match buffered {
                true => BoxCloneService::new(Buffer::new(around, 8)),
                false => BoxCloneService::new(around),
            });
            let error =
                tokio::time::timeout(millis(10), plugin.access()).await.expect("no deadlock").unwrap_err();
            assert!(matches!(error, Error::Recursion), "{error}");
            assert!(!error.is_transient() && error.to_string().contains("without AuthLayer"), "{error}");
            assert_eq!(servers.seen(), []);
        }
    }
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A Keystone whose time begins in this runtime.
fn keystone_in(runtime: &Runtime) -> Keystone {
    runtime.block_on(async { Keystone::new() })
}

/// One who waits for the flight that this runtime has under way.
fn under_way(runtime: &Runtime, plugin: &Plugin) -> AccessFuture {
    let _entered = runtime.enter();
    let mut waiting = task::spawn(plugin.access());
    assert_pending!(waiting.poll());
    runtime.block_on(settle());
    waiting.into_inner()
}

fn b13_a_flight_whose_runtime_is_gone_is_taken_over_in_another() {
    let (one, other) = (one_thread(), one_thread());
    let keystone = keystone_in(&one);
    keystone.then([Answer::Hang]);
    let plugin = keystone.plugin();
    let waiting = under_way(&one, &plugin);
    assert_eq!(keystone.logins(), 1);
    drop(one);
    let brought = other.block_on(async { token_of(waiting).await });
    assert_eq!(brought.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 2);
}

fn b13_without_a_runtime_there_is_an_error_and_no_panic() {
    let runtime = one_thread();
    let keystone = keystone_in(&runtime);
    let plugin = keystone.plugin();
    assert!(matches!(token_at_once(&plugin), Some(Err(Error::NoRuntime))));
    assert_eq!(keystone.logins(), 0);
    assert_eq!(runtime.block_on(token(&plugin)).unwrap(), "token-1");
    assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-1", "a token at hand needs none");
    assert_eq!(keystone.logins(), 1);
}

fn b13_one_thread_without_other_tasks_is_enough() {
    let runtime = one_thread();
    let keystone = keystone_in(&runtime);
    keystone.usually(Answer::Token.slowly(seconds(1)));
    let plugin = keystone.plugin();
    let nova = Nova::new(&keystone, || Duration::ZERO);
    for _ in 0..3 {
        let response = runtime.block_on(Oneshot::new(nova.behind(&plugin), get())).unwrap();
        assert_eq!(response.status(), 200);
    }
    assert_eq!((keystone.logins(), nova.seen().len()), (1, 3));
}

fn b13_two_runtimes_share_one_flight() {
    let (one, other) = (one_thread(), one_thread());
    let keystone = keystone_in(&one);
    keystone.usually(Answer::Token.slowly(seconds(5)));
    let plugin = keystone.plugin();
    let here = under_way(&one, &plugin);
    let there = other.spawn(token_of(plugin.access()));
    other.block_on(settle());
    assert_eq!(one.block_on(token_of(here)).unwrap(), "token-1");
    assert_eq!(other.block_on(there).unwrap().unwrap(), "token-1");
    assert_eq!(keystone.logins(), 1);
    drop(one);
    plugin.reset();
    assert_eq!(other.block_on(token(&plugin)).unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}
