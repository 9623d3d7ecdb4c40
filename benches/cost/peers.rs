//! The layers that the crate is compared with.

use std::{
    future::Future,
    hint::black_box,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode, Uri,
    uri::{Parts, PathAndQuery},
};
use pin_project_lite::pin_project;
use tokio::sync::Mutex;
use tower::{BoxError, Service};

pub const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

pub const X_SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");

/// A minimal layer: it joins a request to one endpoint, inserts a token that can change, and notices a 401.
///
/// It has no catalog and no origin guard.
#[derive(Clone)]
pub struct Baseline<S> {
    current: Arc<Snapshot>,
    source: Source,
    keep: bool,
    inner: S,
}

/// Where the baseline takes the token from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Layer,
    /// The `Arc<Snapshot>` in the extensions of the request.
    Request,
    /// The same, and the token of the layer is sent as `X-Service-Token`.
    RequestAndLayer,
}

pub struct Snapshot {
    pub token: HeaderValue,
    pub endpoint: Uri,
}

impl<S> Baseline<S> {
    pub fn new(current: Snapshot, inner: S) -> Self {
        Self { current: Arc::new(current), source: Source::Layer, keep: false, inner }
    }

    /// Takes the token from the extensions of the request.
    pub fn for_identities(current: Snapshot, sends_service_token: bool, inner: S) -> Self {
        let source = if sends_service_token { Source::RequestAndLayer } else { Source::Request };
        Self { source, ..Self::new(current, inner) }
    }

    /// Also keeps a clone of each request, to send it again.
    pub fn keeping(current: Snapshot, inner: S) -> Self {
        Self { keep: true, ..Self::new(current, inner) }
    }
}

impl<S, B, ResBody> Service<Request<B>> for Baseline<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    B: Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BaselineFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let kept = self.keep.then(|| request.clone());
        let used = match self.source {
            Source::Layer => Arc::clone(&self.current),
            _ => Arc::clone(request.extensions().get().expect("a snapshot in the request")),
        };
        if request.uri().scheme().is_none() {
            *request.uri_mut() = join(&used.endpoint, request.uri());
        }
        request.headers_mut().insert(X_AUTH_TOKEN, used.token.clone());
        if self.source == Source::RequestAndLayer {
            request.headers_mut().insert(X_SERVICE_TOKEN, self.current.token.clone());
        }
        BaselineFuture { response: self.inner.call(request), used, kept }
    }
}

pin_project! {
    pub struct BaselineFuture<F, B> {
        #[pin]
        response: F,
        used: Arc<Snapshot>,
        kept: Option<Request<B>>,
    }
}

impl<F, B, ResBody, E> Future for BaselineFuture<F, B>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(cx))?;
        if response.status() == StatusCode::UNAUTHORIZED {
            black_box((this.used, this.kept.take()));
        }
        Poll::Ready(Ok(response))
    }
}

/// Joins the path with one allocation.
#[inline(always)]
pub fn join(base: &Uri, relative: &Uri) -> Uri {
    let above = base.path().trim_end_matches('/');
    let below = relative.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut path = Vec::with_capacity(above.len() + below.len());
    path.extend_from_slice(above.as_bytes());
    path.extend_from_slice(below.as_bytes());
    let mut parts = Parts::default();
    parts.scheme = base.scheme().cloned();
    parts.authority = base.authority().cloned();
    parts.path_and_query = PathAndQuery::from_maybe_shared(Bytes::from(path)).ok();
    Uri::from_parts(parts).expect("a path was joined to a URL")
}

/// An `AsyncFilter` as other clients use it.
///
/// The token is behind an async mutex, the future is boxed, and the URI is joined as text.
pub fn async_filter<S, B: Send + 'static>(
    token: &str,
    base: &str,
    inner: S,
) -> impl Service<Request<B>, Response = S::Response, Error = BoxError> + use<S, B>
where
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
{
    type Checked<B> = Pin<Box<dyn Future<Output = Result<Request<B>, BoxError>> + Send>>;
    let token = Arc::new(Mutex::new(HeaderValue::from_str(token).expect("a token")));
    let base: Arc<str> = base.into();
    tower::filter::AsyncFilter::new(inner, move |mut request: Request<B>| -> Checked<B> {
        let (token, base) = (Arc::clone(&token), Arc::clone(&base));
        Box::pin(async move {
            let token = token.lock().await.clone();
            request.headers_mut().insert(X_AUTH_TOKEN, token);
            let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
            *request.uri_mut() = Uri::try_from(format!("{base}{path}"))?;
            Ok(request)
        })
    })
}
