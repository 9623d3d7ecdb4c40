//! How long a token lives.

use std::time::{Duration, SystemTime};

/// By how much `issued_at` may be behind the clock of this machine if nothing but that clock can judge it.
const STALE: Duration = Duration::from_secs(60 * 60);

/// The longest lifetime that is believed of a single reading which nothing confirms.
const UNCONFIRMED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The shortest lifetime that is believed of `issued_at` alone: an `issued_at` in local time may be ahead by nearly as much as
/// tokens live.
const SHORTEST: Duration = Duration::from_secs(10);

/// How much is left by the `Date` where such a lifetime is not believed.
const MUCH_LONGER: Duration = Duration::from_secs(60);

/// `Date` has no fractions: the answer may be so much younger.
const GRANULE: Duration = Duration::from_secs(1);

/// The readings of clocks by which a token that was just obtained can be judged.
pub(super) struct Readings {
    /// The `issued_at` of the document.
    pub(super) issued: Option<SystemTime>,
    /// The `Date` of the answer.
    pub(super) date: Option<SystemTime>,
    /// The clock of this machine when the answer came. It may be wrong.
    pub(super) local: SystemTime,
}

impl Readings {
    /// Returns how long a token lives from when it was asked for, or `None` if no reading can be right.
    ///
    /// Keystone's own readings come first, since they do not depend on the clock of this machine: of `expires -
    /// issued` and `expires - date` the smaller one counts. A reading that is later than `expires` is wrong, and so is an
    /// `issued_at` that is all but as late as that, where the `Date` is not.
    pub(super) fn lifetime(&self, expires: SystemTime) -> Option<Duration> {
        let until_expiry =
            |from: SystemTime| expires.duration_since(from).ok().filter(|left| !left.is_zero());
        let left = self.date.and_then(until_expiry);
        let is_long = left.is_some_and(|left| left >= MUCH_LONGER);
        let whole = self.issued.and_then(until_expiry).filter(|whole| *whole >= SHORTEST || !is_long);
        match (whole, left, until_expiry(self.local)) {
            (Some(whole), Some(left), _) if whole <= left => Some(whole),
            (Some(_), Some(left), _) => Some(left.saturating_sub(GRANULE)),
            (None, Some(left), _) if left <= UNCONFIRMED => Some(left.saturating_sub(GRANULE)),
            (Some(whole), None, Some(local)) if whole < local.saturating_add(STALE) => Some(whole),
            (Some(whole), None, None) if whole <= UNCONFIRMED => Some(whole),
            (None, None, None) => Some(Duration::ZERO),
            // No reading of Keystone's is plausible.
            (_, _, local) => local,
        }
    }
}
