//! How a request gets its access: the current one, or by waiting for a renewal.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::{
    Now, reentrancy,
    shared::{Outcome, Shared},
    state::{Decision, RenewalId},
};
use crate::{
    AccessFuture, Credentials, Error, ServiceAccess,
    task::{SingleFlight, Waited, runtime},
};

/// Maximum number of renewals that a request waits for.
///
/// One may not be enough: its runtime may be shut down, or its token may be dropped before the request is polled.
const MAX_RENEWALS: usize = 4;

/// What a request does next.
enum NextStep {
    /// Use this access.
    Use(Arc<ServiceAccess>),
    /// Wait for this renewal, for this long at most.
    Wait(RenewalId, SingleFlight<Outcome>, Duration),
}

impl<C: Credentials> Shared<C> {
    /// Returns the current access if it is ready to use, or a future that waits for a renewal.
    #[inline(always)]
    pub(super) fn access(self: &Arc<Self>) -> AccessFuture {
        let now = self.clock.now();
        let fresh = self.lock_to_read().state.fresh_access(now);
        match fresh {
            Some(access) => AccessFuture::ready(Ok(access)),
            None => self.access_or_wait(now),
        }
    }

    /// Obtains an access if there is no fresh one.
    ///
    /// A renewal is started here if there is a runtime, otherwise when the future is polled.
    #[cold]
    fn access_or_wait(self: &Arc<Self>, now: Now) -> AccessFuture {
        let decision = self.lock_to_read().state.decide(now);
        if let Decision::Use(access) = decision {
            return AccessFuture::ready(Ok(access));
        }
        match runtime().and_then(|_| self.next_step()) {
            Ok(NextStep::Use(access)) => AccessFuture::ready(Ok(access)),
            step => AccessFuture::new(Arc::clone(self).wait(step.ok())),
        }
    }

    /// Waits for an access.
    ///
    /// The access is read from the state when the future is polled, so that a future that is polled late returns the
    /// current one.
    async fn wait(self: Arc<Self>, mut first: Option<NextStep>) -> Result<Arc<ServiceAccess>, Error> {
        for _ in 0..MAX_RENEWALS {
            let first = first.take().filter(|_| !reentrancy::is_in_credentials(self.address()));
            let (id, renewal, max_wait) = match first.map_or_else(|| self.next_step(), Ok)? {
                NextStep::Use(access) => return Ok(access),
                NextStep::Wait(id, renewal, max_wait) => (id, renewal, max_wait),
            };
            match renewal.wait(max_wait).await {
                Waited::Done(Ok(())) => {}
                // A token that expires soon is better than none.
                Waited::Done(Err(error)) => return self.unexpired_access().ok_or(error),
                Waited::NoRuntime => return self.unexpired_access().ok_or(Error::NoRuntime),
                Waited::Lost => self.lock().remove_lost_renewal(id),
                Waited::TimedOut => {
                    if let Some(access) = self.unexpired_access() {
                        return Ok(access);
                    }
                }
            }
        }
        self.unexpired_access().ok_or(Error::Abandoned)
    }

    /// Waits for the renewal in flight, or for a new one.
    pub(super) async fn renew(self: Arc<Self>) -> Result<Arc<ServiceAccess>, Error> {
        for _ in 0..MAX_RENEWALS {
            let (id, renewal, max_wait) = self.renew_now()?;
            match renewal.wait(max_wait).await {
                Waited::Done(Ok(())) => {
                    if let Some(access) = self.unexpired_access() {
                        return Ok(access);
                    }
                }
                Waited::Done(Err(error)) => return Err(error),
                Waited::NoRuntime => return Err(Error::NoRuntime),
                Waited::Lost | Waited::TimedOut => self.lock().remove_lost_renewal(id),
            }
        }
        Err(Error::Abandoned)
    }

    /// Clears the last failure, and returns the renewal in flight or a new one.
    fn renew_now(self: &Arc<Self>) -> Result<(RenewalId, SingleFlight<Outcome>, Duration), Error> {
        let runtime = self.renewal_runtime()?;
        let now = self.clock.now();
        let mut locked = self.lock();
        locked.state.clear_failure();
        let max_wait = locked.state.policy().max_renewal_time();
        let (id, renewal, start) = locked.join_or_start_renewal(now);
        #[cfg(feature = "store")]
        if start.is_some() {
            locked.state.force_login();
        }
        drop(locked);
        self.spawn_renewal(&runtime, id, now, start);
        Ok((id, renewal, max_wait))
    }

    /// Returns what a request does next, and starts a renewal if it needs one.
    ///
    /// After a permanent failure of credentials that have changed since, the new ones are tried.
    fn next_step(self: &Arc<Self>) -> Result<NextStep, Error> {
        let step = self.next_step_by_state();
        if step.is_err() && self.clear_failure_of_changed_credentials() {
            self.next_step_by_state()
        } else {
            step
        }
    }

    fn next_step_by_state(self: &Arc<Self>) -> Result<NextStep, Error> {
        let runtime = self.renewal_runtime();
        let now = self.clock.now();
        let mut locked = self.lock();
        let (access, runtime) = match (locked.state.decide(now), runtime) {
            (Decision::Fail(error), _) => return Err(error),
            (Decision::Use(access), _) | (Decision::UseAndRenew(access), Err(_)) => {
                return Ok(NextStep::Use(access));
            }
            (Decision::UseAndRenew(access), Ok(runtime)) => (Some(access), runtime),
            (Decision::Wait | Decision::Renew, Ok(runtime)) => (None, runtime),
            // Without a runtime for a renewal, the current token is used until it expires.
            (Decision::Wait | Decision::Renew, Err(error)) => {
                return locked.state.unexpired_access(now).map(NextStep::Use).ok_or(error);
            }
        };
        let max_wait = locked.state.max_wait(now);
        let (id, renewal, start) = locked.join_or_start_renewal(now);
        drop(locked);
        self.spawn_renewal(&runtime, id, now, start);
        Ok(access.map_or(NextStep::Wait(id, renewal, max_wait), NextStep::Use))
    }

    /// Clears the last failure if it is permanent and the credentials have changed since.
    ///
    /// Returns whether there is no permanent failure now. Another request may have cleared it.
    fn clear_failure_of_changed_credentials(self: &Arc<Self>) -> bool {
        if reentrancy::is_in_credentials(self.address()) {
            return false;
        }
        if self.lock_to_read().state.has_failed_permanently() {
            let (cache_id, now) = (self.cache_id(), self.clock.now());
            self.lock().state.clear_failure_of_changed_credentials(&cache_id, now);
        }
        !self.lock_to_read().state.has_failed_permanently()
    }

    /// Returns the runtime in which to start a renewal and wait for it.
    ///
    /// # Errors
    ///
    /// [`Error::NoRuntime`] if there is none, [`Error::Recursion`] if the caller is code of the credentials of this
    /// plugin.
    fn renewal_runtime(self: &Arc<Self>) -> Result<Handle, Error> {
        if reentrancy::is_in_credentials(self.address()) {
            return Err(Error::Recursion);
        }
        runtime()
    }
}
