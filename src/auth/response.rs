//! What the layer does with the status of a response: a 401 is reported to the plugin.

use std::sync::Arc;

use http::{Response, StatusCode};

use super::{extensions::TokenRejected, prepare::SentToken};
use crate::{IdentityPlugin, ServiceAccess, endpoint::Origin};

/// Reads the response to a request that carried the token of a plugin.
pub(super) struct ResponseObserver<P> {
    plugin: Arc<P>,
    access: Arc<ServiceAccess>,
    origin: Arc<Origin>,
}

impl<P> ResponseObserver<P> {
    #[inline(always)]
    pub(super) fn new(SentToken { access, origin }: SentToken, plugin: &Arc<P>) -> Self {
        Self { plugin: Arc::clone(plugin), access, origin }
    }
}

impl<P: IdentityPlugin> ResponseObserver<P> {
    /// Records that the origin accepted the token, or handles an error status.
    #[inline(always)]
    pub(super) fn observe<ResBody>(&self, response: &mut Response<ResBody>) {
        match response.status().as_u16() < 400 {
            true => self.access.record_accepted(&self.origin),
            false => self.observe_error(response),
        }
    }

    /// Reports a rejected token to the plugin, and inserts the extensions of an error response.
    fn observe_error<ResBody>(&self, response: &mut Response<ResBody>) {
        if response.status() == StatusCode::UNAUTHORIZED {
            let rejected = TokenRejected::new(self.plugin.invalidate(&self.access, &self.origin));
            response.extensions_mut().insert(rejected);
        }
        response.extensions_mut().insert(SentWith(Arc::clone(&self.access)));
    }
}

/// A response extension that holds the access that the request was sent with.
///
/// Only error responses have it. [`RaiseForStatus`](crate::RaiseForStatus) redacts the secrets of this access.
#[derive(Clone)]
pub(crate) struct SentWith(pub(crate) Arc<ServiceAccess>);
