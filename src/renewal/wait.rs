//! How a request gets its access: the current one, or by waiting for a renewal.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::{
    Now, reentrancy,
    shared::{Outcome, Shared},
    state::{Decision, FlightId},
};
use crate::{
    AccessFuture, Credentials, Error, ServiceAccess,
    task::{SingleFlight, Waited, runtime},
};

/// How many flights a request waits for. The first may be lost with its runtime, or what it brings may no longer be
/// current when the request is polled.
const MOST_FLIGHTS: usize = 4;

/// What a request is to do.
enum Look {
    /// Go on with this access.
    Use(Arc<ServiceAccess>),
    /// Wait for this flight, up to a time.
    Wait(FlightId, SingleFlight<Outcome>, Duration),
}

impl<C: Credentials> Shared<C> {
    /// Returns the current access or, if there is none that can be used, the future of the one that a flight brings.
    #[inline(always)]
    pub(super) fn access(self: &Arc<Self>) -> AccessFuture {
        let now = self.clock.now();
        let fresh = self.lock_to_read().state.fresh(now);
        match fresh {
            Some(access) => AccessFuture::ready(Ok(access)),
            None => self.access_by_flight(now),
        }
    }

    /// Starts the flight here if there is a runtime, else where the future is polled.
    #[cold]
    fn access_by_flight(self: &Arc<Self>, now: Now) -> AccessFuture {
        let decision = self.lock_to_read().state.decide(now);
        if let Decision::Use(access) = decision {
            return AccessFuture::ready(Ok(access));
        }
        match runtime().and_then(|_| self.look()) {
            Ok(Look::Use(access)) => AccessFuture::ready(Ok(access)),
            look => AccessFuture::new(Arc::clone(self).wait(look.ok())),
        }
    }

    /// Waits for an access. It is looked up when it is handed out, so that whoever is polled late gets the current one.
    async fn wait(self: Arc<Self>, mut first: Option<Look>) -> Result<Arc<ServiceAccess>, Error> {
        for _ in 0..MOST_FLIGHTS {
            let looked = first.take().filter(|_| !reentrancy::is_for(self.address()));
            let (id, work, patience) = match looked.map_or_else(|| self.look(), Ok)? {
                Look::Use(access) => return Ok(access),
                Look::Wait(id, work, patience) => (id, work, patience),
            };
            match work.wait(patience).await {
                Waited::Done(Ok(())) => {}
                // A token that is in its last seconds is better than none.
                Waited::Done(Err(error)) => return self.usable().ok_or(error),
                Waited::NoRuntime => return self.usable().ok_or(Error::NoRuntime),
                Waited::Lost => self.lock().lost(id),
                Waited::TimedOut => {
                    if let Some(access) = self.usable() {
                        return Ok(access);
                    }
                }
            }
        }
        self.usable().ok_or(Error::Abandoned)
    }

    /// Renews now, unless a flight is under way already, and waits for it.
    pub(super) async fn renew(self: Arc<Self>) -> Result<Arc<ServiceAccess>, Error> {
        for _ in 0..MOST_FLIGHTS {
            let (id, work, longest) = self.forced()?;
            match work.wait(longest).await {
                Waited::Done(Ok(())) => {
                    if let Some(access) = self.usable() {
                        return Ok(access);
                    }
                }
                Waited::Done(Err(error)) => return Err(error),
                Waited::NoRuntime => return Err(Error::NoRuntime),
                Waited::Lost | Waited::TimedOut => self.lock().lost(id),
            }
        }
        Err(Error::Abandoned)
    }

    /// Returns the flight to wait for, which is a new one unless one is under way.
    fn forced(self: &Arc<Self>) -> Result<(FlightId, SingleFlight<Outcome>, Duration), Error> {
        let runtime = self.runtime()?;
        let now = self.clock.now();
        let mut locked = self.lock();
        locked.state.forget_failure();
        let longest = locked.state.policy().longest_flight();
        let (id, work, start) = locked.flight(now);
        drop(locked);
        self.start(&runtime, id, now, start);
        Ok((id, work, longest))
    }

    /// Looks at what a request is to do now, and starts the flight that it takes.
    fn look(self: &Arc<Self>) -> Result<Look, Error> {
        let look = self.look_at_state();
        if look.is_err() && self.forgets_failure() { self.look_at_state() } else { look }
    }

    /// Forgets the failure if its credentials were others than those of now. Returns whether it is forgotten, whoever did.
    fn forgets_failure(self: &Arc<Self>) -> bool {
        if reentrancy::is_for(self.address()) {
            return false;
        }
        if self.lock_to_read().state.is_refused() {
            let (id, now) = (self.credentials_id(), self.clock.now());
            self.lock().state.forget_others(&id, now);
        }
        !self.lock_to_read().state.is_refused()
    }

    fn look_at_state(self: &Arc<Self>) -> Result<Look, Error> {
        let runtime = self.runtime();
        let now = self.clock.now();
        let mut locked = self.lock();
        let (access, runtime) = match (locked.state.decide(now), runtime) {
            (Decision::Fail(error), _) => return Err(error),
            (Decision::Use(access), _) | (Decision::UseAndStart(access), Err(_)) => {
                return Ok(Look::Use(access));
            }
            (Decision::UseAndStart(access), Ok(runtime)) => (Some(access), runtime),
            (Decision::Join | Decision::Start, Ok(runtime)) => (None, runtime),
            // Without a new token the one at hand serves to its end.
            (Decision::Join | Decision::Start, Err(error)) => {
                return locked.state.usable(now).map(Look::Use).ok_or(error);
            }
        };
        let patience = locked.state.patience(now);
        let (id, work, start) = locked.flight(now);
        drop(locked);
        self.start(&runtime, id, now, start);
        Ok(access.map_or(Look::Wait(id, work, patience), Look::Use))
    }

    /// Returns the runtime for a flight, and to wait for it in.
    ///
    /// # Errors
    ///
    /// [`Error::NoRuntime`] if there is none, [`Error::Recursion`] if it is the credentials of this plugin that ask.
    fn runtime(self: &Arc<Self>) -> Result<Handle, Error> {
        if reentrancy::is_for(self.address()) {
            return Err(Error::Recursion);
        }
        runtime()
    }
}
