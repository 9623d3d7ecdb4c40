//! Logs when an outage of Keystone begins and ends, and if the clocks of Keystone and of this machine differ.

use std::{error::Error as StdError, time::Duration};

use http::Uri;
use tracing::{info, warn};

use super::{Now, failure::AttemptError};
use crate::{AccessInfo, error::format_url, transport::LogThrottle};

/// Maximum difference between the clocks of Keystone and of this machine that is not logged.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(30);

/// Time in which the plugins that share a transport log the same message about an outage only once.
const OUTAGE_INTERVAL: Duration = Duration::from_secs(60);

/// Time in which the plugins that share a transport log a difference of the clocks only once.
const CLOCK_SKEW_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Warns that attempts to obtain a token have begun to fail.
pub(super) fn log_failure(
    log_throttle: &LogThrottle,
    auth_url: &Uri,
    AttemptError { error, is_transient }: &AttemptError,
    now: Now,
) {
    let auth_url = format_url(auth_url);
    if !log_throttle.should_log(("failure", &auth_url, error.to_string()), now.monotonic, OUTAGE_INTERVAL) {
        return;
    }
    let next = if *is_transient {
        "the login will be retried"
    } else {
        "correct the credentials or the configuration"
    };
    let error: &(dyn StdError + 'static) = error;
    warn!(auth_url, error, "cannot obtain a usable token from Keystone; {next}");
}

/// Logs that an outage is over.
pub(super) fn log_recovery(log_throttle: &LogThrottle, auth_url: &Uri, now: Now) {
    let auth_url = format_url(auth_url);
    if log_throttle.should_log(("recovery", &auth_url), now.monotonic, OUTAGE_INTERVAL) {
        info!(auth_url, "usable tokens can be obtained from Keystone again");
    }
}

/// Warns if the clocks of Keystone and of this machine differ.
///
/// Keystone's clock is read from the `Date` of the response to a login or, without one, from the time when the token
/// was issued. The login was sent at `requested_at`, and its response was received at `now`. The warning does not
/// affect how the token is used.
pub(super) fn log_clock_skew(
    log_throttle: &LogThrottle,
    auth_url: &Uri,
    auth_ref: &AccessInfo,
    requested_at: Now,
    now: Now,
) {
    let Some(keystone) = auth_ref.date().or_else(|| auth_ref.issued().ok()?) else { return };
    let behind = requested_at.wall.duration_since(keystone).unwrap_or_default();
    let ahead = keystone.duration_since(now.wall).unwrap_or_default();
    let seconds = behind.max(ahead).as_secs();
    let auth_url = format_url(auth_url);
    if seconds > MAX_CLOCK_SKEW.as_secs()
        && log_throttle.should_log(("clock skew", &auth_url), now.monotonic, CLOCK_SKEW_INTERVAL)
    {
        let other_cause = if auth_ref.date().is_some() {
            ""
        } else {
            ", or Keystone returned a token that it issued earlier"
        };
        warn!(auth_url, seconds, "the clocks of Keystone and of this machine differ{other_cause}");
    }
}
