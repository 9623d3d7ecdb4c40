use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{
    future::ResponseFuture,
    prepare::prepare,
    request::RequestInfo,
    resolve::{Resolving, resolve},
    response::ResponseObserver,
    settings::Shared,
};
use crate::{BoxError, IdentityPlugin};

/// Middleware that gives each request the URL of its service and a token.
///
/// The inner service must be `Clone`. Wrap it in tower's `Buffer` if it is not.
///
/// It is ready when the inner service is ready. An authentication error is returned by the future of the request, never
/// by `poll_ready`, so that it cannot close a `Buffer` around this service.
///
/// See the [crate docs](crate) for an example.
pub struct Auth<P, S> {
    shared: Shared<P>,
    inner: S,
}

impl<P, S> Auth<P, S> {
    pub(super) fn new(shared: Shared<P>, inner: S) -> Self {
        Self { shared, inner }
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

    /// Replaces the ready inner service with a clone that is not ready, and returns another clone for the future.
    fn release_readiness(&mut self) -> S
    where
        S: Clone,
    {
        let inner = self.inner.clone();
        self.inner = inner.clone();
        inner
    }
}

impl<P, S, B, ResBody> Service<Request<B>> for Auth<P, S>
where
    P: IdentityPlugin,
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = Response<ResBody>;
    type Error = BoxError;
    type Future = ResponseFuture<P, S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let info = RequestInfo::extract(&mut request, &self.shared);
        let settings = &self.shared.settings;
        let filter = info.effective_filter(settings);
        let prepared = resolve(&info, filter, settings).and_then(|resolved| {
            prepare(&info, &mut request, resolved, filter, settings).map_err(Resolving::error)
        });
        match prepared {
            Ok(sent) => {
                let observer = sent.map(|sent| ResponseObserver::new(sent, info.source));
                ResponseFuture::sent(self.inner.call(request), observer)
            }
            Err(resolving) => {
                // The ready inner service can hold a permit or a slot in a queue. If a waiting request kept it, it
                // could block the login. So the service is replaced, and the future polls a clone until it is ready.
                let settings = Arc::clone(settings);
                let inner = self.release_readiness();
                ResponseFuture::pending(resolving, request, info, inner, settings)
            }
        }
    }
}

impl<P, S: Clone> Clone for Auth<P, S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), inner: self.inner.clone() }
    }
}

/// Shows the settings and the inner service. The plugin may hold credentials and is not shown.
impl<P, S: fmt::Debug> fmt::Debug for Auth<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("settings", &self.shared.settings)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
