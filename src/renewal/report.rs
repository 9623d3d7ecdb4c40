//! What an operator should know of renewing: told when it begins, and not for each try.

use std::{error::Error as StdError, time::Duration};

use http::Uri;
use tracing::{info, warn};

use super::Now;
use crate::{AccessInfo, Error, error::url_in_words};

/// By how much two clocks may differ before that is worth a word.
const SKEW: Duration = Duration::from_secs(30);

/// Tells that tokens begin to fail, or no longer do.
pub(super) fn episode(auth_url: &Uri, failed_before: bool, failure: Option<&Error>) {
    match (failed_before, failure) {
        (false, Some(error)) => {
            let auth_url = url_in_words(auth_url);
            let next = if error.is_transient() {
                "it is tried again"
            } else {
                "the credentials or the configuration have to be mended"
            };
            let error: &(dyn StdError + 'static) = error;
            warn!(auth_url, error, "no good token can be had from Keystone; {next}");
        }
        (true, None) => {
            info!(auth_url = url_in_words(auth_url), "good tokens can be had from Keystone again");
        }
        _ => {}
    }
}

/// Tells that Keystone's clock is not this machine's, by the token that it issued between these two moments. What
/// is done about the token does not depend on it.
pub(super) fn skew(auth_ref: &AccessInfo, asked_for: Now, now: Now) {
    let Ok(Some(issued)) = auth_ref.issued() else { return };
    let behind = asked_for.wall.duration_since(issued).unwrap_or_default();
    let ahead = issued.duration_since(now.wall).unwrap_or_default();
    let seconds = behind.max(ahead).as_secs();
    if seconds > SKEW.as_secs() {
        warn!(seconds, "the clocks of Keystone and of this machine differ, or its token is not new");
    }
}
