//! What the layer does with the status of a response: a 401 is reported to the plugin.

use std::sync::Arc;

use http::{Response, StatusCode};

use super::{
    extensions::TokenRejected,
    prepare::SentToken,
    request_access::RequestAccess,
    source::{Accesses, RequestIdentity, Source},
};
use crate::{IdentityPlugin, ServiceAccess};

/// Reads the response to a request, if that carried the token of the layer's plugin or of an identity.
pub(super) enum Observer<P> {
    None,
    Layer(ResponseObserver<Arc<P>>),
    Identity(ResponseObserver<RequestIdentity<P>>),
}

impl<P> From<ResponseObserver<Arc<P>>> for Observer<P> {
    #[inline(always)]
    fn from(observer: ResponseObserver<Arc<P>>) -> Self {
        Self::Layer(observer)
    }
}

impl<P> From<ResponseObserver<RequestIdentity<P>>> for Observer<P> {
    #[inline(always)]
    fn from(observer: ResponseObserver<RequestIdentity<P>>) -> Self {
        Self::Identity(observer)
    }
}

impl<P> Observer<P> {
    /// Creates the observer of a request that carried this token.
    #[inline(always)]
    pub(super) fn new<Src: Source>(sent: Option<SentToken<Src::Access>>, plugin: &Src) -> Self
    where
        ResponseObserver<Src>: Into<Self>,
    {
        match sent {
            Some(sent) => ResponseObserver { plugin: plugin.clone(), sent }.into(),
            None => Self::None,
        }
    }
}

impl<P: IdentityPlugin> Observer<P> {
    /// Records that the origin accepted the token, or handles an error status.
    #[inline(always)]
    pub(super) fn observe<ResBody>(&self, response: &mut Response<ResBody>) {
        match self {
            Self::None => {}
            Self::Layer(observer) => observer.observe(response),
            Self::Identity(observer) => observer.observe(response),
        }
    }
}

/// Reads the response to a request that carried the token of a plugin.
pub(super) struct ResponseObserver<Src: Accesses> {
    plugin: Src,
    sent: SentToken<Src::Access>,
}

impl<Src: Source> ResponseObserver<Src> {
    #[inline(always)]
    fn observe<ResBody>(&self, response: &mut Response<ResBody>) {
        match response.status().as_u16() < 400 {
            true => self.sent.access.access().record_accepted(&self.sent.origin),
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
            let rejected = TokenRejected::new(self.plugin.invalidate(access.access(), origin));
            response.extensions_mut().insert(rejected);
        }
        let (access, service_access) = (Arc::clone(access.access()), access.service_access().cloned());
        response.extensions_mut().insert(SentWith { access, service_access });
    }
}

/// A response extension that holds the accesses that the request was sent with.
///
/// Only error responses have it. [`RaiseForStatus`](crate::RaiseForStatus) redacts the secrets of these accesses.
#[derive(Clone)]
pub(crate) struct SentWith {
    access: Arc<ServiceAccess>,
    service_access: Option<Arc<ServiceAccess>>,
}

impl SentWith {
    /// Returns the secrets that the request carried.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> + Clone {
        self.access.secrets().chain(self.service_access.iter().flat_map(|access| access.secrets()))
    }
}
