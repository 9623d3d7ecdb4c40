//! What all services of a layer share.

use std::sync::Arc;

use http::{HeaderValue, Request, Uri};
use tracing::warn;

use super::{
    Rejection,
    decide::{NotConfirmed, RequestFacts},
    rejection::challenge,
    settings::Settings,
    token_validator::{TokenValidator, ValidatedToken},
};

/// The settings of a layer, its validator, and what is made from both.
pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    pub(super) validator: TokenValidator,
    /// The `WWW-Authenticate` of a 401.
    pub(super) challenge: HeaderValue,
}

impl Shared {
    pub(super) fn new(settings: Arc<Settings>, validator: TokenValidator) -> Self {
        let uri = settings.www_authenticate_uri.as_ref();
        let challenge = challenge(uri.or_else(|| validator.auth_url()));
        match uri {
            None => warn!(
                "www_authenticate_uri is not set; a 401 names the auth_url that this service uses, which clients may \
                 not be able to reach"
            ),
            Some(uri) if !is_public_url(uri) => warn!(
                www_authenticate = ?challenge,
                "www_authenticate_uri is not a URL that clients can use; set it to the public URL of Keystone, such as \
                 `https://keystone.example.com/v3`"
            ),
            Some(_) => {}
        }
        Self { settings, validator, challenge }
    }

    /// Returns the token of a request that is let through without a closer look at its tokens and at the request.
    ///
    /// Most requests have one token, which Keystone has confirmed a short time ago, and which can be used for all
    /// requests. `text` is the only header of the request with a token. A token with blanks around it is not found here.
    #[inline]
    pub(super) fn fresh_token(&self, text: &HeaderValue) -> Option<Arc<ValidatedToken>> {
        if self.settings.require_certificate_bound_tokens {
            return None;
        }
        let token = self.validator.fresh(text)?;
        if token.is_restricted() || text.len() > self.settings.max_token_length {
            return None;
        }
        self.validator.record_hit();
        Some(token)
    }

    pub(super) fn facts<'a, B>(&self, request: &'a Request<B>) -> RequestFacts<'a> {
        RequestFacts {
            now: self.validator.now(),
            method: request.method(),
            uri: request.uri(),
            extensions: request.extensions(),
        }
    }

    /// Returns the rejection of a request whose token is not confirmed.
    pub(super) fn rejection(&self, reason: NotConfirmed) -> Rejection {
        match reason {
            NotConfirmed::Unavailable(retry_after) | NotConfirmed::Overloaded(retry_after) => {
                Rejection::unavailable(retry_after)
            }
            _ => Rejection::unauthorized(self.challenge.clone()),
        }
    }
}

/// Returns whether a client can connect to a URL: `keystone.example.com` and `/v3` have no scheme.
fn is_public_url(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
}
