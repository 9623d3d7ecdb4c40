//! What an operator should know of renewing: told when it begins, and not for each try.

use std::{error::Error as StdError, time::Duration};

use http::Uri;
use tracing::{info, warn};

use super::{Now, failure::Failed};
use crate::{AccessInfo, error::format_url, transport::LogThrottle};

/// By how much two clocks may differ before that is worth a word.
const SKEW: Duration = Duration::from_secs(30);

/// For how long the plugins of one transport do not repeat what one of them has logged of an outage, and of clocks.
const OUTAGE: Duration = Duration::from_secs(60);
const CLOCKS: Duration = Duration::from_secs(60 * 60);

/// Warns that attempts to obtain a token begin to fail.
pub(super) fn failure(
    log_throttle: &LogThrottle,
    auth_url: &Uri,
    Failed { error, passes }: &Failed,
    now: Now,
) {
    let auth_url = format_url(auth_url);
    if !log_throttle.should_log(("failure", &auth_url, error.to_string()), now.monotonic, OUTAGE) {
        return;
    }
    let next =
        if *passes { "it is tried again" } else { "the credentials or the configuration have to be mended" };
    let error: &(dyn StdError + 'static) = error;
    warn!(auth_url, error, "no good token can be had from Keystone; {next}");
}

/// Tells that attempts to obtain a token no longer fail.
pub(super) fn over(log_throttle: &LogThrottle, auth_url: &Uri, now: Now) {
    let auth_url = format_url(auth_url);
    if log_throttle.should_log(("over", &auth_url), now.monotonic, OUTAGE) {
        info!(auth_url, "good tokens can be had from Keystone again");
    }
}

/// Warns if the clocks of Keystone and of this machine differ, by the response that was received between these two moments:
/// its `Date` or, without one, the time when the token was issued. What is done about the token does not depend on it.
pub(super) fn skew(
    log_throttle: &LogThrottle,
    auth_url: &Uri,
    auth_ref: &AccessInfo,
    asked_for: Now,
    now: Now,
) {
    let Some(shown) = auth_ref.date().or_else(|| auth_ref.issued().ok()?) else { return };
    let behind = asked_for.wall.duration_since(shown).unwrap_or_default();
    let ahead = shown.duration_since(now.wall).unwrap_or_default();
    let seconds = behind.max(ahead).as_secs();
    let auth_url = format_url(auth_url);
    if seconds > SKEW.as_secs() && log_throttle.should_log(("skew", &auth_url), now.monotonic, CLOCKS) {
        let or_old = if auth_ref.date().is_some() { "" } else { ", or its token is not new" };
        warn!(auth_url, seconds, "the clocks of Keystone and of this machine differ{or_old}");
    }
}
