use std::time::Duration;

/// The first delay and the longest, in keystoneauth too.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// How often one kind of failure is tried again, and what is waited before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pub(super) left: u32,
    delay: Duration,
    doubles: bool,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { left: 3, delay: FIRST, doubles: true }
    }

    pub(super) const fn fixed(self, delay: Duration) -> Self {
        Self { left: self.left, delay, doubles: false }
    }

    /// The delay before the next attempt, if there is to be one: from half of it to the whole by a
    /// `chance` from 0 to 1, or without one the whole.
    pub(super) fn next(&mut self, chance: Option<f64>) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let half = self.delay / 2;
        let delay = chance.map_or(self.delay, |chance| half + half.mul_f64(chance));
        if self.doubles {
            self.delay = (self.delay * 2).min(LONGEST);
        }
        Some(delay)
    }

    /// The same where the server has asked for a delay: never less than that, and by chance as much more
    /// as keeps those apart who were asked for the same. The own delays do not grow by it.
    pub(super) fn after(&mut self, asked: Duration, chance: Option<f64>) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        Some(asked.saturating_add((self.delay / 2).mul_f64(chance.unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut delays: Backoff, chance: Option<f64>) -> Vec<f64> {
        std::iter::from_fn(|| delays.next(chance)).map(|delay| delay.as_secs_f64()).collect()
    }

    #[test]
    fn delays_double_up_to_the_longest_unless_they_are_fixed() {
        let nine = Backoff { left: 9, ..Backoff::new() };
        assert_eq!(all(nine, None), [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(all(nine, Some(0.0)), [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(all(Backoff::new().fixed(Duration::from_secs(3)), None), [3.0; 3]);
        assert!(all(Backoff { left: 0, ..nine }, None).is_empty());
        assert_eq!(
            all(Backoff { left: 1, ..nine }.fixed(Duration::MAX), None),
            [Duration::MAX.as_secs_f64()]
        );
    }

    #[test]
    fn what_the_server_asks_for_is_the_least() {
        let mut delays = Backoff::new();
        let asked = Duration::from_secs(7);
        assert_eq!(delays.after(asked, None), Some(asked));
        assert_eq!(delays.after(asked, Some(0.5)), Some(Duration::from_millis(7125)));
        assert_eq!(delays.next(None), Some(FIRST), "it did not grow");
        assert_eq!(delays.after(asked, Some(0.5)), None);
        assert_eq!(Backoff::new().fixed(Duration::MAX).after(Duration::MAX, Some(0.9)), Some(Duration::MAX));
    }
}
