//! What all clones of a plugin share, and those who wait for its token.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, PoisonError},
    time::Duration,
};

#[cfg(shuttle)] // the model checker, see CONTRIBUTING.md
use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(shuttle))]
use std::sync::{Mutex, MutexGuard};

use tokio::runtime::Handle;

use super::{
    Clock, Now, asking,
    failure::{Failed, Tried},
    flight::{Flight, Outcome},
    state::{Decision, Discarded, FlightId, State},
};
use crate::{
    Access, AccessFuture, AccessInfo, Credentials, Error, Secret, Transport,
    work::{Start, Waited, Work, catch, runtime},
};

/// How many flights a request waits for. The first may be lost with its runtime, or what it brings may no longer be
/// current when the request is polled.
const MOST_FLIGHTS: usize = 4;

/// What all clones of a plugin share.
pub(super) struct Shared<C> {
    pub(super) credentials: C,
    pub(super) transport: Transport,
    pub(super) clock: Box<dyn Clock>,
    guarded: Mutex<Guarded>,
}

pub(super) struct Guarded {
    pub(super) state: State,
    /// The flight under way, and where its outcome will be.
    flight: Option<(FlightId, Work<Outcome>)>,
}

/// The state while it is locked. What it discards is dropped after it is unlocked, because that may run code of others.
pub(super) struct Locked<'a> {
    // Fields are dropped in this order.
    guarded: MutexGuard<'a, Guarded>,
    discarded: Vec<Discarded>,
}

/// What a request is to do.
enum Look {
    /// Go on with this access.
    Use(Arc<Access>),
    /// Wait for this flight, up to a time.
    Wait(FlightId, Work<Outcome>, Duration),
}

impl<C: Credentials> Shared<C> {
    pub(super) fn new(credentials: C, transport: Transport, clock: Box<dyn Clock>, state: State) -> Self {
        Self { credentials, transport, clock, guarded: Mutex::new(Guarded { state, flight: None }) }
    }

    /// Locks the state. No code of others must run before it is unlocked: it may look at the plugin.
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { guarded: self.lock_to_read(), discarded: Vec::new() }
    }

    /// Locks the state for what discards nothing.
    #[inline(always)]
    fn lock_to_read(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
    async fn wait(self: Arc<Self>, mut first: Option<Look>) -> Result<Arc<Access>, Error> {
        for _ in 0..MOST_FLIGHTS {
            let looked = first.take().filter(|_| !asking::is_for(self.address()));
            let (id, work, patience) = match looked.map_or_else(|| self.look(), Ok)? {
                Look::Use(access) => return Ok(access),
                Look::Wait(id, work, patience) => (id, work, patience),
            };
            match work.done(patience).await {
                Waited::Done(Ok(())) => {}
                // A token that is in its last seconds is better than none.
                Waited::Done(Err(error)) => return self.usable().ok_or(error),
                Waited::NoRuntime => return self.usable().ok_or(Error::NoRuntime),
                Waited::Lost => self.lock().lost(id),
                Waited::TooLong => {
                    if let Some(access) = self.usable() {
                        return Ok(access);
                    }
                }
            }
        }
        self.usable().ok_or(Error::Abandoned)
    }

    /// Renews now, unless a flight is under way already, and waits for it.
    pub(super) async fn force(self: Arc<Self>) -> Result<Arc<Access>, Error> {
        for _ in 0..MOST_FLIGHTS {
            let (id, work, longest) = self.forced()?;
            match work.done(longest).await {
                Waited::Done(Ok(())) => {
                    if let Some(access) = self.usable() {
                        return Ok(access);
                    }
                }
                Waited::Done(Err(error)) => return Err(error),
                Waited::NoRuntime => return Err(Error::NoRuntime),
                Waited::Lost | Waited::TooLong => self.lock().lost(id),
            }
        }
        Err(Error::Abandoned)
    }

    /// Returns the flight to wait for, which is a new one unless one is under way.
    fn forced(self: &Arc<Self>) -> Result<(FlightId, Work<Outcome>, Duration), Error> {
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
        if asking::is_for(self.address()) {
            return false;
        }
        if self.lock_to_read().state.is_refused() {
            let (id, now) = (self.credentials_id(), self.clock.now());
            self.lock().state.forget_others(&id, now);
        }
        !self.lock_to_read().state.is_refused()
    }

    /// Returns what is to be known of the credentials when they are tried.
    pub(super) fn tried(self: &Arc<Self>) -> Tried {
        let can_lock_account = catch(|| self.credentials.can_lock_account()).unwrap_or(true);
        Tried { id: self.credentials_id(), can_lock_account }
    }

    /// Returns the id of the credentials as they are now. Must not be called with the state locked.
    fn credentials_id(self: &Arc<Self>) -> Option<Secret> {
        let id = || asking::for_plugin(self.address(), || self.credentials.cache_id());
        catch(id).ok().flatten().map(Secret::new)
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
        if asking::is_for(self.address()) {
            return Err(Error::Recursion);
        }
        runtime()
    }

    fn start(self: &Arc<Self>, runtime: &Handle, id: FlightId, now: Now, start: Option<Start<Outcome>>) {
        if let Some(start) = start {
            let flight = Flight::new(Arc::downgrade(self), id, now);
            let crashed = flight.clone();
            start.run(runtime, flight.fly(), move || crashed.crashed());
        }
    }

    /// Returns the current access, if it may still be sent.
    fn usable(&self) -> Option<Arc<Access>> {
        let now = self.clock.now();
        self.lock_to_read().state.usable(now)
    }

    /// Returns what tells this plugin from others.
    pub(super) fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }
}

impl Guarded {
    /// Returns the flight under way, or a new one and its start.
    fn flight(&mut self, now: Now) -> (FlightId, Work<Outcome>, Option<Start<Outcome>>) {
        if let Some((id, work)) = &self.flight
            && self.state.under_way(now) == Some(*id)
        {
            return (*id, work.clone(), None);
        }
        let id = self.state.start(now);
        let (work, start) = Work::new();
        if let Some(before) = self.flight.replace((id, work.clone())) {
            self.state.discard(before);
        }
        (id, work, Some(start))
    }

    /// Enters what a flight brought.
    pub(super) fn landed(
        &mut self,
        id: FlightId,
        asked_for: Now,
        brought: Result<AccessInfo, Failed>,
        tried: Tried,
        now: Now,
    ) -> Outcome {
        self.forget(id);
        self.state.landed(id, asked_for, brought, tried, now)
    }

    /// A flight is gone without an outcome.
    fn lost(&mut self, id: FlightId) {
        self.forget(id);
        self.state.lost(id);
    }

    /// Keeps nothing of a flight that is over.
    fn forget(&mut self, id: FlightId) {
        if let Some(flight) = self.flight.take_if(|(flight, _)| *flight == id) {
            self.state.discard(flight);
        }
    }
}

impl Deref for Locked<'_> {
    type Target = Guarded;

    fn deref(&self) -> &Guarded {
        &self.guarded
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Guarded {
        &mut self.guarded
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.discarded = self.guarded.state.take_discarded();
    }
}
