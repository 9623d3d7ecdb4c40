//! `RenewingPlugin`, its own source, under the schedules of a model checker: whichever task runs next, wherever
//! one stops, nobody waits for ever, one login serves all, and what was dropped stays dropped.
//!
//! Time passes only when a scenario says so. A hang is a deadlock, which the checker reports, and so is a
//! loop without an end. A schedule that fails is printed and can be run again with `shuttle::replay`.

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

/// A token of the model lives for 300 s. It is soft from 180 s on, at the latest, and hard from 290 s on.
const SOFT: u64 = 200;
const HARD: u64 = 295;

const SCHEDULES: usize = 5_000;

/// Runs a scenario under many schedules, random ones and ones with few, well-placed switches.
fn check<F: Future<Output = ()> + 'static>(scenario: fn(Cloud) -> F) {
    let schedulers: [Box<dyn Scheduler + Send>; 2] =
        [Box::new(RandomScheduler::new(SCHEDULES)), Box::new(PctScheduler::new(3, SCHEDULES))];
    for scheduler in schedulers {
        let mut config = Config::new();
        config.stack_size = 0x40000;
        Runner::new(scheduler, config).run(move || {
            tokio::time::clear_triggers();
            block_on(scenario(Cloud::new()));
        });
    }
}

/// What Keystone does with a login.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Token,
    Refused,
    /// An error that passes by itself, after a second.
    Passing,
    Never,
    /// A panic when all the time that a flight has is over: at once, or when the answer is waited for.
    PanicAtOnce,
    PanicLater,
    /// A token, and such a panic of the clock that the flight looks at next.
    PanicOfTheClock,
}

/// A Keystone, the credentials for it, and the time. Clones are the same. The tokens bear the number of
/// their login.
#[derive(Clone)]
struct Keystone(Arc<State>);

struct State {
    auth_url: Uri,
    now: AtomicU64,
    script: Mutex<VecDeque<Answer>>,
    logins: AtomicUsize,
    under_way: AtomicUsize,
    most_at_once: AtomicUsize,
    clock_panics: AtomicBool,
}

impl Keystone {
    fn logins(&self) -> usize {
        self.0.logins.load(SeqCst)
    }

    fn most_at_once(&self) -> usize {
        self.0.most_at_once.load(SeqCst)
    }

    fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        self.0.script.lock().unwrap().extend(answers);
    }

    fn pass(&self, seconds: u64) {
        self.0.now.fetch_add(seconds, SeqCst);
    }

    /// Panics as `panic!` does, but prints nothing.
    fn panic(&self) -> ! {
        self.pass(31);
        resume_unwind(Box::new("the scenario wants this panic"))
    }
}

struct UnderWay(Keystone);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, SeqCst);
    }
}

impl Credentials for Keystone {
    fn get_auth_ref(&self, _: Transport) -> AuthRefFuture {
        let number = self.0.logins.fetch_add(1, SeqCst) + 1;
        let answer = self.0.script.lock().unwrap().pop_front().unwrap_or(Answer::Token);
        if answer == Answer::PanicAtOnce {
            self.panic();
        }
        self.0.most_at_once.fetch_max(self.0.under_way.fetch_add(1, SeqCst) + 1, SeqCst);
        let under_way = UnderWay(self.clone());
        Box::pin(async move {
            let UnderWay(keystone) = &under_way;
            yield_now().await;
            yield_now().await;
            match answer {
                Answer::Token | Answer::PanicOfTheClock => {
                    keystone.0.clock_panics.store(answer == Answer::PanicOfTheClock, SeqCst);
                    AccessInfo::new(format!("token-{number}"), r#"{"token": {"user": {"id": "u"}}}"#)
                }
                Answer::Refused => Err(Error::plugin(false, format!("login {number} was refused"))),
                Answer::Passing => {
                    keystone.pass(1);
                    Err(Error::plugin(true, format!("login {number} was too early")))
                }
                Answer::Never => std::future::pending().await,
                Answer::PanicAtOnce | Answer::PanicLater => keystone.panic(),
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

/// The credentials are asked, never the transport.
#[derive(Clone)]
struct Unused;

impl tower::Service<Request<Full<Bytes>>> for Unused {
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

/// A plugin and its Keystone. Clones are the same.
#[derive(Clone)]
struct Cloud {
    keystone: Keystone,
    plugin: RenewingPlugin<Keystone>,
    /// The numbers of the tokens that were dropped, a bit for each. Nobody who asks gets them any more.
    dropped: Arc<AtomicU64>,
}

impl Cloud {
    fn new() -> Self {
        let keystone = Keystone(Arc::new(State {
            auth_url: Uri::from_static("https://keystone.test/v3"),
            now: AtomicU64::new(1_800_000_000),
            script: Mutex::default(),
            logins: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            clock_panics: AtomicBool::new(false),
        }));
        let transport = Transport::new(Unused);
        let plugin = RenewingPlugin::new(keystone.clone(), transport).clock(keystone.clone()).seed(7);
        Self { keystone, plugin, dropped: Arc::default() }
    }

    /// With `token-1` of this age, in seconds.
    async fn with_token(self, age: u64) -> (Self, Arc<ServiceAccess>) {
        let access = self.ask().await.unwrap();
        assert_eq!(number(&access), 1);
        self.keystone.pass(age);
        (self, access)
    }

    /// Whenever it is polled it brings no token that had been dropped before.
    async fn ask(&self) -> Result<Arc<ServiceAccess>, Error> {
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

    async fn asks(self) -> Result<Arc<ServiceAccess>, Error> {
        self.ask().await
    }

    fn callers(&self, count: usize) -> Vec<JoinHandle<Result<Arc<ServiceAccess>, Error>>> {
        (0..count).map(|_| spawn(self.clone().asks())).collect()
    }

    fn invalidate(&self, used: &Arc<ServiceAccess>) {
        let by = Origin::from_uri(&Uri::from_static("https://nova.example.com")).unwrap();
        assert!(self.plugin.invalidate(used, &by), "it makes sense to try again");
        self.dropped.fetch_or(1 << number(used), SeqCst);
    }

    /// Drops all tokens of the logins that have begun.
    fn reset(&self) {
        let begun = (1 << (self.keystone.logins() + 1)) - 1;
        self.plugin.reset();
        self.dropped.fetch_or(begun, SeqCst);
    }
}

fn number(access: &ServiceAccess) -> usize {
    let token = access.auth_ref().unwrap().auth_token().unwrap();
    token.strip_prefix("token-").unwrap().parse().unwrap()
}

async fn all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

#[test]
fn callers_who_come_at_once_share_one_login() {
    check(|cloud| async move {
        let brought = all(cloud.callers(4)).await;
        let first = brought[0].as_ref().unwrap();
        for access in &brought {
            assert!(Arc::ptr_eq(access.as_ref().unwrap(), first));
        }
        assert_eq!(cloud.keystone.logins(), 1);
    });
}

#[test]
fn a_late_refusal_of_the_old_token_keeps_the_new_one() {
    check(|cloud| async move {
        let (cloud, old) = cloud.with_token(0).await;
        let refused = |cloud: Cloud, old: Arc<ServiceAccess>| async move {
            cloud.invalidate(&old);
            number(&cloud.ask().await.unwrap())
        };
        let tasks = (0..3).map(|_| spawn(refused(cloud.clone(), Arc::clone(&old)))).collect();
        assert_eq!(all(tasks).await, [2, 2, 2]);
        assert_eq!(cloud.keystone.logins(), 2);
    });
}

#[test]
fn a_caller_that_is_dropped_takes_nothing_along() {
    check(|cloud| async move {
        let mut callers = cloud.callers(4);
        // The first, which is the one that starts the flight, or not.
        let dropped = callers.swap_remove(thread_rng().gen_range(0..2));
        dropped.abort();
        for access in all(callers).await {
            assert_eq!(number(&access.unwrap()), 1);
        }
        assert_eq!(number(&cloud.ask().await.unwrap()), 1);
        assert_eq!(cloud.keystone.logins(), 1);
    });
}

#[test]
fn when_all_callers_are_dropped_the_flight_lands_all_the_same() {
    check(|cloud| async move {
        for caller in cloud.callers(3) {
            caller.abort();
            let _ = caller.await;
        }
        assert_eq!(number(&cloud.ask().await.unwrap()), 1);
        assert_eq!(cloud.keystone.logins(), 1);
    });
}

async fn credentials_panic(cloud: Cloud, answer: Answer) {
    cloud.keystone.then([answer]);
    for brought in all(cloud.callers(3)).await {
        assert!(matches!(brought, Err(Error::PluginPanicked)), "{brought:?}");
    }
    assert_eq!(cloud.keystone.logins(), 1);
    cloud.keystone.pass(60);
    assert_eq!(number(&cloud.ask().await.unwrap()), 2);
}

#[test]
fn a_panic_of_the_credentials_is_an_error_to_all_who_wait() {
    check(|cloud| credentials_panic(cloud, Answer::PanicAtOnce));
    check(|cloud| credentials_panic(cloud, Answer::PanicLater));
}

#[test]
fn a_panic_of_the_clock_is_an_error_to_all_who_wait() {
    check(|cloud| credentials_panic(cloud, Answer::PanicOfTheClock));
}

#[test]
fn a_failure_is_shared_by_all_who_wait() {
    check(|cloud| async move {
        cloud.keystone.then([Answer::Refused]);
        for brought in all(cloud.callers(4)).await {
            let error = brought.unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(cause, "login 1 was refused");
        }
        assert_eq!(cloud.keystone.logins(), 1);
    });
}

#[test]
fn a_soft_token_serves_all_the_while_whatever_becomes_of_its_successor() {
    check(|cloud| async move {
        let (cloud, _) = cloud.with_token(SOFT).await;
        cloud.keystone.then([Answer::Refused]);
        for access in all(cloud.callers(4)).await {
            assert_eq!(number(&access.unwrap()), 1);
        }
        assert!(cloud.keystone.logins() <= 2);
    });
}

#[test]
fn a_hard_token_serves_when_its_successor_fails() {
    check(|cloud| async move {
        let (cloud, _) = cloud.with_token(HARD).await;
        cloud.keystone.then([Answer::Refused]);
        for access in all(cloud.callers(3)).await {
            assert_eq!(number(&access.unwrap()), 1);
        }
        assert_eq!(cloud.keystone.logins(), 2);
    });
}

#[test]
fn a_hard_token_serves_when_its_successor_does_not_come_in_time() {
    check(|cloud| async move {
        let (cloud, _) = cloud.with_token(HARD).await;
        cloud.keystone.then([Answer::Never]);
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
fn a_token_refused_while_its_successor_is_on_the_way_costs_no_further_login() {
    check(|cloud| async move {
        let (cloud, old) = cloud.with_token(SOFT).await;
        let callers = cloud.callers(2);
        cloud.invalidate(&old);
        assert_eq!(number(&cloud.ask().await.unwrap()), 2);
        for access in all(callers).await {
            assert!([1, 2].contains(&number(&access.unwrap())));
        }
        assert_eq!(cloud.keystone.logins(), 2);
        assert_eq!(cloud.keystone.most_at_once(), 1);
    });
}

#[test]
fn what_a_reset_overtook_is_given_to_nobody() {
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
        cloud.ask().await.unwrap();
        assert!(cloud.keystone.logins() <= 2);
    });
}

#[test]
fn whoever_is_polled_late_gets_no_token_that_was_reset_meanwhile() {
    check(|cloud| async move {
        let late = spawn(cloud.clone().asks());
        // The flight is started, and may have landed, before the one who waits is polled again.
        cloud.ask().await.unwrap();
        cloud.reset();
        late.await.unwrap().unwrap();
        assert!(cloud.keystone.logins() <= 2);
    });
}

#[test]
fn nobody_logs_in_for_a_plugin_that_is_gone() {
    check(|cloud| async move {
        cloud.keystone.then([Answer::Passing; 40]);
        let keystone = cloud.keystone.clone();
        let callers = cloud.callers(2);
        drop(cloud);
        yield_now().await;
        for caller in callers {
            caller.abort();
            let _ = caller.await;
        }
        let begun = keystone.logins();
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(keystone.logins() <= begun + 1, "one that was about to be sent");
    });
}

#[test]
fn a_token_that_was_set_is_not_displaced_by_the_flight_that_it_overtook() {
    check(|cloud| async move {
        let (cloud, _) = cloud.with_token(SOFT).await;
        let stored = cloud.plugin.auth_state();
        let callers = cloud.callers(2);
        yield_now().await;
        cloud.plugin.set_auth_state(stored.as_ref()).unwrap();
        for access in all(callers).await {
            access.unwrap();
        }
        assert_eq!(number(&cloud.ask().await.unwrap()), 1);
    });
}

#[test]
fn to_force_a_renewal_starts_no_second_flight() {
    check(|cloud| async move {
        let callers = cloud.callers(2);
        let forced = cloud.clone();
        let forced = spawn(async move { number(&forced.plugin.renew().await.unwrap()) });
        let brought = forced.await.unwrap();
        assert!(number(&cloud.ask().await.unwrap()) >= brought, "what was forced is current");
        for access in all(callers).await {
            access.unwrap();
        }
        assert!(cloud.keystone.logins() <= 2);
        assert_eq!(cloud.keystone.most_at_once(), 1);
    });
}

#[test]
fn a_flight_whose_runtime_is_gone_is_taken_over_once() {
    check(|cloud| async move {
        let callers = cloud.callers(3);
        yield_now().await;
        tokio::runtime::shut_down();
        for access in all(callers).await {
            access.unwrap();
        }
        assert!(cloud.keystone.logins() <= 2);
        assert_eq!(cloud.keystone.most_at_once(), 1);
    });
}

/// Any of what can happen, in any order.
async fn whatever(cloud: Cloud) {
    let mut used = None;
    for _ in 0..3 {
        match thread_rng().gen_range(0..7) {
            0..=2 => used = cloud.ask().await.ok().or(used),
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
fn in_whatever_order_things_happen_nobody_hangs_and_nothing_dropped_comes_back() {
    check(|cloud| async move {
        let tasks = (0..3).map(|_| spawn(whatever(cloud.clone()))).collect();
        all(tasks).await;
        cloud.ask().await.unwrap();
    });
}
