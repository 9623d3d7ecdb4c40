use std::task::{Context, Poll};

use http::Request;
use tower_service::Service;

use super::{Destination, ResponseFuture};
use crate::BoxError;

/// Middleware that wraps the errors of requests in a [`RequestFailed`](super::RequestFailed).
///
/// See the [module docs](super) for an example.
#[derive(Clone, Copy, Debug)]
pub struct ErrorContext<S> {
    inner: S,
}

impl<S> ErrorContext<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
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
}

impl<S, B> Service<Request<B>> for ErrorContext<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    /// # Errors
    ///
    /// Returns the error of the inner service unchanged, because it does not belong to a request.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let destination = Destination::new(request.uri());
        request.extensions_mut().insert(destination.clone());
        ResponseFuture::new(self.inner.call(request), destination)
    }
}
