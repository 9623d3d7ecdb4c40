use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::ResponseFuture;
use crate::BoxError;

/// The request headers whose values are secret even if they are not marked as sensitive.
const SECRET_HEADERS: [&str; 7] = [
    "authorization",
    "cookie",
    "openstack-auth-receipt",
    "proxy-authorization",
    "x-auth-token",
    "x-service-token",
    "x-subject-token",
];

/// Middleware that turns responses with a status of 400 or above into [`Error::Service`](crate::Error::Service).
///
/// It reads at most 64 KiB of the body of such a response, and at most 1,024 frames without data. A longer or
/// incomplete body is truncated, and the status is still reported. Reading has no timeout of its own; add tower's
/// `Timeout` outside. Other responses are returned unchanged.
///
/// The message of the error is redacted if the body contains a secret of the request, or was truncated within one.
/// Secrets are the headers that [`AuthLayer`](crate::AuthLayer) has inserted, and these headers of the caller: tokens,
/// `Openstack-Auth-Receipt`, `Authorization`, `Proxy-Authorization`, cookies, and all headers that are marked as
/// sensitive.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Copy, Debug)]
pub struct RaiseForStatus<S> {
    inner: S,
}

impl<S> RaiseForStatus<S> {
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

impl<S, B, ResBody> Service<Request<B>> for RaiseForStatus<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: Body,
{
    type Response = Response<ResBody>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let secrets = secret_values(request.headers());
        ResponseFuture::new(self.inner.call(request), secrets)
    }
}

/// Returns the values of the secret headers. It does not allocate if there are none.
fn secret_values(headers: &HeaderMap) -> Vec<HeaderValue> {
    let is_secret = |(name, value): &(&HeaderName, &HeaderValue)| is_secret_header(name, value);
    headers.iter().filter(is_secret).map(|(_, value)| value.clone()).collect()
}

/// Returns whether the value of a request header is secret.
pub(crate) fn is_secret_header(name: &HeaderName, value: &HeaderValue) -> bool {
    value.is_sensitive() || SECRET_HEADERS.contains(&name.as_str())
}
