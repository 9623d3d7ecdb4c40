use std::time::Duration;
#[cfg(feature = "store")]
use std::time::SystemTime;

use tokio::time::Instant;

use super::UnscopedToken;
use crate::{AccessInfo, renewal::lifetime};

/// How long a token without usable times counts as one that has more than half of its life left.
const YOUTH: Duration = Duration::from_secs(30);

/// The resolution of the times in documents and headers, twice.
const TIME_RESOLUTION: Duration = Duration::from_secs(2);

/// The newest unscoped token of a login, and how old it is.
#[derive(Clone)]
pub(super) struct KeptToken {
    pub(super) token: UnscopedToken,
    /// The number of the token. A newer one has a higher number.
    pub(super) generation: u64,
    /// Whether a person obtained it, rather than this login.
    pub(super) is_of_person: bool,
    /// Whether another process obtained it.
    pub(super) is_stored: bool,
    /// Whether Keystone has rejected it.
    pub(super) is_rejected: bool,
    since: Instant,
    /// How long it was valid at `since`.
    left: Duration,
    /// The whole lifetime. `None` if the document has no usable times.
    lifetime: Option<Duration>,
}

impl KeptToken {
    /// Keeps a token that was issued just now.
    pub(super) fn new(token: UnscopedToken, generation: u64) -> Self {
        let lifetime = lifetime::of_new_token(&token.access_info);
        Self {
            token,
            generation,
            is_of_person: false,
            is_stored: false,
            is_rejected: false,
            since: Instant::now(),
            left: lifetime.unwrap_or_default(),
            lifetime,
        }
    }

    /// Keeps a token that another process obtained.
    #[cfg(feature = "store")]
    pub(super) fn stored(token: UnscopedToken, generation: u64) -> Self {
        let (left, lifetime) = left_and_lifetime(&token.access_info).unwrap_or_default();
        Self { is_stored: true, left, lifetime: Some(lifetime), ..Self::new(token, generation) }
    }

    /// Marks the token as one that a person obtained.
    pub(super) fn of_person(self) -> Self {
        Self { is_of_person: true, ..self }
    }

    /// Returns whether the token has not expired, as far as its times say.
    pub(super) fn is_valid(&self) -> bool {
        self.lifetime.is_none() || !self.left().is_zero()
    }

    /// Returns whether the token has usable times.
    pub(super) fn has_times(&self) -> bool {
        self.lifetime.is_some()
    }

    /// Returns whether the token has more than half of its life left.
    ///
    /// A token with a scope ends with the unscoped token that it was made of. So this is the least that a new token with
    /// a scope has.
    pub(super) fn is_young(&self) -> bool {
        match self.lifetime {
            Some(lifetime) => self.left() > lifetime / 2,
            None => self.since.elapsed() < YOUTH,
        }
    }

    /// Returns whether a token with a scope that was made of a stored token shows that this had less than half of its life
    /// left, because the clock of this machine is slow.
    pub(super) fn was_old(&self, scoped: &AccessInfo) -> bool {
        let (Some(lifetime), Some(left)) = (self.lifetime, lifetime::of_new_token(scoped)) else {
            return false;
        };
        self.is_stored && left.saturating_add(TIME_RESOLUTION) < lifetime / 2
    }

    /// Returns how long the token is still valid. Zero if it has no usable times.
    pub(super) fn left(&self) -> Duration {
        self.left.saturating_sub(self.since.elapsed())
    }
}

/// Returns how long a token that was issued some time ago is still valid, and its whole lifetime.
#[cfg(feature = "store")]
fn left_and_lifetime(access_info: &AccessInfo) -> Option<(Duration, Duration)> {
    let expires_at = access_info.expires().ok()??;
    let lifetime = lifetime::since_issued_at(access_info.issued().ok().flatten(), expires_at)?;
    let left = expires_at.duration_since(SystemTime::now()).unwrap_or_default();
    // If the clock of this machine is slow, the time left is too long.
    Some((left.min(lifetime), lifetime))
}
