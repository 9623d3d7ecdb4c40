use std::sync::Arc;

use http::Uri;

use super::extensions::Identity;
use crate::{AccessFuture, IdentityPlugin, ServiceAccess, endpoint::Origin};

/// The plugin that a request is sent with.
///
/// It is determined when the layer reads the request. Everything that concerns the request asks this plugin only.
pub(super) enum Source<P> {
    /// The plugin of the layer.
    Layer(Arc<P>),
    /// The identity in the extensions of the request. The token of `service` is sent as `X-Service-Token`.
    Request { identity: Identity, service: Option<Arc<P>> },
}

impl<P> Source<P> {
    /// Returns the plugin whose token is sent as `X-Service-Token`, if any.
    #[inline(always)]
    pub(super) fn service(&self) -> Option<&Arc<P>> {
        match self {
            Self::Layer(_) => None,
            Self::Request { service, .. } => service.as_ref(),
        }
    }
}

impl<P: IdentityPlugin> IdentityPlugin for Source<P> {
    #[inline(always)]
    fn access(&self) -> AccessFuture {
        match self {
            Self::Layer(plugin) => plugin.access(),
            Self::Request { identity, .. } => identity.access(),
        }
    }

    fn invalidate(&self, access: &Arc<ServiceAccess>, origin: &Origin) -> bool {
        match self {
            Self::Layer(plugin) => plugin.invalidate(access, origin),
            Self::Request { identity, .. } => identity.invalidate(access, origin),
        }
    }

    fn auth_url(&self) -> Option<&Uri> {
        match self {
            Self::Layer(plugin) => plugin.auth_url(),
            Self::Request { identity, .. } => identity.auth_url(),
        }
    }
}

impl<P> Clone for Source<P> {
    fn clone(&self) -> Self {
        match self {
            Self::Layer(plugin) => Self::Layer(Arc::clone(plugin)),
            Self::Request { identity, service } => {
                Self::Request { identity: identity.clone(), service: service.clone() }
            }
        }
    }
}
