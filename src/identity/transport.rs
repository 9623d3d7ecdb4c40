use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tower_service::Service;

use crate::{BoxError, Error};

/// The most that is read of an answer of Keystone's, in bytes. An answer carries the whole catalog.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// The way to Keystone: an HTTP client that is a tower service, whatever its response body. If your client takes
/// `Full<Bytes>` as request body, it is `Transport::new(client.clone())`; with another request body,
/// [`Transport::with_body`]; if you have no client, the feature `hyper` has `Transport::hyper()`.
///
/// It is what credentials are sent through, so it must not be wrapped in an
/// [`AuthLayer`](crate::AuthLayer), which refuses that ([`Error::Recursion`]), and it must not follow
/// redirects. What it does about timeouts and TLS is its own affair; answers are read up to 4 MiB.
///
/// What the client fails with is [`Error::ConnectFailure`], tried again unless it speaks of a certificate.
/// A client that knows better fails with an error of this crate, such as [`Error::plugin`].
///
/// Clones share the client. See the [module docs](super) for an example.
#[derive(Clone)]
pub struct Transport {
    wire: Arc<dyn Fn(Request<Full<Bytes>>) -> Sending + Send + Sync>,
    /// Whether it is known to speak plain http and nothing else.
    plain_only: bool,
}

/// A request on its way, and its answer read to the end.
type Sending = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Error>> + Send>>;

/// A request extension: this request is to obtain what other requests wait for.
#[derive(Clone, Copy)]
pub(crate) struct Obtains;

impl Transport {
    /// Wraps an HTTP client. Each request is sent through a clone of it that was polled ready. One that is not
    /// `Clone` goes into a `Buffer` first.
    pub fn new<S, B>(client: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        Self::with_body(client, std::convert::identity)
    }

    /// Wraps an HTTP client that takes another request body than `Full<Bytes>`. `body` converts to it, for example
    /// `axum::body::Body::new`, `reqwest::Body::wrap`, `BoxBody::new` or `Into::into`.
    ///
    /// ```
    /// use axum::body::Body;
    /// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    /// use tower_keystone::Transport;
    ///
    /// let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    /// let transport = Transport::with_body(client.clone(), Body::new);
    /// # let _ = transport;
    /// ```
    pub fn with_body<S, R, B>(client: S, body: fn(Full<Bytes>) -> R) -> Self
    where
        S: Service<Request<R>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let client = Mutex::new(client);
        let wire = move |request: Request<Full<Bytes>>| -> Sending {
            let mut client = client.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Box::pin(async move {
                let uri = request.uri().clone();
                let failed = |error: BoxError| Error::connect(&uri, error);
                poll_fn(|cx| client.poll_ready(cx)).await.map_err(|error| failed(error.into()))?;
                let answer = client.call(request.map(body)).await.map_err(|error| failed(error.into()))?;
                let (parts, body) = answer.into_parts();
                let body =
                    Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| unread(&uri, error))?;
                Ok(Response::from_parts(parts, body.to_bytes()))
            })
        };
        Self { wire: Arc::new(wire), plain_only: false }
    }

    /// The same for a client without TLS, which is not to be tried with https.
    #[cfg(feature = "hyper")]
    pub(super) fn plain_only(self) -> Self {
        Self { plain_only: true, ..self }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    ///
    /// [`Error::ConnectFailure`] with what the client says, [`Error::InvalidResponse`] for an answer that
    /// is longer than 4 MiB, [`Error::InvalidEndpoint`] for an `https` URL if `Transport::hyper` was given no
    /// connector with TLS.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Error> {
        if self.plain_only && request.uri().scheme_str() == Some("https") {
            return Err(Error::InvalidEndpoint {
                reason: "its URL is https and the Transport speaks plain http only \
                         (give Transport::hyper a connector with TLS)",
            });
        }
        request.extensions_mut().insert(Obtains);
        (self.wire)(request).await
    }
}

/// Why an answer could not be read to the end.
fn unread(uri: &Uri, error: BoxError) -> Error {
    if error.is::<LengthLimitError>() {
        return Error::InvalidResponse { reason: "it is longer than 4 MiB", line: 0, column: 0 };
    }
    Error::connect(uri, error)
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}
