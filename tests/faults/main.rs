//! The fault matrix: 49 faults of Keystone, of concurrent requests and of requests.
//!
//! Each case is a function named by its number and its meaning, and counts the requests that reached
//! Keystone or the service. `cargo test --test faults a08` runs those whose names contain a text. A number
//! counts if it has a case and all of its cases passed; without a text, all 49 have to count.

mod clocks;
mod concurrency;
mod load;
mod login_responses;
mod logins;
mod origins;
mod processes;
mod requests;
mod support;
mod wire;
mod wire_requests;

#[allow(dead_code, reason = "the tests of the layer use the rest of it")]
#[path = "../auth/support.rs"]
mod layer;
#[allow(dead_code, reason = "the tests of renewing use the rest of it")]
#[path = "../renewal/support.rs"]
mod renewal;

use std::{
    env,
    panic::{catch_unwind, set_hook, take_hook},
    process::ExitCode,
};

/// How many cases each group has.
const GROUPS: [(char, usize); 3] = [('a', 22), ('b', 14), ('c', 13)];

const CASES: [&[support::Case]; 9] = [
    logins::CASES,
    login_responses::CASES,
    clocks::CASES,
    concurrency::CASES,
    load::CASES,
    processes::CASES,
    requests::CASES,
    origins::CASES,
    wire::CASES,
];

fn main() -> ExitCode {
    let cases = CASES.iter().copied().flatten().chain(wire_requests::CASES);
    let list = env::args().any(|argument| argument == "--list");
    let wanted: Vec<_> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let hook = take_hook();
    set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&support::WANTED_PANIC) {
            hook(panic);
        }
    }));
    let mut outcomes = Vec::new();
    for case in cases {
        if list {
            println!("{}: test", case.name);
        } else if wanted.is_empty() || wanted.iter().any(|text| case.name.contains(text.as_str())) {
            let passed = catch_unwind(case.run).is_ok();
            println!("{} ... {}", case.name, if passed { "ok" } else { "FAILED" });
            outcomes.push((case.name, passed));
        }
    }
    if list {
        return ExitCode::SUCCESS;
    }

    let numbers: Vec<_> = GROUPS
        .iter()
        .flat_map(|(group, cases)| (1..=*cases).map(move |n| format!("{group}{n:02}_")))
        .collect();
    let counts = |number: &&String| {
        let mut of_number = outcomes.iter().filter(|(name, _)| name.starts_with(number.as_str())).peekable();
        of_number.peek().is_some() && of_number.all(|(_, passed)| *passed)
    };
    let (total, counted) = (numbers.len(), numbers.iter().filter(counts).count());
    let failed = outcomes.iter().filter(|(_, passed)| !passed).count();
    println!("\n{} passed, {failed} failed", outcomes.len() - failed);
    println!("{counted} of {total}");
    if failed == 0 && (counted == total || !wanted.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
