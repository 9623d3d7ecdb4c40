//! The clocks of a case.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::time::Instant;
use tower_keystone::renewal::{Clock, Now};

use crate::{Case, Incomplete, access::time_of};

/// The clocks of a case. They advance only when the case sleeps.
#[derive(Clone, Copy)]
pub(crate) struct FrozenClock {
    wall: SystemTime,
    started: Instant,
}

impl FrozenClock {
    /// Returns a clock that starts at the `now` of a case.
    pub(crate) fn of(case: &Case) -> Result<Self, Incomplete> {
        Ok(Self { wall: Self::wall_of(case)?, started: Instant::now() })
    }

    /// Returns the `now` of a case, or 2026-01-15T12:00:00Z.
    pub(crate) fn wall_of(case: &Case) -> Result<SystemTime, Incomplete> {
        match case.input("now") {
            Value::Null => Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_478_400)),
            now => time_of(now),
        }
    }
}

impl Clock for FrozenClock {
    fn now(&self) -> Now {
        Now::new(self.wall + self.started.elapsed(), Instant::now().into_std())
    }
}
