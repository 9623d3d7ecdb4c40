//! The part of a plugin that its clones share.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, PoisonError},
};

#[cfg(shuttle)] // the model checker, see CONTRIBUTING.md
use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(shuttle))]
use std::sync::{Mutex, MutexGuard};

#[cfg(feature = "store")]
use super::state::Sharing;
use super::{
    Clock, Now,
    failure::CredentialsInfo,
    reentrancy,
    state::{DeferredDrop, RenewalId, State},
};
#[cfg(feature = "store")]
use crate::store::IdentityEntries;
use crate::{
    Credentials, Error, Secret, ServiceAccess, Transport,
    task::{SingleFlight, Start, catch_panic},
};

/// The result of a renewal for the requests that wait for it.
///
/// `Ok` does not contain the new access. The requests read it from the state.
pub(super) type Outcome = Result<(), Error>;

/// The part of a plugin that its clones share.
pub(super) struct Shared<C> {
    pub(super) credentials: C,
    pub(super) transport: Transport,
    pub(super) clock: Box<dyn Clock>,
    guarded: Mutex<Guarded>,
}

/// What the lock guards.
pub(super) struct Guarded {
    pub(super) state: State,
    /// The renewal in flight, to wait for.
    renewal: Option<(RenewalId, SingleFlight<Outcome>)>,
}

/// The locked state.
///
/// Values that the state does not need any more are dropped after it is unlocked, because their `Drop` may run code
/// from outside this crate.
pub(super) struct Locked<'a> {
    // Dropped first, because fields are dropped in this order.
    guarded: MutexGuard<'a, Guarded>,
    deferred_drops: Vec<DeferredDrop>,
}

impl<C: Credentials> Shared<C> {
    pub(super) fn new(credentials: C, transport: Transport, clock: Box<dyn Clock>, state: State) -> Self {
        Self { credentials, transport, clock, guarded: Mutex::new(Guarded { state, renewal: None }) }
    }

    /// Locks the state.
    ///
    /// The caller must not run code from outside this crate while it is locked: that code may use the plugin.
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked { guarded: self.lock_to_read(), deferred_drops: Vec::new() }
    }

    /// Locks the state for a caller that only reads it, so that there is nothing to drop.
    #[inline(always)]
    pub(super) fn lock_to_read(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the properties of the credentials at this moment. The state must not be locked.
    pub(super) fn credentials_info(self: &Arc<Self>) -> CredentialsInfo {
        let can_lock_account = catch_panic(|| self.credentials.can_lock_account()).unwrap_or(true);
        CredentialsInfo { cache_id: self.cache_id(), can_lock_account }
    }

    /// Returns the cache id of the credentials at this moment. The state must not be locked.
    pub(super) fn cache_id(self: &Arc<Self>) -> Option<Secret> {
        let cache_id = || reentrancy::run_credentials(self.address(), || self.credentials.cache_id());
        catch_panic(cache_id).ok().flatten().map(Secret::new)
    }

    /// Returns the entries of the credentials in a store, or `None` if they have no id. The state must not be locked.
    #[cfg(feature = "store")]
    pub(super) fn entries(
        self: &Arc<Self>,
        sharing: &Sharing,
        credentials: &CredentialsInfo,
    ) -> Option<IdentityEntries> {
        let entries = || sharing.entries(&self.credentials, credentials.cache_id.as_ref());
        catch_panic(|| reentrancy::run_credentials(self.address(), entries)).ok().flatten()
    }

    /// Returns the current access if its token has not expired.
    pub(super) fn unexpired_access(&self) -> Option<Arc<ServiceAccess>> {
        let now = self.clock.now();
        self.lock_to_read().state.unexpired_access(now)
    }

    /// Returns the address of this plugin, which identifies it.
    pub(super) fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }
}

impl Guarded {
    /// Returns the renewal in flight, or a new one and its [`Start`].
    pub(super) fn join_or_start_renewal(
        &mut self,
        now: Now,
    ) -> (RenewalId, SingleFlight<Outcome>, Option<Start<Outcome>>) {
        if let Some((id, renewal)) = &self.renewal
            && self.state.renewal_in_flight(now) == Some(*id)
        {
            return (*id, renewal.clone(), None);
        }
        let id = self.state.start_renewal(now);
        let (renewal, start) = SingleFlight::new();
        if let Some(old) = self.renewal.replace((id, renewal.clone())) {
            self.state.drop_later(old);
        }
        (id, renewal, Some(start))
    }

    /// Finishes a renewal. The waiting requests get what `finish` returns.
    pub(super) fn finish_renewal(
        &mut self,
        id: RenewalId,
        finish: impl FnOnce(&mut State) -> Outcome,
    ) -> Outcome {
        self.remove_renewal(id);
        finish(&mut self.state)
    }

    /// Removes a renewal that will have no result.
    pub(super) fn remove_lost_renewal(&mut self, id: RenewalId) {
        self.remove_renewal(id);
        self.state.remove_lost_renewal(id);
    }

    fn remove_renewal(&mut self, id: RenewalId) {
        if let Some(renewal) = self.renewal.take_if(|(current, _)| *current == id) {
            self.state.drop_later(renewal);
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
        self.deferred_drops = self.guarded.state.take_deferred_drops();
    }
}
