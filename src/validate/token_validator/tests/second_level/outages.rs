//! A store or a Keystone that cannot be used.

use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use super::{super::stub::*, fleet::*};
use crate::log::Log;

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_fails_no_request() {
    for mode in [Mode::Down, Mode::Hang, Mode::Panic, Mode::Late(Duration::from_secs(3))] {
        let (log, _guard) = Log::with_max_level(Level::WARN);
        let fleet = Fleet::knowing(&["good"]);
        fleet.store.set(mode);
        let replicas = fleet.replicas::<3>();
        for replica in &replicas {
            let started_at = Instant::now();
            assert_eq!(validate(replica, "good").await, "valid");
            let delay = started_at.elapsed().saturating_sub(Duration::from_millis(10));
            assert!(delay <= Duration::from_millis(51), "{mode:?}: {delay:?}");
        }
        assert_eq!((fleet.stub.questions(), fleet.store.records().len()), (3, 0), "{mode:?}");
        pass_and_settle(2).await;
        assert_eq!(log.take().matches("token store").count(), 3, "{mode:?}: once for each connection");
        // It is back.
        fleet.store.set(Mode::Up);
        pass_and_settle(98).await;
        assert_eq!(validate_at(&replicas, "good").await, ["valid"; 3]);
        assert_eq!((fleet.stub.questions(), fleet.store.writes()), (1, 1), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_becomes_slow_delays_one_request_by_its_timeout() {
    let fleet = Fleet::knowing(&["good", "a", "b", "c"]);
    let replica = fleet.replica();
    validate_at(std::slice::from_ref(&replica), "good").await;
    fleet.store.set(Mode::Hang);
    let mut delays = Vec::new();
    for token in ["a", "b", "c"] {
        let started_at = Instant::now();
        assert_eq!(validate(&replica, token).await, "valid");
        delays.push(started_at.elapsed().as_millis() - 10);
    }
    assert!((50..=51).contains(&delays[0]), "{delays:?}");
    assert!(delays[1..].iter().sum::<u128>() <= 51, "{delays:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_write() {
    let fleet = Fleet::knowing(&["good"]);
    let replica = fleet.replica();
    let validation = {
        let replica = replica.clone();
        tokio::spawn(async move {
            let started_at = Instant::now();
            (validate(&replica, "good").await, started_at.elapsed())
        })
    };
    settle().await;
    fleet.store.set(Mode::Late(Duration::from_millis(40)));
    let (outcome, time) = validation.await.unwrap();
    assert!(outcome == "valid" && time <= Duration::from_millis(11), "{time:?}");
    assert_eq!(fleet.store.writes(), 0);
    pass_and_settle(1).await;
    assert_eq!(fleet.store.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_contact_that_takes_longer_is_made_nevertheless() {
    let fleet = Fleet::knowing(&["good", "other"]);
    fleet.store.set(Mode::Late(Duration::from_millis(400)));
    let replica = fleet.replica();
    assert_eq!(validate(&replica, "good").await, "valid");
    fleet.store.set(Mode::Up);
    pass_and_settle(1).await;
    assert_eq!(validate_at(&[replica], "other").await, ["valid"]);
    assert_eq!(fleet.store.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_requests_at_once_do_not_wait_for_each_other_at_the_store() {
    let tokens: Vec<_> = (0..500).map(|number| format!("token{number}")).collect();
    let texts: Vec<_> = tokens.iter().map(String::as_str).collect();
    let fleet = Fleet::knowing(&texts);
    let replica = fleet.replica_with(|settings| settings.max_in_flight = 1_000);
    fleet.store.set(Mode::Late(Duration::from_millis(900)));
    let started_at = Instant::now();
    let validations: Vec<_> = tokens
        .iter()
        .map(|token| {
            let (replica, token) = (replica.clone(), token.clone());
            tokio::spawn(async move { validate(&replica, &token).await })
        })
        .collect();
    for validation in validations {
        assert_eq!(validation.await.unwrap(), "valid");
    }
    assert!(started_at.elapsed() <= Duration::from_millis(61), "{:?}", started_at.elapsed());
    assert!(fleet.store.reads() <= 64);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_keystone_is_unavailable() {
    let fleet = Fleet::knowing(&["good"]);
    let [first, second] = fleet.replicas();
    validate_at(&[first], "good").await;
    let record = fleet.store.only_record().0;
    fleet.stub.set(|_| Reply::Status(503));
    assert_eq!(validate_at(std::slice::from_ref(&second), "good").await, ["valid"], "from the store");
    assert_eq!(validate_at(std::slice::from_ref(&second), "new").await, ["unavailable"]);
    pass(86).await;
    assert_eq!(cached(&second, "good"), "valid");
    finish_refresh().await;
    assert_eq!(cached(&second, "good"), "valid");
    assert!(fleet.store.only_record().0 == record && fleet.store.writes() == 1);
    pass(13).await;
    assert_eq!(validate_at(&[second], "good").await, ["unavailable"]);
}

#[tokio::test(start_paused = true)]
async fn a_hit_in_the_store_does_not_end_an_outage_in_the_log() {
    let (log, _guard) = Log::with_max_level(Level::INFO);
    let fleet = Fleet::knowing(&["good"]);
    let [first, second] = fleet.replicas();
    validate_at(&[first], "good").await;
    fleet.stub.set(|_| Reply::Status(503));
    validate_at(std::slice::from_ref(&second), "new").await;
    validate_at(&[second], "good").await;
    let text = log.take();
    assert_eq!((text.matches("WARN").count(), text.matches("INFO").count()), (1, 0), "{text}");
}

#[tokio::test(start_paused = true)]
async fn any_timeout_of_the_store_can_be_set() {
    for timeout in [Duration::ZERO, Duration::MAX] {
        let fleet = Fleet::knowing(&["good"]);
        let tokens = fleet.tokens().answer_timeout(timeout);
        let replica = fleet.replica_with(|settings| settings.store = Some(tokens));
        assert_eq!(validate(&replica, "good").await, "valid");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_timeout_of_the_store_fails_no_request() {
    for timeout in [Duration::from_secs(9), Duration::from_secs(12), Duration::MAX] {
        let fleet = Fleet::knowing(&["good"]);
        fleet.stub.set_latency(Duration::from_secs(8));
        fleet.store.set(Mode::Hang);
        let tokens = fleet.tokens().answer_timeout(timeout);
        let replica = fleet.replica_with(|settings| settings.store = Some(tokens));
        assert_eq!(validate(&replica, "good").await, "valid", "{timeout:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_takes_no_more_memory() {
    let fleet = Fleet::knowing(&[]);
    fleet.store.set(Mode::Late(Duration::from_millis(49)));
    let replica = fleet.replica();
    let mut most = 0;
    for batch in 0..200 {
        let validations: Vec<_> = (0..64)
            .map(|number| {
                let (replica, token) = (replica.clone(), format!("token{batch}-{number}"));
                tokio::spawn(async move { validate(&replica, &token).await })
            })
            .collect();
        for validation in validations {
            assert_eq!(validation.await.unwrap(), "unknown");
        }
        most = most.max(tokio::runtime::Handle::current().metrics().num_alive_tasks());
    }
    assert!(most <= 2_000, "{most}");
}
