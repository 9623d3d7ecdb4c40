//! The logins of a renewal, and its end.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{
    Now,
    failure::{AttemptError, CredentialsInfo},
    reentrancy, report,
    shared::{Outcome, Shared},
    state::{RenewalId, State},
};
use crate::{
    AccessInfo, Credentials, Error,
    task::{CatchPanic, catch_panic},
};

/// How late a timer may fire before its runtime counts as not driven.
const MAX_TIMER_LAG: Duration = Duration::from_secs(1);

/// A renewal, which makes one or more attempts to log in.
///
/// It does not keep the plugin alive, because a plugin that was dropped needs no token.
pub(super) struct RenewalTask<C> {
    pub(super) plugin: Weak<Shared<C>>,
    pub(super) id: RenewalId,
    pub(super) started_at: Now,
}

/// A login that has ended.
pub(super) struct Login {
    pub(super) requested_at: Now,
    pub(super) result: Result<AccessInfo, AttemptError>,
    pub(super) credentials: CredentialsInfo,
}

impl Login {
    /// Returns whether Keystone has asked for a delay before the next login.
    fn has_retry_after(&self) -> bool {
        self.result.as_ref().is_err_and(|error| error.error.retry_after().is_some())
    }
}

impl<C: Credentials> Shared<C> {
    /// Logs in once. A panic of the credentials becomes an error.
    fn log_in(self: &Arc<Self>) -> impl Future<Output = Result<AccessInfo, Error>> + use<C> {
        let get_auth_ref = || CatchPanic::new(|| self.credentials.get_auth_ref(self.transport.clone()));
        let address = self.address();
        run_credentials(address, reentrancy::run_credentials(address, get_auth_ref))
    }

    /// Lets the credentials obtain what they need to log in. A panic becomes an error.
    #[cfg(feature = "store")]
    pub(super) fn prepare(self: &Arc<Self>) -> impl Future<Output = Result<(), Error>> + use<C> {
        let prepare = || CatchPanic::new(|| self.credentials.prepare(self.transport.clone()));
        let address = self.address();
        run_credentials(address, reentrancy::run_credentials(address, prepare))
    }

    /// Logs a failed attempt, unless the outage has been logged already.
    pub(super) fn log_failure(&self, id: RenewalId, error: &AttemptError, now: Now) {
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

    /// Finishes a renewal, and logs what an operator has to know about it. The waiting requests get what `finish`
    /// returns.
    pub(super) fn finish_renewal(
        &self,
        id: RenewalId,
        now: Now,
        finish: impl FnOnce(&mut State) -> Outcome,
    ) -> Outcome {
        let (outcome, failure, is_over) = {
            let mut locked = self.lock();
            let outcome = locked.finish_renewal(id, finish);
            (outcome, locked.state.take_failure_to_log(), locked.state.should_log_recovery())
        };
        // A log subscriber that panics must not change the outcome.
        let _ = catch_panic(|| {
            let (log_throttle, auth_url) = (self.transport.log_throttle(), self.credentials.auth_url());
            if let Some(error) = &failure {
                report::log_failure(log_throttle, auth_url, error, now);
            }
            if is_over {
                report::log_recovery(log_throttle, auth_url, now);
            }
        });
        outcome
    }

    /// Logs if the clocks of Keystone and of this machine differ.
    fn log_clock_skew(&self, auth_ref: &AccessInfo, requested_at: Now, now: Now) {
        let _ = catch_panic(|| {
            let (log_throttle, auth_url) = (self.transport.log_throttle(), self.credentials.auth_url());
            report::log_clock_skew(log_throttle, auth_url, auth_ref, requested_at, now);
        });
    }
}

impl<C: Credentials> RenewalTask<C> {
    /// Logs in, and retries while there is no usable token and time is left.
    ///
    /// `last` is a login of this renewal that has failed already. Returns `None` if the result is not needed any more.
    pub(super) async fn log_in_repeatedly(&self, started_at: Now, mut last: Option<Login>) -> Option<Login> {
        let plugin = self.plugin_if_current()?;
        let (attempt_timeout, wait_timeout, mut delay) = {
            let locked = plugin.lock();
            let policy = locked.state.policy();
            (policy.attempt_timeout, policy.wait_timeout, locked.state.initial_delay(started_at))
        };
        drop(plugin);
        // The attempt after an initial delay, or after a delay that Keystone has asked for, gets its whole timeout,
        // even if `wait_timeout` is over.
        let mut gets_whole_timeout = !delay.is_zero();
        let mut attempts = 0;
        loop {
            if let Some(login) = last.take() {
                attempts += 1;
                match self.retry_delay(attempts, &login, wait_timeout, started_at)? {
                    Some(next) => delay = next,
                    None => return Some(login),
                }
                gets_whole_timeout = login.has_retry_after();
            }
            if !delay.is_zero() {
                sleep(delay).await;
            }
            let now = self.plugin_if_current()?.clock.now();
            let time_left = wait_timeout.saturating_sub(now.since(started_at));
            let login_timeout =
                if gets_whole_timeout { attempt_timeout } else { attempt_timeout.min(time_left) };
            last = Some(self.log_in(login_timeout).await?);
        }
    }

    /// Returns the delay before the next login, or `None` within if there is none. Returns `None` if the plugin is gone.
    fn retry_delay(
        &self,
        attempts: u32,
        login: &Login,
        wait_timeout: Duration,
        started_at: Now,
    ) -> Option<Option<Duration>> {
        let plugin = self.plugin.upgrade()?;
        let Err(error) = &login.result else { return Some(None) };
        let now = plugin.clock.now();
        let time_left = wait_timeout.saturating_sub(now.since(started_at));
        let mut locked = plugin.lock();
        Some(locked.state.retry_delay(self.id, attempts, error, now, time_left))
    }

    /// Logs in once, and logs a failure. Returns `None` if the plugin is gone.
    pub(super) async fn log_in(&self, login_timeout: Duration) -> Option<Login> {
        let plugin = self.plugin_if_current()?;
        let requested_at = plugin.clock.now();
        let (credentials, login) = (plugin.credentials_info(), plugin.log_in());
        drop(plugin);
        let result = with_timeout(login_timeout, login).await;
        let plugin = self.plugin.upgrade()?;
        let result = result
            .unwrap_or_else(|| Err(Error::timeout(plugin.credentials.auth_url(), login_timeout)))
            .map_err(AttemptError::from);
        if let Err(error) = &result {
            plugin.log_failure(self.id, error, plugin.clock.now());
        }
        Some(Login { requested_at, result, credentials })
    }

    /// Finishes the renewal with the result of a login. `and_then` is called if the token becomes the current one.
    pub(super) fn finish(&self, login: Login, and_then: impl FnOnce(&mut State)) -> Outcome {
        let Some(plugin) = self.plugin.upgrade() else { return Ok(()) };
        let Login { requested_at, result, credentials, .. } = login;
        let now = plugin.clock.now();
        if let Ok(auth_ref) = &result {
            // Collects the origins now, rather than later while the state is locked.
            auth_ref.service_catalog().origins();
            plugin.log_clock_skew(auth_ref, requested_at, now);
        }
        // If the credentials request a token from their own plugin, the waiting requests get this error, even if
        // the credentials have reset the plugin meanwhile. Otherwise the requests would start further renewals.
        let is_recursion = result.as_ref().is_err_and(|error| matches!(error.error, Error::Recursion));
        let outcome = plugin.finish_renewal(self.id, now, |state| {
            let is_current = state.is_current_renewal(self.id);
            let outcome = state.finish_renewal(self.id, requested_at, result, credentials, now);
            if is_current && outcome.is_ok() {
                and_then(state);
            }
            outcome
        });
        if is_recursion { Err(Error::Recursion) } else { outcome }
    }

    /// Returns the plugin if it still exists and this is its current renewal.
    pub(super) fn plugin_if_current(&self) -> Option<Arc<Shared<C>>> {
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

/// Runs a future of the credentials of a plugin. A panic becomes an error.
fn run_credentials<T>(
    plugin: usize,
    mut future: CatchPanic<'static, Result<T, Error>>,
) -> impl Future<Output = Result<T, Error>> {
    poll_fn(move |cx| {
        let poll = reentrancy::run_credentials(plugin, || Pin::new(&mut future).poll(cx));
        poll.map(|result| result.unwrap_or(Err(Error::PluginPanicked)))
    })
}

/// Returns the output of a login, or `None` if it takes longer than `time`.
///
/// A timer that fires late means that nobody has driven the runtime. The response may have arrived meanwhile, so the
/// login gets the whole time again.
pub(super) async fn with_timeout<T>(time: Duration, login: impl Future<Output = T>) -> Option<T> {
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
