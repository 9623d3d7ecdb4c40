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

STATE, FLIGHT, WORK = "renewal/state.rs", "renewal/flight.rs", "work.rs"

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
                FLIGHT,
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
            (FLIGHT, "Guarded { state, flight: None }", "Guarded { state, flight: None, started: None }"),
            (WORK, "(watch::Receiver<Option<T>>);", "(watch::Receiver<Option<T>>, pub(crate) shuttle::future::AbortHandle);"),
            (WORK, "runtime.spawn(async move {", "let task = runtime.spawn(async move {"),
            (WORK, "Ok(Self(receiver))", "Ok(Self(receiver, task))"),
            (
                FLIGHT,
                "        Ok((id, work))\n",
                "guarded.started = Some(AbortOnDrop(work.1.clone()));\n        Ok((id, work))\n",
            ),
            (
                FLIGHT,
                "            Ok(flight) => AccessFuture::new(Arc::clone(self).wait_for(flight, in_vain)),\n",
                """
                Ok(flight) => {
                    let (started, waiting) = (guarded.started.take(), Arc::clone(self).wait_for(flight, in_vain));
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
                FLIGHT,
                "let panicked = |_| Error::PluginPanicked;",
                "let panicked = |cause| -> Error { std::panic::resume_unwind(cause) };",
            ),
        ],
    ),
    # Each of those who waited for a flight that failed logs in again by itself.
    "failure-not-shared": (
        "a_failure_is_shared_by_all_who_wait",
        [
            (FLIGHT, "Some(Some(Err(error))) =>", "Some(Some(Err(error))) if false =>"),
            (FLIGHT, "Some(None) =>", "Some(_) =>"),
            (
                STATE,
                "failed: now, pause, waited, transient, definite }",
                "failed: now, pause: pause * 0, waited: false, transient, definite }",
            ),
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
            (WORK, "            sender.send_replace(", "std::mem::ManuallyDrop::new(sender).send_replace("),
            (
                WORK,
                "        let done = timeout(",
                """
        self.0.borrow_and_update();
        let _ = self.0.changed().await;
        let done = timeout(""",
            ),
        ],
    ),
    # What a flight brings becomes current, although a reset overtook it.
    "stale-publish": (
        "what_a_reset_overtook_is_given_to_those_who_waited_and_to_nobody_else",
        [(STATE, "if !self.is_flight(id) {", "if false {")],
    ),
    # The same with a token that was set.
    "stale-publish-over-a-set-token": (
        "a_token_that_was_set_is_not_displaced_by_the_flight_that_it_overtook",
        [(STATE, "if !self.is_flight(id) {", "if false {")],
    ),
    # A refused token that has a successor already is said to be final.
    "false-for-a-newer-token": (
        "a_late_refusal_of_the_old_token_keeps_the_new_one",
        [(STATE, "used)) {\n            return true;", "used)) {\n            return false;")],
    ),
    # A caller does not look whether somebody else's flight is under way.
    "flight-of-ones-own": (
        "callers_who_come_at_once_share_one_login",
        [(STATE, "(_, _, Some(_), _) => Decision::Join,", "(_, _, Some(_), _) => Decision::Start(self.start(now)),")],
    ),
    # To force a renewal does not look either.
    "force-beside-a-flight": (
        "to_force_a_renewal_starts_no_second_flight",
        [(STATE, "self.under_way(now).is_none().then(|| self.start(now))", "Some(self.start(now))")],
    ),
    # Each of those who notice that a flight is gone clears away the one under way, whichever it is.
    "lost-without-comparing": (
        "a_flight_whose_runtime_is_gone_is_taken_over_once",
        [(STATE, "if self.is_flight(id) {", "if id > 0 {")],
    ),
    # Nobody takes over a flight whose runtime is gone.
    "nobody-takes-over": (
        "a_flight_whose_runtime_is_gone_is_taken_over_once",
        [(FLIGHT, "Some(None) => self.lock().lost(id),", "Some(None) => return Err(Error::NoRuntime),")],
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
