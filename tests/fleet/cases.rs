//! What the fleet goes through with each store.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use crate::{fleet::Done, place::Place, setup::Setup};

/// How long a process waits for an answer of its store. So many processes on few cores are slow, and these tests count
/// logins.
const PATIENT: Duration = Duration::from_secs(5);

/// The time of a login that ends with its process.
const NEVER: Duration = Duration::from_secs(600);

/// A hundred processes start at once with an empty store: one login. Their token is revoked: one more.
pub(crate) fn a_fleet_logs_in_once(runtime: &Runtime, place: &mut Place) {
    let mut setup = Setup::new(runtime, place, PATIENT);
    setup.fleet.start(100);
    setup.get_one_each();
    assert_eq!(setup.logins(), 1);

    setup.cloud.keystone().revoke_all();
    setup.get_one_each();
    assert_eq!(setup.logins(), 2);

    // A program that starts later takes the token.
    let late = setup.fleet.start(1);
    setup.fleet.send_get(&late, 1);
    assert_eq!(setup.fleet.wait_done(&late)[0].logins, 0);
    assert_eq!(setup.logins(), 2);
}

/// Processes with a wrong password try it once, and so do those that start meanwhile. Thirty seconds later they may try it
/// again.
pub(crate) fn a_wrong_password_is_tried_once(runtime: &Runtime, place: &mut Place) {
    let mut setup = Setup::new(runtime, place, PATIENT);
    setup.fleet.set_password("wrong");
    let started_at = Instant::now();
    for count in [30, 5] {
        let numbers = setup.fleet.start(count);
        setup.fleet.send_get(&numbers, 1);
        setup.fleet.wait_lost(&numbers);
        // memcached counts whole seconds, and the first one may be short.
        let allowed = 1 + started_at.elapsed().as_secs() / 29;
        assert!(setup.logins() as u64 <= allowed, "{} logins, {allowed} allowed", setup.logins());
    }
}

/// The process that logs in for all is killed: another one does it, and no process that lives loses a request.
pub(crate) fn the_holder_of_the_lease_is_killed(runtime: &Runtime, place: &mut Place) {
    for _ in 0..3 {
        place.clear();
        let logins = logins_after_deaths(runtime, place, 20, 1);
        assert!(logins <= 2, "{logins} logins");
    }
}

/// Two processes in a row are killed while they log in for all.
pub(crate) fn two_holders_in_a_row_are_killed(runtime: &Runtime, place: &mut Place) {
    let logins = logins_after_deaths(runtime, place, 50, 2);
    assert!(logins <= 10, "{logins} logins");
}

/// Kills the first processes that log in for all, one after another. Returns the number of logins until all others have
/// made a request.
fn logins_after_deaths(runtime: &Runtime, place: &Place, processes: usize, deaths: usize) -> usize {
    let mut setup = Setup::with_slow_logins(runtime, place, PATIENT, deaths, NEVER);
    let numbers = setup.fleet.start(processes);
    setup.fleet.send_get(&numbers, 1);
    for death in 1..=deaths {
        let holder = setup.wait_login(death);
        setup.fleet.kill(holder);
    }
    setup.wait_done();
    setup.logins()
}

/// The store is killed and started again, then stopped and continued, while the processes make requests and their
/// token is revoked: no request is lost, and each process logs in at most once each time.
pub(crate) fn the_store_is_killed_and_stopped(runtime: &Runtime, place: &mut Place) {
    const PROCESSES: usize = 20;
    const REQUESTS: usize = 5_000;
    /// The store is stopped for longer than this.
    const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
    let mut setup = Setup::new(runtime, place, ANSWER_TIMEOUT);
    let numbers = setup.fleet.start(PROCESSES);
    let before: Vec<_> = setup.get_one_each().iter().map(|done| done.logins).collect();

    setup.fleet.send_get(&numbers, REQUESTS);
    let percent = PROCESSES * REQUESTS / 100;
    let mut allowed = setup.logins() + PROCESSES;
    setup.wait_for_requests(20 * percent);
    place.kill();
    setup.cloud.keystone().revoke_all();
    setup.wait_for_requests(40 * percent);
    place.start_again();
    setup.wait_for_requests(60 * percent);
    assert!(setup.logins() <= allowed, "{} logins, {allowed} allowed", setup.logins());

    allowed = setup.logins() + PROCESSES;
    place.stop();
    setup.cloud.keystone().revoke_all();
    // The store is away for this time.
    thread::sleep(Duration::from_secs(2));
    place.resume();
    let done = setup.fleet.wait_done(&numbers);
    let is_fine = |(done, before): (&Done, &usize)| done.succeeded == REQUESTS && done.logins <= before + 2;
    assert!(done.iter().zip(&before).all(is_fine), "{done:?}, {before:?}");
    assert!(setup.logins() <= allowed, "{} logins, {allowed} allowed", setup.logins());
}
