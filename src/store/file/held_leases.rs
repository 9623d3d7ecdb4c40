use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::lease::Lease;
use crate::store::{EntryName, LeaseOwner};

/// The leases that this process holds, by the names of their entries.
#[derive(Default)]
pub(super) struct HeldLeases {
    leases: Mutex<HashMap<Box<str>, HeldLease>>,
}

struct HeldLease {
    owner: LeaseOwner,
    lease: Arc<Lease>,
}

impl HeldLeases {
    /// Keeps a lease. If there is another one of this name, it is given back.
    pub(super) fn insert(&self, name: &EntryName, owner: &LeaseOwner, lease: Lease) {
        let held = HeldLease { owner: owner.clone(), lease: Arc::new(lease) };
        let previous = self.lock().insert(name.as_str().into(), held);
        drop(previous);
    }

    /// Returns the lease of a name, if this owner holds it.
    pub(super) fn get(&self, name: &EntryName, owner: &LeaseOwner) -> Option<Arc<Lease>> {
        let leases = self.lock();
        leases.get(name.as_str()).filter(|held| held.owner == *owner).map(|held| Arc::clone(&held.lease))
    }

    /// Gives the lease of a name back, if this owner holds it.
    pub(super) fn remove(&self, name: &EntryName, owner: &LeaseOwner) {
        let removed = {
            let mut leases = self.lock();
            let is_held = leases.get(name.as_str()).is_some_and(|held| held.owner == *owner);
            if is_held { leases.remove(name.as_str()) } else { None }
        };
        drop(removed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, HeldLease>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
