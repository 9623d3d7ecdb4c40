//! Gives a lease back when its renewal ends, in whichever way.

use tokio::runtime::Handle;

use crate::store::{IdentityEntries, LeaseOwner, StoreUser};

/// A lease of this process. It is given back in the background when the guard is dropped.
pub(crate) struct LeaseGuard {
    owner: LeaseOwner,
    /// What the release needs. `None` if the lease belongs to another process.
    release: Option<Release>,
}

struct Release {
    entries: IdentityEntries,
    /// Makes [`SharedTokens::close`](crate::store::SharedTokens::close) wait for the release.
    user: StoreUser,
    runtime: Handle,
}

impl LeaseGuard {
    /// Creates a guard with a new owner, before the lease is asked for: the answer may be lost.
    ///
    /// Returns `None` if the operating system has no random bytes.
    pub(crate) fn new(entries: IdentityEntries, user: StoreUser, runtime: Handle) -> Option<Self> {
        Some(Self { owner: LeaseOwner::try_random()?, release: Some(Release { entries, user, runtime }) })
    }

    pub(crate) fn owner(&self) -> &LeaseOwner {
        &self.owner
    }

    /// Drops the guard of a lease that another process holds.
    pub(crate) fn forget(mut self) {
        self.release = None;
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        let Some(Release { entries, user, runtime }) = self.release.take() else { return };
        let owner = self.owner.clone();
        runtime.spawn(async move {
            // The lease ends by itself if the store is away.
            let _ = entries.release(&owner).await;
            drop(user);
        });
    }
}
