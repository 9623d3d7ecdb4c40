#!/usr/bin/env python3
"""Puts each of the known bugs of token caches into a copy of the source, and has the model find it.

A bug is some edits, and the scenario that has to fail with it. An edit that does not apply exactly once, a copy
that does not build and a scenario that passes are failures of this script. Without arguments all bugs are tried,
otherwise those that are named.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "seeded"

STATE, SHARED = "renewal/state.rs", "renewal/shared.rs"
WAIT, TASK = "renewal/wait.rs", "renewal/renewal_task.rs"
SINGLE_FLIGHT = "task/single_flight.rs"

# name: (scenario, [(file, what is there, what is put in its place), ...])
BUGS = {
    # A 401 drops the token at hand, although an older one was refused.
    "late-401": (
        "a_late_refusal_of_the_old_token_keeps_the_new_one",
        [(STATE, "is_some_and(|held| Arc::ptr_eq(&held.access, used)) {", "is_some() {")],
    ),
    # The flight is aborted with the caller that started it.
    "leader-dropped": (
        "when_all_callers_are_dropped_the_flight_lands_all_the_same",
        [
            (
                SHARED,
                "pub(super) struct Guarded {",
                """
                pub(super) struct AbortOnDrop(shuttle::future::AbortHandle);
                impl Drop for AbortOnDrop {
                    fn drop(&mut self) {
                        self.0.abort();
                    }
                }
                pub(super) struct Guarded {
                    pub(super) started: Option<AbortOnDrop>,
                """,
            ),
            (SHARED, "Guarded { state, flight: None }", "Guarded { state, flight: None, started: None }"),
            (
                SINGLE_FLIGHT,
                "        on_panic: impl FnOnce() -> T + Send + 'static,\n    ) {",
                "        on_panic: impl FnOnce() -> T + Send + 'static,\n    ) -> shuttle::future::AbortHandle {",
            ),
            (SINGLE_FLIGHT, "self.0.send_replace(Some(outcome))));\n        });", "self.0.send_replace(Some(outcome))));\n        })"),
            (
                TASK,
                "            start.run(runtime, flight.fly(), move || crashed.crashed());",
                """
                let started = start.run(runtime, flight.fly(), move || crashed.crashed());
                self.lock().started = Some(AbortOnDrop(started));
                """,
            ),
            (
                WAIT,
                "            look => AccessFuture::new(Arc::clone(self).wait(look.ok())),",
                """
                look => {
                    let (started, waiting) = (self.lock().started.take(), Arc::clone(self).wait(look.ok()));
                    AccessFuture::new(async move {
                        let _started = started;
                        waiting.await
                    })
                }
                """,
            ),
        ],
    ),
    # A panic of the credentials ends the task of the flight.
    "leader-panics": (
        "a_panic_of_the_credentials_is_an_error_to_all_who_wait",
        [
            (
                TASK,
                "brought.unwrap_or(Err(Error::PluginPanicked))",
                "brought.unwrap_or_else(|panicked| std::panic::resume_unwind(Box::new(panicked)))",
            ),
            (SINGLE_FLIGHT, "work.await.or_else(|Panicked| catch_panic(on_panic))", "work.await; drop(on_panic)"),
        ],
    ),
    # A panic of any other code of others ends the task of the flight.
    "flight-panics": (
        "a_panic_of_the_clock_is_an_error_to_all_who_wait",
        [(SINGLE_FLIGHT, "work.await.or_else(|Panicked| catch_panic(on_panic))", "work.await; drop(on_panic)")],
    ),
    # Each of those who waited for a flight that failed logs in again by itself.
    "failure-not-shared": (
        "a_failure_is_shared_by_all_who_wait",
        [
            (WAIT, "Waited::Done(Err(error)) => return self.usable().ok_or(error),", "Waited::Done(Err(_)) => {}"),
            (STATE, "                    pause,\n                    waited,", "                    pause: pause * 0,\n                    waited: waited && false,"),
        ],
    ),
    # The old token goes when the flight starts, not when the new one is there.
    "clear-before-load": (
        "a_soft_token_serves_all_the_while_whatever_becomes_of_its_successor",
        [(STATE, "self.flight = Some((self.flights, now));", "self.flight = Some((self.flights, now)); self.current = None;")],
    ),
    # An outcome that comes between the look at the flight and the wait for it is not noticed.
    "lost-wake-up": (
        "callers_who_come_at_once_share_one_login",
        [
            # The end of the channel would wake everybody once more.
            (SINGLE_FLIGHT, "self.0.send_replace(", "std::mem::ManuallyDrop::new(self.0).send_replace("),
            (
                SINGLE_FLIGHT,
                "pin!(async move { receiver.wait_for(",
                """
                pin!(async move {
                    receiver.borrow_and_update();
                    let _ = receiver.changed().await;
                    receiver.wait_for(""",
            ),
        ],
    ),
    # What a flight brings becomes current, although a reset overtook it.
    "stale-publish": (
        "what_a_reset_overtook_is_given_to_nobody",
        [(STATE, "if !self.is_under_way(id) {", "if false {")],
    ),
    # The same with a token that was set.
    "stale-publish-over-a-set-token": (
        "a_token_that_was_set_is_not_displaced_by_the_flight_that_it_overtook",
        [(STATE, "if !self.is_under_way(id) {", "if false {")],
    ),
    # Whoever has waited gets what the flight brought, whatever became of it since.
    "late-waiter": (
        "whoever_is_polled_late_gets_no_token_that_was_reset_meanwhile",
        [
            (STATE, "    discarded: Vec<Discarded>,\n}", "    discarded: Vec<Discarded>,\n    pub(super) brought: Option<Arc<ServiceAccess>>,\n}"),
            (STATE, "            discarded: Vec::new(),", "            discarded: Vec::new(),\n            brought: None,"),
            (STATE, "        self.set_current(Some(held));", "        self.brought = Some(Arc::clone(&held.access));\n        self.set_current(Some(held));"),
            (
                WAIT,
                "                Waited::Done(Ok(())) => {}\n                // A token",
                """
                Waited::Done(Ok(())) => {
                    if let Some(access) = self.lock().state.brought.clone() {
                        return Ok(access);
                    }
                }
                // A token""",
            ),
        ],
    ),
    # A flight keeps the plugin alive, and goes on for nobody.
    "flight-for-nobody": (
        "nobody_logs_in_for_a_plugin_that_is_gone",
        [
            (
                TASK,
                "            start.run(runtime, flight.fly(), move || crashed.crashed());",
                """
                let kept = Arc::clone(self);
                start.run(runtime, flight.fly(), move || {
                    let _kept = kept;
                    crashed.crashed()
                });
                """,
            ),
        ],
    ),
    # A caller does not look whether somebody else's flight is under way.
    "flight-of-ones-own": (
        "callers_who_come_at_once_share_one_login",
        [(SHARED, "&& self.state.under_way(now) == Some(*id)", "&& self.state.under_way(now) == Some(*id + 1)")],
    ),
    # To force a renewal does not look either.
    "force-beside-a-flight": (
        "to_force_a_renewal_starts_no_second_flight",
        [(WAIT, "        locked.state.forget_failure();", "        locked.state.forget_failure();\n        locked.flight = None;")],
    ),
    # Each of those who notice that a flight is gone clears away the one under way, whichever it is.
    "lost-without-comparing": (
        "a_flight_whose_runtime_is_gone_is_taken_over_once",
        [(STATE, "if self.is_under_way(id) {", "if id > 0 {")],
    ),
    # Nobody takes over a flight whose runtime is gone.
    "nobody-takes-over": (
        "a_flight_whose_runtime_is_gone_is_taken_over_once",
        [(WAIT, "Waited::Lost => self.lock().lost(id),", "Waited::Lost => return Err(Error::Abandoned),")],
    ),
}


def edit(path, edits):
    text = path.read_text()
    for before, after in edits:
        if text.count(before) != 1:
            sys.exit(f"{path.name} has this {text.count(before)} times instead of once:\n{before}")
        text = text.replace(before, after)
    path.write_text(text)


def cargo(*arguments):
    command = ["cargo", "test", "--quiet", "--locked", "--manifest-path", COPY / "model" / "Cargo.toml"]
    command += ["--target-dir", ROOT / "target" / "model", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def main():
    missed = []
    for name in sys.argv[1:] or BUGS:
        scenario, edits = BUGS[name]
        shutil.rmtree(COPY, ignore_errors=True)
        for folder in "src", "model":
            # With new times of modification, so that all of it is built.
            ignored = shutil.ignore_patterns("target")
            shutil.copytree(ROOT / folder, COPY / folder, ignore=ignored, copy_function=shutil.copy)
        # A package of its own can share the target directory with the model, and what was built of others there.
        edit(COPY / "model" / "Cargo.toml", [('"tower-keystone-model"', '"tower-keystone-seeded"')])
        edit(COPY / "model" / "Cargo.lock", [('"tower-keystone-model"', '"tower-keystone-seeded"')])
        for file in {file for file, _, _ in edits}:
            edit(COPY / "src" / file, [edit[1:] for edit in edits if edit[0] == file])
        built = cargo("--no-run")
        if built.returncode != 0:
            sys.exit(f"{name} does not build:\n{built.stdout}")
        run = cargo("--", "--exact", scenario)
        caught = run.returncode != 0 and "FAILED. 0 passed; 1 failed" in run.stdout
        if caught:
            message = run.stdout.split(" panicked at ", 1)[-1].splitlines()[1]
            print(f"{name}: caught by {scenario}: {message:.100}", flush=True)
        else:
            print(f"{name}: MISSED by {scenario}\n{run.stdout}", flush=True)
            missed.append(name)
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
