//! The validation of the tokens of a request: the service token first, then the token of the user.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Request;
use tokio::time::Instant;

use super::{
    decide::{NotConfirmed, TokenResult, TokenResults, allow_expired},
    request::{PresentedToken, PresentedTokens},
    shared::Shared,
    token_validator::{Outcome, PendingOutcome},
};

/// A validation that waits for Keystone.
pub(super) enum Validating {
    Service { pending: PendingOutcome, user: PresentedToken },
    User { pending: PendingOutcome, service: TokenResult },
}

impl Validating {
    /// Returns what is known about the tokens, or the validation that has to wait for it.
    pub(super) fn start<B>(
        presented: PresentedTokens,
        request: &Request<B>,
        shared: &Shared,
    ) -> Result<TokenResults, Self> {
        let PresentedTokens { user, service } = presented;
        if let (false, Some(reason)) = (shared.settings.delay_auth_decision, user.fault()) {
            // The request is rejected whatever its service token is.
            return Ok(TokenResults { user: Err(reason), service: Err(NotConfirmed::NotAsked) });
        }
        match validate(&service, false, None, shared) {
            Ok(service) => Self::validate_user(user, service, None, request, shared),
            Err(pending) => Err(Self::Service { pending, user }),
        }
    }

    fn validate_user<B>(
        user: PresentedToken,
        service: TokenResult,
        waiting_since: Option<Instant>,
        request: &Request<B>,
        shared: &Shared,
    ) -> Result<TokenResults, Self> {
        let Some(allow_expired) = allow_expired(&service, &shared.facts(request), &shared.settings) else {
            return Ok(TokenResults { user: Err(NotConfirmed::NotAsked), service });
        };
        match validate(&user, allow_expired, waiting_since, shared) {
            Ok(user) => Ok(TokenResults { user, service }),
            Err(pending) => Err(Self::User { pending, service }),
        }
    }

    /// Resolves to what is known about the tokens.
    pub(super) fn poll<B>(
        &mut self,
        cx: &mut Context<'_>,
        request: &Request<B>,
        shared: &Shared,
    ) -> Poll<TokenResults> {
        loop {
            match self {
                Self::Service { pending, user } => {
                    let waiting_since = Some(pending.waiting_since());
                    let service = result(ready!(Pin::new(pending).poll(cx)));
                    let user = std::mem::replace(user, PresentedToken::Absent);
                    match Self::validate_user(user, service, waiting_since, request, shared) {
                        Ok(results) => return Poll::Ready(results),
                        Err(validating) => *self = validating,
                    }
                }
                Self::User { pending, service } => {
                    let user = result(ready!(Pin::new(pending).poll(cx)));
                    return Poll::Ready(TokenResults { user, service: service.clone() });
                }
            }
        }
    }
}

impl PresentedToken {
    /// Returns why Keystone need not be asked about the token.
    fn fault(&self) -> Option<NotConfirmed> {
        match self {
            Self::Absent => Some(NotConfirmed::Absent),
            Self::Malformed => Some(NotConfirmed::Malformed),
            Self::Token(_) => None,
        }
    }
}

fn validate(
    token: &PresentedToken,
    allow_expired: bool,
    waiting_since: Option<Instant>,
    shared: &Shared,
) -> Result<TokenResult, PendingOutcome> {
    match token {
        PresentedToken::Absent => Ok(Err(NotConfirmed::Absent)),
        PresentedToken::Malformed => Ok(Err(NotConfirmed::Malformed)),
        PresentedToken::Token(token) => {
            shared.validator.validate(token, allow_expired, waiting_since).map(result)
        }
    }
}

fn result(outcome: Outcome) -> TokenResult {
    match outcome {
        Outcome::Valid(token) => Ok(token),
        Outcome::Expired => Err(NotConfirmed::Expired),
        Outcome::Unknown => Err(NotConfirmed::Unknown),
        Outcome::Unavailable(retry_after) => Err(NotConfirmed::Unavailable(retry_after)),
        Outcome::Overloaded(retry_after) => Err(NotConfirmed::Overloaded(retry_after)),
    }
}
