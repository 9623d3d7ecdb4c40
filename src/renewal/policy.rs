use std::time::Duration;

use crate::Error;

/// The figures of renewing. The defaults are right for Keystone as it is installed.
///
/// ```
/// use std::time::Duration;
/// use tower_keystone::RenewalPolicy;
///
/// let mut policy = RenewalPolicy::default();
/// policy.wait_timeout = Duration::from_secs(5);
/// ```
///
/// A value that would make a renewal endless, or repeat it without a pause, is replaced by the nearest one that does not:
/// shares are from 0 to 1, timeouts a day at most, `initial_backoff` 1 ms at least and `max_backoff` 250 ms. An empty list
/// of pauses is the default one.
///
/// # Pauses and account lockout
///
/// A failure that will not pass by itself, such as a wrong password, is what all requests get until a pause is over. The
/// pauses follow the risk, because Keystone can lock an account after some failed logins in a row
/// (`[security_compliance] lockout_failure_attempts` and `lockout_duration` in keystone.conf; 1800 s by default). With a
/// password that never worked there are three logins in 30 minutes. Credentials that have brought a token before are
/// probably still right, and Keystone's answer is wrong, as during a deployment: their pauses are shorter. Before
/// shortening any of them, look up after how many failures your cloud locks accounts. Application credentials and tokens
/// lock no account ([`Credentials::can_lock_account`](crate::Credentials::can_lock_account)).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RenewalPolicy {
    /// The least time before its end at which a token is renewed in the background; 120 s.
    pub renew_before_expiry: Duration,
    /// The same as a share of its lifetime, if that is more; 0.1. Never more than half of it.
    pub renew_before_expiry_share: f64,
    /// How much earlier, as a share of the window and at random, that may begin; 0.2. It keeps many
    /// processes from renewing in the same second.
    pub jitter: f64,
    /// How long before its end a token is no longer sent, if a new one can be had; 10 s. Never more
    /// than half of the soft window.
    pub expiry_margin: Duration,
    /// The lifetime of a token whose document does not say when it expires; 5 min.
    pub default_lifetime: Duration,
    /// The time that one attempt may take; 10 s.
    pub attempt_timeout: Duration,
    /// The time that requests wait, over all attempts; 30 s.
    pub wait_timeout: Duration,
    /// Whether requests that wait for a token get the first failure at once, rather than wait for another attempt;
    /// false. It suits command line programs, whose users see what is wrong and start them again. It is what
    /// keystoneauth does.
    pub fail_fast: bool,
    /// The first pause after a failure that can pass by itself; 1 s. Each further one doubles. All are up to
    /// 15 % shorter, at random, and none outlasts the time until the token at hand is hard, or expires.
    pub initial_backoff: Duration,
    /// The longest such pause; 30 s.
    pub max_backoff: Duration,
    /// The longest that Keystone may ask to wait (`Retry-After`); 300 s. The least is 1 s.
    pub max_retry_after: Duration,
    /// The pauses after failures that will not pass by themselves, of credentials that have not brought a token yet:
    /// 30 s, 5 min and 30 min. The last one repeats.
    pub permanent_failure_delays: Vec<Duration>,
    /// The same for credentials that have brought a token before: 30 s, 2 min and 10 min.
    pub permanent_failure_delays_after_success: Vec<Duration>,
    /// The same for credentials that lock no account, whether or not they have brought a token: 30 s and 60 s.
    pub permanent_failure_delays_without_lockout: Vec<Duration>,
    /// The least time between two tokens, if they are short-lived; 10 s.
    pub min_renewal_interval: Duration,
    /// How many tokens an origin may refuse within [`rejection_window`](Self::rejection_window) before its refusals cause
    /// no further login in it, because another token would not help; 3. Each origin counts by itself.
    ///
    /// An origin that accepted tokens before and now refuses the same one again and again still causes a login in every
    /// `rejection_window / max_rejections` (20 s): that token may be revoked. With 0 no refusal causes a login; with more than 64
    /// each one does.
    pub max_rejections: usize,
    /// See [`max_rejections`](Self::max_rejections); 60 s.
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

/// How much shorter than said a pause may be, as a share of it. With more of it, an outage during the soft
/// phase would cost more tries than the pauses are there to allow.
const PAUSE_JITTER: f64 = 0.15;

/// The longest time that an attempt may take, or requests wait.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The least value of the first pause and of the longest one.
const LEAST_PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(250));

/// The least time after which a flight counts as lost.
const LEAST_FLIGHT: Duration = Duration::from_secs(1);

/// What failed logins may cost, which decides how long to pause after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Risk {
    /// They may lock the account, and the credentials never worked.
    Lockout,
    /// They may lock the account, and the credentials have worked before.
    Proven,
    /// They lock no account.
    None,
}

impl RenewalPolicy {
    /// Replaces values that would make a flight endless, or one follow the other without a pause.
    pub(super) fn within_limits(mut self) -> Self {
        let default = Self::default();
        for share in [&mut self.renew_before_expiry_share, &mut self.jitter] {
            *share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        }
        for timeout in [&mut self.attempt_timeout, &mut self.wait_timeout] {
            *timeout = (*timeout).min(LONGEST_TIMEOUT);
        }
        self.initial_backoff = self.initial_backoff.max(LEAST_PAUSES.0);
        self.max_backoff = self.max_backoff.max(LEAST_PAUSES.1);
        for (pauses, default) in [
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
            if pauses.is_empty() {
                *pauses = default;
            }
        }
        self
    }

    /// The ages at which a token of this lifetime becomes soft and hard. `chance` is from 0 to 1.
    pub(super) fn ages(&self, lifetime: Duration, chance: f64) -> (Duration, Duration) {
        let window =
            self.renew_before_expiry.max(scaled(lifetime, self.renew_before_expiry_share)).min(lifetime / 2);
        let soft = lifetime.saturating_sub(window.saturating_add(scaled(window, self.jitter * chance)));
        let hard = lifetime.saturating_sub(self.expiry_margin.min(window / 2));
        (soft, hard)
    }

    /// How long to wait after the `failures`th failure in a row that can pass by itself.
    pub(super) fn pause(&self, failures: u32, error: &Error, chance: f64) -> Duration {
        let doubled = self.initial_backoff.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let pause = scaled(doubled.min(self.max_backoff), 1.0 - PAUSE_JITTER * (1.0 - chance));
        match error.retry_after() {
            None => pause,
            Some(asked) => pause.max(asked.max(Duration::from_secs(1)).min(self.max_retry_after)),
        }
    }

    /// The longest that a flight takes, as long as its runtime is driven: the last attempt may begin at the
    /// end of the time that requests wait, if Keystone has asked to wait that long.
    pub(super) fn longest_flight(&self) -> Duration {
        self.wait_timeout.saturating_add(self.attempt_timeout).max(LEAST_FLIGHT)
    }

    /// How long to wait after the `failures`th failure in a row that will not pass by itself.
    pub(super) fn definite_pause(&self, failures: u32, risk: Risk) -> Duration {
        let pauses = match risk {
            Risk::Lockout => &self.permanent_failure_delays,
            Risk::Proven => &self.permanent_failure_delays_after_success,
            Risk::None => &self.permanent_failure_delays_without_lockout,
        };
        let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        pauses.get(index).or(pauses.last()).copied().unwrap_or_default()
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
    fn the_window_fits_the_lifetime() {
        let policy = RenewalPolicy::default();
        let ages = |lifetime, chance| {
            let (soft, hard) = policy.ages(Duration::from_secs(lifetime), chance);
            (soft.as_secs_f64(), hard.as_secs_f64())
        };
        assert_eq!(ages(3600, 0.0), (3240.0, 3590.0));
        assert_eq!(ages(3600, 1.0), (3168.0, 3590.0));
        assert_eq!(ages(600, 0.0), (480.0, 590.0));
        assert_eq!(ages(6, 0.0), (3.0, 4.5));
        assert_eq!(ages(6, 1.0), (2.4, 4.5));
        assert_eq!(ages(0, 1.0), (0.0, 0.0));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = RenewalPolicy::default();
        let error = Error::PluginPanicked;
        let pauses: Vec<_> = (1..=7).map(|failures| policy.pause(failures, &error, 1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(policy.pause(1, &error, 0.0), Duration::from_millis(850));
        assert_eq!(policy.pause(u32::MAX, &error, 1.0), Duration::from_secs(30));
    }

    #[test]
    fn keystone_may_ask_for_no_longer_pause_than_the_policy_says() {
        let answer = |seconds| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from(seconds))]);
            Error::Keystone(Arc::new(HttpError::read(
                StatusCode::SERVICE_UNAVAILABLE,
                &headers,
                b"",
                false,
                [],
            )))
        };
        for (longest, asked, pause) in [(300, 0_u64, 1), (300, 40, 40), (300, 301, 300), (0, 40, 1)] {
            let max_retry_after = Duration::from_secs(longest);
            let policy = RenewalPolicy { max_retry_after, ..RenewalPolicy::default() };
            assert_eq!(policy.pause(1, &answer(asked), 1.0), Duration::from_secs(pause), "{longest} {asked}");
        }
    }
}
