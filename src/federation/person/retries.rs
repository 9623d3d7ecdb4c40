use std::time::Duration;

use tokio::time::Instant;

use crate::Error;

/// How long a Keystone that cannot be reached is asked again.
const MAX_WAIT: Duration = Duration::from_secs(5 * 60);

/// The first delay after a failed request. It doubles with each further one, up to the maximum.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(30);

/// The attempts to obtain an unscoped token after a person has logged in, who is not to be asked again.
pub(in crate::federation) struct Retries {
    give_up_at: Instant,
    delay: Duration,
}

impl Retries {
    pub(in crate::federation) fn new() -> Self {
        Self { give_up_at: Instant::now() + MAX_WAIT, delay: FIRST_DELAY }
    }

    /// Returns how long to wait before the next attempt. `None` if the error is permanent, or the time is over.
    pub(in crate::federation) fn delay_after(&mut self, error: &Error) -> Option<Duration> {
        let delay = self.delay.max(error.retry_after().unwrap_or_default());
        self.delay = self.delay.saturating_mul(2).min(MAX_DELAY);
        let next = Instant::now().checked_add(delay)?;
        (error.is_transient() && next <= self.give_up_at).then_some(delay)
    }
}
