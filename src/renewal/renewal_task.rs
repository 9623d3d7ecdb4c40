//! The background task that renews a token.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::{
    Now,
    failure::{AttemptError, CredentialsInfo},
    reentrancy, report,
    shared::{Outcome, Shared},
    state::RenewalId,
};
use crate::{
    AccessInfo, Credentials, Error,
    task::{CatchPanic, Start, catch_panic},
};

/// How late a timer may fire before its runtime counts as not driven.
const MAX_TIMER_LAG: Duration = Duration::from_secs(1);

/// A renewal, which makes one or more attempts to log in.
///
/// It does not keep the plugin alive, because a plugin that was dropped needs no token.
pub(super) struct RenewalTask<C> {
    plugin: Weak<Shared<C>>,
    id: RenewalId,
    started_at: Now,
}

impl<C: Credentials> Shared<C> {
    /// Spawns the task of a new renewal on `runtime`. Without a [`Start`], the renewal is running already.
    pub(super) fn spawn_renewal(
        self: &Arc<Self>,
        runtime: &Handle,
        id: RenewalId,
        now: Now,
        start: Option<Start<Outcome>>,
    ) {
        if let Some(start) = start {
            let task = RenewalTask { plugin: Arc::downgrade(self), id, started_at: now };
            let panicked = task.clone();
            start.run(runtime, task.run(), move || panicked.finish_panicked());
        }
    }

    /// Logs in once. A panic of the credentials becomes an error.
    fn log_in(self: &Arc<Self>) -> impl Future<Output = Result<AccessInfo, Error>> + use<C> {
        let address = self.address();
        let mut login = reentrancy::run_credentials(address, || {
            CatchPanic::new(|| self.credentials.get_auth_ref(self.transport.clone()))
        });
        poll_fn(move |cx| {
            let poll = reentrancy::run_credentials(address, || Pin::new(&mut login).poll(cx));
            poll.map(|result| result.unwrap_or(Err(Error::PluginPanicked)))
        })
    }

    /// Logs a failed attempt, unless the outage has been logged already.
    fn log_failure(&self, id: RenewalId, error: &AttemptError, now: Now) {
        let should_log = {
            let state = &mut self.lock().state;
            state.is_current_renewal(id) && state.should_log_failure(error.is_transient)
        };
        if should_log {
            let _ = catch_panic(|| {
                report::log_failure(self.transport.log_throttle(), self.credentials.auth_url(), error, now)
            });
        }
    }

    /// Finishes a renewal with its result, and logs what an operator has to know about it.
    fn finish_renewal(
        &self,
        id: RenewalId,
        requested_at: Now,
        result: Result<AccessInfo, AttemptError>,
        credentials: CredentialsInfo,
        now: Now,
    ) -> Outcome {
        let auth_ref = result.as_ref().ok().cloned();
        if let Some(auth_ref) = &auth_ref {
            // Collects the origins now, rather than later while the state is locked.
            auth_ref.service_catalog().origins();
        }
        let (outcome, failure, is_over) = {
            let mut locked = self.lock();
            let outcome = locked.finish_renewal(id, requested_at, result, credentials, now);
            (outcome, locked.state.take_failure_to_log(), locked.state.should_log_recovery())
        };
        // A log subscriber that panics must not change the outcome.
        let _ = catch_panic(|| {
            let (log_throttle, auth_url) = (self.transport.log_throttle(), self.credentials.auth_url());
            if let Some(auth_ref) = &auth_ref {
                report::log_clock_skew(log_throttle, auth_url, auth_ref, requested_at, now);
            }
            if let Some(error) = &failure {
                report::log_failure(log_throttle, auth_url, error, now);
            }
            if is_over {
                report::log_recovery(log_throttle, auth_url, now);
            }
        });
        outcome
    }
}

impl<C: Credentials> RenewalTask<C> {
    /// Logs in, retries while there is no usable token and time is left, and finishes the renewal with the result.
    async fn run(self) -> Outcome {
        let Some(plugin) = self.plugin_if_current() else { return Ok(()) };
        let started_at = plugin.clock.now();
        let (attempt_timeout, wait_timeout, mut delay) = {
            let locked = plugin.lock();
            let policy = locked.state.policy();
            (policy.attempt_timeout, policy.wait_timeout, locked.state.initial_delay(started_at))
        };
        drop(plugin);
        let mut attempts = 0;
        // The attempt after an initial delay, or after a delay that Keystone has asked for, gets its whole timeout,
        // even if `wait_timeout` is over.
        let mut gets_whole_timeout = !delay.is_zero();
        loop {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            let Some(plugin) = self.plugin_if_current() else { return Ok(()) };
            attempts += 1;
            let requested_at = plugin.clock.now();
            let time_left = wait_timeout.saturating_sub(requested_at.since(started_at));
            let login_timeout =
                if gets_whole_timeout { attempt_timeout } else { attempt_timeout.min(time_left) };
            let (credentials, login) = (plugin.credentials_info(), plugin.log_in());
            drop(plugin);
            let result = with_timeout(login_timeout, login).await;
            let Some(plugin) = self.plugin.upgrade() else { return Ok(()) };
            let result = result
                .unwrap_or_else(|| Err(Error::timeout(plugin.credentials.auth_url(), login_timeout)))
                .map_err(AttemptError::from);
            let now = plugin.clock.now();
            if let Err(error) = &result {
                plugin.log_failure(self.id, error, now);
                let time_left = wait_timeout.saturating_sub(now.since(started_at));
                let next = plugin.lock().state.retry_delay(self.id, attempts, error, now, time_left);
                if let Some(next) = next {
                    gets_whole_timeout = error.error.retry_after().is_some();
                    delay = next;
                    continue;
                }
            }
            // If the credentials request a token from their own plugin, the waiting requests get this error, even if
            // the credentials have reset the plugin meanwhile. Otherwise the requests would start further renewals.
            let is_recursion = result.as_ref().is_err_and(|error| matches!(error.error, Error::Recursion));
            let outcome = plugin.finish_renewal(self.id, requested_at, result, credentials, now);
            return if is_recursion { Err(Error::Recursion) } else { outcome };
        }
    }

    /// Finishes the renewal with an error after a panic of code from outside this crate.
    fn finish_panicked(self) -> Outcome {
        let Some(plugin) = self.plugin.upgrade() else { return Ok(()) };
        let now = catch_panic(|| plugin.clock.now()).unwrap_or(self.started_at);
        let error = AttemptError::from(Error::PluginPanicked);
        plugin.log_failure(self.id, &error, now);
        plugin.finish_renewal(self.id, self.started_at, Err(error), plugin.credentials_info(), now)
    }

    /// Returns the plugin if it still exists and this is its current renewal.
    fn plugin_if_current(&self) -> Option<Arc<Shared<C>>> {
        let plugin = self.plugin.upgrade()?;
        let is_current = plugin.lock().state.is_current_renewal(self.id);
        is_current.then_some(plugin)
    }
}

impl<C> Clone for RenewalTask<C> {
    fn clone(&self) -> Self {
        Self { plugin: Weak::clone(&self.plugin), ..*self }
    }
}

/// Returns the output of a login, or `None` if it takes longer than `time`.
///
/// A timer that fires late means that nobody has driven the runtime. The response may have arrived meanwhile, so the
/// login gets the whole time again.
async fn with_timeout<T>(time: Duration, login: impl Future<Output = T>) -> Option<T> {
    let mut login = std::pin::pin!(login);
    loop {
        let started_at = Instant::now();
        match timeout(time, login.as_mut()).await {
            Ok(output) => return Some(output),
            Err(_) if started_at.elapsed() < time.saturating_add(MAX_TIMER_LAG) => return None,
            Err(_) => {}
        }
    }
}
