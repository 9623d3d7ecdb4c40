//! Failed logins, and when the next attempt may be made.

use std::time::Duration;

use super::{Now, RenewalPolicy, policy::LockoutRisk};
use crate::{Error, Secret};

/// The error of one attempt to log in.
#[derive(Clone, Debug)]
pub(super) struct AttemptError {
    pub(super) error: Error,
    /// Computed before the state is locked, because [`Error::is_transient`] may run code from outside this crate.
    pub(super) is_transient: bool,
}

impl From<Error> for AttemptError {
    fn from(error: Error) -> Self {
        Self { is_transient: error.is_transient(), error }
    }
}

/// Properties of the credentials at the time of a login.
#[derive(Clone, Debug)]
pub(super) struct CredentialsInfo {
    /// The cache id. It is derived from the secrets too, so that it changes when they do.
    pub(super) cache_id: Option<Secret>,
    pub(super) can_lock_account: bool,
}

/// Why the last renewal failed, and when the next attempt may be made.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) failed_at: Now,
    /// The time after `failed_at` in which no attempt is made.
    pub(super) delay: Duration,
    /// The time after `failed_at` in which no renewal is started.
    ///
    /// It is shorter than `delay` if tokens are shared, because another process may log in meanwhile.
    pub(super) renewal_delay: Duration,
    /// Whether there was no usable token at that time, so that waiting requests got the error.
    pub(super) had_no_token: bool,
    /// The credentials, if the failure is permanent; `None` if it is transient.
    pub(super) failed_credentials: Option<CredentialsInfo>,
    /// Number of transient failures in a row.
    pub(super) transient_failures: u32,
    /// Number of permanent failures in a row.
    pub(super) permanent_failures: u32,
}

impl Failure {
    /// Returns whether it is too early for the next renewal.
    pub(super) fn is_backing_off(&self, now: Now) -> bool {
        now.since(self.failed_at) < self.renewal_delay
    }

    /// Returns whether requests without a token get this error, rather than wait for the next attempt.
    pub(super) fn fails_requests(&self, now: Now, policy: &RenewalPolicy) -> bool {
        self.had_no_token
            || self.failed_credentials.is_some()
            || self.remaining_retry_after(now) >= policy.wait_timeout
    }

    /// Returns the remaining part of the delay that Keystone has asked for (`Retry-After`).
    pub(super) fn remaining_retry_after(&self, now: Now) -> Duration {
        let requested = self.error.retry_after().map_or(Duration::ZERO, |_| self.delay);
        requested.saturating_sub(now.since(self.failed_at))
    }
}

/// How often changed credentials are tried without a delay within [`IMMEDIATE_RETRY_WINDOW`].
///
/// The limit is for credentials whose id changes all the time, for example because it contains the current time.
const MAX_IMMEDIATE_RETRIES: usize = 3;
const IMMEDIATE_RETRY_WINDOW: Duration = Duration::from_secs(30 * 60);

/// Which credentials have worked before, and how often changed ones were tried without a delay.
#[derive(Debug, Default)]
pub(super) struct CredentialsHistory {
    /// The cache id of the credentials that obtained the last token, or `Some(None)` if they have no cache id.
    ///
    /// It is `None` if no token was obtained yet.
    last_success: Option<Option<Secret>>,
    /// When changed credentials were tried without a delay.
    immediate_retries: Vec<Now>,
}

impl CredentialsHistory {
    /// Records that the credentials have obtained a token.
    pub(super) fn record_success(&mut self, credentials: CredentialsInfo) {
        self.last_success = Some(credentials.cache_id);
        self.immediate_retries.clear();
    }

    /// Returns the delay after the given number of permanent failures in a row.
    pub(super) fn permanent_failure_delay(
        &self,
        credentials: &CredentialsInfo,
        failures: u32,
        policy: &RenewalPolicy,
    ) -> Duration {
        let risk = match &self.last_success {
            _ if !credentials.can_lock_account => LockoutRisk::None,
            Some(cache_id) if *cache_id == credentials.cache_id => LockoutRisk::Low,
            _ => LockoutRisk::High,
        };
        // After too many immediate retries, the first delays are skipped.
        let skipped =
            if self.immediate_retries.len() < MAX_IMMEDIATE_RETRIES { 0 } else { MAX_IMMEDIATE_RETRIES };
        let failures = failures.saturating_add(u32::try_from(skipped).unwrap_or_default());
        policy.permanent_failure_delay(failures, risk)
    }

    /// Returns whether credentials with this cache id may be tried without a delay, and records it if so.
    ///
    /// They may if they are not the ones that failed, and the limit is not reached.
    pub(super) fn allow_immediate_retry(
        &mut self,
        failed: &CredentialsInfo,
        cache_id: &Option<Secret>,
        now: Now,
    ) -> bool {
        if failed.cache_id == *cache_id {
            return false;
        }
        self.immediate_retries.retain(|&at| now.since(at) < IMMEDIATE_RETRY_WINDOW);
        let is_allowed = self.immediate_retries.len() < MAX_IMMEDIATE_RETRIES;
        if is_allowed {
            self.immediate_retries.push(now);
        }
        is_allowed
    }
}
