use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::ResponseFuture;
use crate::BoxError;

/// The headers of a request that have a secret in them even if they are not marked sensitive.
const SECRETS: [&str; 7] = [
    "authorization",
    "cookie",
    "openstack-auth-receipt",
    "proxy-authorization",
    "x-auth-token",
    "x-service-token",
    "x-subject-token",
];

/// Middleware that turns answers with a status of 400 or above into [`Error::Service`](crate::Error::Service).
///
/// Of such an answer's body up to 64 KiB are read; that it is longer, or breaks off, does not hide the
/// status. After 1,024 frames without data the rest is not waited for. How long reading may take is for a `Timeout`
/// around it to say. Other answers pass untouched.
///
/// What the answer says is withheld if it repeats a secret, or was cut short within it: one that [`AuthLayer`](crate::AuthLayer) has put
/// into the request, or one that the caller has: a token, `Authorization`, `Proxy-Authorization`, a cookie, any header
/// that is marked sensitive.
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

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
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
        let secrets = secrets_of(request.headers());
        ResponseFuture::new(self.inner.call(request), secrets)
    }
}

/// The headers with secrets that the caller has put there. Nothing is allocated where there are none.
fn secrets_of(headers: &HeaderMap) -> Vec<HeaderValue> {
    let is_secret = |(name, value): &(&HeaderName, &HeaderValue)| {
        value.is_sensitive() || SECRETS.contains(&name.as_str())
    };
    headers.iter().filter(is_secret).map(|(_, value)| value.clone()).collect()
}
