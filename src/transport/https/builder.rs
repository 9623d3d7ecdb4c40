use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use http::HeaderValue;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    client::{HttpsClient, Shared},
    connector::Connector,
    proxy_settings::{ProxyChoice, ProxyEnvironment, ProxySettings},
    route::{Route, TcpSettings},
    tls::{ClientCertificate, TlsSettings, Trust},
};
use crate::{Error, Secret};

/// Timeout for a TCP connection to a host, over all of its addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// Timeout for name resolution, the proxy and TLS together. The timeout of the TCP connection is added to it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Shorter than the idle timeouts of common load balancers (50 s and more), which close a connection without notice.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

const HTTP2_KEEPALIVE: Duration = Duration::from_secs(30);

/// How long the server may take to respond to a ping of HTTP/2.
const HTTP2_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of headers of a response over HTTP/1.1. Those of a Swift object with 90 metadata items can exceed the
/// 100 of the HTTP library.
const HTTP1_MAX_HEADERS: usize = 256;

/// Maximum size of the headers of a response over HTTP/2, in bytes. A token alone may have 128 KiB.
const HTTP2_MAX_HEADERS: u32 = 256 * 1024;

/// Longer times would overflow the clock of the HTTP library.
const MAX_TIME: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A builder of an [`HttpsClient`].
///
/// A builder can build several clients. Each [`build`](Self::build) reads the files again. If only the type of the
/// request body differs, [`HttpsClient::with_body`] makes a client without reading them again.
///
/// | setting | default |
/// |---|---|
/// | trusted CA certificates | those of Mozilla, which are compiled into the program |
/// | client certificate | none |
/// | proxies | those of the environment |
/// | timeout for a TCP connection, over all addresses of the host | 3.1 s |
/// | further time for name resolution, the proxy and TLS together | 10 s, fixed |
/// | timeout for a whole request | none: use tower's `Timeout` |
/// | idle connections are closed after | 30 s |
/// | TCP keepalive | after 15 s, then every 15 s, 3 times |
/// | HTTP/2 keepalive | a ping every 30 s while a request is in flight; its response may take 10 s |
/// | headers of a response | at most 256 over HTTP/1.1, and 256 KiB over HTTP/2; fixed |
/// | address families | IPv6 and IPv4 |
/// | `User-Agent` | `tower-keystone/` and the version of this crate |
#[must_use]
#[derive(Clone)]
pub struct HttpsClientBuilder {
    tls: TlsSettings,
    proxies: ProxySettings,
    tcp: TcpSettings,
    pool_idle_timeout: Duration,
    http2_keepalive: Option<Duration>,
    user_agent: Option<Box<str>>,
}

impl HttpsClient {
    /// Returns a builder.
    pub fn builder() -> HttpsClientBuilder {
        HttpsClientBuilder {
            tls: TlsSettings {
                trust: Trust::Webpki,
                client_certificate: None,
                accept_invalid_certificates: false,
            },
            proxies: ProxySettings::default(),
            tcp: TcpSettings {
                connect_timeout: CONNECT_TIMEOUT,
                keepalive: Some(TCP_KEEPALIVE),
                force_ipv4: false,
            },
            pool_idle_timeout: POOL_IDLE_TIMEOUT,
            http2_keepalive: Some(HTTP2_KEEPALIVE),
            user_agent: None,
        }
    }
}

impl HttpsClientBuilder {
    /// Trusts only the CA certificates of this file, in PEM format. They replace all others.
    ///
    /// The file can contain several certificates, and the self-signed certificates of servers, too. A malformed
    /// certificate is ignored with a warning, because bundles can contain old ones. If no certificate is usable,
    /// [`build`](Self::build) fails.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.trust = Trust::File(path.into());
        self
    }

    /// Trusts the CA certificates of the operating system instead of those of Mozilla.
    ///
    /// They are read when the client is built. On Unix, the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` replace them.
    #[cfg(feature = "rustls-native-roots")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rustls-native-roots")))]
    pub fn native_roots(mut self) -> Self {
        self.tls.trust = Trust::Native;
        self
    }

    /// Sets the client certificate, which is sent to servers that request one. Both files are in PEM format.
    ///
    /// The certificate of the client must be the first one in its file. The certificates of its issuers can follow. If
    /// `key` is `None`, the private key is in the same file. The key must not be encrypted.
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: Option<PathBuf>) -> Self {
        self.tls.client_certificate = Some(ClientCertificate { certificate: certificate.into(), key });
        self
    }

    /// Turns off the verification of certificates. **Anyone on the network can then read passwords and tokens.**
    ///
    /// Any server can pretend to be Keystone or a service. The CA file is not read. Each [`build`](Self::build) logs a
    /// warning.
    pub fn accept_invalid_certificates(mut self) -> Self {
        self.tls.accept_invalid_certificates = true;
        self
    }

    /// Uses this proxy for all requests, instead of the proxies of the environment.
    ///
    /// The scheme of the URL is `http`, `https` (TLS to the proxy), `socks5` or `socks5h`. A URL without a scheme is
    /// `http`. The URL can contain a user name and a password. The port of a SOCKS proxy is 1080 by default. A SOCKS
    /// proxy resolves the host names itself.
    ///
    /// `https` requests are tunnelled through an HTTP proxy with `CONNECT`. Plain `http` requests are sent to the proxy
    /// itself, which can read them and their tokens. [`no_proxy`](Self::no_proxy) sets hosts without a proxy.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxies.choice = ProxyChoice::Url(Secret::new(url));
        self
    }

    /// Sets the hosts without a proxy, instead of the variable `no_proxy`.
    ///
    /// The entries are separated by commas or spaces:
    ///
    /// - a domain, which includes its subdomains: `example.com`, `.example.com` and `*.example.com` are the same;
    /// - an IP address or a network such as `10.0.0.0/8`, for URLs with an IP address as host;
    /// - one of these with a port, such as `example.com:8080` or `[::1]:8080`;
    /// - `*`, for all hosts.
    ///
    /// As with curl, `localhost` and loopback addresses use the proxy unless they are in the list.
    pub fn no_proxy(mut self, hosts: impl Into<String>) -> Self {
        self.proxies.no_proxy = Some(hosts.into().into());
        self
    }

    /// Connects to all hosts directly.
    pub fn without_proxy(mut self) -> Self {
        self.proxies.choice = ProxyChoice::Direct;
        self
    }

    /// Reads the proxies from other variables than those of the process.
    ///
    /// `variable` returns the value of the variable with this name. By default, the environment of the process is read
    /// when the client is built. The names are those that curl reads:
    ///
    /// - `https_proxy`, for `https` URLs;
    /// - `http_proxy`, for `http` URLs;
    /// - `all_proxy`, if one of these is not set;
    /// - `no_proxy`, the hosts without a proxy, in the format of [`no_proxy`](Self::no_proxy).
    ///
    /// If the lower case name is not set or empty, the upper case name is read. `HTTP_PROXY` is ignored if
    /// `REQUEST_METHOD` is set, because the sender of a request to a CGI program can set it.
    pub fn proxy_from(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        self.proxies.choice = ProxyChoice::Environment;
        self.proxies.environment = Some(ProxyEnvironment::read(variable));
        self
    }

    /// Sets the timeout for a TCP connection, over all addresses of the host. The default is 3.1 s.
    ///
    /// Name resolution, the proxy and TLS together can take another 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.tcp.connect_timeout = timeout.min(MAX_TIME);
        self
    }

    /// Sets how long an idle connection is kept for the next request. The default is 30 s.
    pub fn pool_idle_timeout(mut self, timeout: Duration) -> Self {
        self.pool_idle_timeout = timeout.min(MAX_TIME);
        self
    }

    /// Sets the interval of TCP keepalive probes on a connection without data. The default is 15 s.
    ///
    /// The first probe is sent after this time, too. After three probes without a response, the connection fails.
    /// `None` turns the probes off.
    pub fn tcp_keepalive(mut self, interval: Option<Duration>) -> Self {
        self.tcp.keepalive = interval.map(|interval| interval.min(MAX_TIME));
        self
    }

    /// Sets the interval of pings to the server while a request over HTTP/2 is in flight. The default is 30 s.
    ///
    /// If the server does not respond within 10 s, the connection fails. `None` turns the pings off.
    pub fn http2_keepalive(mut self, interval: Option<Duration>) -> Self {
        self.http2_keepalive = interval.map(|interval| interval.min(MAX_TIME));
        self
    }

    /// Sets whether to connect to IPv4 addresses only. The default is false.
    ///
    /// A request to a host without an IPv4 address fails with [`Error::InvalidEndpoint`]. The connection to a proxy
    /// uses IPv4, too. The proxy chooses how it connects to the server.
    pub fn force_ipv4(mut self, force_ipv4: bool) -> Self {
        self.tcp.force_ipv4 = force_ipv4;
        self
    }

    /// Sets the name and version of the program, such as `my-program/1.0`.
    ///
    /// The `User-Agent` is then `my-program/1.0 tower-keystone/` and the version of this crate. A request that already
    /// has the header keeps it.
    pub fn user_agent(mut self, program: impl Into<String>) -> Self {
        self.user_agent = Some(program.into().into());
        self
    }

    /// Builds a client.
    ///
    /// This reads the files, which blocks the thread for a short time. The client is for requests with the body
    /// `Full<Bytes>`. [`HttpsClient::with_body`] makes a client for another body from it.
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidClientSetting`] if a file cannot be read or contains no usable certificate or key, if
    /// the key does not belong to the client certificate, or if the URL of a proxy or the user agent is malformed. The
    /// error names the file or the variable.
    pub fn build(&self) -> Result<HttpsClient, Error> {
        let user_agent = self.user_agent_header()?;
        let proxies = Arc::new(self.proxies.build()?);
        let tls = self.tls.build()?;
        if self.tls.accept_invalid_certificates {
            tracing::warn!(
                "certificates of servers are not verified, so anyone on the network can read passwords and tokens; \
                 set the CA file instead"
            );
        }

        let route = Route::new(&self.tcp, tls.clone(), Arc::clone(&proxies));
        let timeout = self.tcp.connect_timeout.saturating_add(HANDSHAKE_TIMEOUT);

        let mut pool = Client::builder(TokioExecutor::new());
        pool.timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.pool_idle_timeout)
            .http2_keep_alive_interval(self.http2_keepalive)
            .http2_keep_alive_timeout(HTTP2_KEEPALIVE_TIMEOUT)
            .http1_max_headers(HTTP1_MAX_HEADERS)
            .http2_max_header_list_size(HTTP2_MAX_HEADERS);
        let connector = Connector::new(tls, route, Arc::clone(&proxies), timeout);
        Ok(HttpsClient::new(Arc::new(Shared { connector, pool, proxies, user_agent })))
    }

    fn user_agent_header(&self) -> Result<HeaderValue, Error> {
        let own = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        match self.user_agent.as_deref().map(str::trim) {
            None | Some("") => Ok(HeaderValue::from_static(own)),
            Some(program) => HeaderValue::from_str(&format!("{program} {own}")).map_err(|_| {
                Error::invalid_client_setting(
                    "user agent",
                    "it must be text on one line, such as `my-program/1.0`",
                )
            }),
        }
    }
}

/// Shows no URL of a proxy, because it can contain a password.
impl fmt::Debug for HttpsClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsClientBuilder")
            .field("tls", &self.tls)
            .field("tcp", &self.tcp)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}
