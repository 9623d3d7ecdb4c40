use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{
    extensions::Identity,
    future::{Pending, ResponseFuture},
    pending_request::PendingRequest,
    prepare::{SentToken, prepare},
    request::{RequestInfo, remove_filter},
    resolve::{Resolving, resolve},
    response::Observer,
    settings::Shared,
    source::{RequestIdentity, Source},
};
use crate::{BoxError, EndpointFilter, IdentityPlugin};

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

    #[cfg(all(feature = "config", feature = "rustls"))]
    pub(crate) fn set_send_service_token(&mut self) {
        self.shared.update(|settings| settings.send_service_token = true);
    }

    #[cfg(all(feature = "config", feature = "rustls"))]
    pub(crate) fn set_require_identity(&mut self) {
        self.shared.update(|settings| settings.require_identity = true);
    }

    /// Sends a request with the identity that replaces the plugin of the layer.
    ///
    /// It is marked as cold so that the compiler optimizes `call` for requests without an identity.
    #[cold]
    #[inline(never)]
    fn call_as<B>(
        &mut self,
        identity: Identity,
        own_filter: Option<EndpointFilter>,
        mut request: Request<B>,
    ) -> ResponseFuture<P, S, B>
    where
        P: IdentityPlugin,
        S: Service<Request<B>> + Clone,
    {
        let Shared { plugin, settings } = &self.shared;
        let info = RequestInfo::extract(&mut request, own_filter, true, settings);
        let sends_service_token = info.needs_token && settings.send_service_token;
        let service = sends_service_token.then(|| Arc::clone(plugin));
        let shared = Shared { plugin: RequestIdentity { identity, service }, settings: Arc::clone(settings) };
        match resolve_and_prepare(&info, &mut request, &shared) {
            Ok(sent) => ResponseFuture::sent(self.inner.call(request), Observer::new(sent, &shared.plugin)),
            Err(resolving) => self.wait(resolving, info, request, shared),
        }
    }

    /// Returns the future of a request that cannot be sent immediately.
    ///
    /// The ready inner service can hold a permit or a slot in a queue. If a waiting request kept it, it could block the
    /// login. So the service is replaced, and the future polls a clone until it is ready.
    #[cold]
    #[inline(never)]
    fn wait<B, Src>(
        &mut self,
        resolving: Resolving<Src>,
        info: RequestInfo,
        request: Request<B>,
        shared: Shared<Src>,
    ) -> ResponseFuture<P, S, B>
    where
        S: Service<Request<B>> + Clone,
        Src: Source,
        PendingRequest<Src, S, B>: Into<Pending<P, S, B>>,
    {
        let inner = self.inner.clone();
        self.inner = inner.clone();
        ResponseFuture::pending(PendingRequest::new(resolving, request, info, inner, shared))
    }
}

/// Prepares the request if its access and endpoint are available, or returns what it has to wait for.
#[inline(always)]
fn resolve_and_prepare<B, Src: Source>(
    info: &RequestInfo,
    request: &mut Request<B>,
    shared: &Shared<Src>,
) -> Result<Option<SentToken<Src::Access>>, Resolving<Src>> {
    let filter = info.effective_filter(&shared.settings);
    let resolved = resolve(info, filter, shared)?;
    prepare(info, request, resolved, filter, shared).map_err(Resolving::error)
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
        let settings = &*self.shared.settings;
        let extensions = request.extensions_mut();
        let own_filter = remove_filter(extensions, settings);
        if !extensions.is_empty()
            && let Some(identity) = extensions.remove::<Identity>()
        {
            return self.call_as(identity, own_filter, request);
        }
        let info = RequestInfo::extract(&mut request, own_filter, false, settings);
        match resolve_and_prepare(&info, &mut request, &self.shared) {
            Ok(sent) => {
                ResponseFuture::sent(self.inner.call(request), Observer::new(sent, &self.shared.plugin))
            }
            Err(resolving) => self.wait(resolving, info, request, self.shared.clone()),
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
