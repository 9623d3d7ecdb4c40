//! What clones of a validator, and its validations in flight, share.

use std::{sync::Arc, time::Duration};

#[cfg(feature = "store")]
use super::second_level::SecondLevel;
use super::{
    cache::TokenCache,
    in_flight::InFlight,
    key::{KeyMaker, TokenKey},
    keystone::Keystone,
    report::OutageLog,
    validated_token::RemoveRejected,
};
use crate::{
    renewal::{Clock, Now},
    task::catch_panic,
    validate::ValidationMetrics,
};

/// What clones of a validator share.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) keys: KeyMaker,
    pub(super) cache: Arc<TokenCache>,
    pub(super) in_flight: InFlight,
    pub(super) keystone: Arc<Keystone>,
    #[cfg(feature = "store")]
    pub(super) second_level: Option<SecondLevel>,
    pub(super) metrics: ValidationMetrics,
    /// How long a valid token is cached. Zero turns the cache off.
    pub(super) valid_time: Duration,
    pub(super) outage_grace: Duration,
    pub(super) timeout: Duration,
    pub(super) outage_log: OutageLog,
}

impl Shared {
    /// Returns the time, or `None` if the clock panics.
    #[inline]
    pub(super) fn now(&self) -> Option<Now> {
        catch_panic(|| self.clock.now()).ok()
    }
}

impl RemoveRejected for Shared {
    /// Validations whose question has been sent already do not count.
    fn remove(&self, key: &TokenKey) {
        let Some(now) = self.now() else { return };
        let mut flights = self.in_flight.lock();
        if self.cache.remove_rejected(key, now) {
            flights.remove_asked(*key);
        }
    }
}
