#!/usr/bin/env python3
"""Checks that the model finds known bugs of token caches.

A bug is a list of edits and a scenario. For each bug, the script applies the edits to a copy of the source and runs
the scenario, which has to fail. The script itself fails if an edit does not apply exactly once, if a copy does not
build, or if a scenario passes.

Usage: seeded.py [BUG...]. Without arguments, it tries all bugs.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "seeded"

STATE, SHARED = "renewal/state.rs", "renewal/shared.rs"
WAIT, TASK = "renewal/wait.rs", "renewal/renewal_task.rs"
SPAWN = "renewal/spawn.rs"
SINGLE_FLIGHT = "task/single_flight.rs"
PROTOCOL, TABLE = "renewal/sharing/protocol.rs", "store/memory_table.rs"
VERSION, SEALER = "store/token_store.rs", "store/sealer.rs"
ENTRIES = "store/failure_entries.rs"

# name: (scenario, [(file, text, replacement), ...])
BUGS = {
    # A 401 drops the current token, although an older one was rejected.
    "late-401": (
        "a_late_rejection_of_the_old_token_keeps_the_new_one",
        [(STATE, "is_some_and(|current| Arc::ptr_eq(&current.access, access)) {", "is_some() {")],
    ),
    # The renewal is aborted when the caller that started it is dropped.
    "renewal-aborted": (
        "a_renewal_finishes_after_all_callers_are_dropped",
        [
            (
                SHARED,
                "pub(super) struct Guarded {",
                """
                pub(super) struct AbortOnDrop(pub(super) shuttle::future::AbortHandle);
                impl Drop for AbortOnDrop {
                    fn drop(&mut self) {
                        self.0.abort();
                    }
                }
                pub(super) struct Guarded {
                    pub(super) started: Option<AbortOnDrop>,
                """,
            ),
            (SHARED, "Guarded { state, renewal: None }", "Guarded { state, renewal: None, started: None }"),
            (
                SINGLE_FLIGHT,
                "        on_panic: impl FnOnce() -> T + Send + 'static,\n    ) {",
                "        on_panic: impl FnOnce() -> T + Send + 'static,\n    ) -> shuttle::future::AbortHandle {",
            ),
            (SINGLE_FLIGHT, "self.0.send_replace(Some(result))));\n        });", "self.0.send_replace(Some(result))));\n        })"),
            (
                SPAWN,
                "            start.run(runtime, task.run(), move || panicked.finish_panicked());",
                """
                let started = start.run(runtime, task.run(), move || panicked.finish_panicked());
                self.lock().started = Some(super::shared::AbortOnDrop(started));
                """,
            ),
            (
                WAIT,
                "            step => AccessFuture::new(Arc::clone(self).wait(step.ok())),",
                """
                step => {
                    let (started, waiting) = (self.lock().started.take(), Arc::clone(self).wait(step.ok()));
                    AccessFuture::new(async move {
                        let _started = started;
                        waiting.await
                    })
                }
                """,
            ),
        ],
    ),
    # A panic of the credentials ends the renewal task without a result.
    "credentials-panic": (
        "a_panic_of_the_credentials_is_an_error_for_all_waiting_callers",
        [
            (
                TASK,
                "result.unwrap_or(Err(Error::PluginPanicked))",
                "result.unwrap_or_else(|panicked| std::panic::resume_unwind(Box::new(panicked)))",
            ),
            (SINGLE_FLIGHT, "task.await.or_else(|Panicked| catch_panic(on_panic))", "task.await; drop(on_panic)"),
        ],
    ),
    # A panic of other code from outside the crate ends the renewal task without a result.
    "renewal-panics": (
        "a_panic_of_the_clock_is_an_error_for_all_waiting_callers",
        [(SINGLE_FLIGHT, "task.await.or_else(|Panicked| catch_panic(on_panic))", "task.await; drop(on_panic)")],
    ),
    # After a failed renewal, each waiting caller logs in again by itself.
    "failure-not-shared": (
        "a_failure_is_shared_by_all_waiting_callers",
        [
            (WAIT, "Waited::Done(Err(error)) => return self.unexpired_access().ok_or(error),", "Waited::Done(Err(_)) => {}"),
            (STATE, "            renewal_delay: delay,\n            had_no_token,", "            renewal_delay: delay * 0,\n            had_no_token: had_no_token && false,"),
        ],
    ),
    # The old token is dropped when the renewal starts, rather than when the new token is there.
    "clear-before-load": (
        "a_token_that_is_due_for_renewal_is_used_even_if_the_renewal_fails",
        [(STATE, "self.renewal = Some((self.last_renewal, now));", "self.renewal = Some((self.last_renewal, now)); self.current = None;")],
    ),
    # A caller does not notice a result that arrives just before it begins to wait.
    "lost-wake-up": (
        "concurrent_callers_share_one_login",
        [
            # Otherwise the drop of the sender would wake all waiting callers.
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
    # The token of a renewal becomes current, although a reset has cancelled the renewal.
    "stale-publish": (
        "the_token_of_a_cancelled_renewal_is_not_used",
        [(STATE, "if !self.end_renewal(id) {", "if !self.end_renewal(id) && false {")],
    ),
    # The token of a renewal becomes current, although a stored token has been restored meanwhile.
    "stale-publish-over-a-restored-token": (
        "a_restored_token_is_not_replaced_by_an_older_renewal",
        [(STATE, "if !self.end_renewal(id) {", "if !self.end_renewal(id) && false {")],
    ),
    # A waiting caller gets the token of its renewal, although that token was dropped meanwhile.
    "late-waiter": (
        "a_caller_that_is_polled_late_gets_no_token_that_was_reset_meanwhile",
        [
            (
                STATE,
                "    deferred_drops: Vec<DeferredDrop>,\n",
                "    deferred_drops: Vec<DeferredDrop>,\n    pub(super) renewed: Option<Arc<ServiceAccess>>,\n",
            ),
            (STATE, "            deferred_drops: Vec::new(),", "            deferred_drops: Vec::new(),\n            renewed: None,"),
            (STATE, "        self.set_current(Some(new));", "        self.renewed = Some(Arc::clone(&new.access));\n        self.set_current(Some(new));"),
            (
                WAIT,
                "                Waited::Done(Ok(())) => {}\n                // A token",
                """
                Waited::Done(Ok(())) => {
                    if let Some(access) = self.lock().state.renewed.clone() {
                        return Ok(access);
                    }
                }
                // A token""",
            ),
        ],
    ),
    # A renewal keeps the plugin alive, and continues after the plugin is dropped.
    "renewal-keeps-plugin": (
        "there_is_no_login_for_a_plugin_that_was_dropped",
        [
            (
                SPAWN,
                "            start.run(runtime, task.run(), move || panicked.finish_panicked());",
                """
                let plugin = Arc::clone(self);
                start.run(runtime, task.run(), move || {
                    let _plugin = plugin;
                    panicked.finish_panicked()
                });
                """,
            ),
        ],
    ),
    # A caller starts a renewal although another one is in flight.
    "no-single-flight": (
        "concurrent_callers_share_one_login",
        [(SHARED, "&& self.state.renewal_in_flight(now) == Some(*id)", "&& self.state.renewal_in_flight(now) == Some(*id + 1)")],
    ),
    # `RenewingPlugin::renew` starts a renewal although another one is in flight.
    "no-single-flight-in-renew": (
        "a_call_of_renew_joins_the_renewal_in_flight",
        [
            (SHARED, "    renewal: Option<(RenewalId,", "    pub(super) renewal: Option<(RenewalId,"),
            (WAIT, "        locked.state.clear_failure();", "        locked.state.clear_failure();\n        locked.renewal = None;"),
        ],
    ),
    # A caller that notices a lost renewal removes the current one, even if that is another one.
    "lost-without-comparing": (
        "a_renewal_whose_runtime_is_shut_down_is_replaced_once",
        [(STATE, "if self.is_current_renewal(id) {", "if id > 0 {")],
    ),
    # No caller replaces a renewal whose runtime is shut down.
    "lost-not-replaced": (
        "a_renewal_whose_runtime_is_shut_down_is_replaced_once",
        [(WAIT, "Waited::Lost => self.lock().remove_lost_renewal(id),", "Waited::Lost => return Err(Error::Abandoned),")],
    ),
    # A token is published without a comparison.
    "publish-by-put": (
        "a_stop",
        [(TABLE, "if current.as_ref() != seen || record", "let _ = (current, seen);\n        if record")],
    ),
    # A refused token is removed, and nothing is left in its place.
    "no-tombstones": (
        "a_stop_and_a_revocation",
        [(TABLE, "        self.make_room(now, record.len());", "        if record[7] == 2 {\n            return true;\n        }\n        self.make_room(now, record.len());")],
    ),
    # A refused token is removed without a comparison.
    "remove-without-comparing": (
        "a_stop_and_a_revocation",
        [(TABLE, "if current.as_ref() != seen ||", "if (current.as_ref() != seen && record[7] != 2) ||")],
    ),
    # A lease is given back without a comparison.
    "release-without-comparing": (
        "a_stop",
        [(TABLE, "        if current(&self.leases, now, name) == Some(owner) {", "        let _ = owner;\n        if current(&self.leases, now, name).is_some() {")],
    ),
    # A lease is as long as a login, and is not extended.
    "lease-not-extended": (
        "no_faults",
        [(PROTOCOL, "asked_at.saturating_add(self.settings.beat));", "asked_at.saturating_add(self.settings.beat)).filter(|_| false);")],
    ),
    # A process that has the lease does not look again.
    "no-second-look": (
        "no_faults",
        [(PROTOCOL, "            self.lease = Some(asked_at);\n            self.state = State::Look;", "            self.lease = Some(asked_at);\n            self.state = State::LookForFailure;")],
    ),
    # The processes wait for a lease that is never given back.
    "endless-patience": (
        "a_stuck_lease",
        [(PROTOCOL, "} else if now >= self.settings.patience && !self.has_seen_failure {", "} else if false {")],
    ),
    # The lease of a process that was killed does not end.
    "endless-lease": (
        "a_kill",
        [
            (TABLE, "value: owner.clone(), end: now.saturating_add(term) }", "value: owner.clone(), end: Duration::MAX }"),
            (TABLE, "lease.end = now.saturating_add(term);", "lease.end = lease.end.max(now + term);"),
        ],
    ),
    # A process takes over a token that was refused to it.
    "refused-token": (
        "two_revocations",
        [
            (PROTOCOL, "&& [&self.held, &self.refused].into_iter()", "&& [&self.held].into_iter()"),
            (PROTOCOL, "&& !self.refused.as_ref().is_some_and(may_be_refused)", "&& (true || !self.refused.as_ref().is_some_and(may_be_refused))"),
        ],
    ),
    # A process does not find out that a refused token was published, because the response of the store was lost.
    "lost-publication": (
        "a_lost_response_and_a_revocation",
        [
            (PROTOCOL, "refused.version = Some(version);", "let _ = (refused, version);"),
            (PROTOCOL, "&& !self.refused.as_ref().is_some_and(may_be_refused)", "&& (true || !self.refused.as_ref().is_some_and(may_be_refused))"),
        ],
    ),
    # The record of a token is not bound to its identity.
    "entry-without-identity": (
        "fleet::a_token_that_was_sealed_for_another_identity_is_not_used",
        [(SEALER, "binding.part, binding.identity];", 'binding.part, ""];')],
    ),
    # A failed renewal replaces a token that still works.
    "failure-displaces-token": (
        "fleet::a_process_that_cannot_renew_its_token_leaves_it_to_the_others",
        [(ENTRIES, 'const FAILURE: &str = "failure";', 'const FAILURE: &str = "token";')],
    ),
    # Two tokens of the same second have the same version.
    "version-without-nonce": (
        "tokens_of_the_same_second",
        [(VERSION, "        let length = record.len()", "        let record = &record[..record.len().min(24)];\n        let length = record.len()")],
    ),
    # The other processes do not notice that a login has failed.
    "failure-ignored": (
        "failures",
        [(PROTOCOL, "        if self.ignores_failure {", "        if self.ignores_failure || !self.has_failed {")],
    ),
    # A process logs in although the fleet has no refusal left.
    "refusals-not-limited": (
        "a_service_that_refuses_all",
        [(PROTOCOL, "Burial::NoneLeft => self.release(After::Done(Outcome::KeepRefused)),", "Burial::NoneLeft => self.state = State::LookForFailure,")],
    ),
}


def edit(path, edits):
    text = path.read_text()
    for before, after in edits:
        if text.count(before) != 1:
            sys.exit(f"{path.name} contains this text {text.count(before)} times instead of once:\n{before}")
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
            # With new modification times, so that cargo builds all of it.
            ignored = shutil.ignore_patterns("target")
            shutil.copytree(ROOT / folder, COPY / folder, ignore=ignored, copy_function=shutil.copy)
        # As a package of its own, it can share the target directory and the built dependencies with the model.
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
