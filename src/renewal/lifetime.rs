//! Computes the lifetime of a token from the times in the response and the clock of this machine.

use std::time::{Duration, SystemTime};

/// Maximum difference between `issued_at` and the clock of this machine if there is no `Date`.
///
/// If `issued_at` is further behind, it is ignored.
const MAX_ISSUED_AT_LAG: Duration = Duration::from_secs(60 * 60);

/// Maximum lifetime if it is computed from only one of Keystone's times, and no other time confirms it.
///
/// If it is longer, that time is ignored.
const MAX_UNCONFIRMED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Minimum of `expires_at - issued_at`.
///
/// If it is less, but `expires_at - Date` is at least [`MIN_SINCE_DATE`], then `issued_at` is wrong and is ignored. For
/// example, the clock of Keystone is at UTC+1, tokens are valid for little more than an hour, and Keystone wrongly
/// writes `issued_at` in local time. Then `issued_at` is only a few seconds before `expires_at`.
const MIN_SINCE_ISSUED_AT: Duration = Duration::from_secs(10);

/// Minimum of `expires_at - Date` for which [`MIN_SINCE_ISSUED_AT`] applies.
const MIN_SINCE_DATE: Duration = Duration::from_secs(60);

/// The resolution of `Date`: the response may have been sent up to a second later.
const DATE_RESOLUTION: Duration = Duration::from_secs(1);

/// The times from which the lifetime of a new token is computed.
pub(super) struct ClockReadings {
    /// The `issued_at` of the token document.
    pub(super) issued_at: Option<SystemTime>,
    /// The `Date` header of the response.
    pub(super) date: Option<SystemTime>,
    /// The clock of this machine when the response was received. It may be wrong.
    pub(super) local: SystemTime,
}

impl ClockReadings {
    /// Returns the lifetime of a token, counted from its request.
    ///
    /// It is zero if all times say that the token has expired, and `None` if only implausible ones say that it has not.
    ///
    /// Keystone's own times come first, because they do not depend on the clock of this machine: the lifetime is the
    /// smaller one of `expires_at - issued_at` and `expires_at - date`. A time that is not before `expires_at` is
    /// ignored. An `issued_at` just before `expires_at` is ignored too, if the `Date` is well before it.
    pub(super) fn lifetime(&self, expires_at: SystemTime) -> Option<Duration> {
        let until_expiry =
            |from: SystemTime| expires_at.duration_since(from).ok().filter(|left| !left.is_zero());
        let by_date = self.date.and_then(until_expiry);
        let is_long = by_date.is_some_and(|left| left >= MIN_SINCE_DATE);
        let by_issued_at =
            self.issued_at.and_then(until_expiry).filter(|whole| *whole >= MIN_SINCE_ISSUED_AT || !is_long);
        match (by_issued_at, by_date, until_expiry(self.local)) {
            (Some(whole), Some(left), _) if whole <= left => Some(whole),
            (Some(_), Some(left), _) => Some(left.saturating_sub(DATE_RESOLUTION)),
            (None, Some(left), _) if left <= MAX_UNCONFIRMED => Some(left.saturating_sub(DATE_RESOLUTION)),
            (Some(whole), None, Some(local)) if whole < local.saturating_add(MAX_ISSUED_AT_LAG) => {
                Some(whole)
            }
            (Some(whole), None, None) if whole <= MAX_UNCONFIRMED => Some(whole),
            (None, None, None) => Some(Duration::ZERO),
            // None of Keystone's times is plausible.
            (_, _, local) => local,
        }
    }
}
