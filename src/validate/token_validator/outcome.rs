use std::{fmt, sync::Arc, time::Duration};

use super::ValidatedToken;

/// When to try again after Keystone was unavailable, unless Keystone names a time.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What is known about a token.
#[derive(Clone)]
pub(in crate::validate) enum Outcome {
    /// Keystone has confirmed the token. It may have expired since, or before if expired tokens are allowed: the caller
    /// checks that.
    Valid(Arc<ValidatedToken>),
    /// The token is cached, and has expired.
    Expired,
    /// Keystone does not know the token.
    Unknown,
    /// Keystone could not be asked. The caller should try again after this time.
    Unavailable(Duration),
    /// Too many validations are in flight or waiting. The caller should try again after this time.
    Overloaded(Duration),
}

/// Shows no token.
impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid(token) => f.debug_tuple("Valid").field(token.access_info()).finish(),
            Self::Expired => f.write_str("Expired"),
            Self::Unknown => f.write_str("Unknown"),
            Self::Unavailable(retry_after) => f.debug_tuple("Unavailable").field(retry_after).finish(),
            Self::Overloaded(retry_after) => f.debug_tuple("Overloaded").field(retry_after).finish(),
        }
    }
}
