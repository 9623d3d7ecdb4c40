use std::{
    fmt,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{
    future::ResponseFuture,
    prepare::prepare,
    request::RequestInfo,
    resolve::{Resolved, Resolving},
    settings::Shared,
};
use crate::{BoxError, IdentityPlugin};

/// Middleware that gives every request an endpoint and a token. The inner service has to be `Clone`; put tower's
/// `Buffer` around one that is not.
///
/// Its readiness is exactly the inner service's. Whatever goes wrong with authentication is the
/// error of the one request's future, so that it cannot wear out a `Buffer` around it.
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

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Drops the readiness of the inner service, and returns a clone that is not ready either.
    fn give_back(&mut self) -> S
    where
        S: Clone,
    {
        let inner = self.inner.clone();
        self.inner = inner.clone();
        inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
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
        let info = RequestInfo::take(&mut request, &self.shared.settings);
        let filter = info.effective_filter(&self.shared.settings);
        let prepared = Resolved::immediate(&info, filter, &self.shared).and_then(|resolved| {
            prepare(&info, &mut request, resolved, filter, &self.shared).map_err(Resolving::error)
        });
        match prepared {
            Ok(sent) => ResponseFuture::sent(self.inner.call(request), sent, &self.shared.plugin),
            Err(resolving) => {
                // Readiness may be a permit or a place in a queue. A request that held it while it waits could keep
                // the login from being sent, so it is given back, and the future polls a clone ready.
                let inner = self.give_back();
                ResponseFuture::pending(resolving, request, info, inner, self.shared.clone())
            }
        }
    }
}

impl<P, S: Clone> Clone for Auth<P, S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), inner: self.inner.clone() }
    }
}

/// The settings and the inner service; the plugin may hold credentials and is not shown.
impl<P, S: fmt::Debug> fmt::Debug for Auth<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("settings", &self.shared.settings)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
