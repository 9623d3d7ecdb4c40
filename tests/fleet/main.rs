//! Processes that share one token: how often they log in, and that no request is lost if one of them or the store dies.
//!
//! The processes are this program itself, and Keystone is the fixture's on loopback. The stores are files, a real Valkey
//! and memcached; see `tests/store`. `cargo test --test fleet valkey` runs the cases whose names contain `valkey`.

mod cases;
mod child;
#[allow(dead_code, reason = "benches/store.rs uses the other items")]
mod fleet;
mod place;
mod setup;

#[allow(dead_code, reason = "tests/store uses the other items")]
#[path = "../store/memcached_process.rs"]
mod memcached_process;
#[allow(dead_code, reason = "tests/store uses the other items")]
#[path = "../store/memcached_server.rs"]
mod memcached_server;
#[allow(dead_code, reason = "tests/store uses the other items")]
#[path = "../store/valkey.rs"]
mod valkey;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    thread::{Builder, scope},
    time::Instant,
};

use place::Place;
use tokio::runtime::Runtime;

type Case = fn(&Runtime, &mut Place);

/// Starts a store. Returns `None` if it is skipped.
type Start = fn() -> Option<Place>;

const CASES: [(&str, Case); 5] = [
    ("a_fleet_logs_in_once", cases::a_fleet_logs_in_once),
    ("a_wrong_password_is_tried_once", cases::a_wrong_password_is_tried_once),
    ("the_holder_of_the_lease_is_killed", cases::the_holder_of_the_lease_is_killed),
    ("two_holders_in_a_row_are_killed", cases::two_holders_in_a_row_are_killed),
    ("the_store_is_killed_and_stopped", cases::the_store_is_killed_and_stopped),
];

/// The stores, how to start one, and how many of the cases it has: the last one needs a server.
const STORES: [(&str, Start, usize); 3] = [
    ("file", || Some(Place::file()), CASES.len() - 1),
    ("valkey", Place::valkey, CASES.len()),
    ("memcached", || Some(Place::memcached()), CASES.len()),
];

fn main() -> ExitCode {
    if env::var_os(child::VARIABLE).is_some() {
        child::run();
        return ExitCode::SUCCESS;
    }
    let list = env::args().any(|argument| argument == "--list");
    let filters: Vec<_> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_chosen =
        |name: &str| filters.is_empty() || filters.iter().any(|text| name.contains(text.as_str()));
    let cases = STORES.map(|(store, start, count)| {
        let named = CASES[..count].iter().map(move |&(case, run)| (format!("{store}::{case}"), run));
        (store, start, named.filter(|(name, _)| is_chosen(name)).collect::<Vec<_>>())
    });
    if list {
        cases.iter().flat_map(|(.., cases)| cases).for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }

    // The cases of one store wait most of the time until a lease ends.
    let outcomes: Vec<_> = scope(|scope| {
        let threads = cases.map(|(store, start, cases)| {
            let run = move || cases.iter().filter_map(|(name, case)| run(name, *case, start)).collect();
            Builder::new().name(store.to_owned()).spawn_scoped(scope, run).unwrap()
        });
        threads.into_iter().flat_map(|thread| -> Vec<_> { thread.join().unwrap() }).collect()
    });
    let failed = outcomes.iter().filter(|&&has_passed| !has_passed).count();
    println!("\n{} passed, {failed} failed", outcomes.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a case with an empty store. Returns whether it passes, or `None` if the store is skipped.
fn run(name: &str, case: Case, start: Start) -> Option<bool> {
    let Some(mut place) = start() else {
        println!("{name} ... skipped, as TOWER_KEYSTONE_NO_CLOUD says");
        return None;
    };
    let runtime = Runtime::new().unwrap();
    let started_at = Instant::now();
    let has_passed = catch_unwind(AssertUnwindSafe(|| case(&runtime, &mut place))).is_ok();
    let seconds = started_at.elapsed().as_secs_f32();
    println!("{name} ... {} ({seconds:.1} s)", if has_passed { "ok" } else { "FAILED" });
    Some(has_passed)
}
