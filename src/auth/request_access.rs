use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::HeaderMap;

use super::source::Source;
use crate::{
    AccessFuture, Error, IdentityPlugin, ServiceAccess,
    plugin::{both, both_ready},
};

/// The access of a request, and the one whose token is sent as `X-Service-Token`.
#[derive(Clone)]
pub(crate) struct RequestAccess {
    pub(super) access: Arc<ServiceAccess>,
    pub(super) service_access: Option<Arc<ServiceAccess>>,
}

/// The future of a [`RequestAccess`] that is not ready.
pub(super) enum PendingAccess {
    Access(AccessFuture),
    WithServiceToken(Pin<Box<dyn Future<Output = Result<RequestAccess, Error>> + Send>>),
}

impl RequestAccess {
    /// Asks for the access that a request is sent with. Returns it if it is ready, or else its future.
    #[inline(always)]
    pub(super) fn current<P: IdentityPlugin>(source: &Source<P>) -> Result<Self, PendingAccess> {
        let access = source.access();
        match source.service() {
            None => access.into_ready().map(Self::without_service_token).map_err(PendingAccess::Access),
            Some(service) => Self::with_service_token(access, source, service),
        }
    }

    #[inline(always)]
    fn without_service_token(access: Arc<ServiceAccess>) -> Self {
        Self { access, service_access: None }
    }

    fn with_service_token<P: IdentityPlugin>(
        access: AccessFuture,
        source: &Source<P>,
        service: &Arc<P>,
    ) -> Result<Self, PendingAccess> {
        let new = |(access, service_access)| Self { access, service_access: Some(service_access) };
        both_ready((access, service.access())).map(new).map_err(|pending| {
            let (source, service) = (source.clone(), Arc::clone(service));
            let access = async move { both(pending, || (source.access(), service.access())).await.map(new) };
            PendingAccess::WithServiceToken(Box::pin(access))
        })
    }

    /// Inserts the headers of the access and the service token.
    #[inline(always)]
    pub(super) fn insert_headers(&self, headers: &mut HeaderMap) {
        self.access.insert_headers(headers);
        if let Some(service_access) = &self.service_access {
            service_access.insert_service_token(headers);
        }
    }

    /// Returns the secrets that the request carries.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> + Clone {
        self.access.secrets().chain(self.service_access.iter().flat_map(|access| access.secrets()))
    }
}

impl Future for PendingAccess {
    type Output = Result<RequestAccess, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Access(access) => {
                Pin::new(access).poll(cx).map(|access| access.map(RequestAccess::without_service_token))
            }
            Self::WithServiceToken(access) => access.as_mut().poll(cx),
        }
    }
}
