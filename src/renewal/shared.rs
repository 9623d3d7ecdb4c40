//! What all clones of a plugin share.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, PoisonError},
};

#[cfg(shuttle)] // the model checker, see CONTRIBUTING.md
use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(shuttle))]
use std::sync::{Mutex, MutexGuard};

use super::{
    Clock, Now,
    failure::{Failed, Tried},
    reentrancy,
    state::{Discarded, FlightId, State},
};
use crate::{
    AccessInfo, Credentials, Error, Secret, ServiceAccess, Transport,
    task::{SingleFlight, Start, catch_panic},
};

/// The result of a renewal for those who wait for it: an error, or a reason to look at the state again. The access is
/// only in the state.
pub(super) type Outcome = Result<(), Error>;

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
    flight: Option<(FlightId, SingleFlight<Outcome>)>,
}

/// The state while it is locked. What it discards is dropped after it is unlocked, because that may run code of others.
pub(super) struct Locked<'a> {
    // Fields are dropped in this order.
    guarded: MutexGuard<'a, Guarded>,
    discarded: Vec<Discarded>,
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
    pub(super) fn lock_to_read(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is to be known of the credentials when they are tried.
    pub(super) fn tried(self: &Arc<Self>) -> Tried {
        let can_lock_account = catch_panic(|| self.credentials.can_lock_account()).unwrap_or(true);
        Tried { id: self.credentials_id(), can_lock_account }
    }

    /// Returns the id of the credentials as they are now. Must not be called with the state locked.
    pub(super) fn credentials_id(self: &Arc<Self>) -> Option<Secret> {
        let id = || reentrancy::for_plugin(self.address(), || self.credentials.cache_id());
        catch_panic(id).ok().flatten().map(Secret::new)
    }

    /// Returns the current access, if it may still be sent.
    pub(super) fn usable(&self) -> Option<Arc<ServiceAccess>> {
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
    pub(super) fn flight(&mut self, now: Now) -> (FlightId, SingleFlight<Outcome>, Option<Start<Outcome>>) {
        if let Some((id, work)) = &self.flight
            && self.state.under_way(now) == Some(*id)
        {
            return (*id, work.clone(), None);
        }
        let id = self.state.start(now);
        let (work, start) = SingleFlight::new();
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
    pub(super) fn lost(&mut self, id: FlightId) {
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
