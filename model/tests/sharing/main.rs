//! Visits all states that three processes can reach that share one token by the protocol of the crate.
//!
//! A process does its steps in any order with those of the others. It can be killed or stopped before each of them, and
//! stopped while the store does what it asked for. Keystone and the store can fail, too.
//!
//! The protocol and the table of the store are those of the crate. In each state, these invariants must hold:
//!
//! - **I1**: no two processes log in under the lease at once, unless one was stopped or the store was lost.
//! - **I2**: no process waits longer than its patience and one attempt.
//! - **I3**: no token replaces a later one, and none is published after a later one was removed.
//! - **I5**: there are no more logins under the lease than 1 + kills + stops + revocations +
//!   failed logins + logins without the lease.
//! - **I6**: no good token is removed. So a renewal that fails leaves the token to the others.
//! - **I7**: no process takes over a token that a service has refused to it.
//! - **I8**: nobody logs in during the delay after a failed login.
//! - **I9**: the fleet buries at most 3 refused tokens in a time.
//! - **I10**: nobody logs in without the lease, unless its holder was stopped or it is stuck.
//!
//! That nobody gets a token of another identity (I4) is checked with whole plugins.

mod explore;
mod store;
mod world;

use world::{Config, Faults, World};

/// Visits all states of a configuration.
fn check(config: Config) {
    let started = std::time::Instant::now();
    let states = explore::explore(World::new(Box::leak(Box::new(config))));
    println!("{states} states, {} ms", started.elapsed().as_millis());
}

fn check_faults(faults: Faults) {
    check(Config { faults, ..Config::NONE });
}

const NONE: Faults = Config::NONE.faults;

#[test]
fn no_faults() {
    check_faults(NONE);
}

#[test]
fn a_kill() {
    check(Config { faults: Faults { kills: 1, ..NONE }, patience: 9, ..Config::NONE });
}

#[test]
fn two_kills() {
    check_faults(Faults { kills: 2, ..NONE });
}

#[test]
fn a_stop() {
    check_faults(Faults { stops: 1, ..NONE });
}

#[test]
fn two_stops() {
    check(Config { faults: Faults { stops: 2, ..NONE }, processes: 2, duration: 8, ..Config::NONE });
}

#[test]
fn a_kill_and_a_stop() {
    check(Config { faults: Faults { kills: 1, stops: 1, ..NONE }, duration: 9, ..Config::NONE });
}

#[test]
fn two_revocations() {
    check(Config { faults: Faults { revocations: 2, ..NONE }, processes: 2, duration: 9, ..Config::NONE });
}

#[test]
fn a_kill_and_a_revocation() {
    check(Config { faults: Faults { kills: 1, revocations: 1, ..NONE }, processes: 2, ..Config::NONE });
}

#[test]
fn a_stop_and_a_revocation() {
    check(Config {
        faults: Faults { stops: 1, revocations: 1, ..NONE },
        processes: 2,
        duration: 5,
        ..Config::NONE
    });
}

#[test]
fn an_outage() {
    check_faults(Faults { outages: 1, ..NONE });
}

#[test]
fn an_outage_and_a_revocation() {
    check(Config {
        faults: Faults { outages: 1, revocations: 1, ..NONE },
        processes: 2,
        duration: 2,
        ..Config::NONE
    });
}

#[test]
fn a_lost_response() {
    check_faults(Faults { lost_responses: 1, ..NONE });
}

#[test]
fn a_lost_response_and_a_revocation() {
    check(Config {
        faults: Faults { lost_responses: 1, revocations: 1, ..NONE },
        processes: 2,
        duration: 5,
        ..Config::NONE
    });
}

#[test]
fn a_loss_and_a_revocation() {
    check(Config {
        faults: Faults { losses: 1, revocations: 1, ..NONE },
        processes: 2,
        duration: 5,
        ..Config::NONE
    });
}

#[test]
fn garbage() {
    check_faults(Faults { garbage: 2, ..NONE });
}

#[test]
fn garbage_and_a_stop() {
    check(Config { faults: Faults { garbage: 1, stops: 1, ..NONE }, processes: 2, ..Config::NONE });
}

#[test]
fn a_kill_with_a_lease_that_ends_with_its_process() {
    check(Config { faults: Faults { kills: 2, ..NONE }, is_lease_freed_on_death: true, ..Config::NONE });
}

#[test]
fn a_kill_and_a_stop_with_inexact_terms() {
    check(Config {
        faults: Faults { kills: 1, stops: 1, ..NONE },
        is_lease_inexact: true,
        duration: 7,
        ..Config::NONE
    });
}

#[test]
fn a_stuck_lease() {
    check(Config { is_lease_stuck: true, ..Config::NONE });
}

#[test]
fn tokens_of_the_same_second() {
    check(Config {
        faults: Faults { stops: 1, revocations: 1, ..NONE },
        date_resolution: 8,
        processes: 2,
        duration: 6,
        ..Config::NONE
    });
}

#[test]
fn a_token_that_is_due() {
    check(Config { is_due: true, ..Config::NONE });
}

#[test]
fn a_token_that_is_due_and_a_kill() {
    check(Config { faults: Faults { kills: 1, ..NONE }, is_due: true, ..Config::NONE });
}

#[test]
fn a_token_that_is_due_and_a_stop() {
    check(Config { faults: Faults { stops: 1, ..NONE }, is_due: true, ..Config::NONE });
}

#[test]
fn a_token_that_is_due_and_a_failure() {
    check(Config { is_due: true, failing_logins: (2, false), ..Config::NONE });
}

#[test]
fn a_token_that_is_due_and_a_wrong_password() {
    check(Config { is_due: true, failing_logins: (2, true), ..Config::NONE });
}

#[test]
fn failures() {
    check(Config { failing_logins: (2, false), ..Config::NONE });
}

#[test]
fn a_wrong_password() {
    check(Config { failing_logins: (9, true), ..Config::NONE });
}

#[test]
fn a_kill_and_a_failure() {
    check(Config { faults: Faults { kills: 1, ..NONE }, failing_logins: (1, false), ..Config::NONE });
}

#[test]
fn an_outage_and_a_failure() {
    check(Config {
        faults: Faults { outages: 1, ..NONE },
        failing_logins: (1, false),
        processes: 2,
        ..Config::NONE
    });
}

#[test]
fn a_service_that_refuses_all() {
    check(Config { refuses_all: true, processes: 2, duration: 2, ..Config::NONE });
}
