//! Logs validations, and when Keystone becomes unavailable and available.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::{answer::Failure, in_flight::Kind, keystone::Keystone};
use crate::{error::format_url, renewal::Now, validate::metrics::ValidationResult};

/// Time in which the layers that share a transport log the same message about an outage only once.
const INTERVAL: Duration = Duration::from_secs(60);

pub(super) fn log_validation(result: ValidationResult, latency: Option<Duration>, kind: Kind) {
    let outcome = match result {
        ValidationResult::Valid => "valid",
        ValidationResult::Unknown => "unknown",
        ValidationResult::Unavailable => "unavailable",
    };
    let latency_ms = latency.map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX));
    debug!(outcome, latency_ms, background = kind == Kind::Background, "validated a token");
}

/// Warns that tokens cannot be validated.
pub(super) fn log_failure(keystone: &Keystone, failure: &Failure, now: Now) {
    let auth_url = keystone.auth_url().map(format_url);
    let message = ("validation failure", &auth_url, &failure.reason);
    if keystone.transport().log_throttle().should_log(message, now.monotonic, INTERVAL) {
        warn!(
            auth_url,
            error = failure.reason,
            "tokens cannot be validated; requests with new tokens get a 503"
        );
    }
}

/// Logs that tokens can be validated again.
pub(super) fn log_recovery(keystone: &Keystone, now: Now) {
    let auth_url = keystone.auth_url().map(format_url);
    if keystone.transport().log_throttle().should_log(
        ("validation recovery", &auth_url),
        now.monotonic,
        INTERVAL,
    ) {
        info!(auth_url, "tokens can be validated again");
    }
}
