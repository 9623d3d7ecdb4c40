use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body;
use tower_service::Service;

use super::{
    clone_source::CloneSource,
    log_throttle::LogThrottle,
    read_body::{Stopped, read_body},
};
use crate::{BoxError, Error, error::AN_ENDPOINT};

/// Maximum size of a response, in bytes. A token response carries the whole catalog.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// Maximum size of a response with a status of 400 or above, in bytes, as for those of services.
pub(crate) const MAX_ERROR_BODY: usize = 64 * 1024;

/// The way to Keystone: an HTTP client that is a tower service, whatever its response body. If your client takes
/// `Full<Bytes>` as request body, it is `Transport::new(client.clone())`; with another request body,
/// [`Transport::with_body`]; if you have no client, the feature `hyper` has `Transport::hyper()`.
///
/// It is what credentials are sent through, so it must not be wrapped in an
/// [`AuthLayer`](crate::AuthLayer), which refuses that ([`Error::Recursion`]), and it must not follow
/// redirects. What it does about timeouts and TLS is its own affair; responses are read up to 4 MiB, those with a
/// status of 400 or above up to 64 KiB.
///
/// What the client fails with is [`Error::ConnectFailure`], tried again unless it is a mistake
/// that stays: a certificate, a server without TLS or HTTP, a scheme that the client does not take.
/// A client that knows better fails with an error of this crate, such as [`Error::plugin`].
///
/// Clones share the client. See the [module docs](super) for an example.
#[derive(Clone)]
pub struct Transport {
    wire: Arc<dyn Fn(Request<Bytes>) -> Sending + Send + Sync>,
    /// Whether it is known to speak plain http and nothing else.
    plain_only: bool,
    /// What was logged of the Keystone behind it.
    log_throttle: Arc<LogThrottle>,
}

/// A request on its way, and its answer read to the end.
type Sending = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Error>> + Send>>;

/// A request extension: this request is to obtain what other requests wait for.
#[derive(Clone, Copy)]
pub(crate) struct ObtainsToken;

impl Transport {
    /// Wraps an HTTP client. Each request is sent through a clone of it that was polled ready. One that is not
    /// `Clone` goes into a `Buffer` first.
    pub fn new<S, R, B>(client: S) -> Self
    where
        S: Service<Request<R>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: From<Bytes> + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        Self::with_body(client, R::from)
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
    /// let transport = Transport::with_body(client.clone(), Body::from);
    /// # let _ = transport;
    /// ```
    pub fn with_body<S, R, B>(client: S, body: fn(Bytes) -> R) -> Self
    where
        S: Service<Request<R>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let clients = Arc::new(CloneSource::new(client));
        let wire = move |request: Request<Bytes>| -> Sending {
            let clients = Arc::clone(&clients);
            Box::pin(async move {
                let mut client = clients.get().await;
                let uri = request.uri().clone();
                let failed = |error: BoxError| Error::connect(&uri, error);
                poll_fn(|cx| client.poll_ready(cx)).await.map_err(|error| failed(error.into()))?;
                let answer = client.call(request.map(body)).await.map_err(|error| failed(error.into()))?;
                let (parts, body) = answer.into_parts();
                let is_error = parts.status.is_client_error() || parts.status.is_server_error();
                let limit = if is_error { MAX_ERROR_BODY } else { MAX_BODY };
                match read_body(body, limit).await {
                    (body, Ok(())) => Ok(Response::from_parts(parts, body)),
                    // That its body is too long, or breaks off, does not hide the status.
                    (body, Err(_)) if is_error => Ok(Response::from_parts(parts, body)),
                    (_, Err(stopped)) => Err(unread(&uri, stopped)),
                }
            })
        };
        Self { wire: Arc::new(wire), plain_only: false, log_throttle: Arc::default() }
    }

    /// The same for a client without TLS, which is not to be tried with https.
    #[cfg(feature = "hyper")]
    pub(super) fn plain_only(self) -> Self {
        Self { plain_only: true, ..self }
    }

    pub(crate) fn log_throttle(&self) -> &LogThrottle {
        &self.log_throttle
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    ///
    /// [`Error::ConnectFailure`] with what the client says, [`Error::InvalidResponse`] for a response that
    /// is longer than 4 MiB (of one with a status of 400 or above the rest is not read), [`Error::InvalidEndpoint`] for an `https` URL if `Transport::hyper` was given no
    /// connector with TLS.
    pub async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        if self.plain_only && request.uri().scheme_str() == Some("https") {
            return Err(Error::InvalidEndpoint {
                what: AN_ENDPOINT,
                reason: "its URL is https and the Transport speaks plain http only \
                         (give Transport::hyper a connector with TLS)",
            });
        }
        request.extensions_mut().insert(ObtainsToken);
        (self.wire)(request).await
    }
}

/// The error of a response that was not read to its end.
fn unread(uri: &Uri, stopped: Stopped) -> Error {
    let invalid = |reason| Error::invalid_response(reason, 0, 0).with_url(uri);
    match stopped {
        Stopped::TooLong => invalid("it is longer than 4 MiB"),
        Stopped::Empty => invalid("it has no end"),
        Stopped::Broken(error) => Error::connect(uri, error),
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}
