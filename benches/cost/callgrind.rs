//! Instruction counts: this program runs itself under valgrind.

use std::{env, process::Command};

/// Checks that valgrind is installed. The error says how to install it.
pub fn check() -> Result<(), String> {
    match Command::new("valgrind").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err("valgrind, which counts the instructions, was not found; install it with your package manager, such \
                  as `apt-get install valgrind`"
            .to_owned()),
    }
}

/// Returns the instructions of one call of [`counted`].
///
/// They are measured in a child process with these arguments, which makes `goes` calls.
pub fn per_call(arguments: &[&str], goes: usize) -> f64 {
    let counted = run(&["--toggle-collect=*counted_by_callgrind*"], arguments, goes);
    counted as f64 / goes as f64
}

/// Returns the instructions of one call, including everything that the child process does for it.
///
/// It is the difference of a long and a short run, divided by the additional calls.
pub fn per_go(arguments: &[&str], goes: usize) -> f64 {
    let (short, long) = (run(&[], arguments, goes), run(&[], arguments, 5 * goes));
    (long as f64 - short as f64) / (4 * goes) as f64
}

fn run(options: &[&str], arguments: &[&str], goes: usize) -> u64 {
    let output = Command::new("valgrind")
        // A list of free memory that is full makes `free` slower. What was freed before the count must not matter.
        .env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=60000")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(options)
        .arg(env::current_exe().expect("this program has a file"))
        .arg("child")
        .args(arguments)
        .arg(goes.to_string())
        .output()
        .expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed under valgrind:\n{said}");
    said.lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
        .unwrap_or_else(|| panic!("no count from valgrind:\n{said}"))
}

/// The function whose instructions are counted.
#[inline(never)]
pub fn counted<A, R>(work: &mut dyn FnMut(A) -> R, argument: A) -> R {
    counted_by_callgrind(work, argument)
}

#[inline(never)]
fn counted_by_callgrind<A, R>(work: &mut dyn FnMut(A) -> R, argument: A) -> R {
    work(argument)
}
