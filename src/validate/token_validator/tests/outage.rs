//! What happens while Keystone is unavailable.

use std::time::Duration;

use super::stub::*;

#[tokio::test(start_paused = true)]
async fn an_outage_leaves_what_is_cached() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    validate(&validator, "good").await;
    validate(&validator, "bad").await;
    stub.set(|_| Reply::Status(500));
    assert_eq!(validate(&validator, "new").await, "unavailable");
    assert_eq!((cached(&validator, "bad"), cached(&validator, "new")), ("unknown", "none"));
    for _ in 0..299 {
        pass(1).await;
        assert_eq!(cached(&validator, "good"), "valid");
    }
    pass(1).await;
    assert_eq!(validate(&validator, "good").await, "unavailable", "no grace was asked for");
    stub.set(knowing(&["good"]));
    assert_eq!(validate(&validator, "good").await, "valid");
}

#[tokio::test(start_paused = true)]
async fn failed_validations_in_the_background_are_repeated_after_a_pause() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    validate(&validator, "good").await;
    stub.set(|_| Reply::RetryAfter(503, "10"));
    pass(256).await;
    stub.questions();
    for _ in 0..30 {
        assert_eq!(cached(&validator, "good"), "valid");
        pass(1).await;
    }
    assert_eq!(stub.questions(), 3, "one in 10 s");
    stub.set(knowing(&["good"]));
    pass(4).await;
    cached(&validator, "good");
    pass(100).await;
    assert_eq!(cached(&validator, "good"), "valid", "the next one has succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_token_with_a_short_lifetime_outlives_a_short_outage() {
    let stub = Stub::knowing(&["good"]);
    stub.set_latency(Duration::from_millis(1));
    let validator = validator_with(&stub, |settings| settings.token_cache_time = Duration::from_secs(10));
    validate(&validator, "good").await;
    for millis in (100..60_000).step_by(100) {
        match millis % 10_000 {
            7_000 => stub.set(|_| Reply::RetryAfter(503, "60")),
            8_000 => stub.set(knowing(&["good"])),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(cached(&validator, "good"), "valid", "after {millis} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_grace_a_token_is_used_for_longer() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator_with(&stub, |settings| settings.outage_grace = Duration::from_secs(100));
    validate(&validator, "good").await;
    validate(&validator, "bad").await;
    stub.set(|_| Reply::Status(500));
    pass(320).await;
    assert_eq!(validate(&validator, "good").await, "valid");
    assert_eq!(validate(&validator, "bad").await, "unavailable");
    stub.questions();
    for _ in 0..79 {
        pass(1).await;
        assert_eq!(cached(&validator, "good"), "valid", "without waiting");
    }
    assert!((12..=14).contains(&stub.questions()), "one in 5 s");
    pass(1).await;
    assert_eq!(validate(&validator, "good").await, "unavailable", "the grace is over");
}

#[tokio::test(start_paused = true)]
async fn the_grace_is_only_for_outages() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator_with(&stub, |settings| settings.outage_grace = Duration::from_secs(100));
    validate(&validator, "good").await;
    stub.set(knowing(&[]));
    pass(320).await;
    assert_eq!(cached(&validator, "good"), "none", "Keystone is asked");
    assert_eq!(validate(&validator, "good").await, "unknown");
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_is_over_gives_no_grace() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator_with(&stub, |settings| settings.outage_grace = Duration::from_secs(3_600));
    validate(&validator, "good").await;
    stub.set(|_| Reply::Status(500));
    pass(260).await;
    assert_eq!(validate(&validator, "good").await, "valid");
    pass(1).await;
    stub.set(knowing(&[])); // revoked
    pass(600).await;
    assert_eq!(cached(&validator, "good"), "none", "Keystone is asked");
    assert_eq!(validate(&validator, "good").await, "unknown");
}

#[tokio::test(start_paused = true)]
async fn the_grace_ends_with_the_token() {
    let stub = Stub::new(|_| Reply::Document(document("good", 350)));
    let validator = validator_with(&stub, |settings| settings.outage_grace = Duration::from_secs(100));
    validate(&validator, "good").await;
    stub.set(|_| Reply::Status(500));
    pass(320).await;
    assert_eq!(validate(&validator, "good").await, "valid");
    pass(31).await;
    assert_eq!(validate(&validator, "good").await, "expired", "it has expired");
    assert_eq!(validate_expired(&validator, "good").await, "unavailable");
}
