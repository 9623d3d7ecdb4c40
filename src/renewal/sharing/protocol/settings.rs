use std::time::Duration;

/// The times and limits of a renewal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Timeout of one login.
    pub attempt_timeout: Duration,
    /// How long a renewal goes on after failed logins of the fleet.
    pub wait_timeout: Duration,
    /// How long a renewal waits for the holder of the lease before it logs in by itself.
    pub patience: Duration,
    /// How long a lease lasts if it is not extended.
    pub term: Duration,
    /// How often the lease is extended during a login.
    pub beat: Duration,
    /// Delay before the second look, if requests wait for the token. It doubles with each look.
    pub first_look_delay: Duration,
    /// Maximum of that delay.
    pub max_look_delay: Duration,
    /// Minimum delay before the next look, if no request waits for the token.
    pub soft_look_delay: Duration,
    /// Maximum time between the look under the lease and the publication.
    ///
    /// It is shorter than the life of a tombstone. So a token that was published and buried in between can be seen.
    pub publish_limit: Duration,
    /// Whether the first failure ends the renewal.
    pub fail_fast: bool,
}

/// Maximum random part of the patience.
const PATIENCE_SPREAD: Duration = Duration::from_secs(8);

impl Settings {
    /// Creates the settings that belong to these timeouts.
    pub fn new(attempt_timeout: Duration, wait_timeout: Duration, fail_fast: bool, random: f64) -> Self {
        let max_patience = wait_timeout.saturating_sub(attempt_timeout);
        // With a larger spread, many processes would have no patience at all.
        let spread = PATIENCE_SPREAD.min(max_patience / 2);
        Self {
            attempt_timeout,
            wait_timeout,
            patience: max_patience.saturating_sub(spread.mul_f64(random)),
            term: Duration::from_secs(4),
            beat: Duration::from_secs(1),
            first_look_delay: Duration::from_millis(25),
            max_look_delay: Duration::from_millis(250),
            soft_look_delay: Duration::from_secs(1),
            publish_limit: Duration::from_secs(120),
            fail_fast,
        }
    }
}
