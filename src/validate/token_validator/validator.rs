use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Uri};

use super::{ValidatedToken, ValidatorSettings};
use crate::validate::ValidationMetrics;

/// Validates tokens. Clones share the cache.
#[derive(Clone)]
pub(in crate::validate) struct TokenValidator {}

/// What is known about a token.
#[derive(Clone)]
pub(in crate::validate) enum Outcome {
    /// Keystone has confirmed the token. It may have expired since, or before if expired tokens are allowed: the caller
    /// checks that.
    Valid(Arc<ValidatedToken>),
    /// Keystone does not know the token, or it has expired.
    Unknown,
    /// Keystone could not be asked. The caller should try again after this time.
    Unavailable(Duration),
}

/// The outcome of a validation in flight.
pub(in crate::validate) struct PendingOutcome {}

impl TokenValidator {
    pub(in crate::validate) fn new(_settings: &ValidatorSettings) -> Self {
        Self {}
    }

    /// Returns the outcome for a token if it is cached, or the future that resolves to it.
    ///
    /// `allow_expired` asks for an expired token too: a service token with a service role allows that. Such an outcome
    /// is never cached as if the token were alive.
    pub(in crate::validate) fn validate(
        &self,
        _token: &HeaderValue,
        _allow_expired: bool,
    ) -> Result<Outcome, PendingOutcome> {
        Err(PendingOutcome {})
    }

    /// Returns the URL of Keystone, for the challenge of a 401.
    pub(in crate::validate) fn auth_url(&self) -> Option<&Uri> {
        None
    }

    pub(in crate::validate) fn metrics(&self) -> ValidationMetrics {
        ValidationMetrics::default()
    }
}

impl Future for PendingOutcome {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Outcome::Unavailable(Duration::from_secs(1)))
    }
}
