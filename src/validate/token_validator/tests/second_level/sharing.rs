//! A token that one replica has validated is valid for the others.

use std::time::Duration;

use tracing::Level;

use super::{super::stub::*, fleet::*};
use crate::{
    IdentityPlugin, Interface, SharedTokens, StoreKey,
    endpoint::Origin,
    log::Log,
    validate::token_validator::{Asker, Outcome},
};

#[tokio::test(start_paused = true)]
async fn one_validation_serves_three_replicas() {
    let fleet = Fleet::knowing(&["good"]);
    let replicas = fleet.replicas::<3>();
    assert_eq!(validate_at(&replicas, "good").await, ["valid"; 3]);
    assert_eq!((fleet.stub.questions(), fleet.store.writes()), (1, 1));
    assert_eq!(replicas.each_ref().map(store_hits), [0, 1, 1]);
    let snapshot = replicas[2].metrics().snapshot();
    assert_eq!((snapshot.misses, snapshot.valid, snapshot.latency.count, snapshot.in_flight), (1, 0, 0, 0));
    fleet.store.reads();
    assert_eq!(validate_at(&replicas, "good").await, ["valid"; 3]);
    assert_eq!(fleet.store.reads(), 0, "all have cached it");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_replicas_that_start_at_once_ask_once_each_and_then_no_more() {
    let fleet = Fleet::knowing(&["good"]);
    let replicas: Vec<_> = (0..100).map(|_| fleet.replica()).collect();
    let validations: Vec<_> = replicas
        .iter()
        .map(|replica| {
            let replica = replica.clone();
            tokio::spawn(async move { validate(&replica, "good").await })
        })
        .collect();
    for validation in validations {
        assert_eq!(validation.await.unwrap(), "valid");
    }
    settle().await;
    assert_eq!((fleet.stub.questions(), fleet.store.writes()), (100, 1));
    // From now on, the first one that validates it again serves all others.
    let mut questions = 0;
    for _ in 0..500 {
        pass_and_settle(1).await;
        for replica in &replicas {
            assert_eq!(cached(replica, "good"), "valid");
        }
        settle().await;
        questions += fleet.stub.questions();
    }
    assert!((5..100).contains(&questions), "{questions} in five lifetimes");
}

#[tokio::test(start_paused = true)]
async fn the_lifetime_begins_with_the_question_at_each_replica() {
    let fleet = Fleet::knowing(&["good"]);
    fleet.stub.set_latency(Duration::from_secs(8));
    let replicas = fleet.replicas::<3>();
    assert_eq!(validate_at(&replicas[..1], "good").await, ["valid"]);
    pass(51).await;
    assert_eq!(validate_at(&replicas[1..2], "good").await, ["valid"]);
    assert_eq!(fleet.store.only_record().1.as_secs(), 41);
    pass(40).await;
    assert_eq!(validate_at(&replicas[2..], "good").await, ["valid"], "after 99 s");
    assert_eq!(fleet.stub.questions(), 1);
    pass(1).await;
    assert_eq!(replicas.each_ref().map(|replica| cached(replica, "good")), ["none"; 3]);
    assert_eq!(fleet.store.records().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_replica_with_a_shorter_lifetime_takes_no_older_record() {
    let fleet = Fleet::knowing(&["good"]);
    validate_at(&[fleet.replica()], "good").await;
    let stricter = fleet.replica_with(|settings| settings.token_cache_time = Duration::from_secs(50));
    pass(49).await;
    assert_eq!(validate(&stricter, "good").await, "valid");
    assert_eq!(fleet.stub.questions(), 1);
    pass(1).await;
    assert_eq!(cached(&stricter, "good"), "none");
    assert_eq!(validate(&stricter, "good").await, "valid");
    assert_eq!(fleet.stub.questions(), 1, "Keystone was asked again");
}

#[tokio::test(start_paused = true)]
async fn a_token_in_steady_use_is_validated_once_for_all() {
    let fleet = Fleet::knowing(&["good"]);
    let replicas = fleet.replicas::<3>();
    validate_at(&replicas, "good").await;
    for _ in 0..1_000 {
        pass_and_settle(1).await;
        for replica in &replicas {
            assert_eq!(cached(replica, "good"), "valid");
            finish_instantly().await;
        }
    }
    let questions = fleet.stub.questions();
    assert!((11..=14).contains(&questions), "{questions} in ten lifetimes, the first one included");
    let background: u64 = replicas.iter().map(|replica| replica.metrics().snapshot().background).sum();
    let hits: u64 = replicas.iter().map(store_hits).sum();
    assert_eq!(background + 3, hits + questions as u64);
}

/// Lets a question to Keystone be answered.
async fn finish_instantly() {
    settle().await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_background_validation_takes_a_later_record_only() {
    let fleet = Fleet::knowing(&["good"]);
    let [first, second] = fleet.replicas();
    validate_at(&[first.clone(), second.clone()], "good").await;
    pass(86).await;
    fleet.stub.questions();
    // The record is the one that it has taken before.
    assert_eq!(cached(&second, "good"), "valid");
    finish_refresh().await;
    assert_eq!((fleet.stub.questions(), store_hits(&second)), (1, 1));
    assert_eq!(cached(&first, "good"), "valid");
    finish_refresh().await;
    assert_eq!((fleet.stub.questions(), store_hits(&first)), (0, 1));
    pass(72).await;
    assert_eq!(cached(&first, "good"), "valid", "since the question of the other one");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_a_service_has_rejected_does_not_come_back_from_the_store() {
    let fleet = Fleet::knowing(&["good"]);
    let [first, second] = fleet.replicas();
    validate_at(&[first.clone(), second.clone()], "good").await;
    pass(20).await;
    let Outcome::Valid(token) = outcome(&second, "good", false).await else { panic!("not valid") };
    let access = token.access().await.unwrap();
    let origin = Origin::from_uri(&"https://nova.example.com".parse().unwrap()).unwrap();
    token.invalidate(&access, &origin);
    fleet.stub.questions();
    assert_eq!(cached(&second, "good"), "none");
    fleet.stub.set(knowing(&[])); // revoked
    assert_eq!(validate(&second, "good").await, "unknown");
    assert_eq!(fleet.stub.questions(), 1, "Keystone was asked");
    assert_eq!(validate(&fleet.replica(), "good").await, "unknown");
    assert_eq!(fleet.stub.questions(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_another_replica_has_asked_after_a_rejection_is_used() {
    let fleet = Fleet::knowing(&["good"]);
    let [first, second] = fleet.replicas();
    validate_at(std::slice::from_ref(&first), "good").await;
    let Outcome::Valid(token) = outcome(&first, "good", false).await else { panic!("not valid") };
    let access = token.access().await.unwrap();
    let origin = Origin::from_uri(&"https://nova.example.com".parse().unwrap()).unwrap();
    token.invalidate(&access, &origin);
    pass(1).await;
    fleet.store.clear();
    validate_at(&[second], "good").await;
    fleet.stub.questions();
    assert_eq!(validate(&first, "good").await, "valid");
    assert_eq!((fleet.stub.questions(), store_hits(&first)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_allows_expired_tokens_always_goes_to_keystone() {
    let fleet = Fleet::new(Stub::new(|_| Reply::Document(document("good", 60))));
    let [first, second] = fleet.replicas();
    assert_eq!(validate_expired(&first, "good").await, "valid");
    settle().await;
    assert_eq!((fleet.store.reads(), fleet.store.writes()), (0, 0));
    assert_eq!(validate_at(std::slice::from_ref(&second), "good").await, ["valid"]);
    pass(61).await;
    for replica in [&first, &second] {
        assert_eq!(validate_expired(replica, "good").await, "valid");
    }
    settle().await;
    assert_eq!((fleet.store.reads(), fleet.store.writes()), (1, 1));
    assert_eq!(fleet.stub.questions(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_record_ends_with_the_token() {
    let fleet = Fleet::new(Stub::new(|_| Reply::Document(document("good", 60))));
    let [first, second] = fleet.replicas();
    pass(1).await;
    validate_at(&[first], "good").await;
    assert!(fleet.store.only_record().1 < Duration::from_secs(59));
    // Put back by somebody, also later than the token lives.
    let (name, (record, _)) = fleet.store.records().into_iter().next().unwrap();
    fleet.store.put(&name, record, LIFETIME);
    pass(60).await;
    assert_eq!(validate_at(&[second], "good").await, ["unknown"]);
    assert_eq!((fleet.stub.questions(), fleet.store.writes()), (2, 1), "what has expired is not stored");
}

#[tokio::test(start_paused = true)]
async fn what_counts_no_longer_is_not_stored() {
    let fleet = Fleet::new(Stub::new(|_| Reply::Document(document("good", 60))));
    tokio::time::sleep(Duration::from_millis(59_990)).await;
    assert_eq!(validate_at(&[fleet.replica()], "good").await, ["valid"], "at the moment of its expiry");
    let slow = fleet.replica_with(|settings| settings.token_cache_time = Duration::from_millis(10));
    fleet.stub.set(knowing(&["new"]));
    assert_eq!(validate_at(std::slice::from_ref(&slow), "new").await, ["valid"]);
    assert_eq!(validate_at(&[slow], "bad").await, ["unknown"]);
    assert_eq!(fleet.store.writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn zero_turns_both_levels_off() {
    let fleet = Fleet::knowing(&["good"]);
    for _ in 0..3 {
        let replica = fleet.replica_with(|settings| settings.token_cache_time = Duration::ZERO);
        assert_eq!(validate_at(&[replica], "good").await, ["valid"]);
    }
    assert_eq!((fleet.stub.questions(), fleet.store.reads(), fleet.store.writes()), (3, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_without_a_key_is_not_used() {
    let (log, _guard) = Log::with_max_level(Level::WARN);
    let fleet = Fleet::knowing(&["good"]);
    let tokens = SharedTokens::without_sealing(fleet.store.clone());
    let replica = fleet.replica_with(|settings| settings.store = Some(tokens));
    assert_eq!(validate_at(&[replica], "good").await, ["valid"]);
    assert_eq!((fleet.store.reads(), fleet.store.writes()), (0, 0));
    assert!(log.take().contains("validated tokens are not shared: the store has no key"));
}

#[tokio::test(start_paused = true)]
async fn replicas_that_ask_differently_do_not_share() {
    let fleet = Fleet::knowing(&["good"]);
    let key = || StoreKey::new([7; 32]);
    validate_at(&[fleet.replica()], "good").await;
    let replicas = [
        fleet.replica_with(|settings| settings.include_service_catalog = false),
        fleet.replica_with(|settings| settings.region_name = Some("RegionTwo".into())),
        fleet.replica_with(|settings| settings.interface = Interface::Public),
        fleet
            .replica_with(|settings| settings.asker = Asker::TokenItself("http://keystone.public/v3".into())),
        fleet.replica_with(|settings| {
            settings.asker = Asker::TokenItself("http://keystone.elsewhere/v3".into());
        }),
        fleet.replica_with(|settings| {
            settings.store = Some(SharedTokens::new(fleet.store.clone(), key()).name("others"));
        }),
        fleet.replica_with(|settings| {
            let tokens = SharedTokens::new(fleet.store.clone(), StoreKey::new([8; 32])).name("validations");
            // Older keys are for the tokens of the program itself.
            settings.store = Some(tokens.also_read_with(key()));
        }),
    ];
    assert_eq!(validate_at(&replicas, "good").await, ["valid"; 7]);
    assert_eq!((fleet.stub.questions(), fleet.store.records().len()), (8, 8));
    assert!(replicas.iter().all(|replica| store_hits(replica) == 0));
}

#[tokio::test(start_paused = true)]
async fn restricted_tokens_stay_restricted() {
    let rules = r#""application_credential": {"id": "c", "access_rules": []}, "user":"#;
    let certificate = r#""oauth2_credential": {"x5t#S256": "thumbprint"}, "user":"#;
    for restriction in [rules, certificate] {
        let restricted = document("good", 3_600).replacen(r#""user":"#, restriction, 1);
        let fleet = Fleet::new(Stub::new(move |_| Reply::Document(restricted.clone())));
        let replicas = fleet.replicas::<2>();
        validate_at(&replicas, "good").await;
        assert_eq!(fleet.stub.questions(), 1);
        for replica in &replicas {
            let Outcome::Valid(token) = outcome(replica, "good", false).await else { panic!("not valid") };
            assert!(token.is_restricted());
            let text = token.access_info().body();
            assert!(text.expose().contains(restriction) && text.expose().contains("http://keystone.two/v3"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn catalogs_from_the_store_are_shared_in_memory() {
    let tokens: Vec<_> = (0..50).map(|number| format!("token{number}")).collect();
    let texts: Vec<_> = tokens.iter().map(String::as_str).collect();
    let fleet = Fleet::knowing(&texts);
    let [first, second] = fleet.replicas();
    for token in &texts {
        validate_at(&[first.clone(), second.clone()], token).await;
    }
    let (own, taken) = (first.metrics().snapshot(), second.metrics().snapshot());
    assert_eq!((own.store_hits, taken.store_hits, taken.cached_tokens), (0, 50, 50));
    assert_eq!(own.cached_bytes, taken.cached_bytes);
}

#[tokio::test(start_paused = true)]
async fn hits_in_the_store_are_logged_without_tokens() {
    let (log, _guard) = Log::with_max_level(Level::TRACE);
    let fleet = Fleet::knowing(&["good-canary"]);
    let replicas = fleet.replicas::<2>();
    validate_at(&replicas, "good-canary").await;
    validate_at(&replicas, "bad-canary").await;
    let text = log.take();
    assert_eq!(text.matches("took a validation from the store").count(), 2, "{text}");
    assert!(text.contains("is_valid=true") && text.contains("is_valid=false"), "{text}");
    assert!(!text.contains("canary"), "{text}");
    let records: Vec<u8> = fleet.store.records().into_values().flat_map(|(record, _)| record).collect();
    assert!(!String::from_utf8_lossy(&records).contains("alice"));
}
