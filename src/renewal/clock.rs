use std::time::{Duration, Instant, SystemTime};

/// The longest that is counted ahead: clocks of some machines end not long after.
const FAR_AHEAD: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// What time it is, by both clocks of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time of day. It may be set forth and back.
    pub wall: SystemTime,
    /// A clock that is never set. It may stand still while the machine sleeps.
    pub monotonic: Instant,
}

impl Now {
    /// How much time has passed since `earlier`, by the clock that says more.
    pub(super) fn since(self, earlier: Self) -> Duration {
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        wall.max(self.monotonic.saturating_duration_since(earlier.monotonic))
    }

    /// How much time is left until `later`, by the clock that says less.
    pub(super) fn until(self, later: Self) -> Duration {
        let wall = later.wall.duration_since(self.wall).unwrap_or_default();
        wall.min(later.monotonic.saturating_duration_since(self.monotonic))
    }

    /// Whether this is `moment` or later, by either clock.
    #[inline]
    pub(super) fn has_reached(self, moment: Self) -> bool {
        self.wall >= moment.wall || self.monotonic >= moment.monotonic
    }

    /// So much later by both clocks, up to thirty years.
    pub(super) fn after(self, time: Duration) -> Self {
        let time = time.min(FAR_AHEAD);
        Self {
            wall: self.wall.checked_add(time).unwrap_or(self.wall),
            monotonic: self.monotonic.checked_add(time).unwrap_or(self.monotonic),
        }
    }
}

/// Tells the time. Tests have clocks of their own.
pub trait Clock: Send + Sync + 'static {
    /// What time it is.
    fn now(&self) -> Now;
}

/// The clocks of this machine; the monotonic one is tokio's, which a test can pause.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { wall: SystemTime::now(), monotonic: tokio::time::Instant::now().into_std() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_clock_that_is_ahead_says_how_late_it_is() {
        let start = SystemClock.now();
        let moment = start.after(10 * SECOND);
        assert!(!start.after(9 * SECOND).has_reached(moment) && moment.has_reached(moment));
        let (asleep, set_back) =
            (Now { monotonic: start.monotonic, ..moment }, Now { wall: start.wall, ..moment });
        for late in [moment, asleep, set_back] {
            assert!(late.has_reached(moment));
            assert_eq!((late.since(start), late.until(moment)), (10 * SECOND, Duration::ZERO));
        }
        let set_back = Now { wall: start.wall - 5 * SECOND, monotonic: start.monotonic + 7 * SECOND };
        assert_eq!((set_back.since(start), set_back.until(moment)), (7 * SECOND, 3 * SECOND));
    }

    #[test]
    fn what_never_comes_comes_in_thirty_years() {
        let start = SystemClock.now();
        let most = start.after(Duration::MAX);
        assert_eq!(start.until(most), 946_080_000 * SECOND);
        assert_eq!(start.until(start.after(946_079_999 * SECOND)), 946_079_999 * SECOND);
    }
}
