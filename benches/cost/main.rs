//! The cost of the crate, compared with a hand-written layer (the baseline) and with other middleware.
//!
//! ```sh
//! cargo bench --bench cost               # all parts
//! cargo bench --bench cost -- request    # one part: request, document, discovery, loopback, burst, pool, validate
//! ```
//!
//! valgrind's callgrind counts instructions, and a counting allocator counts allocations. The last table shows the
//! limits of these measurements. If one is exceeded, the exit code is 1. Times have no limit.

mod burst;
mod callgrind;
mod counting;
mod discovery;
mod document;
mod expiring_baseline;
mod hand_written;
mod keystone;
mod keystonemiddleware;
mod loopback;
mod many_tokens;
mod peers;
mod pool;
mod request;
mod sample;
mod server;
mod table;
mod validate;
mod validate_loopback;
mod validate_memory;

use std::{env, process::ExitCode};

use table::Gates;

/// A part of the bench: its name, its function, and the function that its child process runs under callgrind.
type Part = (&'static str, fn(&mut Gates), fn(&[&str], usize));

const PARTS: [Part; 10] = [
    ("request", request::run, request::child),
    ("document", document::run, document::child),
    ("discovery", discovery::run, discovery::child),
    ("loopback", loopback::run, loopback::child),
    ("burst", burst::run, burst::child),
    ("pool", pool::run, pool::child),
    ("validate", validate::run, validate::child),
    ("validate-loopback", validate_loopback::run, validate_loopback::child),
    ("keystonemiddleware", keystonemiddleware::run, keystonemiddleware::child),
    ("validate-memory", validate_memory::run, validate_memory::child),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["child", part, of_case @ .., goes] = &*arguments {
        let (_, _, child) = PARTS.into_iter().find(|(name, ..)| name == part).expect("a part");
        child(of_case, goes.parse().expect("how many"));
        return ExitCode::SUCCESS;
    }
    if let Err(advice) = callgrind::check() {
        eprintln!("{advice}");
        return ExitCode::FAILURE;
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.contains(&name);
    let mut gates = Gates::default();
    PARTS.into_iter().filter(|(name, ..)| wanted(name)).for_each(|(_, run, _)| run(&mut gates));
    if gates.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
