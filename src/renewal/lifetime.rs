//! Computes the lifetime of a token from the times in the response and the clock of this machine.

use std::time::{Duration, SystemTime};

#[cfg(feature = "federation")]
use crate::AccessInfo;

/// Maximum difference between `issued_at` and the clock of this machine if there is no `Date`.
///
/// If `issued_at` is further behind, it is ignored.
const MAX_ISSUED_AT_LAG: Duration = Duration::from_secs(60 * 60);

/// Maximum of `expires_at - Date` if there is no usable `issued_at`.
///
/// It is also the maximum of `expires_at - issued_at` if there is no usable `Date` and the token has expired by the
/// clock of this machine. If the difference is larger, the `Date` or the `issued_at` is ignored, because no other time
/// confirms it.
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
    /// Returns zero if the token has expired by all times. Returns `None` if the token has expired by the clock of this
    /// machine, and Keystone's times say that it has not, but are implausible.
    ///
    /// Keystone's own times come first, because they do not depend on the clock of this machine: the lifetime is the
    /// smaller one of `expires_at - issued_at` and `expires_at - date`. A time that is not before `expires_at` is
    /// ignored. An `issued_at` just before `expires_at` is ignored too, if the `Date` is well before `expires_at`.
    pub(super) fn lifetime(&self, expires_at: SystemTime) -> Option<Duration> {
        let until_expiry =
            |from: SystemTime| expires_at.duration_since(from).ok().filter(|left| !left.is_zero());
        let since_date = self.date.and_then(until_expiry);
        let is_long = since_date.is_some_and(|since_date| since_date >= MIN_SINCE_DATE);
        let since_issued_at =
            self.issued_at.and_then(until_expiry).filter(|since| *since >= MIN_SINCE_ISSUED_AT || !is_long);
        match (since_issued_at, since_date, until_expiry(self.local)) {
            (Some(since_issued_at), Some(since_date), _) if since_issued_at <= since_date => {
                Some(since_issued_at)
            }
            (Some(_), Some(since_date), _) => Some(since_date.saturating_sub(DATE_RESOLUTION)),
            (None, Some(since_date), _) if since_date <= MAX_UNCONFIRMED => {
                Some(since_date.saturating_sub(DATE_RESOLUTION))
            }
            (Some(since_issued_at), None, Some(since_local))
                if since_issued_at < since_local.saturating_add(MAX_ISSUED_AT_LAG) =>
            {
                Some(since_issued_at)
            }
            (Some(since_issued_at), None, None) if since_issued_at <= MAX_UNCONFIRMED => {
                Some(since_issued_at)
            }
            (None, None, None) => Some(Duration::ZERO),
            // None of Keystone's times is plausible.
            (_, _, since_local) => since_local,
        }
    }
}

/// Returns the lifetime of a token that was issued just now, or `None` if its times are missing or implausible.
#[cfg(feature = "federation")]
pub(crate) fn of_new_token(access_info: &AccessInfo) -> Option<Duration> {
    let expires_at = access_info.expires().ok()??;
    let issued_at = access_info.issued().ok().flatten();
    ClockReadings { issued_at, date: access_info.date(), local: SystemTime::now() }.lifetime(expires_at)
}

/// Returns the lifetime of a token that was issued some time ago, or `None` if its `issued_at` is implausible.
pub(crate) fn since_issued_at(issued_at: Option<SystemTime>, expires_at: SystemTime) -> Option<Duration> {
    let lifetime = expires_at.duration_since(issued_at?).ok()?;
    (lifetime <= MAX_UNCONFIRMED).then_some(lifetime)
}
