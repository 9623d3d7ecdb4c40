//! What an operator should know of renewing: told when it begins, and not for each try.

use std::{error::Error as StdError, time::Duration};

use http::Uri;
use tracing::{info, warn};

use super::{Now, failure::Failed};
use crate::{AccessInfo, error::url_in_words};

/// By how much two clocks may differ before that is worth a word.
const SKEW: Duration = Duration::from_secs(30);

/// Warns that attempts to obtain a token begin to fail.
pub(super) fn failure(auth_url: &Uri, Failed { error, passes }: &Failed) {
    let auth_url = url_in_words(auth_url);
    let next =
        if *passes { "it is tried again" } else { "the credentials or the configuration have to be mended" };
    let error: &(dyn StdError + 'static) = error;
    warn!(auth_url, error, "no good token can be had from Keystone; {next}");
}

/// Tells that attempts to obtain a token no longer fail.
pub(super) fn over(auth_url: &Uri) {
    info!(auth_url = url_in_words(auth_url), "good tokens can be had from Keystone again");
}

/// Warns if the clocks of Keystone and of this machine differ, by the response that was received between these two moments:
/// its `Date` or, without one, the time when the token was issued. What is done about the token does not depend on it.
pub(super) fn skew(auth_ref: &AccessInfo, asked_for: Now, now: Now) {
    let Some(told) = auth_ref.date().or_else(|| auth_ref.issued().ok()?) else { return };
    let behind = asked_for.wall.duration_since(told).unwrap_or_default();
    let ahead = told.duration_since(now.wall).unwrap_or_default();
    let seconds = behind.max(ahead).as_secs();
    if seconds > SKEW.as_secs() {
        let or_old = if auth_ref.date().is_some() { "" } else { ", or its token is not new" };
        warn!(seconds, "the clocks of Keystone and of this machine differ{or_old}");
    }
}
