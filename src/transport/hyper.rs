use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, header::USER_AGENT};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::TokioExecutor,
};
use tower_http::{decompression::Decompression, set_header::SetRequestHeader};

use super::Transport;

/// Timeout for connecting to a host, over all of its addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

impl Transport {
    /// Returns a builder of a transport over HTTP/1.1, with hyper-util's client (feature `hyper`).
    ///
    /// - Connecting times out after 3.1 s. There is no timeout for a whole request, but
    ///   [`RenewalPolicy::attempt_timeout`](crate::RenewalPolicy::attempt_timeout) limits a login.
    /// - The client does not follow redirects, so a password is only sent to the origin of the `auth_url`.
    /// - Responses may be compressed with gzip. The limits of a [`Transport`] apply to the decompressed body.
    /// - Each connection is closed after its response, because Keystone would close it before the next login.
    ///
    /// ```
    /// use http::HeaderValue;
    /// use tower_keystone::{AuthMethod, RenewingPlugin, Scope, Transport, User, V3Credentials, fixture::Cloud};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keystone::BoxError> {
    /// let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    /// let _served = cloud.serve().await?;
    ///
    /// let alice = User::new().username("alice").user_domain_name("Default");
    /// let credentials = V3Credentials::new(cloud.keystone().auth_url(), AuthMethod::password(alice, "wonderland"))
    ///     .scope(Scope::new().project_name("demo").project_domain_name("Default"));
    /// let transport = Transport::hyper().user_agent(HeaderValue::from_static("my-program/1.0")).build();
    ///
    /// let plugin = RenewingPlugin::new(credentials, transport);
    /// plugin.renew().await?;
    /// assert_eq!(cloud.keystone().logins(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Without a TLS connector, the transport refuses an `https` URL before it sends anything
    /// ([`Error::InvalidEndpoint`](crate::Error::InvalidEndpoint)). To add TLS, wrap the connector in a TLS connector,
    /// such as the one of hyper-rustls:
    ///
    /// ```
    /// use hyper_rustls::HttpsConnectorBuilder;
    /// use tower_keystone::Transport;
    ///
    /// let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_only().enable_http1();
    /// let transport = Transport::hyper().connector(|http| tls.wrap_connector(http)).build();
    /// # let _ = transport;
    /// ```
    pub fn hyper() -> HyperTransport {
        let mut http = HttpConnector::new();
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let user_agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        HyperTransport {
            connector: http,
            is_http_only: true,
            user_agent: HeaderValue::from_static(user_agent),
        }
    }
}

/// A builder of a [`Transport`] over hyper-util's client.
///
/// See [`Transport::hyper`] for an example.
#[must_use]
#[derive(Clone)]
pub struct HyperTransport<C = HttpConnector> {
    connector: C,
    /// Whether the connector has no TLS.
    is_http_only: bool,
    user_agent: HeaderValue,
}

impl HyperTransport {
    /// Wraps the connector, for example in one that adds TLS.
    ///
    /// The `HttpConnector` that `wrap` receives accepts any URL scheme. The connector that `wrap` returns decides which
    /// schemes are allowed.
    pub fn connector<C>(self, wrap: impl FnOnce(HttpConnector) -> C) -> HyperTransport<C> {
        let mut http = self.connector;
        http.enforce_http(false);
        HyperTransport { connector: wrap(http), is_http_only: false, user_agent: self.user_agent }
    }
}

impl<C> HyperTransport<C> {
    /// Sets the `User-Agent` header. The default is `tower-keystone/` and the version of this crate.
    pub fn user_agent(mut self, user_agent: HeaderValue) -> Self {
        self.user_agent = user_agent;
        self
    }

    /// Builds the transport.
    pub fn build(self) -> Transport
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let client: Client<_, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(self.connector);
        let client = Decompression::new(client);
        let transport = Transport::new(SetRequestHeader::if_not_present(client, USER_AGENT, self.user_agent));
        if self.is_http_only { transport.http_only() } else { transport }
    }
}

impl<C> fmt::Debug for HyperTransport<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTransport").field("user_agent", &self.user_agent).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::{
        Router,
        http::{HeaderMap, StatusCode},
        response::Redirect,
        routing::{get, post},
    };
    use http::Request;
    use tokio::net::TcpListener;
    use tower_http::compression::CompressionLayer;

    use super::*;
    use crate::{AuthMethod, Credentials, Error, User, V3Credentials};

    /// Serves the routes on loopback until the test ends. Returns their origin.
    async fn serve(routes: Router) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        origin
    }

    fn get_request(url: String) -> Request<Bytes> {
        Request::get(url).body(Bytes::new()).unwrap()
    }

    fn compressed(length: usize) -> Router {
        let spaces = move || async move { vec![b' '; length] };
        Router::new().route("/", get(spaces)).layer(CompressionLayer::new())
    }

    #[tokio::test]
    async fn a_response_is_decompressed() {
        let origin = serve(compressed(4 * 1024 * 1024)).await;
        let plain = Transport::new(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
        let mut request = get_request(origin.clone());
        request.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip"));
        let raw = plain.send(request).await.unwrap();
        assert_eq!(raw.headers()["content-encoding"], "gzip");
        assert!(raw.body().len() < 100_000, "{}", raw.body().len());

        let response = Transport::hyper().build().send(get_request(origin)).await.unwrap();
        assert!(!response.headers().contains_key("content-encoding"));
        assert_eq!(response.body().len(), 4 * 1024 * 1024);
        assert!(response.body().iter().all(|byte| *byte == b' '));
    }

    #[tokio::test]
    async fn a_response_that_is_too_long_when_decompressed_is_an_error() {
        let origin = serve(compressed(4 * 1024 * 1024 + 1)).await;
        let error = Transport::hyper().build().send(get_request(origin)).await.unwrap_err();
        assert!(
            matches!(error, Error::InvalidResponse { reason, .. } if reason.contains("4 MiB")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let elsewhere = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&elsewhere);
        let other = serve(Router::new().fallback(move || async move {
            counted.fetch_add(1, Ordering::Relaxed);
        }))
        .await;
        let to = format!("{other}/v3/auth/tokens");
        let redirect = post(move || async move { Redirect::temporary(&to) });
        let origin = serve(Router::new().route("/v3/auth/tokens", redirect)).await;

        let alice = AuthMethod::password(User::new().user_id("alice"), "wonderland");
        let credentials = V3Credentials::new(origin, alice);
        let error = credentials.get_auth_ref(Transport::hyper().build()).await.unwrap_err();
        match &error {
            Error::LoginRedirected { status, .. } => assert_eq!(*status, StatusCode::TEMPORARY_REDIRECT),
            other => panic!("{other}"),
        }
        assert!(!error.is_transient());
        assert_eq!(elsewhere.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn it_sends_a_user_agent() {
        let echo = |headers: HeaderMap| async move { headers[USER_AGENT].as_bytes().to_owned() };
        let origin = serve(Router::new().route("/", get(echo))).await;
        let custom = HeaderValue::from_static("custom/1.0");
        let with_default = Transport::hyper().build().send(get_request(origin.clone())).await.unwrap();
        let with_custom =
            Transport::hyper().user_agent(custom).build().send(get_request(origin)).await.unwrap();
        assert_eq!(*with_default.body(), format!("tower-keystone/{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(with_custom.body(), "custom/1.0");
    }

    #[tokio::test]
    async fn without_tls_an_https_url_is_refused_before_anything_is_sent() {
        let origin = serve(Router::new()).await.replace("http:", "https:");
        let error = Transport::hyper().build().send(get_request(origin)).await.unwrap_err();
        assert!(
            matches!(error, Error::InvalidEndpoint { reason, .. } if reason.contains("plain http only")),
            "{error}"
        );
        assert!(!error.is_transient());
    }
}
