use std::time::{Duration, Instant, SystemTime};

/// Maximum time that [`Now::after`] adds. The clocks of some machines overflow not long after that.
const MAX_AHEAD: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A moment, read from both clocks of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Now {
    /// The time of day. It jumps if the clock is set.
    pub wall: SystemTime,
    /// The monotonic clock. It is never set, but may stop while the machine sleeps.
    pub monotonic: Instant,
}

impl Now {
    /// Creates a moment from the readings of the two clocks.
    ///
    /// ```
    /// use std::time::{Instant, SystemTime};
    /// use tower_keystone::renewal::{Clock, Now};
    ///
    /// struct StdClock;
    ///
    /// impl Clock for StdClock {
    ///     fn now(&self) -> Now {
    ///         Now::new(SystemTime::now(), Instant::now())
    ///     }
    /// }
    /// ```
    pub const fn new(wall: SystemTime, monotonic: Instant) -> Self {
        Self { wall, monotonic }
    }

    /// Returns the time that has passed since `earlier`: the larger value of the two clocks.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        wall.max(self.monotonic.saturating_duration_since(earlier.monotonic))
    }

    /// Returns the time that is left until `later`: the smaller value of the two clocks.
    pub(super) fn until(self, later: Self) -> Duration {
        let wall = later.wall.duration_since(self.wall).unwrap_or_default();
        wall.min(later.monotonic.saturating_duration_since(self.monotonic))
    }

    /// Returns whether either clock has reached `moment`.
    #[inline]
    pub(crate) fn has_reached(self, moment: Self) -> bool {
        self.wall >= moment.wall || self.monotonic >= moment.monotonic
    }

    /// Returns the moment that is `time` later by both clocks. Adds 30 years at most.
    pub(crate) fn after(self, time: Duration) -> Self {
        let time = time.min(MAX_AHEAD);
        Self {
            wall: self.wall.checked_add(time).unwrap_or(self.wall),
            monotonic: self.monotonic.checked_add(time).unwrap_or(self.monotonic),
        }
    }
}

/// A source of the current time. Tests can replace it ([`RenewingPlugin::clock`](super::RenewingPlugin::clock)).
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> Now;
}

/// The clocks of this machine.
///
/// The monotonic clock is tokio's, which a test can pause.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now::new(SystemTime::now(), tokio::time::Instant::now().into_std())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_clock_that_is_ahead_counts() {
        let start = SystemClock.now();
        let moment = start.after(10 * SECOND);
        assert!(!start.after(9 * SECOND).has_reached(moment) && moment.has_reached(moment));
        let (asleep, set_back) =
            (Now::new(moment.wall, start.monotonic), Now::new(start.wall, moment.monotonic));
        for late in [moment, asleep, set_back] {
            assert!(late.has_reached(moment));
            assert_eq!((late.since(start), late.until(moment)), (10 * SECOND, Duration::ZERO));
        }
        let set_back = Now::new(start.wall - 5 * SECOND, start.monotonic + 7 * SECOND);
        assert_eq!((set_back.since(start), set_back.until(moment)), (7 * SECOND, 3 * SECOND));
    }

    #[test]
    fn a_moment_is_at_most_thirty_years_ahead() {
        let start = SystemClock.now();
        let latest = start.after(Duration::MAX);
        assert_eq!(start.until(latest), 946_080_000 * SECOND);
        assert_eq!(start.until(start.after(946_079_999 * SECOND)), 946_079_999 * SECOND);
    }
}
