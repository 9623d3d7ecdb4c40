//! Statuses of 400 and above as errors: keystoneauth's `raise_exc`.
//!
//! An answer of a service is a response, whatever its status. [`RaiseForStatusLayer`] is for those who
//! would rather have an error with what the service says in it:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, StatusCode};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_keystone::{
//!     AccessInfoPlugin, AuthLayer, EndpointFilter, Error, RaiseForStatusLayer, ReauthPolicy, fixture::Cloud,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let info = cloud.keystone().issue("alice", Some("demo")).ok_or("no such user")?;
//! # cloud.keystone().revoke(info.auth_token().unwrap_or_default());
//! # let plugin = AccessInfoPlugin::new(info);
//! let nova = ServiceBuilder::new()
//!     .layer(RaiseForStatusLayer::new())
//!     .retry(ReauthPolicy::new())
//!     .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
//!     .service(cloud); // where the token was revoked
//!
//! let error = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await.unwrap_err();
//! match Error::find(&*error) {
//!     Some(Error::Service(answer)) => {
//!         assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
//!         assert!(answer.refusal.is_some_and(|refusal| refusal.is_final()));
//!     }
//!     other => panic!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It stands **outside of what retries**, since policies look at responses: an error of a status is not
//! tried again by [`ReauthPolicy`](crate::ReauthPolicy) or [`RetryPolicy`](crate::RetryPolicy).

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    BoxError, Error,
    error::{HttpError, secrets_in},
    future::SentWith,
};

/// The most that is read of the body of an answer that is an error, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// How many of its frames are read before other tasks get a turn.
const FRAMES_PER_POLL: usize = 32;

/// Maximum number of its frames without data.
const MAX_EMPTY_FRAMES: usize = 1024;

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

/// Turns answers with a status of 400 or above into [`Error::Service`]: the layer of [`RaiseForStatus`].
///
/// See the [module docs](self) for an example.
#[derive(Clone, Copy, Debug, Default)]
pub struct RaiseForStatusLayer(());

impl RaiseForStatusLayer {
    /// The layer.
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for RaiseForStatusLayer {
    type Service = RaiseForStatus<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RaiseForStatus { inner }
    }
}

/// Middleware that turns answers with a status of 400 or above into [`Error::Service`].
///
/// Of such an answer's body up to 64 KiB are read; that it is longer, or breaks off, does not hide the
/// status. After 1,024 frames without data the rest is not waited for. How long reading may take is for a `Timeout`
/// around it to say. Other answers pass untouched.
///
/// What the answer says is withheld if it repeats a secret, or was cut short within it: one that [`AuthLayer`](crate::AuthLayer) has put
/// into the request, or one that the caller has: a token, `Authorization`, `Proxy-Authorization`, a cookie, any header
/// that is marked sensitive.
///
/// See the [module docs](self) for an example.
#[derive(Clone, Copy, Debug)]
pub struct RaiseForStatus<S> {
    inner: S,
}

impl<S> RaiseForStatus<S> {
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
        ResponseFuture { response: self.inner.call(request), failed: None, secrets }
    }
}

/// The headers with secrets that the caller has put there. Nothing is allocated where there are none.
fn secrets_of(headers: &HeaderMap) -> Vec<HeaderValue> {
    let is_secret = |(name, value): &(&HeaderName, &HeaderValue)| {
        value.is_sensitive() || SECRETS.contains(&name.as_str())
    };
    headers.iter().filter(is_secret).map(|(_, value)| value.clone()).collect()
}

pin_project! {
    /// The response future of [`RaiseForStatus`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, B> {
        #[pin]
        response: F,
        #[pin]
        failed: Option<Failed<B>>,
        secrets: Vec<HeaderValue>,
    }
}

pin_project! {
    /// An answer that is an error, while its body is read.
    struct Failed<B> {
        parts: Parts,
        #[pin]
        body: B,
        read: Vec<u8>,
        empty_frames: usize,
        secrets: Vec<HeaderValue>,
    }
}

impl<B: Body> Failed<B> {
    fn poll_error(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Error> {
        let mut this = self.project();
        let mut frames = 0;
        let is_cut = loop {
            if this.read.len() == MAX_BODY {
                break true;
            }
            if frames == FRAMES_PER_POLL {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            frames += 1;
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data().ok().filter(Buf::has_remaining) {
                    Some(data) => this.read.put(data.take(MAX_BODY - this.read.len())),
                    None if *this.empty_frames == MAX_EMPTY_FRAMES => break true,
                    None => *this.empty_frames += 1,
                },
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        let Parts { status, headers, extensions, .. } = &*this.parts;
        let of_caller = this.secrets.iter().flat_map(secrets_in);
        let sent_with: Option<&SentWith> = extensions.get();
        let of_layer = sent_with.into_iter().flat_map(|SentWith(access)| access.secrets());
        let mut error = HttpError::read(*status, headers, this.read, is_cut, of_caller.chain(of_layer));
        error.refusal = extensions.get().copied();
        Poll::Ready(Error::Service(Arc::new(error)))
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(failed) = this.failed.as_mut().as_pin_mut() {
                return failed.poll_error(cx).map(|error| Err(error.into()));
            }
            let response = ready!(this.response.as_mut().poll(cx)).map_err(Into::into)?;
            if response.status().as_u16() < 400 {
                return Poll::Ready(Ok(response));
            }
            let (parts, body) = response.into_parts();
            let secrets = mem::take(this.secrets);
            this.failed.set(Some(Failed { parts, body, read: Vec::new(), empty_frames: 0, secrets }));
        }
    }
}

/// Whether the answer is there, and is an error.
impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.failed {
            None => "ResponseFuture(sent)",
            Some(_) => "ResponseFuture(reading what is wrong)",
        })
    }
}
