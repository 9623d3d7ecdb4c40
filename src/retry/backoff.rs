use std::time::Duration;

/// The first delay, as in keystoneauth.
const INITIAL_DELAY: Duration = Duration::from_millis(500);

/// Maximum delay, as in keystoneauth.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// The retries that are left for one kind of failure, and the delay before the next one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) retries_left: u32,
    delay: Duration,
    doubles: bool,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { retries_left: 3, delay: INITIAL_DELAY, doubles: true }
    }

    pub(super) const fn with_fixed_delay(self, delay: Duration) -> Self {
        Self { retries_left: self.retries_left, delay, doubles: false }
    }

    /// Uses up one retry and returns the delay before it, or `None` if no retry is left.
    ///
    /// With `random`, which is from 0 to 1, the delay is shortened: by half for 0, and not at all for 1.
    pub(super) fn next_delay(&mut self, random: Option<f64>) -> Option<Duration> {
        self.retries_left = self.retries_left.checked_sub(1)?;
        let half = self.delay / 2;
        let delay = random.map_or(self.delay, |random| half + half.mul_f64(random));
        if self.doubles {
            self.delay = (self.delay * 2).min(MAX_DELAY);
        }
        Some(delay)
    }

    /// Uses up one retry and returns the delay that the server has requested, or `None` if no retry is left.
    ///
    /// With `random`, which is from 0 to 1, up to half of `self.delay` is added. So clients that got the same
    /// `Retry-After` do not retry at the same time. `self.delay` does not double.
    pub(super) fn requested_delay(&mut self, requested: Duration, random: Option<f64>) -> Option<Duration> {
        self.retries_left = self.retries_left.checked_sub(1)?;
        Some(requested.saturating_add((self.delay / 2).mul_f64(random.unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(mut backoff: Backoff, random: Option<f64>) -> Vec<f64> {
        std::iter::from_fn(|| backoff.next_delay(random)).map(|delay| delay.as_secs_f64()).collect()
    }

    #[test]
    fn delays_double_up_to_the_maximum_unless_they_are_fixed() {
        let nine = Backoff { retries_left: 9, ..Backoff::new() };
        assert_eq!(delays(nine, None), [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(delays(nine, Some(0.0)), [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(delays(Backoff::new().with_fixed_delay(Duration::from_secs(3)), None), [3.0; 3]);
        assert!(delays(Backoff { retries_left: 0, ..nine }, None).is_empty());
        assert_eq!(
            delays(Backoff { retries_left: 1, ..nine }.with_fixed_delay(Duration::MAX), None),
            [Duration::MAX.as_secs_f64()]
        );
    }

    #[test]
    fn the_requested_delay_is_the_minimum() {
        let mut backoff = Backoff::new();
        let requested = Duration::from_secs(7);
        assert_eq!(backoff.requested_delay(requested, None), Some(requested));
        assert_eq!(backoff.requested_delay(requested, Some(0.5)), Some(Duration::from_millis(7125)));
        assert_eq!(backoff.next_delay(None), Some(INITIAL_DELAY), "it has not doubled");
        assert_eq!(backoff.requested_delay(requested, Some(0.5)), None);
        let longest =
            Backoff::new().with_fixed_delay(Duration::MAX).requested_delay(Duration::MAX, Some(0.9));
        assert_eq!(longest, Some(Duration::MAX));
    }
}
