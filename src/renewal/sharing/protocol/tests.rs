use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn issued_at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn known(version: u32, second: u64) -> KnownToken<u32> {
    KnownToken { version: Some(version), issued_at: issued_at(second) }
}

fn token(version: u32, second: u64) -> Entry<u32> {
    Entry::Token { version, issued_at: issued_at(second), freshness: Freshness::Fresh }
}

fn due(version: u32, second: u64) -> Entry<u32> {
    Entry::Token { version, issued_at: issued_at(second), freshness: Freshness::Due }
}

const NOTHING: Entry<u32> = Entry::NoToken { version: None };

fn renewal() -> Renewal<u32> {
    renewal_of(Need::Needed, None, None)
}

fn renewal_of(need: Need, held: Option<KnownToken<u32>>, refused: Option<KnownToken<u32>>) -> Renewal<u32> {
    Renewal::new(Settings::new(10 * SECOND, 30 * SECOND, false, 0.0), need, held, refused)
}

/// Gets the lease, and looks again.
fn lease(renewal: &mut Renewal<u32>, now: Duration, entry: &Entry<u32>) {
    ask_for_lease(renewal, now, entry);
    renewal.leased(now, now, true, 0.5);
    assert_eq!(renewal.step(), Step::Look);
    renewal.looked(now, entry);
}

fn ask_for_lease(renewal: &mut Renewal<u32>, now: Duration, entry: &Entry<u32>) {
    assert_eq!(renewal.step(), Step::Look);
    renewal.looked(now, entry);
    assert_eq!(renewal.step(), Step::LookForFailure);
    renewal.looked_for_failure(now, None, 0.5);
    if renewal.step() == Step::Prepare {
        renewal.prepared(true);
    }
    assert_eq!(renewal.step(), Step::Lease);
}

fn log_in(renewal: &mut Renewal<u32>, now: Duration, entry: &Entry<u32>) {
    lease(renewal, now, entry);
    assert_eq!(renewal.step(), Step::LookForFailure);
    renewal.looked_for_failure(now, None, 0.5);
    assert!(matches!(renewal.step(), Step::LogIn { .. }));
}

fn assert_done(renewal: &mut Renewal<u32>, outcome: Outcome) {
    if renewal.step() == Step::Release {
        renewal.released();
    }
    assert_eq!(renewal.step(), Step::Done(outcome));
}

fn transient(seconds: u64) -> Option<SeenFailure> {
    Some(SeenFailure { is_transient: true, delay: Duration::from_secs(seconds) })
}

#[test]
fn a_token_in_the_store_is_taken_over() {
    for entry in [token(1, 0), due(1, 0)] {
        let mut renewal = renewal();
        renewal.looked(Duration::ZERO, &entry);
        assert_done(&mut renewal, Outcome::TakeOver);
    }
}

#[test]
fn a_token_that_is_known_older_or_about_to_expire_is_not_taken_over() {
    let expiring = Entry::Token { version: 3, issued_at: issued_at(9), freshness: Freshness::Expiring };
    for need in [Need::Soft, Need::Needed] {
        for entry in [&token(1, 5), &token(2, 4), &expiring] {
            let mut renewal = renewal_of(need, Some(known(1, 5)), None);
            renewal.looked(Duration::ZERO, entry);
            assert_eq!(renewal.step(), Step::LookForFailure, "{entry:?}");
            let mut renewal = renewal_of(Need::Needed, None, Some(known(1, 5)));
            renewal.looked(Duration::ZERO, entry);
            assert_eq!(renewal.step(), Step::LookForFailure, "{entry:?}");
        }
    }
}

#[test]
fn another_token_of_the_same_second_is_taken_over() {
    let mut renewal = renewal_of(Need::Needed, None, Some(known(1, 5)));
    renewal.looked(Duration::ZERO, &token(2, 5));
    assert_done(&mut renewal, Outcome::TakeOver);
    let unpublished = KnownToken { version: None, issued_at: issued_at(5) };
    let mut renewal = renewal_of(Need::Needed, None, Some(unpublished));
    renewal.looked(Duration::ZERO, &token(2, 5));
    assert_eq!(renewal.step(), Step::LookForFailure, "it may have been refused before");
}

#[test]
fn a_soft_renewal_takes_over_only_fresh_tokens() {
    let mut renewal = renewal_of(Need::Soft, Some(known(1, 5)), None);
    renewal.looked(Duration::ZERO, &due(2, 6));
    assert_eq!(renewal.step(), Step::LookForFailure);
    renewal.looked_for_failure(Duration::ZERO, None, 0.0);
    renewal.prepared(true);
    renewal.leased(Duration::ZERO, Duration::ZERO, false, 0.5);
    assert_eq!(renewal.step(), Step::Wait { until: SECOND * 3 / 2 });
    renewal.waited();
    renewal.looked(SECOND * 3 / 2, &token(3, 6));
    assert_done(&mut renewal, Outcome::TakeOver);
}

#[test]
fn a_holder_of_the_lease_looks_again_logs_in_publishes_and_releases() {
    let mut renewal = renewal();
    log_in(&mut renewal, SECOND, &NOTHING);
    assert_eq!(renewal.step(), Step::LogIn { timeout: 10 * SECOND, extend_at: Some(2 * SECOND) });
    renewal.extended(2 * SECOND, true);
    assert_eq!(renewal.step(), Step::LogIn { timeout: 10 * SECOND, extend_at: Some(3 * SECOND) });
    renewal.logged_in(3 * SECOND, Some(issued_at(3)));
    assert_eq!(renewal.step(), Step::Publish { seen: None });
    renewal.published(true);
    assert_eq!(renewal.step(), Step::Release);
    assert_done(&mut renewal, Outcome::UseOwn { is_published: true });
}

#[test]
fn a_token_that_came_before_the_lease_is_taken_over_and_the_lease_is_given_back() {
    let mut renewal = renewal();
    ask_for_lease(&mut renewal, SECOND, &NOTHING);
    renewal.leased(SECOND, SECOND, true, 0.5);
    renewal.looked(SECOND, &token(1, 0));
    assert_eq!(renewal.step(), Step::Release);
    assert_done(&mut renewal, Outcome::TakeOver);
}

#[test]
fn a_holder_that_was_stopped_before_its_login_begins_again() {
    let mut looking = renewal();
    ask_for_lease(&mut looking, SECOND, &NOTHING);
    looking.leased(SECOND, SECOND, true, 0.5);
    looking.looked(5 * SECOND, &NOTHING);
    let mut looking_for_failure = renewal();
    lease(&mut looking_for_failure, SECOND, &NOTHING);
    looking_for_failure.looked_for_failure(5 * SECOND, None, 0.5);
    for mut renewal in [looking, looking_for_failure] {
        assert_eq!(renewal.step(), Step::Release);
        renewal.released();
        log_in(&mut renewal, 6 * SECOND, &NOTHING);
    }
}

#[test]
fn a_lost_lease_does_not_end_the_login() {
    for is_away in [false, true] {
        let mut renewal = renewal();
        log_in(&mut renewal, SECOND, &token_that_expires());
        if is_away {
            renewal.store_away(2 * SECOND);
        } else {
            renewal.extended(2 * SECOND, false);
        }
        assert_eq!(renewal.step(), Step::LogIn { timeout: 10 * SECOND, extend_at: None });
        renewal.logged_in(9 * SECOND, Some(issued_at(9)));
        assert_eq!(renewal.step(), Step::Publish { seen: Some(7) });
        renewal.published(true);
        assert_done(&mut renewal, Outcome::UseOwn { is_published: true });
    }
}

fn token_that_expires() -> Entry<u32> {
    Entry::Token { version: 7, issued_at: issued_at(0), freshness: Freshness::Expiring }
}

#[test]
fn the_later_of_two_tokens_wins() {
    let not_published = Step::Done(Outcome::UseOwn { is_published: false });
    let tombstone = |second| Entry::Tombstone { version: 8, issued_at: issued_at(second) };
    for (entry, next) in [
        (token(8, 4), Step::Done(Outcome::TakeOver)),
        (token(8, 3), not_published.clone()),
        (token(8, 2), Step::Publish { seen: Some(8) }),
        (tombstone(4), not_published.clone()),
        (tombstone(3), not_published.clone()),
        (tombstone(2), Step::Publish { seen: Some(8) }),
        (NOTHING, Step::Publish { seen: None }),
    ] {
        let mut renewal = renewal();
        log_in(&mut renewal, SECOND, &token_that_expires());
        renewal.extended(SECOND, false);
        renewal.logged_in(3 * SECOND, Some(issued_at(3)));
        renewal.published(false);
        renewal.looked(3 * SECOND, &entry);
        assert_eq!(renewal.step(), next, "{entry:?}");
        if matches!(next, Step::Publish { .. }) {
            renewal.published(false);
            assert_eq!(renewal.step(), not_published);
        }
    }
}

#[test]
fn a_token_is_not_published_long_after_the_look() {
    let mut renewal = renewal();
    log_in(&mut renewal, SECOND, &NOTHING);
    renewal.logged_in(122 * SECOND, Some(issued_at(3)));
    assert_eq!(renewal.step(), Step::Look);
    renewal.looked(122 * SECOND, &NOTHING);
    assert_done(&mut renewal, Outcome::UseOwn { is_published: false });
}

#[test]
fn a_token_without_dates_is_not_published() {
    let mut renewal = renewal();
    log_in(&mut renewal, SECOND, &NOTHING);
    renewal.logged_in(2 * SECOND, None);
    assert_eq!(renewal.step(), Step::Release);
    assert_done(&mut renewal, Outcome::UseOwn { is_published: false });
}

#[test]
fn a_process_waits_for_the_holder_and_loses_patience() {
    for need in [Need::Soft, Need::Needed] {
        let (mut renewal, mut now, mut waits) = (renewal_of(need, None, None), Duration::ZERO, Vec::new());
        loop {
            ask_for_lease(&mut renewal, now, &NOTHING);
            renewal.leased(now, now, false, 0.5);
            let Step::Wait { until } = renewal.step() else { break };
            waits.push((until - now).as_millis());
            now = until;
            renewal.waited();
        }
        assert_eq!(now, 20 * SECOND);
        assert_eq!(renewal.step(), Step::LogIn { timeout: 10 * SECOND, extend_at: None });
        match need {
            Need::Soft => assert_eq!(waits[..3], [1500, 1500, 1500]),
            Need::Needed => assert_eq!(waits[..6], [25, 50, 100, 200, 250, 250]),
        }
        renewal.logged_in(now, Some(issued_at(1)));
        assert_eq!(renewal.step(), Step::Publish { seen: None });
    }
}

#[test]
fn the_patience_is_spread_and_never_negative() {
    let patience = |wait, random| Settings::new(10 * SECOND, wait * SECOND, false, random).patience;
    assert_eq!((patience(30, 0.0), patience(30, 1.0)), (20 * SECOND, 12 * SECOND));
    assert_eq!(
        (patience(12, 0.0), patience(12, 1.0), patience(5, 0.0)),
        (2 * SECOND, SECOND, Duration::ZERO)
    );
}

#[test]
fn a_refused_token_is_buried_under_the_lease() {
    let mut renewal = renewal_of(Need::Needed, None, Some(known(1, 5)));
    lease(&mut renewal, SECOND, &token(1, 5));
    assert_eq!(renewal.step(), Step::Bury { version: 1, issued_at: issued_at(5) });
    renewal.buried(Burial::Done);
    renewal.looked(SECOND, &Entry::Tombstone { version: 2, issued_at: issued_at(5) });
    renewal.looked_for_failure(SECOND, None, 0.5);
    renewal.logged_in(2 * SECOND, Some(issued_at(6)));
    assert_eq!(renewal.step(), Step::Publish { seen: Some(2) });
}

#[test]
fn a_refused_token_is_buried_once() {
    let mut renewal = renewal_of(Need::Needed, None, Some(known(1, 5)));
    lease(&mut renewal, SECOND, &token(1, 5));
    renewal.buried(Burial::Changed);
    renewal.looked(SECOND, &token(1, 5));
    assert_eq!(renewal.step(), Step::LookForFailure);
}

#[test]
fn a_refused_token_is_kept_if_the_fleet_has_no_refusal_left() {
    let mut renewal = renewal_of(Need::Needed, None, Some(known(1, 5)));
    lease(&mut renewal, SECOND, &token(1, 5));
    renewal.buried(Burial::NoneLeft);
    assert_eq!(renewal.step(), Step::Release);
    assert_done(&mut renewal, Outcome::KeepRefused);
}

#[test]
fn a_failure_ends_a_renewal_that_does_not_wait_for_its_end() {
    let permanent = Some(SeenFailure { is_transient: false, delay: SECOND });
    let hurried = Settings::new(10 * SECOND, 30 * SECOND, true, 0.0);
    for (mut renewal, failure) in [
        (renewal(), permanent),
        (renewal(), transient(30)),
        (renewal_of(Need::Soft, Some(known(1, 5)), None), transient(1)),
        (Renewal::new(hurried, Need::Needed, None, None), transient(1)),
    ] {
        renewal.looked(SECOND, &NOTHING);
        renewal.looked_for_failure(SECOND, failure, 0.5);
        assert_done(&mut renewal, Outcome::FailedElsewhere);
    }
}

#[test]
fn a_transient_failure_is_waited_for() {
    let mut renewal = renewal();
    log_in(&mut renewal, SECOND, &NOTHING);
    renewal.login_failed(true, true);
    assert_eq!(renewal.step(), Step::PublishFailure);
    renewal.published_failure(2 * SECOND, 4 * SECOND, 0.5);
    assert_eq!(renewal.step(), Step::Release);
    renewal.released();
    assert_eq!(renewal.step(), Step::Wait { until: Duration::from_millis(2025) });
    renewal.waited();
    renewal.looked(3 * SECOND, &NOTHING);
    renewal.looked_for_failure(3 * SECOND, transient(4), 0.5);
    assert_eq!(renewal.step(), Step::Wait { until: Duration::from_millis(3050) });
    renewal.waited();
    log_in(&mut renewal, 28 * SECOND, &NOTHING);
    assert_eq!(renewal.step(), Step::LogIn { timeout: 2 * SECOND, extend_at: Some(29 * SECOND) });
    renewal.login_failed(true, false);
    assert_eq!(renewal.step(), Step::Release, "a login without its whole timeout says nothing to others");
    assert_done(&mut renewal, Outcome::Failed);
}

#[test]
fn a_process_whose_login_has_failed_lets_others_go_first() {
    let mut renewal = renewal();
    log_in(&mut renewal, SECOND, &NOTHING);
    renewal.login_failed(true, true);
    renewal.published_failure(SECOND, SECOND, 0.5);
    renewal.released();
    for (now, next) in [(2400, Step::Wait { until: Duration::from_millis(2450) }), (2500, Step::Lease)] {
        let now = Duration::from_millis(now);
        renewal.waited();
        renewal.looked(now, &NOTHING);
        renewal.looked_for_failure(now, None, 0.5);
        assert_eq!(renewal.step(), next);
    }
}

#[test]
fn a_failure_that_concerns_no_other_process_is_retried_without_the_store() {
    for (is_transient, next) in [(true, Step::LogInWithoutStore), (false, Step::Done(Outcome::Failed))] {
        let mut renewal = renewal();
        log_in(&mut renewal, SECOND, &NOTHING);
        renewal.failed_apart(2 * SECOND, is_transient);
        assert_eq!(renewal.step(), next);
    }
}

#[test]
fn waiting_for_the_end_of_a_failure_has_an_end() {
    for (own, outcome) in [(true, Outcome::Failed), (false, Outcome::FailedElsewhere)] {
        let mut renewal = renewal();
        if own {
            log_in(&mut renewal, SECOND, &NOTHING);
            renewal.login_failed(true, true);
            renewal.published_failure(SECOND, 4 * SECOND, 0.5);
            renewal.released();
            renewal.waited();
        }
        renewal.looked(29 * SECOND, &NOTHING);
        renewal.looked_for_failure(29 * SECOND, transient(4), 0.5);
        assert_done(&mut renewal, outcome);
    }
}

#[test]
fn nobody_loses_patience_after_a_failure_of_the_fleet() {
    let mut renewal = renewal();
    renewal.looked(SECOND, &NOTHING);
    renewal.looked_for_failure(SECOND, transient(1), 0.5);
    renewal.waited();
    ask_for_lease(&mut renewal, 25 * SECOND, &NOTHING);
    renewal.leased(25 * SECOND, 25 * SECOND, false, 0.5);
    assert!(matches!(renewal.step(), Step::Wait { .. }));
    renewal.waited();
    ask_for_lease(&mut renewal, 29 * SECOND, &NOTHING);
    renewal.leased(29 * SECOND, 29 * SECOND, false, 0.5);
    assert_done(&mut renewal, Outcome::FailedElsewhere);
}

#[test]
fn a_failure_is_ignored_once_if_the_program_asks_for_it() {
    let mut renewal = renewal().ignoring_failure();
    renewal.looked(SECOND, &NOTHING);
    assert_eq!(renewal.step(), Step::Prepare);
    renewal.prepared(true);
    renewal.leased(SECOND, SECOND, true, 0.5);
    renewal.looked(SECOND, &NOTHING);
    assert!(matches!(renewal.step(), Step::LogIn { .. }));
    renewal.login_failed(true, true);
    renewal.published_failure(2 * SECOND, SECOND, 0.5);
    renewal.released();
    renewal.waited();
    renewal.looked(3 * SECOND, &NOTHING);
    assert_eq!(renewal.step(), Step::LookForFailure);
}

#[test]
fn a_forced_renewal_does_not_take_over_what_is_there() {
    let mut renewal = renewal().forced();
    ask_for_lease(&mut renewal, SECOND, &token(1, 5));
    renewal.leased(SECOND, SECOND, false, 0.5);
    renewal.waited();
    ask_for_lease(&mut renewal, SECOND, &token(1, 5));
    renewal.leased(SECOND, SECOND, false, 0.5);
    renewal.waited();
    renewal.looked(SECOND, &token(2, 5));
    assert_done(&mut renewal, Outcome::TakeOver);
}

#[test]
fn a_permanent_failure_of_another_process_replaces_an_own_transient_one() {
    let failure = |is_transient| Some(SeenFailure { is_transient, delay: SECOND });
    for (is_transient, outcome) in [(true, Outcome::Failed), (false, Outcome::FailedElsewhere)] {
        let mut renewal = renewal();
        log_in(&mut renewal, SECOND, &NOTHING);
        renewal.login_failed(true, true);
        renewal.published_failure(SECOND, SECOND, 0.5);
        renewal.released();
        renewal.waited();
        renewal.looked(30 * SECOND, &NOTHING);
        renewal.looked_for_failure(30 * SECOND, failure(is_transient), 0.5);
        assert_done(&mut renewal, outcome);
    }
}

#[test]
fn credentials_that_are_not_prepared_end_the_renewal() {
    let mut renewal = renewal();
    renewal.looked(SECOND, &NOTHING);
    renewal.looked_for_failure(SECOND, None, 0.5);
    renewal.prepared(false);
    assert_done(&mut renewal, Outcome::Failed);
}

#[test]
fn without_the_store_the_renewal_logs_in_alone_and_publishes_if_the_store_is_back() {
    let looking = renewal();
    let mut looking_for_failure = renewal();
    looking_for_failure.looked(SECOND, &NOTHING);
    let mut asking = renewal();
    ask_for_lease(&mut asking, SECOND, &NOTHING);
    let mut leased = asking.clone();
    leased.leased(SECOND, SECOND, true, 0.5);
    let mut burying = renewal_of(Need::Needed, None, Some(known(1, 5)));
    lease(&mut burying, SECOND, &token(1, 5));
    for mut renewal in [looking, looking_for_failure, asking, leased, burying] {
        renewal.store_away(SECOND);
        assert_eq!((renewal.step(), renewal.holds_lease()), (Step::LogInWithoutStore, false));
        let mut failed = renewal.clone();
        failed.login_failed(true, true);
        assert_done(&mut failed, Outcome::Failed);
        renewal.logged_in(2 * SECOND, Some(issued_at(6)));
        if renewal.step() == Step::Look {
            renewal.looked(2 * SECOND, &NOTHING);
        }
        assert!(matches!(renewal.step(), Step::Publish { .. }));
        let mut away = renewal.clone();
        away.store_away(2 * SECOND);
        assert_done(&mut away, Outcome::UseOwn { is_published: false });
        renewal.published(true);
        assert_done(&mut renewal, Outcome::UseOwn { is_published: true });
    }
}

#[test]
fn a_failure_that_cannot_be_published_is_retried_without_the_store() {
    for (is_transient, next) in [(true, Step::LogInWithoutStore), (false, Step::Done(Outcome::Failed))] {
        let mut renewal = renewal();
        log_in(&mut renewal, SECOND, &NOTHING);
        renewal.login_failed(is_transient, true);
        renewal.store_away(2 * SECOND);
        assert_eq!(renewal.step(), next);
    }
}
