use std::time::Duration;

use crate::Error;

/// Settings for when to renew a token, how long requests wait, and when to retry.
///
/// The defaults suit Keystone with its default configuration.
///
/// ```
/// use std::time::Duration;
/// use tower_keystone::RenewalPolicy;
///
/// let mut policy = RenewalPolicy::default();
/// policy.wait_timeout = Duration::from_secs(5);
/// ```
///
/// [`RenewingPlugin::policy`](super::RenewingPlugin::policy) corrects values with which a renewal would never end, or
/// would be repeated without a delay. Shares are limited to the range from 0 to 1, timeouts to at most one day,
/// `initial_backoff` to at least 1 ms and `max_backoff` to at least 250 ms. An empty list of delays is replaced by its
/// default.
///
/// # Permanent failures and account lockout
///
/// After a permanent failure, such as a wrong password, no login is made until a delay is over. The delay depends on
/// the risk, because Keystone can lock an account after several failed logins in a row (`[security_compliance]
/// lockout_failure_attempts` and `lockout_duration` in keystone.conf; 1800 s by default):
///
/// - A password that has never worked is sent three times in 30 minutes.
/// - Credentials that have obtained a token before are probably still right. Keystone itself is more likely to be
///   wrong, for example during a deployment. Their delays are shorter.
/// - Application credentials and tokens lock no account
///   ([`Credentials::can_lock_account`](crate::Credentials::can_lock_account)). Their delays are the shortest.
///
/// Before you shorten a delay, look up after how many failed logins your cloud locks an account.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RenewalPolicy {
    /// Default: 120 s. How long before its expiry a token is renewed in the background.
    ///
    /// The longer time of this setting and [`renew_before_expiry_share`](Self::renew_before_expiry_share) applies, but
    /// at most half of the lifetime.
    pub renew_before_expiry: Duration,
    /// Default: 0.1. How long before its expiry a token is renewed in the background, as a share of its lifetime.
    ///
    /// The longer time of this setting and [`renew_before_expiry`](Self::renew_before_expiry) applies, but at most half
    /// of the lifetime.
    pub renew_before_expiry_share: f64,
    /// Default: 0.2. Maximum share by which the time between background renewal and expiry is extended at random.
    ///
    /// For example, a renewal that is due 120 s before expiry starts 120 s to 144 s before it. So many processes do not
    /// renew in the same second.
    pub jitter: f64,
    /// Default: 10 s. Time before the expiry of a token in which requests wait for a new one.
    ///
    /// They use the old token if the renewal fails or takes too long. The margin is limited to half of the time between
    /// the start of the background renewal and the expiry.
    pub expiry_margin: Duration,
    /// Default: 300 s. Lifetime of a token whose document does not contain an expiry, or contains an implausible one
    /// (see the [module docs](super)).
    pub default_lifetime: Duration,
    /// Default: 10 s. Timeout of one login.
    pub attempt_timeout: Duration,
    /// Default: 30 s. How long requests wait for a token, over all attempts of a renewal.
    pub wait_timeout: Duration,
    /// Default: false. Whether waiting requests get the error of the first failed login, without another attempt.
    ///
    /// This suits command line programs: the user sees what is wrong and starts the program again. keystoneauth
    /// does the same.
    pub fail_fast: bool,
    /// Default: 1 s. Delay after the first transient failure.
    ///
    /// It doubles with each further transient failure in a row, up to [`max_backoff`](Self::max_backoff). Each delay is
    /// shortened by a random share of up to 15 %. A delay ends early when requests begin to wait for a new token
    /// ([`expiry_margin`](Self::expiry_margin)), or when the current token expires.
    pub initial_backoff: Duration,
    /// Default: 30 s. Maximum delay after a transient failure, unless Keystone asks for a longer one.
    pub max_backoff: Duration,
    /// Default: 300 s. Maximum delay that Keystone can ask for (`Retry-After`).
    ///
    /// If it asks for less than 1 s, that counts as 1 s. If the back-off is longer than the requested delay, the
    /// back-off applies.
    pub max_retry_after: Duration,
    /// Default: 30 s, 300 s, 1800 s. Delays after permanent failures of credentials that have not obtained a token yet.
    ///
    /// The first one follows the first failure in a row, and so on. The last one repeats.
    pub permanent_failure_delays: Vec<Duration>,
    /// Default: 30 s, 120 s, 600 s. Delays after permanent failures of credentials that have obtained a token before.
    ///
    /// The first one follows the first failure in a row, and so on. The last one repeats.
    pub permanent_failure_delays_after_success: Vec<Duration>,
    /// Default: 30 s, 60 s. Delays after permanent failures of credentials that cannot lock an account.
    ///
    /// The first one follows the first failure in a row, and so on. The last one repeats.
    pub permanent_failure_delays_without_lockout: Vec<Duration>,
    /// Default: 10 s. Minimum time between two logins if Keystone issues tokens that have to be renewed sooner.
    pub min_renewal_interval: Duration,
    /// Default: 3. Maximum number of tokens that are dropped within [`rejection_window`](Self::rejection_window)
    /// because one origin rejects them.
    ///
    /// If an origin rejects more tokens than that, another login would not help. Each origin is counted separately.
    ///
    /// Above the limit, a rejected token is dropped only if it seems to be revoked: the origin has accepted tokens
    /// before, and now rejects this token several times in a row. At most one token is dropped for this reason in
    /// every `rejection_window / max_rejections` (20 s).
    ///
    /// With 0, no rejected token is dropped. With more than 64, every one is.
    pub max_rejections: usize,
    /// Default: 60 s. The time in which [`max_rejections`](Self::max_rejections) is counted.
    pub rejection_window: Duration,
}

impl Default for RenewalPolicy {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            renew_before_expiry: seconds(120),
            renew_before_expiry_share: 0.1,
            jitter: 0.2,
            expiry_margin: seconds(10),
            default_lifetime: seconds(300),
            attempt_timeout: seconds(10),
            wait_timeout: seconds(30),
            fail_fast: false,
            initial_backoff: seconds(1),
            max_backoff: seconds(30),
            max_retry_after: seconds(300),
            permanent_failure_delays: vec![seconds(30), seconds(300), seconds(1800)],
            permanent_failure_delays_after_success: vec![seconds(30), seconds(120), seconds(600)],
            permanent_failure_delays_without_lockout: vec![seconds(30), seconds(60)],
            min_renewal_interval: seconds(10),
            max_rejections: 3,
            rejection_window: seconds(60),
        }
    }
}

/// Maximum share by which a delay after a transient failure is shortened at random.
///
/// Shorter delays mean more attempts. With a larger share, a plugin would make too many attempts in an outage that
/// begins while its token is due for renewal.
const BACKOFF_JITTER: f64 = 0.15;

/// Maximum of `attempt_timeout` and `wait_timeout`.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Minimum of `initial_backoff`.
const MIN_INITIAL_BACKOFF: Duration = Duration::from_millis(1);

/// Minimum of `max_backoff`.
const MIN_MAX_BACKOFF: Duration = Duration::from_millis(250);

/// Minimum time after which a renewal that has no result counts as lost.
const MIN_RENEWAL_TIME: Duration = Duration::from_secs(1);

/// The risk that failed logins lock the account. It decides how long to wait after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockoutRisk {
    /// Failed logins can lock the account, and the credentials have never worked.
    High,
    /// Failed logins can lock the account, but the credentials have worked before.
    Low,
    /// Failed logins cannot lock an account.
    None,
}

impl RenewalPolicy {
    /// Corrects values with which a renewal would never end, or would be repeated without a delay.
    pub(super) fn within_limits(mut self) -> Self {
        let default = Self::default();
        for share in [&mut self.renew_before_expiry_share, &mut self.jitter] {
            *share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        }
        for timeout in [&mut self.attempt_timeout, &mut self.wait_timeout] {
            *timeout = (*timeout).min(MAX_TIMEOUT);
        }
        self.initial_backoff = self.initial_backoff.max(MIN_INITIAL_BACKOFF);
        self.max_backoff = self.max_backoff.max(MIN_MAX_BACKOFF);
        for (delays, default) in [
            (&mut self.permanent_failure_delays, default.permanent_failure_delays),
            (
                &mut self.permanent_failure_delays_after_success,
                default.permanent_failure_delays_after_success,
            ),
            (
                &mut self.permanent_failure_delays_without_lockout,
                default.permanent_failure_delays_without_lockout,
            ),
        ] {
            if delays.is_empty() {
                *delays = default;
            }
        }
        self
    }

    /// Returns the ages at which the phases *due* and *expiring* of a token with this lifetime begin.
    ///
    /// `random` is from 0 to 1.
    pub(super) fn phases(&self, lifetime: Duration, random: f64) -> (Duration, Duration) {
        let window =
            self.renew_before_expiry.max(scaled(lifetime, self.renew_before_expiry_share)).min(lifetime / 2);
        let due = lifetime.saturating_sub(window.saturating_add(scaled(window, self.jitter * random)));
        let expiring = lifetime.saturating_sub(self.expiry_margin.min(window / 2));
        (due, expiring)
    }

    /// Returns the delay after the given number of transient failures in a row, the last of which is `error`.
    ///
    /// `random` is from 0 to 1.
    pub(super) fn backoff(&self, failures: u32, error: &Error, random: f64) -> Duration {
        let doubled = self.initial_backoff.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let backoff = scaled(doubled.min(self.max_backoff), 1.0 - BACKOFF_JITTER * (1.0 - random));
        match error.retry_after() {
            None => backoff,
            Some(requested) => backoff.max(requested.max(Duration::from_secs(1)).min(self.max_retry_after)),
        }
    }

    /// Returns the maximum time that a renewal takes if its runtime is driven.
    ///
    /// The last attempt may start at the end of `wait_timeout` if Keystone has asked for such a delay.
    pub(super) fn max_renewal_time(&self) -> Duration {
        self.wait_timeout.saturating_add(self.attempt_timeout).max(MIN_RENEWAL_TIME)
    }

    /// Returns the delay after the given number of permanent failures in a row.
    pub(super) fn permanent_failure_delay(&self, failures: u32, risk: LockoutRisk) -> Duration {
        let delays = match risk {
            LockoutRisk::High => &self.permanent_failure_delays,
            LockoutRisk::Low => &self.permanent_failure_delays_after_success,
            LockoutRisk::None => &self.permanent_failure_delays_without_lockout,
        };
        let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        delays.get(index).or(delays.last()).copied().unwrap_or_default()
    }
}

fn scaled(duration: Duration, share: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * share.max(0.0)).unwrap_or(duration)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};

    use super::*;
    use crate::error::HttpError;

    #[test]
    fn the_time_before_expiry_is_limited_by_the_lifetime() {
        let policy = RenewalPolicy::default();
        let phases = |lifetime, random| {
            let (due, expiring) = policy.phases(Duration::from_secs(lifetime), random);
            (due.as_secs_f64(), expiring.as_secs_f64())
        };
        assert_eq!(phases(3600, 0.0), (3240.0, 3590.0));
        assert_eq!(phases(3600, 1.0), (3168.0, 3590.0));
        assert_eq!(phases(600, 0.0), (480.0, 590.0));
        assert_eq!(phases(6, 0.0), (3.0, 4.5));
        assert_eq!(phases(6, 1.0), (2.4, 4.5));
        assert_eq!(phases(0, 1.0), (0.0, 0.0));
    }

    #[test]
    fn the_backoff_doubles_up_to_the_maximum() {
        let policy = RenewalPolicy::default();
        let error = Error::PluginPanicked;
        let delays: Vec<_> =
            (1..=7).map(|failures| policy.backoff(failures, &error, 1.0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(policy.backoff(1, &error, 0.0), Duration::from_millis(850));
        assert_eq!(policy.backoff(u32::MAX, &error, 1.0), Duration::from_secs(30));
    }

    #[test]
    fn a_retry_after_of_keystone_is_limited_by_the_policy() {
        let busy = |seconds| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from(seconds))]);
            Error::Keystone(Arc::new(HttpError::read(
                StatusCode::SERVICE_UNAVAILABLE,
                &headers,
                b"",
                false,
                [],
            )))
        };
        for (max, requested, delay) in [(300, 0_u64, 1), (300, 40, 40), (300, 301, 300), (0, 40, 1)] {
            let max_retry_after = Duration::from_secs(max);
            let policy = RenewalPolicy { max_retry_after, ..RenewalPolicy::default() };
            assert_eq!(
                policy.backoff(1, &busy(requested), 1.0),
                Duration::from_secs(delay),
                "{max} {requested}"
            );
        }
    }
}
