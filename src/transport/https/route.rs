use std::{
    future::{Future, Ready, ready},
    io,
    net::Ipv6Addr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::{
        legacy::connect::{
            HttpConnector,
            proxy::{SocksV5, Tunnel},
        },
        proxy::matcher::Intercept,
    },
    rt::TokioIo,
};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::{
    proxies::{Proxies, is_socks},
    resolver::Resolver,
    stream::Stream,
};
use crate::{BoxError, Error};

const IPV6_ADDRESS: Error = Error::InvalidEndpoint {
    what: "the host",
    reason: "it is an IPv6 address, and force_ipv4 allows no other; use another host, or allow IPv6",
};

/// The settings of TCP connections.
#[derive(Clone, Debug)]
pub(super) struct TcpSettings {
    /// The timeout over all addresses of a host.
    pub(super) connect_timeout: Duration,
    pub(super) keepalive: Option<Duration>,
    pub(super) force_ipv4: bool,
}

/// Connects to the server of a URL, directly or through a proxy. The connection has no TLS to that server yet.
#[derive(Clone)]
pub(super) struct Route {
    tcp: HttpConnector<Resolver>,
    /// Connects to an HTTP proxy, with TLS if the URL of the proxy is `https`.
    proxy: HttpsConnector<HttpConnector<Resolver>>,
    proxies: Arc<Proxies>,
    force_ipv4: bool,
}

impl Route {
    pub(super) fn new(settings: &TcpSettings, tls: ClientConfig, proxies: Arc<Proxies>) -> Self {
        let &TcpSettings { connect_timeout, keepalive, force_ipv4 } = settings;
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(force_ipv4));
        tcp.set_connect_timeout(Some(connect_timeout));
        tcp.set_nodelay(true);
        if keepalive.is_some() {
            tcp.set_keepalive(keepalive);
            tcp.set_keepalive_interval(keepalive);
            tcp.set_keepalive_retries(Some(3));
        }
        // The scheme is checked above this connector, by the TLS connector.
        tcp.enforce_http(false);
        let proxy = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        Self { proxy: proxy.wrap_connector(tcp.clone()), tcp, proxies, force_ipv4 }
    }

    /// Checks an IP address as host of a TCP connection, for which the resolver is not called.
    fn check_address(&self, url: &Uri) -> Result<(), BoxError> {
        let host = url.host().unwrap_or_default();
        if self.force_ipv4 && host.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok() {
            return Err(IPV6_ADDRESS.into());
        }
        Ok(())
    }

    async fn connect(mut self, url: Uri) -> Result<Stream, BoxError> {
        let Some(proxy) = self.proxies.for_url(&url) else {
            self.check_address(&url)?;
            return Ok(Stream::to_server(self.tcp.call(url).await?));
        };
        self.check_address(proxy.uri())?;
        let proxies = Arc::clone(&self.proxies);
        self.connect_through(proxy, url.clone()).await.map_err(|source| proxies.name_proxy_in(source, &url))
    }

    async fn connect_through(mut self, proxy: Intercept, url: Uri) -> Result<Stream, BoxError> {
        let proxy_url = proxy.uri().clone();
        if is_socks(&proxy_url) {
            // The SOCKS connector would not say why a connection failed.
            let connection = Established(Some(self.tcp.call(proxy_url.clone()).await?));
            let mut socks = SocksV5::new(proxy_url, connection);
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            return Ok(Stream::to_server(socks.call(with_port(url)?).await?));
        }
        if url.scheme() == Some(&Scheme::HTTP) {
            return Ok(Stream::to_forwarding_proxy(self.proxy.call(proxy_url).await?));
        }
        let mut tunnel = Tunnel::new(proxy_url, self.proxy);
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        Ok(Stream::to_server(tunnel.call(url).await?))
    }
}

/// A connector that returns the connection that it holds.
struct Established(Option<TokioIo<TcpStream>>);

impl Service<Uri> for Established {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<TcpStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

/// Adds the port to a URL without one: the SOCKS connector would take that of https.
fn with_port(url: Uri) -> Result<Uri, BoxError> {
    match (url.scheme_str(), url.host(), url.port()) {
        (Some("http"), Some(host), None) => Ok(format!("http://{host}:80").parse()?),
        _ => Ok(url),
    }
}

impl Service<Uri> for Route {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        Box::pin(self.clone().connect(url))
    }
}
