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

/// The time that connecting to one host may take, over all of its addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

impl Transport {
    /// A ready-made transport over HTTP/1.1, of hyper-util's client and tower-http. Feature `hyper`.
    ///
    /// - Connecting may take 3.1 s. The whole is bounded by whoever sends:
    ///   [`RenewalPolicy::attempt_timeout`](crate::RenewalPolicy::attempt_timeout) for credentials.
    /// - Redirects are not followed, so that a password goes to the origin of the `auth_url` only.
    /// - Answers may be compressed by gzip; the limit of 4 MiB is that of the decoded answer.
    /// - Connections are closed after each answer: until the next login, Keystone would have closed them.
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
    /// That one speaks plain http, and refuses an `https` URL before anything is sent
    /// ([`Error::InvalidEndpoint`](crate::Error::InvalidEndpoint)). For TLS it takes any connector of yours, made
    /// around its own; here that of hyper-rustls:
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
        HyperTransport { connector: http, plain: true, user_agent: HeaderValue::from_static(user_agent) }
    }
}

/// What a [`Transport`] over hyper is built from. See [`Transport::hyper`] for an example.
#[must_use]
#[derive(Clone)]
pub struct HyperTransport<C = HttpConnector> {
    connector: C,
    /// Whether the connector is the one that speaks plain http.
    plain: bool,
    user_agent: HeaderValue,
}

impl HyperTransport {
    /// Connects by what `wrap` makes of the connector that is there, such as one that adds TLS.
    ///
    /// The inner one then opens a connection for any scheme; the outer one decides which are allowed.
    pub fn connector<C>(self, wrap: impl FnOnce(HttpConnector) -> C) -> HyperTransport<C> {
        let mut http = self.connector;
        http.enforce_http(false);
        HyperTransport { connector: wrap(http), plain: false, user_agent: self.user_agent }
    }
}

impl<C> HyperTransport<C> {
    /// What is sent as `User-Agent`, instead of `tower-keystone/` and its version.
    pub fn user_agent(mut self, user_agent: HeaderValue) -> Self {
        self.user_agent = user_agent;
        self
    }

    /// The transport.
    pub fn build(self) -> Transport
    where
        C: Connect + Clone + Send + Sync + 'static,
    {
        let client: Client<_, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(self.connector);
        let client = Decompression::new(client);
        let transport = Transport::new(SetRequestHeader::if_not_present(client, USER_AGENT, self.user_agent));
        if self.plain { transport.plain_only() } else { transport }
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

    /// Serves the routes on loopback, for as long as the test runs.
    async fn serve(routes: Router) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        origin
    }

    fn get_of(url: String) -> Request<Bytes> {
        Request::get(url).body(Bytes::new()).unwrap()
    }

    fn compressed(length: usize) -> Router {
        let answer = move || async move { vec![b' '; length] };
        Router::new().route("/", get(answer)).layer(CompressionLayer::new())
    }

    #[tokio::test]
    async fn an_answer_is_decoded() {
        let origin = serve(compressed(4 * 1024 * 1024)).await;
        let plain = Transport::new(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
        let mut request = get_of(origin.clone());
        request.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip"));
        let raw = plain.send(request).await.unwrap();
        assert_eq!(raw.headers()["content-encoding"], "gzip");
        assert!(raw.body().len() < 100_000, "{}", raw.body().len());

        let answer = Transport::hyper().build().send(get_of(origin)).await.unwrap();
        assert!(!answer.headers().contains_key("content-encoding"));
        assert_eq!(answer.body().len(), 4 * 1024 * 1024);
        assert!(answer.body().iter().all(|byte| *byte == b' '));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_once_decoded_is_refused() {
        let origin = serve(compressed(4 * 1024 * 1024 + 1)).await;
        let error = Transport::hyper().build().send(get_of(origin)).await.unwrap_err();
        assert!(
            matches!(error, Error::InvalidResponse { reason, .. } if reason.contains("4 MiB")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_redirect_gets_no_second_request() {
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
    async fn it_says_who_asks() {
        let told = |headers: HeaderMap| async move { headers[USER_AGENT].as_bytes().to_owned() };
        let origin = serve(Router::new().route("/", get(told))).await;
        let mine = HeaderValue::from_static("mine/1.0");
        let ours = Transport::hyper().build().send(get_of(origin.clone())).await.unwrap();
        let theirs = Transport::hyper().user_agent(mine).build().send(get_of(origin)).await.unwrap();
        assert_eq!(*ours.body(), format!("tower-keystone/{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(theirs.body(), "mine/1.0");
    }

    #[tokio::test]
    async fn without_tls_an_https_url_is_refused_before_anything_is_sent() {
        let origin = serve(Router::new()).await.replace("http:", "https:");
        let error = Transport::hyper().build().send(get_of(origin)).await.unwrap_err();
        assert!(
            matches!(error, Error::InvalidEndpoint { reason, .. } if reason.contains("plain http only")),
            "{error}"
        );
        assert!(!error.is_transient());
    }
}
