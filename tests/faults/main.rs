//! The fault matrix: 139 numbered faults, each with at least one test case.
//!
//! Group `a` contains faults of Keystone (or of the connection to it), group `b` faults of concurrent requests, group
//! `c` faults of requests to services, group `d` faults of the validation of incoming tokens, and group `e` faults of
//! stores and of the processes that share tokens by one. A case is a function: its name starts with the number of the
//! fault and states the expected result. Most cases count the requests that reach Keystone or the service.
//!
//! `cargo test --test faults a08` runs the cases whose names contain `a08`. A fault is covered if it has a case and all
//! its cases pass. Without a filter, the run fails unless all 139 faults are covered.

mod clocks;
mod concurrency;
mod faulty_store;
mod load;
mod login_responses;
mod logins;
mod origins;
mod processes;
mod requests;
mod shared_tokens;
mod stores;
mod support;
mod validation;
mod validation_accounts;
mod validation_answers;
mod validation_cache;
mod validation_tokens;
mod wire;
mod wire_requests;

#[path = "../renewal/sharing/changing.rs"]
mod changing;
#[allow(dead_code, reason = "tests/auth uses the other items")]
#[path = "../auth/support.rs"]
mod layer;
#[allow(dead_code, reason = "tests/renewal uses the other items")]
#[path = "../renewal/log.rs"]
mod log;
#[allow(dead_code, reason = "tests/renewal uses the other items")]
#[path = "../renewal/support.rs"]
mod renewal;

use std::{
    env,
    panic::{catch_unwind, set_hook, take_hook},
    process::ExitCode,
};

/// Number of faults in each group.
const GROUPS: [(char, usize); 5] = [('a', 22), ('b', 14), ('c', 13), ('d', 54), ('e', 36)];

const CASES: [&[support::Case]; 15] = [
    logins::CASES,
    login_responses::CASES,
    clocks::CASES,
    concurrency::CASES,
    load::CASES,
    processes::CASES,
    requests::CASES,
    origins::CASES,
    wire::CASES,
    validation_answers::CASES,
    validation_accounts::CASES,
    validation_tokens::CASES,
    validation_cache::CASES,
    stores::CASES,
    shared_tokens::CASES,
];

fn main() -> ExitCode {
    let cases = CASES.iter().copied().flatten().chain(wire_requests::CASES);
    let list = env::args().any(|argument| argument == "--list");
    let filters: Vec<_> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let hook = take_hook();
    set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&support::EXPECTED_PANIC) {
            hook(panic);
        }
    }));
    let mut outcomes = Vec::new();
    for case in cases {
        if list {
            println!("{}: test", case.name);
        } else if filters.is_empty() || filters.iter().any(|text| case.name.contains(text.as_str())) {
            let passed = catch_unwind(case.run).is_ok();
            println!("{} ... {}", case.name, if passed { "ok" } else { "FAILED" });
            outcomes.push((case.name, passed));
        }
    }
    if list {
        return ExitCode::SUCCESS;
    }

    let faults: Vec<_> = GROUPS
        .iter()
        .flat_map(|(group, cases)| (1..=*cases).map(move |n| format!("{group}{n:02}_")))
        .collect();
    let is_covered = |fault: &&String| {
        let mut results = outcomes.iter().filter(|(name, _)| name.starts_with(fault.as_str())).peekable();
        results.peek().is_some() && results.all(|(_, passed)| *passed)
    };
    let (total, covered) = (faults.len(), faults.iter().filter(is_covered).count());
    let failed = outcomes.iter().filter(|(_, passed)| !passed).count();
    println!("\n{} passed, {failed} failed", outcomes.len() - failed);
    println!("{covered} of {total} faults covered");
    if failed == 0 && (covered == total || !filters.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
