use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{PROXY_AUTHORIZATION, USER_AGENT},
};
use http_body::Body;
use http_body_util::Full;
use hyper_util::client::legacy::{self, Client};
use tower_service::Service;

use super::{body::HttpsBody, connector::Connector, proxies::Proxies};
use crate::{BoxError, error::ConnectFault};

/// An HTTPS client for services and Keystone, with rustls (feature `rustls`).
///
/// It is a tower service for requests with the body `B`. `HttpsClient` without a type parameter is a client for
/// `Full<Bytes>`. A [`Transport`](crate::Transport) needs this one:
///
/// ```
/// use bytes::Bytes;
/// use http::Request;
/// use http_body_util::Full;
/// use tower::{Layer, ServiceExt};
/// # use tower_keystone::fixture::Cloud;
/// use tower_keystone::{
///     AuthLayer, AuthMethod, EndpointFilter, HttpsClient, RenewingPlugin, Transport, User, V3Credentials,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_keystone::BoxError> {
/// # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
/// # let _served = cloud.serve().await?;
/// # let auth_url = cloud.keystone().auth_url();
/// # let builder = HttpsClient::builder().without_proxy();
/// # #[cfg(any())]
/// let builder = HttpsClient::builder().ca_file("/etc/ssl/private-cloud.pem");
/// let client = builder.user_agent("my-program/1.0").build()?;
///
/// let method = AuthMethod::password(User::new().username("alice").user_domain_name("Default"), "wonderland");
/// let credentials = V3Credentials::new(auth_url, method);
/// # let scope = tower_keystone::Scope::new().project_name("demo").project_domain_name("Default");
/// # let credentials = credentials.scope(scope);
/// let plugin = RenewingPlugin::new(credentials, Transport::new(client.clone()));
/// let nova = AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")).layer(client);
///
/// let servers = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await?;
/// assert_eq!(servers.status(), 200);
/// # Ok(())
/// # }
/// ```
///
/// - It uses TLS 1.2 or 1.3, and HTTP/1.1 or HTTP/2, as the server chooses. Plain `http` URLs use HTTP/1.1.
/// - It trusts the CA certificates of Mozilla. [`HttpsClientBuilder`](super::HttpsClientBuilder) can set others, and a
///   client certificate.
/// - It uses the proxies of the environment (`https_proxy`, `no_proxy`).
///   [`HttpsClientBuilder::proxy`](super::HttpsClientBuilder::proxy) sets another one.
/// - It does not follow redirects.
/// - Connecting has a timeout. A whole request has none: use tower's `Timeout`.
/// - It does not ask for compressed responses: use tower-http's `Decompression`.
///
/// Its errors are those of hyper-util, without the URL. An [`ErrorContextLayer`](crate::ErrorContextLayer) around it
/// adds the service and the host to errors of requests. Errors of logins name the URL.
///
/// Clones share the connections.
pub struct HttpsClient<B = Full<Bytes>> {
    client: Client<Connector, B>,
    shared: Arc<Shared>,
}

/// The parts that all clients of one build share. They do not depend on the body type.
pub(super) struct Shared {
    pub(super) connector: Connector,
    pub(super) pool: legacy::Builder,
    pub(super) proxies: Arc<Proxies>,
    pub(super) user_agent: HeaderValue,
}

impl HttpsClient {
    /// Returns whether this error is a failure to connect, after which a retry can succeed.
    ///
    /// Pass this function to [`RetryPolicy::connect_failure`](crate::RetryPolicy::connect_failure). By default, a
    /// `RetryPolicy` does not recognize timeouts of a connection and failures of a proxy. For a rejected certificate,
    /// it returns false.
    ///
    /// ```
    /// use tower_keystone::{HttpsClient, RetryPolicy};
    ///
    /// let policy = RetryPolicy::new().connect_failure(HttpsClient::is_connect_failure);
    /// # let _: RetryPolicy<http_body_util::Full<bytes::Bytes>> = policy;
    /// ```
    pub fn is_connect_failure(error: &(dyn StdError + 'static)) -> bool {
        let is_connect = error.downcast_ref().is_some_and(legacy::Error::is_connect);
        is_connect && ConnectFault::from_error("", error).is_none()
    }
}

impl<B> HttpsClient<B> {
    pub(super) fn new(shared: Arc<Shared>) -> Self
    where
        B: Body + Send,
        B::Data: Send,
    {
        Self { client: shared.pool.build(shared.connector.clone()), shared }
    }

    /// Returns a client for another request body, with the same settings and its own connections.
    ///
    /// The files are not read again. Use it for example to send streams, while the client that was built sends the
    /// requests of a [`Transport`](crate::Transport).
    pub fn with_body<C>(&self) -> HttpsClient<C>
    where
        C: Body + Send,
        C::Data: Send,
    {
        HttpsClient::new(Arc::clone(&self.shared))
    }
}

impl<B> Service<Request<B>> for HttpsClient<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<HttpsBody>;
    type Error = BoxError;
    type Future = HttpsResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.client.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> HttpsResponseFuture {
        let authorization = self.shared.proxies.authorization(request.uri());
        let headers = request.headers_mut();
        headers.entry(USER_AGENT).or_insert_with(|| self.shared.user_agent.clone());
        if let Some(authorization) = authorization {
            headers.entry(PROXY_AUTHORIZATION).or_insert(authorization);
        }
        HttpsResponseFuture(self.client.call(request))
    }
}

impl<B> Clone for HttpsClient<B> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<B> fmt::Debug for HttpsClient<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsClient").field("user_agent", &self.shared.user_agent).finish_non_exhaustive()
    }
}

/// The response future of [`HttpsClient`].
#[must_use = "futures do nothing unless polled"]
pub struct HttpsResponseFuture(legacy::ResponseFuture);

impl Future for HttpsResponseFuture {
    type Output = Result<Response<HttpsBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.0).poll(cx))?;
        Poll::Ready(Ok(response.map(HttpsBody::new)))
    }
}

impl fmt::Debug for HttpsResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpsResponseFuture")
    }
}
