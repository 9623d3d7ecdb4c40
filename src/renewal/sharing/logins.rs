//! The logins of a shared renewal, and what is published of them.

use std::{
    mem,
    pin::pin,
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

use super::{
    driver::{Ended, SharedRenewal, log},
    protocol::Step,
};
use crate::{
    AccessInfo, Credentials, Error,
    renewal::{
        failure::{AttemptError, CredentialsInfo},
        renewal_task::{Login, with_timeout},
        state::State,
    },
    store::{FailureCounts, SharedFailure, Version},
    task::{Either, either, runtime},
};

impl<C: Credentials> SharedRenewal<'_, C> {
    /// Lets the credentials obtain another token, before there is a lease that would end meanwhile.
    pub(super) async fn prepare(&mut self) -> Result<(), Ended> {
        let plugin = self.plugin()?;
        let requested_at = plugin.clock.now();
        let timeout = {
            let locked = plugin.lock();
            let policy = locked.state.policy();
            let left = policy.wait_timeout.saturating_sub(requested_at.since(self.started_at));
            if policy.fail_fast { policy.attempt_timeout } else { left.max(policy.attempt_timeout) }
        };
        let prepared = plugin.prepare();
        drop(plugin);
        let prepared = self.unless_closed(with_timeout(timeout, prepared)).await?;
        let plugin = self.plugin()?;
        let error = match prepared {
            // The store is closed.
            None => return Ok(()),
            Some(Some(Ok(()))) => {
                self.protocol.prepared(true);
                return Ok(());
            }
            Some(Some(Err(error))) => error,
            Some(None) => Error::timeout(plugin.credentials.auth_url(), timeout),
        };
        let error = AttemptError::from(error);
        plugin.log_failure(self.task.id, &error, plugin.clock.now());
        self.protocol.failed_apart(self.elapsed()?, error.is_transient);
        let credentials = self.credentials.clone();
        self.login = Some(Login { requested_at, result: Err(error), credentials });
        Ok(())
    }

    /// Logs in, and extends the lease meanwhile. The login is never dropped because of the store.
    pub(super) async fn log_in(&mut self, timeout: Duration) -> Result<(), Ended> {
        log(&self.entries, "logs in for all that share the token");
        let task = self.task;
        let mut login = pin!(task.log_in(timeout));
        let login = loop {
            let extend_at = match self.next_step()? {
                Step::LogIn { extend_at, .. } => extend_at,
                _ => None,
            };
            let beat = match extend_at.filter(|_| self.lease.is_some() && self.user.is_some()) {
                Some(extend_at) => {
                    let beat = pin!(self.beat(extend_at));
                    either(login.as_mut(), beat).await
                }
                None => Either::First(login.as_mut().await),
            };
            match beat {
                Either::First(login) => break login.ok_or(Ended)?,
                Either::Second(is_kept) => is_kept?,
            }
        };
        let timed_out =
            login.result.as_ref().is_err_and(|error| matches!(error.error, Error::Timeout { .. }));
        let is_cut_short = timed_out && timeout < self.protocol.settings().attempt_timeout;
        let has_changed = login.credentials.cache_id != self.credentials.cache_id;
        let now = self.elapsed()?;
        match &login.result {
            Ok(access_info) => {
                let issued_at = self.issued_at(access_info, &login)?;
                self.protocol.logged_in(now, issued_at);
            }
            Err(error) if has_changed && self.sharing.has_failures_by_cache_id() => {
                self.protocol.failed_apart(now, error.is_transient)
            }
            // Another login of the same person may go on.
            #[cfg(feature = "federation")]
            Err(error) if matches!(error.error, Error::LoginEnded) => self.protocol.failed_apart(now, false),
            Err(error) => self.protocol.login_failed(error.is_transient, !is_cut_short),
        }
        self.shared_delay = None;
        self.login = Some(login);
        Ok(())
    }

    /// Waits until the lease has to be extended, and extends it.
    async fn beat(&mut self, extend_at: Duration) -> Result<(), Ended> {
        let time = extend_at.saturating_sub(self.elapsed()?);
        if self.unless_closed(sleep(time)).await?.is_none() {
            return Ok(());
        }
        let asked_at = self.elapsed()?;
        let Some(lease) = &self.lease else { return Ok(()) };
        let (entries, owner) = (self.entries.clone(), lease.owner().clone());
        let term = self.protocol.settings().term;
        if let Some(is_extended) = self.ask(entries.extend(&owner, term)).await? {
            self.protocol.extended(asked_at, is_extended);
        }
        Ok(())
    }

    pub(super) async fn log_in_without_store(&mut self) -> Result<(), Ended> {
        self.lease = None;
        self.user = None;
        let plugin = self.plugin()?;
        let now = plugin.clock.now();
        let is_forbidden = !self.basis.ignores_failure && plugin.lock().state.login_forbidden(now).is_some();
        drop(plugin);
        if is_forbidden {
            self.login = None;
            self.protocol.login_failed(false, true);
            return Ok(());
        }
        log(&self.entries, "logs in without the store");
        let last = self.login.take();
        let login = self.task.log_in_repeatedly(self.started_at, last).await.ok_or(Ended)?;
        self.user = self.entries.add_user();
        match &login.result {
            Ok(access_info) => {
                let issued_at = self.issued_at(access_info, &login)?;
                self.protocol.logged_in(self.elapsed()?, issued_at);
            }
            Err(error) => self.protocol.login_failed(error.is_transient, true),
        }
        self.shared_delay = None;
        self.login = Some(login);
        Ok(())
    }

    pub(super) async fn publish(&mut self, seen: Option<Version>) -> Result<(), Ended> {
        let Some(login) = &self.login else { return Err(Ended) };
        let (Ok(access_info), Some(time_left)) = (login.result.clone(), self.time_left(login)?) else {
            self.protocol.published(false);
            return Ok(());
        };
        let entries = self.entries.clone();
        let publish = entries.publish_token(seen.as_ref(), &access_info, time_left);
        if let Some(version) = self.ask(publish).await? {
            self.published = version;
            self.protocol.published(version.is_some());
            if version.is_some() {
                log(&entries, "published a token in the store");
                self.clear_failures();
            }
        }
        Ok(())
    }

    /// Removes the failures of the fleet, in the background.
    fn clear_failures(&self) {
        if let (Some(user), Ok(runtime)) = (self.user.clone(), runtime()) {
            let entries = self.entries.clone();
            runtime.spawn(async move {
                let _ = entries.clear_failures().await;
                drop(user);
            });
        }
    }

    pub(super) async fn publish_failure(&mut self) -> Result<(), Ended> {
        let Some(Login { result: Err(error), credentials, .. }) = &self.login else { return Err(Ended) };
        let (error, credentials, entries) = (error.clone(), credentials.clone(), self.entries.clone());
        // Only the first failure of this renewal is counted anew.
        let counts = if mem::take(&mut self.basis.ignores_failure) {
            Some(FailureCounts::default())
        } else {
            self.ask(entries.failure_counts()).await?
        };
        let Some(mut counts) = counts else { return Ok(()) };
        let delay = self.plugin()?.lock().state.shared_failure_delay(&error, &credentials, &mut counts);
        let failure = SharedFailure {
            message: error.error.to_string().into(),
            is_transient: error.is_transient,
            delay,
        };
        let publish = async {
            entries.publish_failure(&failure).await?;
            entries.publish_failure_counts(counts).await
        };
        if self.ask(publish).await?.is_some() {
            self.shared_delay = Some(delay);
            self.protocol.published_failure(self.elapsed()?, delay, self.rng.f64());
        }
        Ok(())
    }

    /// Returns when the token of a login was issued, or `None` if it is not stored.
    ///
    /// It is not stored if the entries are not those of the credentials any more: these may have changed before the login,
    /// and the user with it.
    fn issued_at(&self, access_info: &AccessInfo, login: &Login) -> Result<Option<SystemTime>, Ended> {
        let plugin = self.plugin()?;
        let are_entries_of = |credentials: &CredentialsInfo| {
            let entries = plugin.entries(&self.sharing, credentials);
            entries.is_some_and(|entries| entries.short_name() == self.entries.short_name())
        };
        let is_stored = are_entries_of(&login.credentials)
            && are_entries_of(&plugin.credentials_info())
            && self.time_left(login)?.is_some();
        Ok(access_info.issued().ok().flatten().filter(|_| is_stored))
    }

    /// Returns how long the token of a login lives on, or `None` if it is not stored.
    fn time_left(&self, login: &Login) -> Result<Option<Duration>, Ended> {
        let now = self.plugin()?.clock.now();
        let access_info = login.result.as_ref().ok();
        Ok(access_info.and_then(|access_info| State::time_left(access_info, login.requested_at, now)))
    }
}
