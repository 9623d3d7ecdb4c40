use std::{future::Future, sync::Arc};

use http::Uri;

use super::{
    extensions::Identity,
    request_access::{PendingAccess, RequestAccess, WithServiceToken},
};
use crate::{AccessFuture, Error, IdentityPlugin, ServiceAccess, endpoint::Origin};

/// The plugin that a request is sent with: that of the layer, or the [`RequestIdentity`].
///
/// The code that handles a request is generic over it, so it cannot use the other plugin by mistake.
pub(super) trait Source: Accesses + IdentityPlugin + Clone {
    /// Returns the access to send the request with if it is ready, or else its future.
    fn request_access(&self) -> Result<Self::Access, Self::Pending>;
}

/// What a [`Source`] returns. It is a trait of its own because types without a bound for `P` need it.
pub(super) trait Accesses {
    type Access: RequestAccess;
    type Pending: Future<Output = Result<Self::Access, Error>> + Send + Unpin;
}

impl<P> Accesses for Arc<P> {
    type Access = Arc<ServiceAccess>;
    type Pending = AccessFuture;
}

impl<P> Accesses for RequestIdentity<P> {
    type Access = WithServiceToken;
    type Pending = PendingAccess;
}

/// The plugin of the layer.
impl<P: IdentityPlugin> Source for Arc<P> {
    #[inline(always)]
    fn request_access(&self) -> Result<Arc<ServiceAccess>, AccessFuture> {
        self.access().into_ready()
    }
}

/// The identity in the extensions of a request.
pub(super) struct RequestIdentity<P> {
    pub(super) identity: Identity,
    /// The plugin of the layer, if its token is sent as `X-Service-Token`.
    pub(super) service: Option<Arc<P>>,
}

impl<P: IdentityPlugin> Source for RequestIdentity<P> {
    #[inline]
    fn request_access(&self) -> Result<WithServiceToken, PendingAccess> {
        match &self.service {
            None => {
                let access = self.access().into_ready().map_err(PendingAccess::Access)?;
                Ok(WithServiceToken { access, service_access: None })
            }
            Some(service) => WithServiceToken::current(&self.identity, service),
        }
    }
}

impl<P: IdentityPlugin> IdentityPlugin for RequestIdentity<P> {
    #[inline]
    fn access(&self) -> AccessFuture {
        self.identity.access()
    }

    fn invalidate(&self, access: &Arc<ServiceAccess>, origin: &Origin) -> bool {
        self.identity.invalidate(access, origin)
    }

    fn auth_url(&self) -> Option<&Uri> {
        self.identity.auth_url()
    }
}

impl<P> Clone for RequestIdentity<P> {
    fn clone(&self) -> Self {
        Self { identity: self.identity.clone(), service: self.service.clone() }
    }
}
