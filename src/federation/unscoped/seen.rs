use std::sync::atomic::{AtomicU64, Ordering};

use super::kept::KeptToken;

/// What one scope has seen of the login that it shares with others.
#[derive(Default)]
pub(super) struct Seen {
    /// The number of the last unscoped token that was used for the scope.
    token: AtomicU64,
    /// The number of the unscoped token of a login for this scope, which was not used for it yet. Zero if there is none.
    #[cfg(feature = "store")]
    prepared: AtomicU64,
    /// The number of the last failure that the scope was told.
    failure: AtomicU64,
}

impl Seen {
    pub(super) fn token(&self) -> u64 {
        self.token.load(Ordering::Relaxed)
    }

    /// Notes that this token was used for the scope, or was rejected.
    pub(super) fn set_token(&self, kept: &KeptToken) {
        self.token.fetch_max(kept.generation, Ordering::Relaxed);
    }

    /// Notes whether a login for this scope has issued the token just now, before the token is used.
    #[cfg(feature = "store")]
    pub(super) fn set_prepared(&self, kept: &KeptToken, is_new: bool) {
        self.prepared.store(if is_new { kept.generation } else { 0 }, Ordering::Relaxed);
    }

    /// Returns whether the token is the one that a login for this scope has issued just now. It is so for one use.
    #[cfg(feature = "store")]
    pub(super) fn take_prepared(&self, kept: &KeptToken) -> bool {
        self.prepared.swap(0, Ordering::Relaxed) == kept.generation
    }

    /// Notes that the scope was told the failure with this number. Returns whether it was not told before.
    pub(super) fn set_failure(&self, number: u64) -> bool {
        self.failure.fetch_max(number, Ordering::Relaxed) < number
    }
}
