use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

/// What time it is, by both clocks of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time of day. It may be set forth and back.
    pub wall: SystemTime,
    /// The time since some moment in the past. It may stand still while the machine sleeps.
    pub monotonic: Duration,
}

impl Now {
    /// How much time has passed since `earlier`, by the clock that says more.
    pub(super) fn since(self, earlier: Self) -> Duration {
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        wall.max(self.monotonic.saturating_sub(earlier.monotonic))
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
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        Now { wall: SystemTime::now(), monotonic: Instant::now().saturating_duration_since(*START) }
    }
}
