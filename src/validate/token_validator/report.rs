//! Logs validations, and when Keystone becomes unavailable and available.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing::{debug, info, warn};

use super::{answer::Failure, in_flight::Kind, keystone::Keystone};
use crate::{error::format_url, renewal::Now, transport::LogThrottle, validate::metrics::ValidationResult};

/// Time in which a layer warns about the same cause only once.
const INTERVAL: Duration = Duration::from_secs(60);

/// Maximum number of warnings of a layer within the interval. The text of a cause may be another one each time.
const MAX_WARNINGS: usize = 5;

pub(super) fn log_validation(
    result: ValidationResult,
    latency: Option<Duration>,
    kind: Kind,
    failure: Option<&Failure>,
) {
    let outcome = match result {
        ValidationResult::Valid => "valid",
        ValidationResult::Unknown => "unknown",
        ValidationResult::Unavailable => "unavailable",
    };
    let latency_ms = latency.map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
    let error = failure.map(|failure| failure.reason.as_str());
    debug!(outcome, latency_ms, background = kind == Kind::Background, error, "validated a token");
}

/// Logs when tokens cannot be validated, and when they can be validated again.
#[derive(Default)]
pub(super) struct OutageLog {
    causes: LogThrottle,
    warnings: LogThrottle,
    outage: Mutex<Option<Outage>>,
}

/// An outage that has not ended.
#[derive(Default)]
struct Outage {
    /// The cause that was warned about last.
    logged_cause: Option<String>,
    /// Whether Keystone has refused the service's own account. An unknown token then does not end the outage, because
    /// Keystone looks for the token before it checks what the account may do.
    is_refusal: bool,
}

impl OutageLog {
    /// Warns that tokens cannot be validated, if the cause is new.
    pub(super) fn log_failure(&self, keystone: &Keystone, failure: &Failure, now: Now) {
        let is_new = {
            let mut outage = self.outage();
            let outage = outage.get_or_insert_default();
            outage.is_refusal |= failure.is_refusal;
            let is_new = outage.logged_cause.as_ref() != Some(&failure.reason)
                && self.should_warn(&failure.reason, now);
            if is_new {
                outage.logged_cause = Some(failure.reason.clone());
            }
            is_new
        };
        if is_new {
            warn(keystone, &failure.reason);
        }
    }

    /// Warns that a token cannot be validated, although there is no outage.
    pub(super) fn log_refused(&self, keystone: &Keystone, reason: &str, now: Now) {
        if self.should_warn(reason, now) {
            warn(keystone, reason);
        }
    }

    /// Logs that tokens can be validated again, if there was a warning that they cannot.
    pub(super) fn log_answer(&self, keystone: &Keystone, is_confirmed: bool) {
        let ended = self.outage().take_if(|outage| is_confirmed || !outage.is_refusal);
        if ended.is_some_and(|outage| outage.logged_cause.is_some()) {
            info!(auth_url = auth_url(keystone), "tokens can be validated again");
        }
    }

    fn should_warn(&self, cause: &str, now: Now) -> bool {
        let now = now.monotonic;
        self.causes.should_log(cause, now, INTERVAL)
            && (0..MAX_WARNINGS).any(|number| self.warnings.should_log(number, now, INTERVAL))
    }

    fn outage(&self) -> MutexGuard<'_, Option<Outage>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn(keystone: &Keystone, error: &str) {
    warn!(
        auth_url = auth_url(keystone),
        error, "tokens cannot be validated; requests with new tokens get a 503"
    );
}

/// Returns the URL of Keystone, unless it has no scheme. What looks like its path or host may then be a password.
fn auth_url(keystone: &Keystone) -> Option<String> {
    keystone.auth_url().filter(|url| url.scheme().is_some()).map(format_url)
}
