//! The cache of validated tokens, and requests that wait for one validation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::{Request, Response};
use serde_json::json;
use tokio::runtime::Builder;
use tokio_test::{assert_pending, task};
use tower::{Layer, Service as _, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_keystone::{
    AccessFuture, AuthLayer, BoxError, Caller, EndpointFilter, IdentityPlugin, ServiceAccess,
    ValidateTokenLayer,
    endpoint::Origin,
    renewal::{Clock, Now},
};

use crate::{support::*, validation::*};

cases![
    paused d38_a_revocation_is_seen_by_the_end_of_the_lifetime,
    paused d38_a_revocation_is_seen_in_the_background,
    paused d39_the_expiry_is_judged_on_each_hit,
    paused d39_a_token_that_expires_while_the_application_is_not_ready_is_a_401,
    paused d40_an_outage_changes_nothing_until_the_lifetime_ends,
    paused d41_a_grace_lasts_as_long_as_it_says_and_never_beyond_the_token,
    paused d42_a_401_of_another_service_removes_the_token_once_in_ten_seconds,
    paused d43_a_removal_voids_a_validation_in_flight,
    paused d44_a_flood_of_spellings_keeps_four,
    paused d45_a_flood_of_unknown_tokens_is_capped_and_evicts_nothing,
    paused d46_an_unknown_token_is_cached_for_a_short_time,
    paused d47_a_validation_goes_on_when_the_callers_leave,
    paused d47_a_thousand_requests_share_one_validation_and_its_failure,
    paused d48_a_panic_of_the_clock_is_a_503,
    paused d49_a_panic_of_the_transport_is_a_503,
    paused d50_a_panic_of_the_plugin_is_a_503,
    paused d51_validations_that_find_no_place_are_a_503_at_once,
    paused d52_a_tiny_cache_forgets_tokens_and_confuses_none,
    paused d53_a_clock_that_is_set_ends_a_lifetime_but_never_extends_it,
    without_runtime d54_without_a_runtime_a_new_token_is_a_503,
    without_runtime d54_a_validation_whose_runtime_was_shut_down_is_made_again,
];

async fn d38_a_revocation_is_seen_by_the_end_of_the_lifetime() {
    for service in services(|asked, _| known(asked)) {
        service.expect(ALICE, CONFIRMED).await;
        service.keystone.set(|_, _| status(404));
        sleep_secs(200).await;
        service.expect(ALICE, CONFIRMED).await;
        assert_eq!(service.keystone.questions(), 1);
        sleep_secs(100).await;
        service.expect(ALICE, INVALID).await;
        assert_eq!(service.keystone.questions(), 1);
    }
}

async fn d38_a_revocation_is_seen_in_the_background() {
    for service in services(|asked, _| known(asked)) {
        service.expect(ALICE, CONFIRMED).await;
        service.keystone.set(|_, _| status(404));
        sleep_secs(270).await;
        service.expect(ALICE, CONFIRMED).await;
        settle().await;
        service.expect(ALICE, INVALID).await;
        assert_eq!(service.keystone.questions(), 2);
    }
}

async fn d39_the_expiry_is_judged_on_each_hit() {
    let short = [("x-auth-token", "canary-short")];
    for service in services(|asked, _| known(asked)) {
        service.expect(&short, CONFIRMED).await;
        for (wait, expected) in [(59, CONFIRMED), (1, CONFIRMED), (1, INVALID), (3_600, INVALID)] {
            sleep_secs(wait).await;
            service.expect(&short, expected).await;
        }
        assert!(service.keystone.questions() <= 2);
    }
}

async fn d39_a_token_that_expires_while_the_application_is_not_ready_is_a_401() {
    for service in services(|asked, _| known(asked)) {
        let calls = Arc::new(AtomicUsize::new(0));
        let app = {
            let calls = Arc::clone(&calls);
            service_fn(move |request: Request<()>| {
                calls.fetch_add(1, Ordering::Relaxed);
                let status = Caller::from_extensions(request.extensions()).unwrap_err().status();
                std::future::ready(Ok::<_, BoxError>(Response::builder().status(status).body("").unwrap()))
            })
        };
        let mut busy = ConcurrencyLimit::new(app, 1);
        let app = busy.clone();
        busy.ready().await.unwrap();
        let request = Request::get("/").header("x-auth-token", "canary-short").body(()).unwrap();
        let layer = service.layer.clone().respond_with(|rejection| rejection.respond(|_| ""));
        let mut layered = layer.layer(app);
        // The token is not cached, so that this clone is polled ready only after the validation.
        let mut waiting = task::spawn(async move { layered.call(request).await });
        assert_pending!(waiting.poll());
        settle().await;
        assert_pending!(waiting.poll());
        sleep_secs(61).await;
        drop(busy);
        assert_eq!(waiting.await.unwrap().status(), 401);
        assert_eq!(calls.load(Ordering::Relaxed), usize::from(service.delays_decision));
        assert_eq!(service.keystone.questions(), 1);
    }
}

type Make = fn() -> Reply;

async fn d40_an_outage_changes_nothing_until_the_lifetime_ends() {
    let outages: [Make; 6] = [
        || status(500),
        || status(403),
        || status(401),
        || with_body(200, &[], "<html>canary"),
        Reply::refused,
        || Reply::Hang,
    ];
    for make in outages {
        for service in services(|asked, _| known(asked)) {
            service.expect(ALICE, CONFIRMED).await;
            service.keystone.set(move |_, _| make());
            for wait in [100, 100, 60, 30] {
                sleep_secs(wait).await;
                service.expect(ALICE, CONFIRMED).await;
            }
            sleep_secs(11).await;
            service.expect(ALICE, UNAVAILABLE).await;
            service.keystone.set(|asked, _| known(asked));
            service.expect(ALICE, CONFIRMED).await;
        }
    }
}

async fn d41_a_grace_lasts_as_long_as_it_says_and_never_beyond_the_token() {
    for service in services(|asked, _| known(asked)) {
        let service = service.with(|layer| layer.outage_grace(seconds(600)));
        service.expect(ALICE, CONFIRMED).await;
        service.keystone.set(|_, _| status(503));
        for wait in [310, 300, 285] {
            sleep_secs(wait).await;
            service.expect(ALICE, CONFIRMED).await;
        }
        sleep_secs(6).await;
        service.expect(ALICE, UNAVAILABLE).await;

        // It is for outages, not for revocations.
        service.keystone.set(|asked, _| known(asked));
        service.expect(ALICE, CONFIRMED).await;
        service.keystone.set(|_, _| status(404));
        sleep_secs(301).await;
        service.expect(ALICE, INVALID).await;
    }
    let short = [("x-auth-token", "canary-short")];
    for service in services(|asked, _| known(asked)) {
        let layer =
            |layer: ValidateTokenLayer| layer.outage_grace(seconds(600)).token_cache_time(seconds(30));
        let service = service.with(layer);
        service.expect(&short, CONFIRMED).await;
        service.keystone.set(|_, _| status(503));
        sleep_secs(45).await;
        service.expect(&short, CONFIRMED).await;
        sleep_secs(16).await;
        service.expect(&short, INVALID).await;
    }
}

/// Sends a request on behalf of the caller to a service that responds with this status.
async fn call_nova(caller: &Caller, status: u16) {
    let nova = service_fn(move |request: Request<()>| async move {
        assert_eq!(request.headers()["x-auth-token"], "canary-alice");
        Ok::<_, BoxError>(Response::builder().status(status).body(()).unwrap())
    });
    let layer =
        AuthLayer::new(own_plugin("https://keystone.test/v3")).endpoint(EndpointFilter::new("compute"));
    let request = Request::get("/servers").extension(caller.identity()).body(()).unwrap();
    assert_eq!(layer.layer(nova).oneshot(request).await.unwrap().status(), status);
}

async fn caller(service: &Service) -> Caller {
    let request = Request::get("/").header(ALICE[0].0, ALICE[0].1).body(()).unwrap();
    let seen = service.expect_request("caller", request, CONFIRMED).await.unwrap();
    Caller::from_extensions(&seen.extensions).unwrap().clone()
}

async fn d42_a_401_of_another_service_removes_the_token_once_in_ten_seconds() {
    for service in services(|asked, _| known(asked)) {
        let alice = caller(&service).await;
        for status in [200, 403, 404, 500] {
            call_nova(&alice, status).await;
        }
        service.expect(ALICE, CONFIRMED).await;
        assert_eq!(service.keystone.questions(), 1);
        call_nova(&alice, 401).await;
        service.expect(ALICE, CONFIRMED).await;
        assert_eq!(service.keystone.questions(), 1, "it was removed");
        for _ in 0..20 {
            call_nova(&alice, 401).await;
            service.expect(ALICE, CONFIRMED).await;
        }
        assert_eq!(service.keystone.questions(), 0, "once in ten seconds");
        sleep_secs(10).await;
        service.keystone.set(|_, _| status(404));
        call_nova(&alice, 401).await;
        service.expect(ALICE, INVALID).await;
    }
}

async fn d43_a_removal_voids_a_validation_in_flight() {
    for service in services(|asked, _| known(asked)) {
        let alice = caller(&service).await;
        sleep_secs(300).await;
        // The first answer says that the token is valid, but the question was sent before the removal.
        service.keystone.take_asked();
        service.keystone.set(|asked, before| match before {
            0 => known(asked).after(seconds(3)),
            _ => status(404),
        });
        let mut waiting = task::spawn(service.expect(ALICE, INVALID));
        assert_pending!(waiting.poll());
        settle().await;
        call_nova(&alice, 401).await;
        service.expect(ALICE, INVALID).await;
        waiting.await;
        assert!(service.keystone.questions() <= 3);
        service.expect(ALICE, INVALID).await;
    }
}

async fn d44_a_flood_of_spellings_keeps_four() {
    for service in services(|_, _| document(&with(user("alice", &[]), "audit_ids", json!(["audit"])))) {
        for number in 0..200 {
            let spelling = format!("canary-alice{}", "=".repeat(number));
            service.expect(&[("x-auth-token", &*spelling)], CONFIRMED).await;
        }
        assert_eq!(service.layer.metrics().snapshot().cached_tokens, 4);
        assert_eq!(service.keystone.questions(), 200);
    }
}

async fn d45_a_flood_of_unknown_tokens_is_capped_and_evicts_nothing() {
    for service in services(|asked, _| known(asked)) {
        service.expect(ALICE, CONFIRMED).await;
        service.keystone.set(|asked, _| known(asked).after(millis(10)));
        let service = Arc::new(service);
        let before = memory_in_use();
        let flood: Vec<_> = (0..10_000)
            .map(|number| {
                let service = Arc::clone(&service);
                tokio::spawn(async move {
                    let request = Request::get("/").header("x-auth-token", format!("canary-bad-{number}"));
                    let (response, seen) = service.send(request.body(()).unwrap()).await;
                    match seen {
                        Some(seen) => Caller::from_extensions(&seen.extensions).unwrap_err().status(),
                        None => response.status(),
                    }
                })
            })
            .collect();
        let mut counts = [0, 0];
        for request in flood {
            match request.await.unwrap().as_u16() {
                401 => counts[0] += 1,
                503 => counts[1] += 1,
                other => panic!("{other}"),
            }
        }
        assert_eq!(counts, [1_088, 10_000 - 1_088], "64 in flight, 1,024 waiting");
        assert!(service.keystone.max_in_flight() <= 64, "{}", service.keystone.max_in_flight());
        let memory = memory_in_use() - before;
        assert!(memory < 16 << 20, "{memory} bytes");
        service.keystone.take_asked();
        service.expect(ALICE, CONFIRMED).await;
        assert_eq!(service.keystone.questions(), 0, "the good token is still cached");
    }
}

async fn d46_an_unknown_token_is_cached_for_a_short_time() {
    for service in services(|_, _| status(404)) {
        for _ in 0..20 {
            service.expect(ALICE, INVALID).await;
        }
        assert_eq!(service.keystone.questions(), 1);
        service.keystone.set(|asked, _| known(asked));
        sleep_secs(10).await;
        service.expect(ALICE, CONFIRMED).await;
        assert_eq!(service.keystone.questions(), 1);
        let metrics = service.layer.metrics().snapshot();
        assert_eq!((metrics.unknown, metrics.valid, metrics.unknown_hits), (1, 1, 19));
    }
}

async fn d47_a_validation_goes_on_when_the_callers_leave() {
    for service in services(|asked, _| known(asked).after(seconds(3))) {
        for (wait, token) in [(0, "canary-alice"), (1, "canary-plain"), (2, "canary-service")] {
            let tokens = [("x-auth-token", token)];
            let mut leaving: Vec<_> =
                (0..10).map(|_| task::spawn(service.expect(&tokens, CONFIRMED))).collect();
            leaving.iter_mut().for_each(|request| assert_pending!(request.poll()));
            sleep_secs(wait).await;
            leaving.iter_mut().for_each(|request| assert_pending!(request.poll()));
            drop(leaving);
            service.expect(&tokens, CONFIRMED).await;
            assert_eq!(service.keystone.questions(), 1, "{wait}");
            let metrics = service.layer.metrics().snapshot();
            assert_eq!((metrics.in_flight, metrics.waiting), (0, 0));
        }
    }
}

async fn d47_a_thousand_requests_share_one_validation_and_its_failure() {
    for (make, expected) in [
        (known as fn(&Asked) -> Reply, CONFIRMED),
        (|_| status(404), INVALID),
        (|_| status(500), UNAVAILABLE),
        (|_| Reply::Hang, UNAVAILABLE),
    ] {
        for service in services(move |asked, _| make(asked).after(millis(50))) {
            let mut requests: Vec<_> =
                (0..1_000).map(|_| task::spawn(service.expect(ALICE, expected))).collect();
            requests.iter_mut().for_each(|request| assert_pending!(request.poll()));
            for request in requests {
                request.await;
            }
            assert_eq!(service.keystone.questions(), 1);
        }
    }
}

/// A clock that panics while it is told to.
struct PanickingClock(SimulatedTime, Arc<AtomicBool>);

impl Clock for PanickingClock {
    fn now(&self) -> Now {
        if self.1.load(Ordering::Relaxed) {
            std::panic::panic_any(EXPECTED_PANIC);
        }
        self.0.now()
    }
}

async fn d48_a_panic_of_the_clock_is_a_503() {
    for service in services(|asked, _| known(asked)) {
        let panics = Arc::new(AtomicBool::new(false));
        let clock = PanickingClock(service.time.clone(), Arc::clone(&panics));
        let service = service.with(|layer| layer.clock(clock));
        service.expect(ALICE, CONFIRMED).await;
        panics.store(true, Ordering::Relaxed);
        service.expect(ALICE, UNAVAILABLE).await;
        service.expect(UNKNOWN, UNAVAILABLE).await;
        panics.store(false, Ordering::Relaxed);

        // While a validation is in flight.
        service.keystone.set(|asked, _| known(asked).after(seconds(1)));
        let plain = [("x-auth-token", "canary-plain")];
        let mut waiting = task::spawn(service.expect(&plain, UNAVAILABLE));
        assert_pending!(waiting.poll());
        settle().await;
        panics.store(true, Ordering::Relaxed);
        waiting.await;
        panics.store(false, Ordering::Relaxed);
        service.expect(ALICE, CONFIRMED).await;
        service.expect(&plain, CONFIRMED).await;
        assert_eq!(service.layer.metrics().snapshot().in_flight, 0);
    }
}

async fn d49_a_panic_of_the_transport_is_a_503() {
    for service in services(|_, _| Reply::Panic) {
        service.expect(ALICE, UNAVAILABLE).await;
        service.keystone.set(|_, _| Reply::Panic.after(seconds(1)));
        service.expect(ALICE, UNAVAILABLE).await;
        service.keystone.set(|_, _| std::panic::panic_any(EXPECTED_PANIC));
        service.expect(ALICE, UNAVAILABLE).await;
        service.keystone.set(|asked, _| known(asked));
        service.expect(ALICE, CONFIRMED).await;

        // In the background.
        service.keystone.set(|_, _| Reply::Panic);
        sleep_secs(270).await;
        service.expect(ALICE, CONFIRMED).await;
        settle().await;
        service.keystone.set(|asked, _| known(asked));
        sleep_secs(2).await;
        service.expect(ALICE, CONFIRMED).await;
        settle().await;
        sleep_secs(200).await;
        service.expect(ALICE, CONFIRMED).await;
        let metrics = service.layer.metrics().snapshot();
        assert_eq!((metrics.in_flight, metrics.waiting, metrics.background), (0, 0, 2));
    }
}

/// A plugin that panics when its access is asked for, or when that is polled.
struct PanickingPlugin {
    when_polled: bool,
}

impl IdentityPlugin for PanickingPlugin {
    fn access(&self) -> AccessFuture {
        if !self.when_polled {
            std::panic::panic_any(EXPECTED_PANIC);
        }
        AccessFuture::new(std::future::poll_fn(
            |_: &mut Context<'_>| -> Poll<Result<Arc<ServiceAccess>, _>> {
                std::panic::panic_any(EXPECTED_PANIC)
            },
        ))
    }

    fn invalidate(&self, _: &Arc<ServiceAccess>, _: &Origin) -> bool {
        std::panic::panic_any(EXPECTED_PANIC)
    }
}

async fn d50_a_panic_of_the_plugin_is_a_503() {
    for when_polled in [false, true] {
        for service in services_with(
            |asked, _| known(asked),
            |keystone, _| ValidateTokenLayer::new(PanickingPlugin { when_polled }, keystone.transport()),
        ) {
            for _ in 0..3 {
                service.expect(ALICE, UNAVAILABLE).await;
            }
            let metrics = service.layer.metrics().snapshot();
            assert_eq!((metrics.in_flight, metrics.waiting, metrics.unavailable), (0, 0, 3));
            assert_eq!(service.keystone.questions(), 0);
        }
    }
}

async fn d51_validations_that_find_no_place_are_a_503_at_once() {
    for service in services(|asked, _| known(asked).after(seconds(1))) {
        let service = service.with(|layer| layer.max_validations(1, 1));
        let mut first = task::spawn(service.expect(ALICE, CONFIRMED));
        let mut second = task::spawn(service.expect(UNKNOWN, INVALID));
        assert_pending!(first.poll());
        assert_pending!(second.poll());
        let start = tokio::time::Instant::now();
        service.expect(&[("x-auth-token", "canary-plain")], UNAVAILABLE).await;
        assert_eq!(start.elapsed(), millis(0));
        let mut same = task::spawn(service.expect(ALICE, CONFIRMED));
        assert_pending!(same.poll());
        first.await;
        second.await;
        same.await;
        assert_eq!(service.keystone.questions(), 2);
        assert_eq!(service.keystone.max_in_flight(), 1);
        assert_eq!(service.layer.metrics().snapshot().refused, 1);
    }
}

async fn d52_a_tiny_cache_forgets_tokens_and_confuses_none() {
    let script = |asked: &Asked, _| {
        let name = asked.token.as_deref().unwrap().strip_prefix("canary-").unwrap();
        document(&user(name, &[]))
    };
    for (entries, bytes) in [(2, 1 << 20), (0, 0), (100, 10_000)] {
        for service in services(script) {
            let service = service.with(|layer| layer.cache_capacity(entries, bytes));
            for number in 0..300 {
                let name = format!("user-{}", number * 7 % 11);
                let request = Request::get("/").header("x-auth-token", format!("canary-{name}"));
                let seen = service.expect_request(&name, request.body(()).unwrap(), CONFIRMED).await.unwrap();
                let caller = Caller::from_extensions(&seen.extensions).unwrap();
                assert_eq!(caller.access_info().username(), Some(&*name));
            }
            let metrics = service.layer.metrics().snapshot();
            assert!(metrics.cached_tokens <= entries && metrics.cached_bytes <= bytes as u64, "{metrics:?}");
        }
    }
}

async fn d53_a_clock_that_is_set_ends_a_lifetime_but_never_extends_it() {
    for service in services(|asked, _| known(asked)) {
        service.expect(ALICE, CONFIRMED).await;
        service.keystone.set(|_, _| status(404));
        // The time of day is set back by an hour: the monotonic clock still counts.
        service.time.step_wall(-3_600);
        sleep_secs(299).await;
        service.expect(ALICE, CONFIRMED).await;
        settle().await;
        sleep_secs(1).await;
        service.expect(ALICE, INVALID).await;
    }
    for service in services(|asked, _| known(asked)) {
        service.expect(ALICE, CONFIRMED).await;
        service.keystone.set(|_, _| status(404));
        // The machine sleeps: the monotonic clock stands still.
        service.time.suspend(seconds(300));
        service.expect(ALICE, INVALID).await;
    }
}

fn d54_without_a_runtime_a_new_token_is_a_503() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for service in runtime.block_on(async { services(|asked, _| known(asked)).collect::<Vec<_>>() }) {
        runtime.block_on(service.expect(ALICE, CONFIRMED));
        let send = |token: &str| {
            let request = Request::get("/").header("x-auth-token", token).body(()).unwrap();
            let (response, seen) = tokio_test::task::spawn(service.send(request)).poll_now();
            match seen {
                Some(seen) => Caller::from_extensions(&seen.extensions)
                    .map_or_else(|r| r.status(), |_| response.status()),
                None => response.status(),
            }
        };
        assert_eq!(send("canary-plain"), 503);
        assert_eq!(send("canary-alice"), 200);
    }
}

trait PollNow {
    type Output;
    fn poll_now(&mut self) -> Self::Output;
}

impl<F: Future> PollNow for task::Spawn<F> {
    type Output = F::Output;

    fn poll_now(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the request waits"),
        }
    }
}

fn d54_a_validation_whose_runtime_was_shut_down_is_made_again() {
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let made = Arc::new(AtomicUsize::new(0));
    let services = first.block_on(async {
        let made = Arc::clone(&made);
        services(move |asked, before| {
            made.fetch_add(1, Ordering::Relaxed);
            if before == 0 { Reply::Hang } else { known(asked) }
        })
        .collect::<Vec<_>>()
    });
    let mut waiting: Vec<_> =
        services.iter().map(|service| task::spawn(service.expect(ALICE, CONFIRMED))).collect();
    first.block_on(async {
        waiting.iter_mut().for_each(|request| assert_pending!(request.poll()));
        settle().await;
    });
    assert_eq!(made.load(Ordering::Relaxed), 2);
    drop(first);
    second.block_on(async {
        for request in waiting {
            request.await;
        }
    });
    assert_eq!(made.load(Ordering::Relaxed), 4);
}
