//! The clock of a case.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tower_keystone::renewal::{Clock, Now};

/// The clock of a case. It starts at 2026-01-15T12:00:00Z, and advances only when the case sleeps.
#[derive(Clone, Copy)]
pub(crate) struct FrozenClock {
    wall: SystemTime,
    started: Instant,
}

impl FrozenClock {
    pub(crate) fn new() -> Self {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_478_400);
        Self { wall, started: Instant::now() }
    }
}

impl Clock for FrozenClock {
    fn now(&self) -> Now {
        Now::new(self.wall + self.started.elapsed(), Instant::now().into_std())
    }
}
