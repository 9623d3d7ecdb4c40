//! Runs the source of `RenewingPlugin` under many schedules of a model checker.
//!
//! A schedule determines which task runs next, and where tasks are interrupted. The scenarios check that in each
//! schedule no caller waits for ever, concurrent callers share one login, and a dropped token is not used again.
//!
//! Time passes only if a scenario says so. The checker reports deadlocks and endless loops. It prints a schedule that
//! fails, and `shuttle::replay` runs it again.

mod fleet;

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use shuttle::{
    Config, Runner,
    future::{JoinHandle, block_on, spawn, yield_now},
    rand::{Rng, thread_rng},
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};
use tower_keystone::{
    AccessInfo, BoxError, Credentials, Error, IdentityPlugin, RenewingPlugin, ServiceAccess, Transport,
    endpoint::Origin,
    identity::AuthRefFuture,
    renewal::{Clock, Now},
};

/// Ages of a token that is due for renewal, and of one that is expiring, in seconds.
///
/// The tokens of the model have a lifetime of 300 s. They are due after 180 s at the latest, and expiring after 290 s.
const DUE: u64 = 200;
const EXPIRING: u64 = 295;

const SCHEDULES: usize = 5_000;

/// Runs a scenario under many schedules: random ones, and ones that switch tasks at only a few random points.
fn check<F: Future<Output = ()> + 'static>(scenario: fn(Cloud) -> F) {
    check_schedules(SCHEDULES, scenario);
}

fn check_schedules<F: Future<Output = ()> + 'static>(count: usize, scenario: fn(Cloud) -> F) {
    let schedulers: [Box<dyn Scheduler + Send>; 2] =
        [Box::new(RandomScheduler::new(count)), Box::new(PctScheduler::new(3, count))];
    for scheduler in schedulers {
        let mut config = Config::new();
        config.stack_size = 0x40000;
        Runner::new(scheduler, config).run(move || {
            tokio::time::clear_triggers();
            block_on(scenario(Cloud::new()));
        });
    }
}

/// How Keystone responds to a login.
#[derive(Clone, Copy, PartialEq)]
enum LoginResult {
    Token,
    /// A permanent error.
    Rejected,
    /// A transient error, after 1 s.
    Transient,
    /// No response.
    Never,
    /// A panic of the credentials when the login is created. No time is left for another attempt then.
    PanicAtOnce,
    /// A panic of the credentials when the login is polled. No time is left for another attempt then.
    PanicLater,
    /// A token, and a panic of the clock when the renewal reads it next. No time is left for another attempt then.
    ClockPanic,
}

/// A Keystone, the credentials for it, and the clock. Clones share their state.
///
/// A token contains the number of its login.
#[derive(Clone)]
struct Keystone(Arc<State>);

struct State {
    auth_url: Uri,
    now: AtomicU64,
    next_results: Mutex<VecDeque<LoginResult>>,
    logins: AtomicUsize,
    concurrent: AtomicUsize,
    max_concurrent: AtomicUsize,
    clock_panics: AtomicBool,
    /// Whether a token contains its dates. Without them, it cannot be shared.
    has_dates: AtomicBool,
}

impl Keystone {
    fn logins(&self) -> usize {
        self.0.logins.load(SeqCst)
    }

    fn max_concurrent(&self) -> usize {
        self.0.max_concurrent.load(SeqCst)
    }

    /// Sets the results of the next logins. Later ones return a token.
    fn set_next(&self, results: impl IntoIterator<Item = LoginResult>) {
        self.0.next_results.lock().unwrap().extend(results);
    }

    fn advance(&self, seconds: u64) {
        self.0.now.fetch_add(seconds, SeqCst);
    }

    /// Advances the clock by more than `wait_timeout`, and panics without printing a message.
    fn panic(&self) -> ! {
        self.advance(31);
        resume_unwind(Box::new("the scenario wants this panic"))
    }
}

/// A login in flight, which is counted until it is dropped.
struct InFlight(Keystone);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.concurrent.fetch_sub(1, SeqCst);
    }
}

impl Credentials for Keystone {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        let number = self.0.logins.fetch_add(1, SeqCst) + 1;
        let result = self.0.next_results.lock().unwrap().pop_front().unwrap_or(LoginResult::Token);
        if result == LoginResult::PanicAtOnce {
            self.panic();
        }
        self.0.max_concurrent.fetch_max(self.0.concurrent.fetch_add(1, SeqCst) + 1, SeqCst);
        let in_flight = InFlight(self.clone());
        Box::pin(async move {
            let InFlight(keystone) = &in_flight;
            yield_now().await;
            yield_now().await;
            match result {
                LoginResult::Token | LoginResult::ClockPanic => {
                    keystone.0.clock_panics.store(result == LoginResult::ClockPanic, SeqCst);
                    let mut document = r#"{"token": {"user": {"id": "u"}}}"#.to_owned();
                    if keystone.0.has_dates.load(SeqCst) {
                        let date = |age| {
                            let seconds = keystone.0.now.load(SeqCst) + age;
                            jiff::Timestamp::from_second(seconds as i64).unwrap()
                        };
                        let dates = format!(r#""issued_at": "{}", "expires_at": "{}", "#, date(0), date(300));
                        document.insert_str(document.find(r#""user""#).unwrap(), &dates);
                    }
                    AccessInfo::new(format!("token-{number}"), document)
                }
                LoginResult::Rejected => Err(Error::plugin(false, format!("login {number} was rejected"))),
                LoginResult::Transient => {
                    keystone.advance(1);
                    Err(Error::plugin(true, format!("login {number} failed for now")))
                }
                LoginResult::Never => std::future::pending().await,
                LoginResult::PanicAtOnce | LoginResult::PanicLater => keystone.panic(),
            }
        })
    }

    fn auth_url(&self) -> &Uri {
        &self.0.auth_url
    }
}

impl Clock for Keystone {
    fn now(&self) -> Now {
        if self.0.clock_panics.swap(false, SeqCst) {
            self.panic();
        }
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let passed = Duration::from_secs(self.0.now.load(SeqCst));
        Now::new(SystemTime::UNIX_EPOCH + passed, *START + passed)
    }
}

/// An HTTP client that is never called, because the credentials log in without it.
#[derive(Clone)]
struct UnusedClient;

impl tower::Service<Request<Full<Bytes>>> for UnusedClient {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = std::future::Pending<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        unreachable!()
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        unreachable!()
    }
}

/// A plugin and its Keystone. Clones share their state.
#[derive(Clone)]
struct Cloud {
    keystone: Keystone,
    plugin: RenewingPlugin<Keystone>,
    /// The numbers of the tokens that were dropped, one bit each. Later calls must not return them.
    dropped: Arc<AtomicU64>,
}

impl Cloud {
    fn new() -> Self {
        let keystone = Keystone(Arc::new(State {
            auth_url: Uri::from_static("https://keystone.test/v3"),
            now: AtomicU64::new(1_800_000_000),
            next_results: Mutex::default(),
            logins: AtomicUsize::new(0),
            concurrent: AtomicUsize::new(0),
            max_concurrent: AtomicUsize::new(0),
            clock_panics: AtomicBool::new(false),
            has_dates: AtomicBool::new(false),
        }));
        let transport = Transport::new(UnusedClient);
        let plugin = RenewingPlugin::new(keystone.clone(), transport).clock(keystone.clone()).seed(7);
        Self { keystone, plugin, dropped: Arc::default() }
    }

    /// Obtains `token-1` and lets it reach this age, in seconds.
    async fn with_token(self, age: u64) -> (Self, Arc<ServiceAccess>) {
        let access = self.access().await.unwrap();
        assert_eq!(number(&access), 1);
        self.keystone.advance(age);
        (self, access)
    }

    /// Returns an access of the plugin, and checks that it was not dropped before the future was polled.
    async fn access(&self) -> Result<Arc<ServiceAccess>, Error> {
        let mut dropped = Some(self.dropped.load(SeqCst));
        let mut access = self.plugin.access();
        poll_fn(|cx| {
            let dropped = dropped.take().unwrap_or_else(|| self.dropped.load(SeqCst));
            let poll = Pin::new(&mut access).poll(cx);
            if let Poll::Ready(Ok(access)) = &poll {
                assert!(dropped & (1 << number(access)) == 0, "token-{} had been dropped", number(access));
            }
            poll
        })
        .await
    }

    async fn into_access(self) -> Result<Arc<ServiceAccess>, Error> {
        self.access().await
    }

    /// Spawns tasks that wait for an access.
    fn callers(&self, count: usize) -> Vec<JoinHandle<Result<Arc<ServiceAccess>, Error>>> {
        (0..count).map(|_| spawn(self.clone().into_access())).collect()
    }

    fn invalidate(&self, used: &Arc<ServiceAccess>) {
        let by = Origin::from_uri(&Uri::from_static("https://nova.example.com")).unwrap();
        assert!(self.plugin.invalidate(used, &by), "the request can be sent once more");
        self.dropped.fetch_or(1 << number(used), SeqCst);
    }

    /// Drops the tokens of all logins that have been started.
    fn reset(&self) {
        let started = (1 << (self.keystone.logins() + 1)) - 1;
        self.plugin.reset();
        self.dropped.fetch_or(started, SeqCst);
    }
}

/// Returns the number of the login that obtained the token.
fn number(access: &ServiceAccess) -> usize {
    let token = access.auth_ref().unwrap().auth_token().unwrap();
    token.strip_prefix("token-").unwrap().parse().unwrap()
}

async fn all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut outputs = Vec::new();
    for task in tasks {
        outputs.push(task.await.unwrap());
    }
    outputs
}

#[test]
fn concurrent_callers_share_one_login() {
    check(|cloud| async move {
        let accesses = all(cloud.callers(4)).await;
        let first = accesses[0].as_ref().unwrap();
        for access in &accesses {
            assert!(Arc::ptr_eq(access.as_ref().unwrap(), first));
        }
        assert_eq!(cloud.keystone.logins(), 1);
    });
}

#[test]
fn a_late_rejection_of_the_old_token_keeps_the_new_one() {
    check(|cloud| async move {
        let (cloud, old) = cloud.with_token(0).await;
        let reject_and_retry = |cloud: Cloud, old: Arc<ServiceAccess>| async move {
            cloud.invalidate(&old);
            number(&cloud.access().await.unwrap())
        };
        let tasks = (0..3).map(|_| spawn(reject_and_retry(cloud.clone(), Arc::clone(&old)))).collect();
        assert_eq!(all(tasks).await, [2, 2, 2]);
        assert_eq!(cloud.keystone.logins(), 2);
    });
}

#[test]
fn a_dropped_caller_does_not_affect_the_others() {
    check(|cloud| async move {
        let mut callers = cloud.callers(4);
        // Either the first caller, which starts the renewal, or the second one.
        let dropped = callers.swap_remove(thread_rng().gen_range(0..2));
        dropped.abort();
        for access in all(callers).await {
            assert_eq!(number(&access.unwrap()), 1);
        }
        assert_eq!(number(&cloud.access().await.unwrap()), 1);
        assert_eq!(cloud.keystone.logins(), 1);
    });
}

#[test]
fn a_renewal_finishes_after_all_callers_are_dropped() {
    check(|cloud| async move {
        for caller in cloud.callers(3) {
            caller.abort();
            let _ = caller.await;
        }
        assert_eq!(number(&cloud.access().await.unwrap()), 1);
        assert_eq!(cloud.keystone.logins(), 1);
    });
}

async fn credentials_panic(cloud: Cloud, result: LoginResult) {
    cloud.keystone.set_next([result]);
    for access in all(cloud.callers(3)).await {
        assert!(matches!(access, Err(Error::PluginPanicked)), "{access:?}");
    }
    assert_eq!(cloud.keystone.logins(), 1);
    cloud.keystone.advance(60);
    assert_eq!(number(&cloud.access().await.unwrap()), 2);
}

#[test]
fn a_panic_of_the_credentials_is_an_error_for_all_waiting_callers() {
    check(|cloud| credentials_panic(cloud, LoginResult::PanicAtOnce));
    check(|cloud| credentials_panic(cloud, LoginResult::PanicLater));
}

#[test]
fn a_panic_of_the_clock_is_an_error_for_all_waiting_callers() {
    check(|cloud| credentials_panic(cloud, LoginResult::ClockPanic));
}

#[test]
fn a_failure_is_shared_by_all_waiting_callers() {
    check(|cloud| async move {
        cloud.keystone.set_next([LoginResult::Rejected]);
        for access in all(cloud.callers(4)).await {
            let error = access.unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(cause, "login 1 was rejected");
        }
        assert_eq!(cloud.keystone.logins(), 1);
    });
}

#[test]
fn a_token_that_is_due_for_renewal_is_used_even_if_the_renewal_fails() {
    check(|cloud| async move {
        let (cloud, _) = cloud.with_token(DUE).await;
        cloud.keystone.set_next([LoginResult::Rejected]);
        for access in all(cloud.callers(4)).await {
            assert_eq!(number(&access.unwrap()), 1);
        }
        assert!(cloud.keystone.logins() <= 2);
    });
}

#[test]
fn an_expiring_token_is_used_if_the_renewal_fails() {
    check(|cloud| async move {
        let (cloud, _) = cloud.with_token(EXPIRING).await;
        cloud.keystone.set_next([LoginResult::Rejected]);
        for access in all(cloud.callers(3)).await {
            assert_eq!(number(&access.unwrap()), 1);
        }
        assert_eq!(cloud.keystone.logins(), 2);
    });
}

#[test]
fn an_expiring_token_is_used_if_the_renewal_takes_too_long() {
    check(|cloud| async move {
        let (cloud, _) = cloud.with_token(EXPIRING).await;
        cloud.keystone.set_next([LoginResult::Never]);
        let callers = cloud.callers(3);
        yield_now().await;
        tokio::time::trigger_timeouts(|_| true);
        for access in all(callers).await {
            assert_eq!(number(&access.unwrap()), 1);
        }
        assert!(cloud.keystone.logins() <= 2);
    });
}

#[test]
fn a_token_that_is_rejected_during_its_renewal_causes_no_further_login() {
    check(|cloud| async move {
        let (cloud, old) = cloud.with_token(DUE).await;
        let callers = cloud.callers(2);
        cloud.invalidate(&old);
        assert_eq!(number(&cloud.access().await.unwrap()), 2);
        for access in all(callers).await {
            assert!([1, 2].contains(&number(&access.unwrap())));
        }
        assert_eq!(cloud.keystone.logins(), 2);
        assert_eq!(cloud.keystone.max_concurrent(), 1);
    });
}

#[test]
fn the_token_of_a_cancelled_renewal_is_not_used() {
    check(|cloud| async move {
        let before = cloud.callers(2);
        yield_now().await;
        cloud.reset();
        for access in all(cloud.callers(2)).await {
            access.unwrap();
        }
        for access in all(before).await {
            access.unwrap();
        }
        cloud.access().await.unwrap();
        assert!(cloud.keystone.logins() <= 2);
    });
}

#[test]
fn a_caller_that_is_polled_late_gets_no_token_that_was_reset_meanwhile() {
    check(|cloud| async move {
        let late = spawn(cloud.clone().into_access());
        // The renewal of the late caller has started, and may have finished, before that caller is polled again.
        cloud.access().await.unwrap();
        cloud.reset();
        late.await.unwrap().unwrap();
        assert!(cloud.keystone.logins() <= 2);
    });
}

#[test]
fn there_is_no_login_for_a_plugin_that_was_dropped() {
    check(|cloud| async move {
        cloud.keystone.set_next([LoginResult::Transient; 40]);
        let keystone = cloud.keystone.clone();
        let callers = cloud.callers(2);
        drop(cloud);
        yield_now().await;
        for caller in callers {
            caller.abort();
            let _ = caller.await;
        }
        let logins = keystone.logins();
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(keystone.logins() <= logins + 1, "one login may already be starting");
    });
}

#[test]
fn a_restored_token_is_not_replaced_by_an_older_renewal() {
    check(|cloud| async move {
        let (cloud, _) = cloud.with_token(DUE).await;
        let stored = cloud.plugin.auth_state();
        let callers = cloud.callers(2);
        yield_now().await;
        cloud.plugin.set_auth_state(stored.as_ref()).unwrap();
        for access in all(callers).await {
            access.unwrap();
        }
        assert_eq!(number(&cloud.access().await.unwrap()), 1);
    });
}

#[test]
fn a_call_of_renew_joins_the_renewal_in_flight() {
    check(|cloud| async move {
        let callers = cloud.callers(2);
        let plugin = cloud.plugin.clone();
        let renewal = spawn(async move { number(&plugin.renew().await.unwrap()) });
        let renewed = renewal.await.unwrap();
        assert!(number(&cloud.access().await.unwrap()) >= renewed, "the new token is current");
        for access in all(callers).await {
            access.unwrap();
        }
        assert!(cloud.keystone.logins() <= 2);
        assert_eq!(cloud.keystone.max_concurrent(), 1);
    });
}

#[test]
fn a_renewal_whose_runtime_is_shut_down_is_replaced_once() {
    check(|cloud| async move {
        let callers = cloud.callers(3);
        yield_now().await;
        tokio::runtime::shut_down();
        for access in all(callers).await {
            access.unwrap();
        }
        assert!(cloud.keystone.logins() <= 2);
        assert_eq!(cloud.keystone.max_concurrent(), 1);
    });
}

/// Does three random operations.
async fn do_random_operations(cloud: Cloud) {
    let mut used = None;
    for _ in 0..3 {
        match thread_rng().gen_range(0..7) {
            0..=2 => used = cloud.access().await.ok().or(used),
            3 => {
                if let Some(used) = &used {
                    cloud.invalidate(used);
                }
            }
            4 => drop(cloud.plugin.access()),
            5 => cloud.reset(),
            _ => drop(cloud.plugin.renew().await),
        }
    }
}

#[test]
fn random_operations_never_hang_or_return_a_dropped_token() {
    check(|cloud| async move {
        let tasks = (0..3).map(|_| spawn(do_random_operations(cloud.clone()))).collect();
        all(tasks).await;
        cloud.access().await.unwrap();
    });
}
