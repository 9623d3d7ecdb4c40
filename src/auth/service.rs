use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{
    extensions::Identity, future::ResponseFuture, request::RequestInfo, request_future::RequestFuture,
    settings::Shared, source::RequestIdentity,
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
    shared: Shared<Arc<P>>,
    inner: S,
}

impl<P, S> Auth<P, S> {
    pub(super) fn new(shared: Shared<Arc<P>>, inner: S) -> Self {
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

    /// Sends a request with the identity that replaces the plugin of the layer.
    #[inline(never)]
    fn call_as<B>(
        &mut self,
        identity: Identity,
        info: RequestInfo,
        request: Request<B>,
    ) -> ResponseFuture<P, S, B>
    where
        P: IdentityPlugin,
        S: Service<Request<B>> + Clone,
    {
        let Shared { plugin, settings } = &self.shared;
        let sends_service_token = info.needs_token && settings.send_service_token;
        let service = sends_service_token.then(|| Arc::clone(plugin));
        let shared = Shared { plugin: RequestIdentity { identity, service }, settings: Arc::clone(settings) };
        ResponseFuture::with_identity(RequestFuture::new(info, request, &mut self.inner, &shared))
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
        let (info, identity) = RequestInfo::extract(&mut request, &self.shared.settings);
        match identity {
            None => {
                ResponseFuture::with_layer(RequestFuture::new(info, request, &mut self.inner, &self.shared))
            }
            Some(identity) => self.call_as(identity, info, request),
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
