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
    read_body::{MAX_BODY, MAX_ERROR_BODY, ReadBodyError, read_body},
};
use crate::{BoxError, Error};

/// Sends login and version discovery requests through an HTTP client.
///
/// The client is a tower service with any response body. There are three ways to make a `Transport`:
///
/// - [`Transport::new`], if the request body of the client is `Full<Bytes>` or another type that is [`From<Bytes>`]
/// - [`Transport::with_body`], for all other request bodies
/// - `Transport::hyper`, if you have no client (feature `hyper`)
///
/// The client must not be wrapped in an [`AuthLayer`](crate::AuthLayer). The layer would need a token to obtain a
/// token, and refuses such a request with [`Error::Recursion`]. The client must not follow redirects either, because
/// they could send the credentials to another host.
///
/// Timeouts and TLS are up to the client. A response body is read up to 4 MiB, or up to 64 KiB if the status is 400
/// or above.
///
/// If the client fails, the error is [`Error::ConnectFailure`]. It is transient unless its text names a permanent
/// cause: a rejected certificate, a server that does not speak TLS or HTTP, or a URL scheme that the client does not
/// support. To decide this itself, a client can fail with an error of this crate, such as [`Error::plugin`], which is
/// returned unchanged.
///
/// Clones share the client. See the [module docs](super) for an example.
#[derive(Clone)]
pub struct Transport {
    send_request: Arc<dyn Fn(Request<Bytes>) -> ResponseFuture + Send + Sync>,
    /// Whether the client is known to have no TLS.
    is_http_only: bool,
    /// Shared by all plugins that use this transport.
    log_throttle: Arc<LogThrottle>,
}

/// Resolves to the response with its whole body.
type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Error>> + Send>>;

/// A request extension that marks a request sent by a [`Transport`].
///
/// An [`AuthLayer`](crate::AuthLayer) must not make such a request wait for a token: the login that obtains the token
/// may itself wait for the response to this request.
#[derive(Clone, Copy)]
pub(crate) struct ObtainsToken;

impl Transport {
    /// Wraps an HTTP client whose request body is [`From<Bytes>`], such as `Full<Bytes>` or `axum::body::Body`.
    ///
    /// If the compiler reports "type annotations needed", the client is generic over the request body: use
    /// [`with_body`](Self::with_body). For a `Cloud` of the module `fixture`, use `Cloud::transport`.
    ///
    /// Each request is sent through a clone of the client, after the clone was polled ready. If a client is not
    /// `Clone`, wrap it in tower's `Buffer` first.
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

    /// Wraps an HTTP client, with a function that makes its request body.
    ///
    /// Use it if the request body is not [`From<Bytes>`], or if the client is generic over the request body. For
    /// example, the function `Full::<Bytes>::new` selects the body type `Full<Bytes>`.
    ///
    /// ```
    /// use std::convert::Infallible;
    ///
    /// use bytes::Bytes;
    /// use http_body_util::{Full, combinators::BoxBody};
    /// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    /// use tower_keystone::Transport;
    ///
    /// let client: Client<_, BoxBody<Bytes, Infallible>> = Client::builder(TokioExecutor::new()).build_http();
    /// let transport = Transport::with_body(client.clone(), |body| BoxBody::new(Full::new(body)));
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
        let client = Arc::new(CloneSource::new(client));
        let send_request = move |request: Request<Bytes>| -> ResponseFuture {
            let client = Arc::clone(&client);
            Box::pin(async move {
                let mut client = client.get().await;
                let uri = request.uri().clone();
                let connect_error = |error: S::Error| Error::connect(&uri, error);
                poll_fn(|cx| client.poll_ready(cx)).await.map_err(connect_error)?;
                let response = client.call(request.map(body)).await.map_err(connect_error)?;
                let (parts, body) = response.into_parts();
                let is_error = parts.status.is_client_error() || parts.status.is_server_error();
                let limit = if is_error { MAX_ERROR_BODY } else { MAX_BODY };
                match read_body(body, limit).await {
                    (body, Ok(())) => Ok(Response::from_parts(parts, body)),
                    // The status of an error response matters more than the rest of its body.
                    (body, Err(_)) if is_error => Ok(Response::from_parts(parts, body)),
                    (_, Err(error)) => Err(body_error(&uri, error)),
                }
            })
        };
        Self { send_request: Arc::new(send_request), is_http_only: false, log_throttle: Arc::default() }
    }

    /// Sends a request and reads the response body.
    ///
    /// If the status is 400 or above, a body that is longer than 64 KiB or breaks off is truncated, which is not an
    /// error.
    ///
    /// # Errors
    ///
    /// - [`Error::ConnectFailure`] if the client fails or the response body breaks off.
    /// - [`Error::InvalidResponse`] if the response body is longer than 4 MiB or has more than 1,024 frames without
    ///   data.
    /// - [`Error::InvalidEndpoint`] if the URL is `https` and `Transport::hyper` was given no TLS connector.
    pub async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        if self.is_http_only && request.uri().scheme_str() == Some("https") {
            return Err(Error::InvalidEndpoint {
                what: "an https URL",
                reason: "the Transport speaks plain http only; give Transport::hyper a TLS connector",
            });
        }
        request.extensions_mut().insert(ObtainsToken);
        (self.send_request)(request).await
    }

    /// Marks the client as one without TLS. The transport then refuses `https` URLs.
    #[cfg(feature = "hyper")]
    pub(super) fn http_only(self) -> Self {
        Self { is_http_only: true, ..self }
    }

    pub(crate) fn log_throttle(&self) -> &LogThrottle {
        &self.log_throttle
    }
}

/// Returns the error for a response body that was not read to its end.
fn body_error(uri: &Uri, error: ReadBodyError) -> Error {
    let invalid = |reason| Error::invalid_response(reason, 0, 0).with_url(uri);
    match error {
        ReadBodyError::TooLong => invalid("it is longer than 4 MiB"),
        ReadBodyError::TooManyEmptyFrames => invalid("it has more than 1,024 frames without data"),
        ReadBodyError::Body(error) => Error::connect(uri, error),
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}
