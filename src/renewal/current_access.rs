//! The current access, and how close its token is to expiry.

use std::{sync::Arc, time::Duration};

use super::Now;
use crate::ServiceAccess;

/// The current access, and when each phase of its token begins.
#[derive(Debug)]
pub(super) struct CurrentAccess {
    pub(super) access: Arc<ServiceAccess>,
    pub(super) due_at: Now,
    pub(super) expiring_at: Now,
    pub(super) expired_at: Now,
    /// The record of the token in the store, if it is there.
    #[cfg(feature = "store")]
    pub(super) record: Option<StoredRecord>,
}

/// The record of a token in a store.
#[cfg(feature = "store")]
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredRecord {
    pub(super) version: crate::store::Version,
    /// Whether another process or plugin has logged in for it.
    pub(super) is_taken_over: bool,
}

/// A phase in the lifetime of a token. It decides what requests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Requests use the token.
    Fresh,
    /// Requests use the token, and it is renewed in the background.
    Due,
    /// Requests wait for a new token, and use this one if the renewal fails or takes too long.
    Expiring,
    /// Requests wait for a new token.
    Expired,
}

impl CurrentAccess {
    pub(super) fn phase(&self, now: Now) -> Phase {
        if !now.has_reached(self.due_at) {
            Phase::Fresh
        } else if !now.has_reached(self.expiring_at) {
            Phase::Due
        } else if !now.has_reached(self.expired_at) {
            Phase::Expiring
        } else {
            Phase::Expired
        }
    }

    /// Returns the time until the token is expiring, or until it has expired if it is expiring already.
    pub(super) fn until_next_phase(&self, now: Now) -> Option<Duration> {
        let starts = [self.expiring_at, self.expired_at];
        starts.into_iter().map(|start| now.until(start)).find(|left| !left.is_zero())
    }
}
