//! The CPU time of a cached request, compared with keystonemiddleware's auth_token.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::Value;

use crate::{
    sample::document,
    table::{Gates, Table, grouped},
    validate::cached_requests,
};

const TOKENS: [usize; 2] = [1, 5_000];
const REQUESTS: usize = 20_000;
const ROUNDS: usize = 5;

pub fn run(gates: &mut Gates) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/cloud/venv/bin/python");
    if !python.exists() {
        println!("keystonemiddleware is not installed; `cargo test --test cloud` installs it\n");
        return;
    }
    println!("The CPU time of a cached request within the process, in microseconds.\n");
    let mut child = Command::new(python)
        .arg(root.join("benches/cost/auth_token.py"))
        .args(TOKENS.map(|tokens| tokens.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut input = child.stdin.take().expect("its input is piped");
    input.write_all(document(20).as_bytes()).expect("it reads its input");
    drop(input);
    let output = child.wait_with_output().expect("Python runs");
    assert!(output.status.success(), "auth_token.py fails");
    let output = String::from_utf8(output.stdout).expect("lines of JSON");

    let mut table = Table::new(&["cached tokens", "keystonemiddleware", "ValidateTokenLayer", "x"]);
    for (tokens, line) in TOKENS.into_iter().zip(output.lines()) {
        let line: Value = serde_json::from_str(line).expect("lines of JSON");
        let theirs = line["microseconds"].as_f64().expect("a time");
        let ours = measure(tokens);
        table.row([
            tokens.to_string(),
            format!("{theirs:.0}"),
            format!("{ours:.2}"),
            format!("{:.0}", theirs / ours),
        ]);
        let tokens = grouped(tokens as f64);
        let what = format!("CPU time of keystonemiddleware for a request, cached tokens: {tokens}");
        gates.report(&what, "ValidateTokenLayer", theirs / ours);
    }
    table.print();
}

pub fn child(_arguments: &[&str], _goes: usize) {}

/// Returns the median time of a request, in microseconds.
fn measure(tokens: usize) -> f64 {
    let mut send = cached_requests(tokens);
    let mut rounds = [(); ROUNDS].map(|()| {
        let start = Stopwatch::start();
        (0..REQUESTS).for_each(&mut send);
        start.microseconds() / REQUESTS as f64
    });
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Measures the CPU time of this thread where the system tells it, and else the time that has passed.
struct Stopwatch {
    cpu_time: Option<f64>,
    start: Instant,
}

impl Stopwatch {
    fn start() -> Self {
        Self { cpu_time: cpu_time(), start: Instant::now() }
    }

    fn microseconds(self) -> f64 {
        let cpu_time = cpu_time().zip(self.cpu_time).map(|(end, start)| end - start);
        cpu_time.unwrap_or_else(|| self.start.elapsed().as_secs_f64() * 1e6)
    }
}

/// Returns the CPU time that this thread has used, in microseconds.
fn cpu_time() -> Option<f64> {
    let nanoseconds: f64 =
        fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()?;
    Some(nanoseconds / 1e3)
}
