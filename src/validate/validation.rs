use std::sync::Arc;

use http::Extensions;
use tracing::error;

use super::{
    Caller, Rejection,
    decide::{NotConfirmed, TokenResults},
    shared::Shared,
    token_validator::ValidatedToken,
};
use crate::AccessInfo;

/// How sure the layer is about a token: keystonemiddleware's `X-Identity-Status`, with two more values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityStatus {
    /// Keystone has confirmed the token.
    Confirmed,
    /// The token is malformed, unknown, expired or not allowed for this request.
    Invalid,
    /// The request has no token.
    Absent,
    /// Keystone could not be asked.
    Unavailable,
}

/// What the layer found out about the tokens of a request: an extension of the request.
///
/// Without [`delay_auth_decision`](crate::ValidateTokenLayer::delay_auth_decision) the user is always confirmed,
/// because all other requests are rejected.
#[derive(Clone, Debug)]
#[must_use]
pub struct Validation {
    /// Boxed, so that the validation of a confirmed user stays small.
    caller: Result<Caller, Box<(IdentityStatus, Rejection)>>,
    service: Result<Arc<ValidatedToken>, IdentityStatus>,
}

impl Validation {
    pub(super) fn new(results: TokenResults, shared: &Shared) -> Self {
        let service = results.service.map_err(NotConfirmed::status);
        let caller = match results.user {
            Ok(user) => Ok(Caller::new(user, service.as_ref().ok().cloned())),
            Err(reason) => Err(Box::new((reason.status(), shared.rejection(reason)))),
        };
        Self { caller, service }
    }

    /// Creates the validation of a request with a confirmed user and without a service token.
    #[inline(always)]
    pub(super) fn confirmed(user: Arc<ValidatedToken>) -> Self {
        Self { caller: Ok(Caller::new(user, None)), service: Err(IdentityStatus::Absent) }
    }

    #[cfg(test)]
    pub(super) fn for_test(caller: Result<Caller, (IdentityStatus, Rejection)>) -> Self {
        Self { caller: caller.map_err(Box::new), service: Err(IdentityStatus::Absent) }
    }

    /// Returns the validation from the extensions of a request.
    ///
    /// # Errors
    ///
    /// A rejection with status 500 if no [`ValidateTokenLayer`](super::ValidateTokenLayer) has seen the request. This
    /// is also logged as an error.
    pub fn from_extensions(extensions: &Extensions) -> Result<&Self, Rejection> {
        extensions.get().ok_or_else(|| {
            error!(
                "no ValidateTokenLayer has seen this request: add one around the service that asks for the caller (in \
                 axum, the layer that is added last is outermost)"
            );
            Rejection::missing_layer()
        })
    }

    /// Returns how sure the layer is about the token of the user.
    pub fn status(&self) -> IdentityStatus {
        self.caller.as_ref().map_or_else(|error| error.0, |_| IdentityStatus::Confirmed)
    }

    /// Returns the confirmed user.
    ///
    /// # Errors
    ///
    /// The rejection to respond with if there is none: 401, or 503 if Keystone was unavailable.
    pub fn caller(&self) -> Result<&Caller, Rejection> {
        self.caller.as_ref().map_err(|error| error.1.clone())
    }

    /// Returns how sure the layer is about the service token.
    pub fn service_status(&self) -> IdentityStatus {
        self.service.as_ref().map_or_else(|status| *status, |_| IdentityStatus::Confirmed)
    }

    /// Returns the access info of the service token, if it is confirmed.
    pub fn service(&self) -> Option<&AccessInfo> {
        self.service.as_deref().ok().map(ValidatedToken::access_info)
    }
}

impl Caller {
    /// Returns the caller from the extensions of a request.
    ///
    /// # Errors
    ///
    /// The rejection to respond with: 401 if the request has no valid token, 503 if Keystone was unavailable, and 500
    /// if no [`ValidateTokenLayer`](super::ValidateTokenLayer) has seen the request.
    pub fn from_extensions(extensions: &Extensions) -> Result<&Self, Rejection> {
        Validation::from_extensions(extensions)?.caller()
    }
}

impl NotConfirmed {
    fn status(self) -> IdentityStatus {
        match self {
            Self::Absent => IdentityStatus::Absent,
            Self::Unavailable(_) | Self::Overloaded(_) => IdentityStatus::Unavailable,
            _ => IdentityStatus::Invalid,
        }
    }
}
