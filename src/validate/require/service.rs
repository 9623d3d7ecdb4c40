use std::task::{Context, Poll};

use http::Request;
use tower_service::Service;

/// Middleware that lets through only callers that satisfy a requirement.
#[derive(Clone, Debug)]
pub struct Require<S> {
    pub(super) inner: S,
}

impl<S, B> Service<Request<B>> for Require<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.inner.call(request)
    }
}
