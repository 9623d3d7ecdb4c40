use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{
    Respond, ResponseFuture,
    admit::{admit, admit_fresh},
    rejection::respond_with,
    request::{PresentedTokens, mark_credentials, remove_identity},
    shared::Shared,
    validating::Validating,
};

/// Middleware that validates the token of each incoming request.
///
/// The inner service must be `Clone`. Wrap it in tower's `Buffer` if it is not.
///
/// It is ready when the inner service is ready, and it fails only with errors of the inner service. If the token is
/// cached, the inner service is called immediately. A request that has to wait for Keystone, or that is rejected, gives
/// the readiness of the inner service back: it holds no permit of the inner service meanwhile.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct ValidateToken<S, F> {
    shared: Arc<Shared>,
    respond: F,
    inner: S,
}

impl<S, F> ValidateToken<S, F> {
    pub(super) fn new(shared: Arc<Shared>, respond: F, inner: S) -> Self {
        Self { shared, respond, inner }
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

    /// Handles a request whose tokens need a closer look.
    #[cold]
    #[inline(never)]
    fn look_closer<B, R>(&mut self, mut request: Request<B>) -> ResponseFuture<S, F, B>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        F: Respond<R> + Clone,
    {
        remove_identity(request.headers_mut());
        let presented = PresentedTokens::read(request.headers(), &self.shared.settings);
        match Validating::start(presented, &request, &self.shared) {
            Ok(results) => match admit(&mut request, results, &self.shared) {
                Ok(()) => ResponseFuture::responding(self.inner.call(request), Arc::clone(&self.shared)),
                Err(rejection) => {
                    self.release_readiness();
                    ResponseFuture::rejected(respond_with(&self.respond, rejection))
                }
            },
            Err(validating) => {
                // The ready inner service can hold a permit or a slot in a queue. If a waiting request kept it,
                // requests of other users could not be sent.
                self.release_readiness();
                let (inner, respond) = (self.inner.clone(), self.respond.clone());
                ResponseFuture::waiting(validating, request, inner, respond, Arc::clone(&self.shared))
            }
        }
    }

    /// Replaces the ready inner service with a clone that is not ready.
    fn release_readiness(&mut self)
    where
        S: Clone,
    {
        self.inner = self.inner.clone();
    }
}

impl<S, F, B, R> Service<Request<B>> for ValidateToken<S, F>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    F: Respond<R> + Clone,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S, F, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let only_token = mark_credentials(request.headers_mut());
        match only_token.and_then(|token| self.shared.fresh_token(token)) {
            Some(token) => {
                admit_fresh(&mut request, token, &self.shared);
                ResponseFuture::responding(self.inner.call(request), Arc::clone(&self.shared))
            }
            None => self.look_closer(request),
        }
    }
}

/// Shows the settings and the inner service, and no token.
impl<S: fmt::Debug, F> fmt::Debug for ValidateToken<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateToken")
            .field("settings", &self.shared.settings)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
