//! The caches of tokens: those that Keystone has confirmed, and those that it does not know.

use std::{sync::Arc, time::Duration};

use quick_cache::Weighter;

use super::{
    ValidatedToken, ValidatorSettings,
    key::TokenKey,
    key_cache::{KeyCache, UnitKeyCache, new_cache, unit_weight_cache},
    spellings::Spellings,
};
use crate::renewal::Now;

/// Maximum capacity in bytes, so that sums of weights do not overflow.
const MAX_CAPACITY: usize = usize::MAX >> 16;

/// Minimum memory of a cached token, in bytes.
const MIN_MEMORY: usize = size_of::<ValidatedToken>();

/// Maximum number of unknown tokens.
///
/// They have a cache of their own, so that no number of unknown tokens evicts a valid one.
const MAX_UNKNOWN: usize = 4_096;

/// Maximum number of removals that are tracked.
const MAX_REMOVALS: usize = 4_096;

/// Minimum time between two removals of a token because a service has rejected it.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(10);

/// All that is known about tokens.
pub(super) struct TokenCache {
    valid: KeyCache<Arc<ValidatedToken>, MemoryWeighter>,
    unknown: UnitKeyCache<UnknownToken>,
    /// How long Keystone's answer that it does not know a token counts.
    unknown_time: Duration,
    /// When tokens were removed because a service had rejected them.
    removals: UnitKeyCache<Now>,
    spellings: Spellings,
}

/// A token that Keystone does not know.
#[derive(Clone, Copy)]
struct UnknownToken {
    asked_at: Now,
    /// Whether Keystone would have confirmed the token if it had only expired.
    allow_expired: bool,
}

impl TokenCache {
    pub(super) fn new(settings: &ValidatorSettings) -> Self {
        let capacity = settings.max_cached_bytes.min(MAX_CAPACITY);
        let tokens = settings.max_cached_tokens.clamp(1, (capacity / MIN_MEMORY).max(1));
        // The cache takes no entry that fills it.
        let least = (capacity / tokens).min(capacity / 10 * 9).max(1);
        let valid = new_cache(tokens, capacity as u64, MemoryWeighter { least: least as u64 });
        Self {
            valid,
            unknown: unit_weight_cache(MAX_UNKNOWN),
            unknown_time: settings.unknown_token_cache_time.min(settings.token_cache_time),
            removals: unit_weight_cache(MAX_REMOVALS),
            spellings: Spellings::new(tokens),
        }
    }

    /// Returns a token that Keystone has confirmed. The caller checks whether it is still valid.
    #[inline]
    pub(super) fn get(&self, key: &TokenKey) -> Option<Arc<ValidatedToken>> {
        self.valid.get(key)
    }

    /// Returns whether Keystone has said a short time ago that it does not know a token.
    pub(super) fn is_unknown(&self, key: &TokenKey, allow_expired: bool, now: Now) -> bool {
        self.unknown.get(key).is_some_and(|unknown| {
            (unknown.allow_expired || !allow_expired)
                && !now.has_reached(unknown.asked_at.after(self.unknown_time))
        })
    }

    /// Inserts a token, and evicts another spelling of it if there are too many.
    ///
    /// Must not be called by two threads at the same time.
    pub(super) fn insert(&self, key: TokenKey, audit_id: Option<TokenKey>, token: Arc<ValidatedToken>) {
        if let Some(replaced) = audit_id.and_then(|audit_id| self.spellings.add(audit_id, key)) {
            self.valid.remove(&replaced);
        }
        self.valid.insert(key, token);
    }

    /// Removes a token, and remembers that Keystone did not know it when it was asked at this moment.
    pub(super) fn insert_unknown(&self, key: TokenKey, allow_expired: bool, asked_at: Now) {
        self.valid.remove(&key);
        self.unknown.insert(key, UnknownToken { asked_at, allow_expired });
    }

    /// Returns how long Keystone's answer that it does not know a token counts.
    #[cfg(feature = "store")]
    pub(super) fn unknown_time(&self) -> Duration {
        self.unknown_time
    }

    /// Returns whether an answer to a question at this moment is later than all that is remembered about a token:
    /// Keystone's answers, and the rejection by a service.
    #[cfg(feature = "store")]
    pub(super) fn is_news(&self, key: &TokenKey, asked_at: Now) -> bool {
        let valid = self.valid.get(key).map(|token| token.asked_at());
        let unknown = self.unknown.get(key).map(|unknown| unknown.asked_at);
        let is_later = |than: Now| asked_at.wall > than.wall && asked_at.monotonic > than.monotonic;
        [valid, unknown, self.removals.get(key)].into_iter().flatten().all(is_later)
    }

    /// Removes a token that a service has rejected, at most once in [`REMOVAL_INTERVAL`]. Returns whether it did.
    ///
    /// Must not be called by two threads at the same time.
    pub(super) fn remove_rejected(&self, key: &TokenKey, now: Now) -> bool {
        if self.removals.get(key).is_some_and(|removed_at| now.since(removed_at) < REMOVAL_INTERVAL) {
            return false;
        }
        self.removals.insert(*key, now);
        self.valid.remove(key);
        true
    }

    /// Returns the number of valid tokens, and an estimate of their memory in bytes.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.valid.len(), self.valid.iter().map(|(_, token)| token.memory() as u64).sum())
    }
}

/// Weighs tokens by their memory, and so that the sum also limits their number.
#[derive(Clone)]
struct MemoryWeighter {
    /// The share of the capacity that each token may take if the cache holds as many as it may.
    least: u64,
}

impl Weighter<TokenKey, Arc<ValidatedToken>> for MemoryWeighter {
    fn weight(&self, _key: &TokenKey, token: &Arc<ValidatedToken>) -> u64 {
        (token.memory() as u64).max(self.least)
    }
}
