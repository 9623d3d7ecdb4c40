//! What is cached, and for how long.

use std::time::Duration;

use super::{super::Outcome, stub::*};
use crate::{IdentityPlugin, endpoint::Origin};

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_cached_for_its_lifetime() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator_with(&stub, |settings| settings.token_cache_time = Duration::from_secs(100));
    assert_eq!(validate(&validator, "good").await, "valid");
    pass(74).await;
    assert_eq!(cached(&validator, "good"), "valid");
    assert_eq!(stub.questions(), 1);
    pass(26).await;
    assert_eq!(cached(&validator, "good"), "none");
    let snapshot = validator.metrics().snapshot();
    assert_eq!((snapshot.hits, snapshot.misses, snapshot.background), (1, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_lifetime_begins_when_the_question_is_sent() {
    let stub = Stub::knowing(&["good"]);
    stub.set_latency(Duration::from_secs(8));
    let validator = validator_with(&stub, |settings| settings.token_cache_time = Duration::from_secs(20));
    assert_eq!(validate(&validator, "good").await, "valid");
    pass(11).await;
    assert_eq!(cached(&validator, "good"), "valid");
    pass(1).await;
    assert_eq!(cached(&validator, "good"), "none");
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_permit_does_not_count() {
    let stub = Stub::knowing(&["first", "second"]);
    stub.set_latency(Duration::from_secs(4));
    let validator = validator_with(&stub, |settings| {
        settings.max_in_flight = 1;
        settings.token_cache_time = Duration::from_secs(20);
    });
    let outcomes = tokio::join!(validate(&validator, "first"), validate(&validator, "second"));
    assert_eq!(outcomes, ("valid", "valid"));
    pass(13).await; // 21 s after the start, 17 s after the second question
    assert_eq!((cached(&validator, "first"), cached(&validator, "second")), ("none", "valid"));
}

#[tokio::test(start_paused = true)]
async fn the_expiry_is_judged_on_each_hit() {
    let stub = Stub::new(|_| Reply::Document(document("good", 60)));
    let validator = validator(&stub);
    pass(1).await;
    assert_eq!(validate(&validator, "good").await, "valid");
    tokio::time::sleep(Duration::from_millis(58_990)).await;
    assert_eq!(cached(&validator, "good"), "valid", "at the moment of the expiry");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(cached(&validator, "good"), "expired");
    assert_eq!(stub.questions(), 1, "no question is needed");
}

#[tokio::test(start_paused = true)]
async fn a_document_of_an_expired_token_is_not_valid() {
    let stub = Stub::new(|_| Reply::Document(document("good", 60)));
    let validator = validator(&stub);
    pass(61).await;
    assert_eq!(validate(&validator, "good").await, "unknown");
    assert_eq!(cached(&validator, "good"), "unknown");
    assert_eq!(stub.questions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_expiry_is_cached_for_the_lifetime() {
    let document = r#"{"token": {"user": {"id": "u"}, "expires_at": null}}"#;
    let stub = Stub::new(|_| Reply::Document(document.to_owned()));
    let validator = validator(&stub);
    assert_eq!(validate(&validator, "good").await, "valid");
    pass(299).await;
    assert_eq!(cached(&validator, "good"), "valid");
    pass(1).await;
    assert_eq!(stub.questions(), 2, "validated again in the background");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_token_is_cached_for_a_short_time() {
    let stub = Stub::knowing(&[]);
    let validator = validator(&stub);
    assert_eq!(validate(&validator, "bad").await, "unknown");
    tokio::time::sleep(Duration::from_millis(9_980)).await;
    assert_eq!(cached(&validator, "bad"), "unknown");
    assert_eq!(validator.metrics().snapshot().unknown_hits, 1);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(cached(&validator, "bad"), "none");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_token_is_never_cached_for_longer_than_a_valid_one() {
    let stub = Stub::knowing(&[]);
    let validator = validator_with(&stub, |settings| {
        settings.unknown_token_cache_time = Duration::from_secs(60);
        settings.token_cache_time = Duration::from_secs(3);
    });
    assert_eq!(validate(&validator, "bad").await, "unknown");
    pass(2).await;
    assert_eq!(cached(&validator, "bad"), "unknown");
    pass(1).await;
    assert_eq!(cached(&validator, "bad"), "none");
}

#[tokio::test(start_paused = true)]
async fn zero_turns_the_cache_off() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator_with(&stub, |settings| settings.token_cache_time = Duration::ZERO);
    for _ in 0..3 {
        assert_eq!(validate(&validator, "good").await, "valid");
        assert_eq!(validate(&validator, "bad").await, "unknown");
    }
    assert_eq!(stub.questions(), 6);
    assert_eq!(validator.metrics().snapshot().cached_tokens, 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_in_steady_use_is_validated_in_the_background() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    assert_eq!(validate(&validator, "good").await, "valid");
    for _ in 0..600 {
        pass(1).await;
        assert_eq!(cached(&validator, "good"), "valid");
    }
    let questions = stub.questions();
    assert_eq!(questions, 3, "at the start and after 80 % of two lifetimes");
    let snapshot = validator.metrics().snapshot();
    assert_eq!((snapshot.misses, snapshot.background, snapshot.hits, snapshot.valid), (1, 2, 600, 3));
}

#[tokio::test(start_paused = true)]
async fn a_background_validation_replaces_the_document_and_the_soft_end_is_spread() {
    let mut soft_ends = Vec::new();
    for _ in 0..20 {
        let stub = Stub::knowing(&["good"]);
        let validator = validator(&stub);
        validate(&validator, "good").await;
        stub.questions();
        stub.set(|_| Reply::Document(document("good", 7_200).replace("member", "admin")));
        for second in 1.. {
            pass(1).await;
            cached(&validator, "good");
            pass(0).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if stub.questions() == 1 {
                soft_ends.push(second);
                break;
            }
        }
        let Ok(Outcome::Valid(token)) = validator.validate(&"good".parse().unwrap(), false, None) else {
            panic!()
        };
        assert_eq!(token.access_info().role_names().collect::<Vec<_>>(), ["admin"]);
    }
    let (least, most) = (*soft_ends.iter().min().unwrap(), *soft_ends.iter().max().unwrap());
    assert!(least >= 220 && most <= 256 && most - least >= 5, "{soft_ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_removed_by_the_background_validation() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    validate(&validator, "good").await;
    stub.set(knowing(&[]));
    pass(256).await;
    assert_eq!(cached(&validator, "good"), "valid");
    pass(1).await;
    assert_eq!(cached(&validator, "good"), "unknown");
    assert_eq!(stub.questions(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_valid_only_if_that_is_allowed() {
    let stub = Stub::new(|asked| match asked.url.contains("allow_expired=1") {
        true => Reply::Document(document("good", 60)),
        false => Reply::Error(404),
    });
    let validator = validator(&stub);
    pass(100).await;
    assert_eq!(validate(&validator, "good").await, "unknown");
    assert_eq!(validate_expired(&validator, "good").await, "valid");
    assert_eq!(cached(&validator, "good"), "unknown", "it was not cached as alive");
    assert_eq!(validate_expired(&validator, "good").await, "valid");
    assert_eq!(stub.questions(), 3);
    assert_eq!(validator.metrics().snapshot().cached_tokens, 0, "it was not cached at all");
    pass(60).await;
    assert_eq!(validate(&validator, "good").await, "unknown");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_in_the_cache_is_asked_about_if_expired_ones_are_allowed() {
    let stub = Stub::new(|_| Reply::Document(document("good", 60)));
    let validator = validator(&stub);
    assert_eq!(validate_expired(&validator, "good").await, "valid");
    assert_eq!(cached(&validator, "good"), "valid", "it is alive");
    pass(61).await;
    stub.set(|_| Reply::Error(404)); // revoked
    assert_eq!(cached(&validator, "good"), "expired");
    assert_eq!(validate_expired(&validator, "good").await, "unknown");
    assert_eq!(stub.questions(), 2);
    assert_eq!(validate_expired(&validator, "good").await, "unknown");
    assert_eq!(stub.questions(), 0, "cached");
}

#[tokio::test(start_paused = true)]
async fn four_spellings_of_one_token_are_cached() {
    let stub = Stub::new(|_| Reply::Document(document("audit", 7_200)));
    let validator = validator(&stub);
    let spellings = ["t", "t=", "t==", "t===", "t===="];
    for token in spellings {
        assert_eq!(validate(&validator, token).await, "valid");
    }
    assert_eq!(validator.metrics().snapshot().cached_tokens, 4);
    assert_eq!(
        spellings.map(|token| cached(&validator, token)),
        ["none", "valid", "valid", "valid", "valid"]
    );
}

fn origin() -> Origin {
    Origin::from_uri(&"https://nova.example.com".parse().unwrap()).unwrap()
}

/// Reports that a service has rejected a token.
async fn reject(validator: &super::super::TokenValidator, token: &str) {
    let Outcome::Valid(token) = outcome(validator, token, false).await else { panic!("not valid") };
    let access = token.access().await.unwrap();
    assert!(!token.invalidate(&access, &origin()), "it cannot be renewed");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_by_a_service_removes_the_token_once_in_ten_seconds() {
    let stub = Stub::knowing(&["good", "other"]);
    let validator = validator(&stub);
    validate(&validator, "other").await;
    reject(&validator, "good").await;
    assert_eq!(validate(&validator, "good").await, "valid");
    assert_eq!(stub.questions(), 3);
    pass(9).await;
    reject(&validator, "good").await;
    assert_eq!(cached(&validator, "good"), "valid", "too early");
    pass(1).await;
    reject(&validator, "good").await;
    assert_eq!((cached(&validator, "good"), cached(&validator, "other")), ("none", "valid"));
}

#[tokio::test(start_paused = true)]
async fn a_validated_token_is_the_identity_of_its_user() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    let Outcome::Valid(token) = outcome(&validator, "good", false).await else { panic!("not valid") };
    let access = token.access().await.unwrap();
    let mut headers = http::HeaderMap::new();
    access.insert_headers(&mut headers);
    assert_eq!(headers["x-auth-token"], "good");
    assert_eq!(token.auth_url().unwrap(), "http://keystone.public/v3");
    drop(validator);
    assert!(!token.invalidate(&access, &origin()), "also without its validator");
}

#[tokio::test(start_paused = true)]
async fn a_removal_voids_the_validation_in_flight() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    let Outcome::Valid(token) = outcome(&validator, "good", false).await else { panic!("not valid") };
    let access = token.access().await.unwrap();
    pass(256).await;
    stub.set_latency(Duration::from_secs(2));
    stub.questions();
    assert_eq!(cached(&validator, "good"), "valid"); // starts a validation in the background
    pass(1).await;
    token.invalidate(&access, &origin());
    let waiting = validator.validate(&"good".parse().unwrap(), false, None);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stub.set(knowing(&[])); // the first question was answered before
    let Err(waiting) = waiting else { panic!("cached") };
    assert_eq!(name(&waiting.await), "unknown");
    assert_eq!(stub.questions(), 2);
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_a_voided_validation_ask_again() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator(&stub);
    let Outcome::Valid(token) = outcome(&validator, "good", false).await else { panic!("not valid") };
    let access = token.access().await.unwrap();
    pass(300).await;
    stub.set_latency(Duration::from_secs(2));
    stub.questions();
    let Err(waiting) = validator.validate(&"good".parse().unwrap(), false, None) else { panic!("cached") };
    pass(1).await;
    token.invalidate(&access, &origin());
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    stub.set(knowing(&[]));
    assert_eq!(name(&waiting.await), "unknown");
    assert_eq!(stub.questions(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_bounded_by_entries_and_by_bytes() {
    let tokens: Vec<_> = (0..100).map(|number| format!("token{number}")).collect();
    let texts: Vec<_> = tokens.iter().map(String::as_str).collect();
    let stub = Stub::knowing(&texts);
    let by_entries = validator_with(&stub, |settings| settings.max_cached_tokens = 10);
    let by_bytes = validator_with(&stub, |settings| settings.max_cached_bytes = 32 * 1024);
    for token in &texts {
        assert_eq!(validate(&by_entries, token).await, "valid");
        assert_eq!(validate(&by_bytes, token).await, "valid");
    }
    assert_eq!(by_entries.metrics().snapshot().cached_tokens, 10);
    let snapshot = by_bytes.metrics().snapshot();
    assert!(snapshot.cached_bytes <= 32 * 1024 && snapshot.cached_tokens >= 5, "{snapshot:?}");
}

#[tokio::test(start_paused = true)]
async fn any_bounds_can_be_set() {
    let stub = Stub::knowing(&["good"]);
    for (tokens, bytes, expected) in
        [(0, 0, 0), (0, usize::MAX, 1), (usize::MAX, 0, 0), (usize::MAX, usize::MAX, 1), (1, 1 << 20, 1)]
    {
        let validator = validator_with(&stub, |settings| {
            (settings.max_cached_tokens, settings.max_cached_bytes) = (tokens, bytes);
        });
        assert_eq!(validate(&validator, "good").await, "valid");
        assert_eq!(validator.metrics().snapshot().cached_tokens, expected, "{tokens} {bytes}");
    }
    let validator = validator_with(&stub, |settings| {
        settings.token_cache_time = Duration::MAX;
        settings.unknown_token_cache_time = Duration::MAX;
        settings.outage_grace = Duration::MAX;
        settings.validation_timeout = Duration::MAX;
        (settings.max_in_flight, settings.max_waiting) = (usize::MAX, usize::MAX);
    });
    assert_eq!((validate(&validator, "good").await, validate(&validator, "bad").await), ("valid", "unknown"));
    let none = validator_with(&stub, |settings| (settings.max_in_flight, settings.max_waiting) = (0, 0));
    assert_eq!(validate(&none, "good").await, "valid");
}

#[tokio::test(start_paused = true)]
async fn a_removal_does_not_void_a_validation_that_waits_for_a_permit() {
    let stub = Stub::knowing(&["good"]);
    let validator = validator_with(&stub, |settings| settings.max_in_flight = 1);
    let Outcome::Valid(token) = outcome(&validator, "good", false).await else { panic!("not valid") };
    let access = token.access().await.unwrap();
    pass(300).await;
    stub.set_latency(Duration::from_secs(2));
    stub.questions();
    let slow = validator.validate(&"other".parse().unwrap(), false, None);
    let Err(waiting) = validator.validate(&"good".parse().unwrap(), false, None) else { panic!("cached") };
    pass(1).await;
    token.invalidate(&access, &origin());
    assert_eq!(name(&waiting.await), "valid");
    assert_eq!(stub.questions(), 2);
    drop(slow);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_token_voids_an_earlier_question_about_it() {
    let stub = Stub::new(|asked| match asked.url.contains("allow_expired=1") {
        true => Reply::Error(404), // revoked meanwhile
        false => Reply::Document(document("good", 7_200)),
    });
    let validator = validator(&stub);
    stub.set_latency(Duration::from_secs(2));
    let Err(slow) = validator.validate(&"good".parse().unwrap(), false, None) else { panic!("cached") };
    pass(1).await;
    stub.set_latency(Duration::from_millis(10));
    assert_eq!(validate_expired(&validator, "good").await, "unknown");
    assert_eq!(name(&slow.await), "unknown");
    assert_eq!((cached(&validator, "good"), stub.questions()), ("unknown", 2));
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_valid_for_a_service_while_others_ask_about_it_too() {
    let stub = Stub::new(|asked| match asked.url.contains("allow_expired=1") {
        true => Reply::Document(document("old", 0)),
        false => Reply::Error(404),
    });
    let validator = validator_with(&stub, |settings| settings.token_cache_time = Duration::ZERO);
    pass(1).await;
    let others = validator.clone();
    let asking = tokio::spawn(async move {
        loop {
            assert_eq!(validate(&others, "old").await, "unknown");
        }
    });
    stub.set_latency(Duration::from_millis(4));
    tokio::task::yield_now().await;
    stub.set_latency(Duration::from_millis(10));
    assert_eq!(validate_expired(&validator, "old").await, "valid");
    assert!(!asking.is_finished());
    asking.abort();
}
