//! What the layer does with the status of a response: a 401 is reported to the plugin.

use http::{Response, StatusCode};

use super::{extensions::TokenRejected, prepare::SentToken, request_access::RequestAccess, source::Source};
use crate::IdentityPlugin;

/// Reads the response to a request that carried the token of a plugin.
pub(super) struct ResponseObserver<P> {
    source: Source<P>,
    sent: SentToken,
}

impl<P> ResponseObserver<P> {
    #[inline(always)]
    pub(super) fn new(sent: SentToken, source: Source<P>) -> Self {
        Self { source, sent }
    }
}

impl<P: IdentityPlugin> ResponseObserver<P> {
    /// Records that the origin accepted the token, or handles an error status.
    #[inline(always)]
    pub(super) fn observe<ResBody>(&self, response: &mut Response<ResBody>) {
        match response.status().as_u16() < 400 {
            true => self.sent.access.access.record_accepted(&self.sent.origin),
            false => self.observe_error(response),
        }
    }

    /// Reports a rejected token to the plugin, and inserts the extensions of an error response.
    ///
    /// A 401 does not say which token was rejected. It is reported for the user's token alone: a user with a bad token
    /// must not cause renewals of the service's token.
    fn observe_error<ResBody>(&self, response: &mut Response<ResBody>) {
        let SentToken { access, origin } = &self.sent;
        if response.status() == StatusCode::UNAUTHORIZED {
            let rejected = TokenRejected::new(self.source.invalidate(&access.access, origin));
            response.extensions_mut().insert(rejected);
        }
        response.extensions_mut().insert(SentWith(access.clone()));
    }
}

/// A response extension that holds the access that the request was sent with.
///
/// Only error responses have it. [`RaiseForStatus`](crate::RaiseForStatus) redacts the secrets of this access.
#[derive(Clone)]
pub(crate) struct SentWith(pub(crate) RequestAccess);
