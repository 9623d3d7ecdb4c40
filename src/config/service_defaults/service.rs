use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, Request};
use tower_service::Service;

use super::{
    ResponseFuture,
    services::{DefaultService, Services},
};
use crate::{BoxError, EndpointFilter, Error};

/// Middleware that applies the settings of single services to requests.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct ServiceDefaults<S> {
    inner: S,
    services: Arc<Services>,
    default: Option<DefaultService>,
}

impl<S> ServiceDefaults<S> {
    pub(super) fn new(inner: S, services: Arc<Services>, default: Option<DefaultService>) -> Self {
        Self { inner, services, default }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes this middleware and returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Sets the service of requests that name none: they have no filter, or one without a service type.
    #[cfg(feature = "rustls")]
    pub(crate) fn set_service(&mut self, service_type: &str) -> Result<(), Error> {
        self.default = self.services.default_service(service_type)?;
        Ok(())
    }

    fn complete(&self, extensions: &mut Extensions) -> Result<(), Error> {
        let completed = match (extensions.get::<EndpointFilter>(), &self.default) {
            (None, None) => None,
            (None, Some(default)) => {
                default.completed().insert_into(extensions);
                None
            }
            (Some(filter), Some(default)) if filter.wanted_service_type().is_none() => {
                self.services.complete(&default.typed(filter))?
            }
            (Some(filter), _) => self.services.complete(filter)?,
        };
        if let Some(completed) = completed {
            completed.insert_into(extensions);
        }
        Ok(())
    }
}

impl<S, B> Service<Request<B>> for ServiceDefaults<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    /// # Errors
    ///
    /// The future returns [`Error::Config`] if a setting of the service is wrong. The request is not sent then.
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.complete(request.extensions_mut()) {
            Ok(()) => ResponseFuture::sent(self.inner.call(request)),
            Err(error) => ResponseFuture::failed(error),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ServiceDefaults<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceDefaults").field("inner", &self.inner).finish_non_exhaustive()
    }
}
