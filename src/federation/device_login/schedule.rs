use std::time::Duration;

use tokio::time::Instant;

use crate::{Error, task::Timer};

/// How much longer the interval is after each `slow_down` (RFC 8628, section 3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// Maximum delay after a failed request, unless the interval or the server demands a longer one.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Longest delay that a server can demand by `Retry-After`. With any longer one, it would end the login.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// When the token endpoint is asked again (RFC 8628, section 3.5): the first time at once.
pub(super) struct Schedule {
    interval: Duration,
    /// The last delay. It is longer than the interval after failed requests.
    delay: Duration,
    next_request: Instant,
    expires_at: Instant,
}

impl Schedule {
    pub(super) fn new(interval: Duration, lifetime: Duration) -> Self {
        let now = Instant::now();
        Self { interval, delay: interval, next_request: now, expires_at: now + lifetime }
    }

    /// Returns how long the code is valid from now on.
    pub(super) fn remaining(&self) -> Duration {
        self.expires_at.saturating_duration_since(Instant::now())
    }

    /// Waits until the next request. Returns whether the code is still valid then.
    pub(super) async fn wait(&self) -> Result<bool, Error> {
        let end = self.next_request.min(self.expires_at);
        Timer::new(end.saturating_duration_since(Instant::now())).await?;
        Ok(!self.remaining().is_zero())
    }

    /// The person has not logged in yet.
    pub(super) fn pending(&mut self) {
        self.delay = self.interval;
        self.plan(None);
    }

    /// The provider demands longer delays.
    pub(super) fn slow_down(&mut self, retry_after: Option<Duration>) {
        self.interval += SLOW_DOWN;
        self.delay = self.interval;
        self.plan(retry_after);
    }

    /// The provider did not answer, or could not.
    pub(super) fn failed(&mut self, retry_after: Option<Duration>) {
        self.delay = self.delay.saturating_mul(2).min(MAX_DELAY.max(self.interval));
        self.plan(retry_after);
    }

    fn plan(&mut self, retry_after: Option<Duration>) {
        let delay = self.delay.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
        self.next_request = Instant::now().checked_add(delay).unwrap_or(self.expires_at);
    }
}
