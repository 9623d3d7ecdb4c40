use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::extensions::Identity;
use crate::{
    AccessFuture, Error, IdentityPlugin, ServiceAccess,
    plugin::{both, both_ready},
};

/// What a request is sent with.
pub(super) trait RequestAccess: Clone + Send + Sync + 'static {
    /// Returns the access whose headers are sent, and whose endpoints are used.
    fn access(&self) -> &Arc<ServiceAccess>;

    /// Returns the access whose token is sent as `X-Service-Token`, if any.
    fn service_access(&self) -> Option<&Arc<ServiceAccess>>;
}

impl RequestAccess for Arc<ServiceAccess> {
    #[inline(always)]
    fn access(&self) -> &Arc<ServiceAccess> {
        self
    }

    #[inline(always)]
    fn service_access(&self) -> Option<&Arc<ServiceAccess>> {
        None
    }
}

/// The access of an identity, and the one whose token is sent as `X-Service-Token`.
#[derive(Clone)]
pub(super) struct WithServiceToken {
    pub(super) access: Arc<ServiceAccess>,
    pub(super) service_access: Option<Arc<ServiceAccess>>,
}

/// The future of a [`WithServiceToken`] that is not ready.
pub(super) enum PendingAccess {
    Access(AccessFuture),
    Both(Pin<Box<dyn Future<Output = Result<WithServiceToken, Error>> + Send>>),
}

impl RequestAccess for WithServiceToken {
    #[inline(always)]
    fn access(&self) -> &Arc<ServiceAccess> {
        &self.access
    }

    #[inline(always)]
    fn service_access(&self) -> Option<&Arc<ServiceAccess>> {
        self.service_access.as_ref()
    }
}

impl WithServiceToken {
    /// Returns the accesses of the user and of the service if both are ready, or else their future.
    #[inline]
    pub(super) fn current<P: IdentityPlugin>(
        identity: &Identity,
        service: &Arc<P>,
    ) -> Result<Self, PendingAccess> {
        let new = |(access, service_access)| Self { access, service_access: Some(service_access) };
        both_ready((identity.access(), service.access())).map(new).map_err(|pending| {
            let (identity, service) = (identity.clone(), Arc::clone(service));
            let access =
                async move { both(pending, || (identity.access(), service.access())).await.map(new) };
            PendingAccess::Both(Box::pin(access))
        })
    }
}

impl Future for PendingAccess {
    type Output = Result<WithServiceToken, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Access(access) => Pin::new(access)
                .poll(cx)
                .map(|access| Ok(WithServiceToken { access: access?, service_access: None })),
            Self::Both(access) => access.as_mut().poll(cx),
        }
    }
}
