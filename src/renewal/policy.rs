use std::time::Duration;

use crate::Error;

/// The figures of renewing. The defaults are right for Keystone as it is installed.
///
/// ```
/// use std::time::Duration;
/// use tower_keystone::RenewalPolicy;
///
/// let mut policy = RenewalPolicy::default();
/// policy.load_timeout = Duration::from_secs(5);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RenewalPolicy {
    /// The least time before its end at which a token is renewed in the background; 120 s.
    pub soft_window: Duration,
    /// The same as a share of its lifetime, if that is more; 0.1. Never more than half of it.
    pub soft_share: f64,
    /// How much earlier, as a share of the window and at random, that may begin; 0.2. It keeps many
    /// processes from renewing in the same second.
    pub jitter: f64,
    /// How long before its end a token is no longer sent, if a new one can be had; 10 s. Never more
    /// than half of the soft window.
    pub hard_margin: Duration,
    /// The lifetime of a token whose document does not say when it expires; 5 min.
    pub unknown_lifetime: Duration,
    /// The time that one attempt may take; 10 s.
    pub attempt_timeout: Duration,
    /// The time that requests wait, over all attempts; 30 s.
    pub load_timeout: Duration,
    /// The first pause after a failure that can pass by itself; 1 s. Each further one doubles. All are up to
    /// 15 % shorter, at random, and none outlasts the time until the token at hand is hard, or expires.
    pub first_pause: Duration,
    /// The longest such pause; 30 s.
    pub longest_pause: Duration,
    /// The longest that Keystone may ask to wait (`Retry-After`); 300 s. The least is 1 s.
    pub longest_retry_after: Duration,
    /// The pauses after failures that will not pass by themselves: 30 s, 5 min and 30 min. The last
    /// one repeats.
    pub definite_pauses: Vec<Duration>,
    /// The least time between two tokens, if they are short-lived; 10 s.
    pub least_interval: Duration,
    /// How many tokens an origin may refuse within [`refusal_window`](Self::refusal_window) before its refusals cause
    /// no further login in it, because another token would not help; 3. Each origin counts by itself.
    ///
    /// An origin that accepted tokens before and now refuses the same one again and again still causes a login in every
    /// `refusal_window / refusals` (20 s): that token may be revoked. With 0 no refusal causes a login; with more than 64
    /// each one does.
    pub refusals: usize,
    /// See [`refusals`](Self::refusals); 60 s.
    pub refusal_window: Duration,
}

impl Default for RenewalPolicy {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            soft_window: seconds(120),
            soft_share: 0.1,
            jitter: 0.2,
            hard_margin: seconds(10),
            unknown_lifetime: seconds(300),
            attempt_timeout: seconds(10),
            load_timeout: seconds(30),
            first_pause: seconds(1),
            longest_pause: seconds(30),
            longest_retry_after: seconds(300),
            definite_pauses: vec![seconds(30), seconds(300), seconds(1800)],
            least_interval: seconds(10),
            refusals: 3,
            refusal_window: seconds(60),
        }
    }
}

/// How much shorter than said a pause may be, as a share of it. With more of it, an outage during the soft
/// phase would cost more tries than the pauses are there to allow.
const PAUSE_JITTER: f64 = 0.15;

impl RenewalPolicy {
    /// The ages at which a token of this lifetime becomes soft and hard. `chance` is from 0 to 1.
    pub(super) fn ages(&self, lifetime: Duration, chance: f64) -> (Duration, Duration) {
        let window = self.soft_window.max(scaled(lifetime, self.soft_share)).min(lifetime / 2);
        let soft = lifetime.saturating_sub(window + scaled(window, self.jitter * chance));
        let hard = lifetime.saturating_sub(self.hard_margin.min(window / 2));
        (soft, hard)
    }

    /// How long to wait after the `failures`th failure in a row that can pass by itself.
    pub(super) fn pause(&self, failures: u32, error: &Error, chance: f64) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let pause = scaled(doubled.min(self.longest_pause), 1.0 - PAUSE_JITTER * (1.0 - chance));
        match error.retry_after() {
            None => pause,
            Some(asked) => pause.max(asked.max(Duration::from_secs(1)).min(self.longest_retry_after)),
        }
    }

    /// The longest that a flight takes, as long as its runtime is driven: the last attempt may begin at the
    /// end of the time that requests wait, if Keystone has asked to wait that long.
    pub(super) fn longest_flight(&self) -> Duration {
        self.load_timeout.saturating_add(self.attempt_timeout)
    }

    /// How long to wait after the `failures`th failure in a row that will not pass by itself.
    pub(super) fn definite_pause(&self, failures: u32) -> Duration {
        let index = failures.saturating_sub(1) as usize;
        self.definite_pauses.get(index).or(self.definite_pauses.last()).copied().unwrap_or_default()
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
            Error::Http(Arc::new(HttpError::read(StatusCode::SERVICE_UNAVAILABLE, &headers, b"")))
        };
        for (longest, asked, pause) in [(300, 0_u64, 1), (300, 40, 40), (300, 301, 300), (0, 40, 1)] {
            let longest_retry_after = Duration::from_secs(longest);
            let policy = RenewalPolicy { longest_retry_after, ..RenewalPolicy::default() };
            assert_eq!(policy.pause(1, &answer(asked), 1.0), Duration::from_secs(pause), "{longest} {asked}");
        }
    }
}
