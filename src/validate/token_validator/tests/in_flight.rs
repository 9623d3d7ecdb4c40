//! Many requests at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    super::{Outcome, PendingOutcome, TokenValidator},
    stub::*,
};
use crate::{
    AccessFuture, IdentityPlugin, ServiceAccess,
    endpoint::Origin,
    renewal::{Clock, Now},
};

fn start(validator: &TokenValidator, token: &str) -> PendingOutcome {
    match validator.validate(&token.parse().unwrap(), false, None) {
        Ok(outcome) => panic!("{outcome:?}"),
        Err(pending) => pending,
    }
}

#[test]
fn a_pending_outcome_can_be_moved_between_threads() {
    fn check<T: Send + Unpin + 'static>() {}
    check::<PendingOutcome>();
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_requests_with_one_token_cause_one_validation() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    let waiting: Vec<_> = (0..10_000).map(|_| start(&validator, "good")).collect();
    for pending in waiting {
        assert_eq!(name(&pending.await), "valid");
    }
    assert_eq!(stub.questions(), 1);
    let snapshot = validator.metrics().snapshot();
    assert_eq!((snapshot.misses, snapshot.coalesced, snapshot.valid), (10_000, 9_999, 1));
    assert_eq!((snapshot.in_flight, snapshot.waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_bad_tokens_stay_within_the_cap_and_evict_no_good_one() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator_with(&stub, |settings| settings.max_waiting = 20_000);
    validate(&validator, "good").await;
    let waiting: Vec<_> = (0..10_000).map(|number| start(&validator, &format!("bad{number}"))).collect();
    for pending in waiting {
        assert_eq!(name(&pending.await), "unknown");
    }
    assert_eq!(stub.most_in_flight(), 64);
    assert_eq!(cached(&validator, "good"), "valid");
    assert_eq!(stub.questions(), 10_001);
}

#[tokio::test(start_paused = true)]
async fn validations_that_cannot_wait_are_refused_at_once() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator_with(&stub, |settings| {
        (settings.max_in_flight, settings.max_waiting) = (4, 6);
    });
    validate(&validator, "good").await;
    let outcomes: Vec<_> = (0..30)
        .map(|number| validator.validate(&format!("bad{number}").parse().unwrap(), false, None))
        .collect();
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Outcome::Overloaded(_)))).count();
    assert_eq!(refused, 20);
    assert_eq!(validator.metrics().snapshot().refused, 20);
    // A flood does not keep tokens from being joined or used.
    let joined = start(&validator, "bad3");
    assert_eq!(cached(&validator, "good"), "valid");
    for outcome in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(name(&outcome.await), "unknown");
    }
    assert_eq!(name(&joined.await), "unknown");
    assert_eq!((stub.questions(), stub.most_in_flight()), (11, 4));
    assert_eq!(validate(&validator, "another").await, "unknown", "there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_flood_does_not_delay_validations_in_the_background() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator_with(&stub, |settings| settings.max_in_flight = 1);
    validate(&validator, "good").await;
    pass(256).await;
    stub.set_latency(Duration::from_secs(1));
    let flood: Vec<_> = (0..5).map(|number| start(&validator, &format!("bad{number}"))).collect();
    assert_eq!(cached(&validator, "good"), "valid");
    tokio::time::sleep(Duration::from_millis(1_010)).await;
    let snapshot = validator.metrics().snapshot();
    assert_eq!((snapshot.background, snapshot.valid, snapshot.unknown), (1, 2, 1));
    drop(flood);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_permit_is_part_of_the_timeout() {
    let stub = Stub::new(|_| Reply::Hang);
    let validator = validator_with(&stub, |settings| settings.max_in_flight = 1);
    let (first, second) = (start(&validator, "a"), start(&validator, "b"));
    let begin = tokio::time::Instant::now();
    assert_eq!((name(&first.await), name(&second.await)), ("unavailable", "unavailable"));
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_does_not_stop_the_validation() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    let first = start(&validator, "good");
    let second = start(&validator, "good");
    tokio::time::sleep(Duration::from_millis(5)).await;
    drop(first);
    assert_eq!(name(&second.await), "valid");
    assert_eq!(stub.questions(), 1);
    drop(start(&validator, "other"));
    pass(1).await;
    assert_eq!((cached(&validator, "other"), stub.questions()), ("unknown", 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_polled_late_gets_its_outcome() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    let pending = start(&validator, "good");
    pass(100).await;
    assert_eq!(name(&pending.await), "valid");
    assert_eq!(stub.questions(), 1);
}

#[test]
fn without_a_runtime_keystone_is_unavailable() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    let pending = start(&validator, "good");
    assert_eq!(
        name(&tokio_test::block_on(async {
            drop(start(&validator, "other"));
            pending.await
        })),
        "valid"
    );
    let mut pending = tokio_test::task::spawn(start(&validator, "third"));
    let std::task::Poll::Ready(outcome) = pending.poll() else { panic!("pending") };
    assert_eq!(name(&outcome), "unavailable");
    assert_eq!(validator.metrics().snapshot().waiting, 0);
}

#[test]
fn a_runtime_that_was_shut_down_is_replaced() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime();
    let entered = first.enter();
    let pending = start(&validator, "good");
    drop(entered);
    drop(first);
    assert_eq!(name(&runtime().block_on(pending)), "valid");
    assert_eq!(validator.metrics().snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_transport_leaves_nothing_behind() {
    let stub = Stub::new(|_| Reply::Panic);
    let validator = validator(&stub);
    let waiting = [start(&validator, "good"), start(&validator, "good")];
    for pending in waiting {
        assert_eq!(name(&pending.await), "unavailable");
    }
    let snapshot = validator.metrics().snapshot();
    assert_eq!((snapshot.in_flight, snapshot.waiting, snapshot.unavailable), (0, 0, 1));
    stub.set(knowing(&["good"]));
    for _ in 0..100 {
        assert_eq!(validate(&validator, "good").await, "valid");
    }
}

struct PanickingPlugin;

impl IdentityPlugin for PanickingPlugin {
    fn access(&self) -> AccessFuture {
        panic!("the plugin panics");
    }

    fn invalidate(&self, _access: &Arc<ServiceAccess>, _origin: &Origin) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_plugin_is_an_outage() {
    let validator = validator_of(&Stub::knowing(&["good"]), PanickingPlugin, |_| {});
    assert_eq!(validate(&validator, "good").await, "unavailable");
    assert_eq!(validator.metrics().snapshot().in_flight, 0);
}

struct PanickingClock(TestClock, Arc<AtomicBool>);

impl Clock for PanickingClock {
    fn now(&self) -> Now {
        assert!(!self.1.load(Ordering::Relaxed), "the clock panics");
        self.0.now()
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_clock_is_an_outage() {
    let stub = Stub::knowing(&["good", "other"]);
    let panics = Arc::new(AtomicBool::new(false));
    let validator = validator_with(&stub, |settings| {
        settings.clock = Arc::new(PanickingClock(TestClock::new(), Arc::clone(&panics)));
    });
    assert_eq!(validate(&validator, "good").await, "valid");
    let pending = start(&validator, "other");
    panics.store(true, Ordering::Relaxed);
    assert_eq!(validate(&validator, "good").await, "unavailable");
    assert_eq!(name(&pending.await), "unavailable");
    panics.store(false, Ordering::Relaxed);
    assert_eq!((cached(&validator, "good"), validate(&validator, "other").await), ("valid", "valid"));
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_in_the_background_the_next_validation_is_made_after_a_pause() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    validate(&validator, "good").await;
    pass(256).await;
    stub.questions();
    stub.set(|_| Reply::Panic);
    for _ in 0..9 {
        assert_eq!(cached(&validator, "good"), "valid");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stub.questions(), 1);
    pass(1).await;
    assert_eq!(cached(&validator, "good"), "valid");
    pass(1).await;
    assert_eq!(stub.questions(), 1, "another one");
}
