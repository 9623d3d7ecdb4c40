//! What is logged about validations and outages.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use tracing::Level;

use super::{
    super::{Asker, ValidatorSettings},
    stub::*,
};
use crate::{AuthMethod, RenewingPlugin, V3Credentials, log::Log};

fn count(log: &str, level: &str) -> usize {
    log.lines().filter(|line| line.contains(level)).count()
}

#[tokio::test(start_paused = true)]
async fn the_beginning_and_the_end_of_an_outage_are_logged_once() {
    let (log, _guard) = Log::with_max_level(Level::DEBUG);
    let stub = Stub::knowing(&["good-canary"]);
    let validator = validator(&stub);

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

#[tokio::test(start_paused = true)]
async fn another_cause_of_an_outage_is_warned_about() {
    let (log, _guard) = Log::with_max_level(Level::DEBUG);
    let stub = Stub::new(|_| Reply::Status(500));
    let validator = validator(&stub);
    validate(&validator, "a").await;
    stub.set(|_| Reply::Error(403));
    validate(&validator, "a").await;
    let text = log.take();
    assert_eq!((count(&text, "WARN"), count(&text, "INFO")), (2, 0), "{text}");
    let debug: Vec<_> = text.lines().filter(|line| line.contains("DEBUG")).collect();
    assert!(
        debug[0].contains("Keystone returned 500") && debug[1].contains("Keystone returned 403"),
        "{text}"
    );

    for number in 0..100 {
        let status = if number % 2 == 0 { 500 } else { 403 };
        stub.set(move |_| Reply::Error(status));
        validate(&validator, "a").await;
    }
    assert_eq!(count(&log.take(), "WARN"), 0, "each was logged less than a minute ago");
    pass(60).await;
    validate(&validator, "a").await;
    assert_eq!(count(&log.take(), "WARN"), 0, "the last cause that was warned about");
    stub.set(|_| Reply::Status(500));
    validate(&validator, "a").await;
    assert_eq!(count(&log.take(), "WARN"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_soon_after_another_is_warned_about_if_it_lasts() {
    let (log, _guard) = Log::with_max_level(Level::DEBUG);
    let stub = Stub::new(|_| Reply::Status(500));
    let validator = validator(&stub);
    validate(&validator, "a").await;
    stub.set(knowing(&["good"]));
    validate(&validator, "good").await;
    stub.set(|_| Reply::Status(500));
    validate(&validator, "a").await;
    let text = log.take();
    assert_eq!((count(&text, "WARN"), count(&text, "INFO")), (1, 1), "{text}");
    pass(60).await;
    validate(&validator, "a").await;
    stub.set(knowing(&[]));
    validate(&validator, "b").await;
    let text = log.take();
    assert_eq!((count(&text, "WARN"), count(&text, "INFO")), (1, 1), "{text}");
}

#[tokio::test(start_paused = true)]
async fn causes_that_change_each_time_do_not_flood_the_log() {
    let (log, _guard) = Log::with_max_level(Level::DEBUG);
    let stub = Stub::new(|_| Reply::Status(500));
    let validator = validator(&stub);
    for minute in 1..=2 {
        for status in 500..599 {
            stub.set(move |_| Reply::Status(status));
            validate(&validator, "a").await;
        }
        assert_eq!(count(&log.take(), "WARN"), 5, "in minute {minute}");
        pass(60).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_token_does_not_end_an_outage_in_which_keystone_refuses_the_service() {
    for status in [401, 403] {
        let (log, _guard) = Log::with_max_level(Level::DEBUG);
        let refuses = move |asked: &Asked| match asked.subject.as_deref() {
            Some("good") => Reply::Error(status),
            _ => Reply::Error(404),
        };
        let stub = Stub::new(refuses);
        let validator = validator(&stub);
        for _ in 0..3 {
            validate(&validator, "good").await;
            validate(&validator, "bad").await;
            pass(61).await;
        }
        let text = log.take();
        assert_eq!((count(&text, "WARN"), count(&text, "INFO")), (1, 0), "{text}");
        stub.set(knowing(&["good"]));
        validate(&validator, "bad").await;
        assert_eq!(count(&log.take(), "INFO"), 0);
        validate(&validator, "good").await;
        assert_eq!(count(&log.take(), "INFO"), 1);
    }
}

#[test]
fn a_missing_runtime_is_warned_about() {
    let (log, _guard) = Log::with_max_level(Level::DEBUG);
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    for _ in 0..3 {
        let Err(pending) = validator.validate(&"good".parse().unwrap(), false, None) else { panic!() };
        let outcome = pin!(pending).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(outcome) = outcome else { panic!("it waits without a runtime") };
        assert_eq!(name(&outcome), "unavailable");
    }
    let text = log.take();
    assert_eq!((count(&text, "WARN"), count(&text, "DEBUG")), (1, 3), "{text}");
    assert!(text.contains("no tokio runtime with time: run the service in one"), "{text}");
    let snapshot = validator.metrics().snapshot();
    assert_eq!((snapshot.misses, snapshot.unavailable, snapshot.latency.count), (3, 3, 0));
}

#[test]
fn a_wait_outside_the_runtime_of_the_validation_is_warned_about() {
    let (log, _guard) = Log::with_max_level(Level::DEBUG);
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let pending = runtime.block_on(async { validator.validate(&"good".parse().unwrap(), false, None) });
    let outcome = pin!(pending.unwrap_err()).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(outcome) = outcome else { panic!("it waits without a runtime") };
    assert_eq!(name(&outcome), "unavailable");
    let text = log.take();
    assert_eq!(count(&text, "WARN"), 1, "{text}");
    assert!(text.contains("no tokio runtime with time: run the service in one"), "{text}");
    assert_eq!(validator.metrics().snapshot().unavailable, 0, "the validation has not ended");
}

#[tokio::test(start_paused = true)]
async fn too_many_validations_are_warned_about() {
    let (log, _guard) = Log::with_max_level(Level::DEBUG);
    let stub = Stub::knowing(&[]);
    let validator = validator_with(&stub, |settings| (settings.max_in_flight, settings.max_waiting) = (1, 0));
    for round in 0..2 {
        let first = validator.validate(&format!("a{round}").parse().unwrap(), false, None);
        for number in 0..5 {
            assert_eq!(cached(&validator, &format!("b{number}")), "unavailable");
        }
        assert_eq!(name(&first.unwrap_err().await), "unknown");
        let text = log.take();
        assert_eq!((count(&text, "WARN"), count(&text, "INFO")), (1, 0), "{text}");
        assert!(text.contains("too many validations are in flight or waiting (max_validations)"), "{text}");
        pass(60).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_names_the_login_of_the_service_if_that_is_what_hangs() {
    let (log, _guard) = Log::with_max_level(Level::DEBUG);
    let stub = Stub::new(|_| Reply::Hang);
    let credentials = V3Credentials::new("http://keystone.public/v3", AuthMethod::token("t"));
    let plugin = RenewingPlugin::new(credentials, stub.transport());
    let validator = validator_of(&stub, plugin, |_| {});
    validate(&validator, "a").await;
    let text = log.take();
    assert!(text.contains("the login of the service's account did not end within 10000 ms"), "{text}");
    let validator = validator_of(&stub, own_plugin(), |_| {});
    validate(&validator, "a").await;
    let text = log.take();
    assert!(text.contains("Keystone did not answer within 10000 ms"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_invalid_auth_url_is_named_as_what_is_wrong() {
    let no_scheme = "it must start with https:// or http://";
    for (url, reason) in [
        ("keystone:5000/v3", no_scheme),
        ("keystone.test", no_scheme),
        ("canary:canary@keystone.test/v3", no_scheme),
        ("http://u:canary@keystone.test", ""),
    ] {
        let (log, _guard) = Log::with_max_level(Level::DEBUG);
        let stub = Stub::knowing(&["good"]);
        let settings = ValidatorSettings::new(Asker::TokenItself(url.into()), stub.transport());
        assert_eq!(validate(&validator_from(&settings), "good").await, "unavailable");
        let text = log.take();
        assert!(text.contains(&format!("the auth_url cannot be used: {reason}")), "{text}");
        assert!(
            !text.contains(r#"auth_url="/""#) && !text.contains("override") && !text.contains("canary"),
            "{text}"
        );
        assert_eq!(stub.questions(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn each_layer_of_a_transport_warns() {
    let (log, _guard) = Log::with_max_level(Level::DEBUG);
    let stub = Stub::new(|_| Reply::Status(500));
    let transport = stub.transport();
    for _ in 0..2 {
        let asker = Asker::TokenItself("http://keystone.test/v3".into());
        validate(&validator_from(&ValidatorSettings::new(asker, transport.clone())), "a").await;
    }
    let text = log.take();
    assert_eq!(count(&text, "WARN"), 2, "{text}");
}
