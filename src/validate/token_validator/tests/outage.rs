//! What happens while Keystone is unavailable.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

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

/// What is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_beginning_and_the_end_of_an_outage_are_logged_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // With a single dispatcher, tracing would ask the thread of another test whether to log.
    let _other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let stub = Stub::knowing(&["good-canary"]);
    let validator = validator(&stub);
    let count = |log: &str, level: &str| log.lines().filter(|line| line.contains(level)).count();

    validate(&validator, "good-canary").await;
    validate(&validator, "bad-canary").await;
    let text = log.take();
    assert_eq!((count(&text, "DEBUG"), count(&text, "WARN"), count(&text, "INFO")), (2, 0, 0), "{text}");
    assert!(text.contains(r#"outcome="valid" latency_ms=10 background=false"#), "{text}");
    assert!(text.contains(r#"outcome="unknown""#) && !text.contains("canary"), "{text}");

    stub.set(|_| Reply::Error(403));
    for number in 0..5 {
        validate(&validator, &format!("canary{number}")).await;
    }
    let text = log.take();
    assert_eq!((count(&text, "DEBUG"), count(&text, "WARN"), count(&text, "INFO")), (5, 1, 0), "{text}");
    assert!(text.contains("Keystone returned 403 Forbidden; the account of this service needs"), "{text}");
    assert!(text.contains("http://keystone.public/v3") && !text.contains("canary"), "{text}");

    stub.set(knowing(&["good"]));
    validate(&validator, "good").await;
    validate(&validator, "bad").await;
    let text = log.take();
    assert_eq!((count(&text, "DEBUG"), count(&text, "WARN"), count(&text, "INFO")), (2, 0, 1), "{text}");
}
