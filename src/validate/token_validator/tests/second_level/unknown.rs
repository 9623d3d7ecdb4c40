//! A token that Keystone does not know.

use std::time::Duration;

use super::{super::stub::*, fleet::*};

#[tokio::test(start_paused = true)]
async fn an_unknown_token_is_unknown_to_all_replicas() {
    let fleet = Fleet::knowing(&[]);
    let replicas = fleet.replicas::<3>();
    assert_eq!(validate_at(&replicas, "bad").await, ["unknown"; 3]);
    assert_eq!((fleet.stub.questions(), store_hits(&replicas[2])), (1, 1));
    pass(10).await;
    assert_eq!(replicas.each_ref().map(|replica| cached(replica, "bad")), ["none"; 3]);
    settle().await;
    fleet.stub.questions();
    pass(10).await;
    fleet.stub.set(knowing(&["bad"]));
    assert_eq!(validate_at(&replicas, "bad").await, ["valid"; 3]);
    assert_eq!(fleet.stub.questions(), 1, "Keystone knows it by now");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_accepted_for_no_longer_than_its_lifetime() {
    let fleet = Fleet::knowing(&["good"]);
    let [first, second, third] = fleet.replicas();
    validate_at(&[first.clone(), second.clone()], "good").await;
    fleet.stub.set(knowing(&[]));
    pass(86).await;
    assert_eq!(cached(&first, "good"), "valid");
    finish_refresh().await;
    assert_eq!(cached(&first, "good"), "unknown");
    fleet.stub.questions();
    assert_eq!(validate_at(&[third], "good").await, ["unknown"]);
    assert_eq!(cached(&second, "good"), "valid");
    finish_refresh().await;
    assert_eq!(cached(&second, "good"), "unknown", "its validation in the background has found the record");
    assert_eq!(fleet.stub.questions(), 0);
    let (_, time_left) = fleet.store.only_record();
    assert_eq!(time_left.as_secs(), 98, "kept for a lifetime");
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_an_older_unknown_record_ends_the_use_of_a_token() {
    for grace in [0, 1_000].map(Duration::from_secs) {
        let fleet = Fleet::knowing(&["good"]);
        let user = fleet.replica_with(|settings| settings.outage_grace = grace);
        validate_at(std::slice::from_ref(&user), "good").await;
        pass(30).await;
        fleet.stub.set(knowing(&[]));
        assert_eq!(validate_expired(&fleet.replica(), "good").await, "unknown");
        settle().await;
        fleet.stub.set(|_| Reply::Status(503));
        pass(if grace.is_zero() { 56 } else { 80 }).await;
        fleet.stub.questions();
        if grace.is_zero() {
            assert_eq!(cached(&user, "good"), "valid");
            finish_refresh().await;
        }
        assert_eq!(validate(&user, "good").await, "unavailable");
        assert!(fleet.stub.questions() > 0, "Keystone is asked again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_found_unknown_is_not_valid_again_by_an_earlier_record() {
    let fleet = Fleet::knowing(&["good"]);
    let [first, second] = fleet.replicas();
    validate_at(&[first, second.clone()], "good").await;
    let (name, (record, _)) = fleet.store.records().into_iter().next().unwrap();
    fleet.stub.set(|_| Reply::Error(404));
    pass(80).await;
    // It is not written that the token is unknown.
    fleet.store.set(Mode::Down);
    assert_eq!(validate_expired(&second, "good").await, "valid", "cached");
    pass(6).await;
    cached(&second, "good");
    finish_refresh().await;
    assert_eq!(cached(&second, "good"), "unknown");
    pass(11).await;
    fleet.store.set(Mode::Up);
    fleet.store.put(&name, record, LIFETIME);
    fleet.stub.set(|_| Reply::Status(503));
    assert_eq!(validate(&second, "good").await, "unavailable", "98 s after the record");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_allows_expired_tokens_replaces_the_record_too() {
    let fleet = Fleet::knowing(&["good"]);
    let [first, second, third] = fleet.replicas();
    validate_at(&[first], "good").await;
    fleet.stub.set(knowing(&[]));
    assert_eq!(validate_expired(&second, "good").await, "unknown");
    settle().await;
    fleet.stub.questions();
    assert_eq!(validate_at(&[third], "good").await, ["unknown"]);
    assert_eq!(fleet.stub.questions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_validation_that_is_written_late_does_not_replace_an_unknown_token() {
    let fleet = Fleet::knowing(&["good"]);
    let [first, second, third] = fleet.replicas();
    // The first one is asked before the token is revoked, and writes afterwards.
    fleet.store.set(Mode::Up);
    let writing = {
        fleet.stub.set_latency(Duration::from_secs(1));
        let first = first.clone();
        tokio::spawn(async move { validate(&first, "good").await })
    };
    settle().await;
    fleet.stub.set_latency(Duration::from_millis(10));
    let delayed = fleet.stub.clone();
    fleet.stub.set(knowing(&[]));
    assert_eq!(validate_at(&[second], "good").await, ["unknown"]);
    delayed.set(knowing(&["good"])); // the first question was answered before
    assert_eq!(writing.await.unwrap(), "valid");
    settle().await;
    delayed.set(knowing(&[]));
    assert_eq!((fleet.store.writes(), store_hits(&third)), (1, 0));
    assert_eq!(validate_at(std::slice::from_ref(&third), "good").await, ["unknown"]);
    assert_eq!(store_hits(&third), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_token_replaces_a_validation_that_was_written_meanwhile() {
    for [other_asks_later, stays_valid] in [[false, false], [true, true]] {
        let fleet = Fleet::knowing(&["good"]);
        let [first, second, third] = fleet.replicas();
        fleet.stub.set_latency(Duration::from_secs(2));
        let ask = |replica: &super::super::super::TokenValidator| {
            let replica = replica.clone();
            tokio::spawn(async move { validate(&replica, "good").await })
        };
        // Both replicas have seen no record.
        let [valid, unknown] = match other_asks_later {
            false => {
                let valid = ask(&first);
                pass_and_settle(1).await;
                fleet.stub.set_latency(Duration::from_secs(2));
                [valid, ask(&second)]
            }
            true => {
                fleet.stub.set_latency(Duration::from_secs(4));
                let unknown = ask(&second);
                pass_and_settle(1).await;
                fleet.stub.set_latency(Duration::from_secs(1));
                [ask(&first), unknown]
            }
        };
        assert_eq!(valid.await.unwrap(), "valid");
        fleet.stub.set(knowing(&[]));
        assert_eq!(unknown.await.unwrap(), "unknown");
        settle().await;
        fleet.stub.set(|_| Reply::Status(503));
        let expected = if stays_valid { "valid" } else { "unknown" };
        assert_eq!(validate_at(&[third], "good").await, [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn made_up_tokens_stay_in_the_store_for_a_short_time() {
    let fleet = Fleet::knowing(&[]);
    let replica = fleet.replica();
    for number in 0..50 {
        validate_at(std::slice::from_ref(&replica), &format!("made-up-{number}")).await;
    }
    // The time for which an unknown token is cached, and that of a validation.
    let records = fleet.store.records();
    assert!(records.len() == 50 && records.values().all(|(_, left)| *left <= Duration::from_secs(20)));
    pass(20).await;
    assert_eq!(fleet.store.records().len(), 0);
}
