//! Replicas whose clocks differ.

use super::{super::stub::*, fleet::*};

/// Returns for how many seconds a reader accepts a token that was revoked just after the writer had validated it. The
/// reader asks all the time, and begins with this second.
async fn accepted_for(writer_ahead: i64, reader_ahead: i64, begin: u64) -> u64 {
    let fleet = Fleet::knowing(&["good"]);
    let writer = fleet.replica_ahead(writer_ahead);
    assert_eq!(validate_at(&[writer], "good").await, ["valid"]);
    let reader = fleet.replica_ahead(reader_ahead);
    fleet.stub.set(|_| Reply::Status(503));
    pass(begin).await;
    let mut last = 0;
    for second in begin..220 {
        if validate(&reader, "good").await == "valid" {
            last = second;
        }
        pass_and_settle(1).await;
    }
    last
}

#[tokio::test(start_paused = true)]
async fn equal_clocks_give_one_lifetime() {
    for begin in [0, 50, 98] {
        assert_eq!(accepted_for(0, 0, begin).await, 99, "{begin}");
    }
    assert_eq!(accepted_for(3_000, 3_000, 0).await, 99);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_behind_accepts_a_token_longer_by_the_difference() {
    for (writer, reader) in [(30, 0), (0, -30), (10, -20)] {
        for begin in [0, 40, 99] {
            let accepted = accepted_for(writer, reader, begin).await;
            assert!((100..=130).contains(&accepted), "{writer} {reader} {begin}: {accepted}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_difference_gives_more_than_two_lifetimes() {
    for difference in [60, 90, 99, 100, 101, 200, 20_000] {
        for begin in [0, 60, 98] {
            let accepted = accepted_for(difference, 0, begin).await;
            assert!(accepted <= 200, "{difference} {begin}: {accepted}");
            assert!(difference < 100 || accepted == 0, "{difference} {begin}: {accepted}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_ahead_accepts_a_token_for_less_time() {
    assert!(accepted_for(0, 30, 0).await < 70);
    assert_eq!(accepted_for(0, 100, 0).await, 0);
    assert_eq!(accepted_for(-500, 0, 0).await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_token_replaces_a_record_from_the_future() {
    let fleet = Fleet::knowing(&["good"]);
    let [ahead, right] = [fleet.replica_ahead(60), fleet.replica()];
    validate_at(std::slice::from_ref(&ahead), "good").await;
    pass(1).await;
    fleet.stub.set(knowing(&[]));
    assert_eq!(validate_at(&[right], "good").await, ["unknown"]);
    pass(62).await;
    fleet.stub.set(|_| Reply::Status(503));
    assert_eq!(validate_at(&[fleet.replica()], "good").await, ["unavailable"]);
    // Also if the store did not answer the first time.
    let fleet = Fleet::knowing(&["good"]);
    let [ahead, right] = [fleet.replica_ahead(60), fleet.replica()];
    validate_at(&[ahead], "good").await;
    fleet.stub.set(knowing(&[]));
    assert_eq!(validate_expired(&right, "good").await, "unknown");
    settle().await;
    assert_eq!(fleet.store.writes(), 2);
}

#[tokio::test(start_paused = true)]
async fn replicas_whose_clocks_differ_serve_each_other_in_steady_use() {
    let fleet = Fleet::knowing(&["good"]);
    let replicas = [fleet.replica_ahead(20), fleet.replica(), fleet.replica_ahead(-20)];
    validate_at(&replicas, "good").await;
    for _ in 0..1_000 {
        pass_and_settle(1).await;
        assert_eq!(validate_at(&replicas, "good").await, ["valid"; 3]);
    }
    let questions = fleet.stub.questions();
    assert!(questions <= 40, "{questions}, as many as without a store at most");
}
