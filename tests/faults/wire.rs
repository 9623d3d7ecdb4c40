//! Servers that send raw bytes, and faulty connections to Keystone.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use tower_http::compression::CompressionLayer;
use tower_keystone::{
    Credentials, Error, GenericCredentials, RenewalPolicy, RenewingPlugin, Transport, User, V3Credentials,
};

use crate::{login_responses::Endless, support::*};

cases![
    real_time a05_a_response_that_never_ends_is_abandoned_and_its_connection_closed,
    real_time a05_a_connection_attempt_that_never_ends_is_abandoned,
    real_time a12_a_tls_misconfiguration_fails_at_once_and_names_its_cause,
    real_time a12_a_broken_connection_is_retried,
    real_time a12_an_invalid_certificate_is_a_permanent_error_and_no_password_is_sent,
    real_time a14_a_compressed_error_of_megabytes_uses_little_memory,
    real_time a16_a_token_of_128_kib_is_received_over_http,
    real_time a14_a_compressed_response_of_a_gigabyte_is_read_up_to_the_size_limit,
];

/// A TCP server that runs a script for each connection. It stops with its runtime.
#[derive(Clone)]
pub(crate) struct RawServer {
    pub(crate) address: SocketAddr,
    state: Arc<RawServerState>,
}

#[derive(Default)]
struct RawServerState {
    connections: AtomicUsize,
    open: AtomicUsize,
    max_open: AtomicUsize,
}

impl RawServer {
    /// Starts a server. The second argument of the script is the number of earlier connections.
    pub(crate) async fn serve<F>(script: impl Fn(TcpStream, usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = Arc::clone(&server.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let before = state.connections.fetch_add(1, Ordering::Relaxed);
                let open = state.open.fetch_add(1, Ordering::Relaxed) + 1;
                state.max_open.fetch_max(open, Ordering::Relaxed);
                let (state, served) = (Arc::clone(&state), script(stream, before));
                tokio::spawn(async move {
                    let _ = served.await;
                    state.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Returns the largest number of connections that were open at the same time.
    pub(crate) fn max_connections(&self) -> usize {
        self.state.max_open.load(Ordering::Relaxed)
    }

    /// Waits until all connections are closed.
    pub(crate) async fn wait_until_closed(&self) {
        let closing = async {
            while self.state.open.load(Ordering::Relaxed) > 0 {
                sleep(millis(1)).await;
            }
        };
        timeout(seconds(20), closing).await.expect("all connections are closed");
    }
}

/// Reads until `end`, and returns the bytes including `end`.
pub(crate) async fn read_to(stream: &mut (impl AsyncReadExt + Unpin), end: &[u8]) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        read.push(stream.read_u8().await?);
    }
    Ok(read)
}

/// Reads an HTTP/1.1 request whose head contains the length of its body.
pub(crate) async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let mut request = read_to(stream, b"\r\n\r\n").await?;
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    request.extend(body);
    Ok(request)
}

/// Reads until the peer closes the connection.
pub(crate) async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<()> {
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

fn token_response_bytes() -> Vec<u8> {
    let body = token_document().to_string();
    let length = body.len();
    format!("HTTP/1.1 201 Created\r\nx-subject-token: token-1\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// Returns a plugin with these timeouts, in milliseconds.
fn plugin(
    url: &str,
    transport: Transport,
    attempt_millis: u64,
    wait_millis: u64,
) -> RenewingPlugin<V3Credentials> {
    let mut policy = RenewalPolicy::default();
    policy.attempt_timeout = millis(attempt_millis);
    policy.wait_timeout = millis(wait_millis);
    policy.initial_backoff = millis(1);
    RenewingPlugin::new(password_at(url), transport).policy(policy)
}

#[derive(Clone, Copy, Debug)]
enum Stall {
    BeforeResponse,
    InHead,
    InBody,
    ByteByByteInHead,
    ByteByByteInBody,
}

async fn a05_a_response_that_never_ends_is_abandoned_and_its_connection_closed() {
    use Stall::*;
    for stall in [BeforeResponse, InHead, InBody, ByteByByteInHead, ByteByByteInBody] {
        let keystone = RawServer::serve(move |mut stream, before| async move {
            read_request(&mut stream).await?;
            if before > 0 {
                stream.write_all(&token_response_bytes()).await?;
                return until_closed(&mut stream).await;
            }
            let sent: &[u8] = match stall {
                BeforeResponse | ByteByByteInHead => b"",
                InHead => b"HTTP/1.1 201 Cre",
                InBody | ByteByByteInBody => b"HTTP/1.1 201 Created\r\ncontent-length: 100000\r\n\r\n{",
            };
            stream.write_all(sent).await?;
            if let ByteByByteInHead | ByteByByteInBody = stall {
                let whole = token_response_bytes().into_iter().chain(std::iter::repeat(b' '));
                for byte in whole {
                    stream.write_all(&[byte]).await?;
                    sleep(millis(5)).await;
                }
            }
            until_closed(&mut stream).await
        })
        .await;
        let plugin = plugin(&keystone.url(), Transport::hyper().build(), 100, 100);
        let result = timeout(seconds(20), token(&plugin)).await.expect("the login is abandoned");
        assert!(matches!(result, Err(Error::Timeout { .. })), "{stall:?}: {result:?}");
        keystone.wait_until_closed().await;
        assert_eq!(keystone.connections(), 1);
        plugin.reset();
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "{stall:?}");
        assert_eq!(keystone.connections(), 2);
    }
}

async fn a05_a_connection_attempt_that_never_ends_is_abandoned() {
    let connects = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connects);
    let never = tower::service_fn(move |_: Uri| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<io::Result<TokioIo<TcpStream>>>()
    });
    let plugin = plugin("http://127.0.0.1:1", Transport::hyper().connector(|_| never).build(), 50, 50);
    let result = timeout(seconds(20), token(&plugin)).await.expect("the login is abandoned");
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    assert_eq!(connects.load(Ordering::Relaxed), 1);
}

#[derive(Clone, Copy, Debug)]
enum Break {
    AtOnce,
    AfterTheRequest,
    InHead,
    InBody,
    Reset,
}

/// The alert `handshake_failure` of TLS 1.2, which is fatal.
const ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 40];

async fn a12_a_broken_connection_is_retried() {
    use Break::*;
    for kind in [AtOnce, AfterTheRequest, InHead, InBody, Reset] {
        let keystone = RawServer::serve(move |mut stream, before| async move {
            if before == 0 && matches!(kind, AtOnce) {
                return Ok(());
            }
            read_request(&mut stream).await?;
            if before > 0 {
                return stream.write_all(&token_response_bytes()).await;
            }
            match kind {
                InHead => stream.write_all(b"HTTP/1.1 201 Crea").await,
                InBody | Reset => {
                    stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 1000\r\n\r\n{").await?;
                    if let Reset = kind { stream.set_zero_linger() } else { Ok(()) }
                }
                _ => Ok(()),
            }
        })
        .await;
        let plugin = plugin(&keystone.url(), Transport::hyper().build(), 10_000, 20_000);
        assert_eq!(token(&plugin).await.unwrap(), "token-1", "{kind:?}");
        assert_eq!(keystone.connections(), 2, "{kind:?}");
    }

    // A kept-alive connection that the server closes when it is reused.
    let keystone = RawServer::serve(move |mut stream, before| async move {
        read_request(&mut stream).await?;
        stream.write_all(&token_response_bytes()).await?;
        read_request(&mut stream).await?;
        if before == 0 { Ok(()) } else { until_closed(&mut stream).await }
    })
    .await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let kept_open = plugin(&keystone.url(), Transport::new(client), 10_000, 20_000);
    kept_open.renew().await.unwrap();
    kept_open.reset();
    assert_eq!(token(&kept_open).await.unwrap(), "token-1");
    assert_eq!(keystone.connections(), 2);

    // HTTP/2: the server sends GOAWAY while the request is in flight.
    let keystone = RawServer::serve(move |stream, before| async move {
        let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
        while let Some(stream) = connection.accept().await {
            let (_, mut respond) = stream.map_err(io::Error::other)?;
            if before == 0 {
                connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
                continue;
            }
            let head = Response::builder().status(201).header("x-subject-token", "token-1").body(()).unwrap();
            let mut body = respond.send_response(head, false).map_err(io::Error::other)?;
            body.send_data(token_document().to_string().into(), true).map_err(io::Error::other)?;
        }
        Ok(())
    })
    .await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let after_goaway = plugin(&keystone.url(), Transport::new(client), 10_000, 20_000);
    assert_eq!(token(&after_goaway).await.unwrap(), "token-1");
    assert_eq!(keystone.connections(), 2);

    // TLS: the server aborts the handshake with an alert.
    let keystone = RawServer::serve(|mut stream, _| async move {
        stream.read_u8().await?;
        stream.write_all(&ALERT).await?;
        until_closed(&mut stream).await
    })
    .await;
    let error =
        password_at(&format!("https://{}", keystone.address)).get_auth_ref(over_tls()).await.unwrap_err();
    assert!(matches!(error, Error::ConnectFailure { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(keystone.connections(), 1);
}

pub(crate) fn over_tls() -> Transport {
    let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_only().enable_http1();
    Transport::hyper().connector(|http| tls.wrap_connector(http)).build()
}

/// Returns a self-signed certificate for localhost.
pub(crate) fn certificate() -> CertificateDer<'static> {
    CertificateDer::from(&include_bytes!("localhost.der")[..])
}

pub(crate) fn acceptor() -> TlsAcceptor {
    // An Ed25519 key of 32 bytes of value 7, in PKCS #8 form.
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let key: Vec<u8> = head.into_iter().chain([7; 32]).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let config = ServerConfig::builder().with_no_client_auth();
    TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate()], key).unwrap()))
}

async fn a12_an_invalid_certificate_is_a_permanent_error_and_no_password_is_sent() {
    let trusted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&trusted);
    let keystone = RawServer::serve(move |stream, _| {
        let counter = Arc::clone(&counter);
        async move {
            let mut tls = acceptor().accept(stream).await?;
            read_request(&mut tls).await?;
            counter.fetch_add(1, Ordering::Relaxed);
            tls.write_all(&token_response_bytes()).await
        }
    })
    .await;
    let plugin = plugin(&format!("https://{}", keystone.address), over_tls(), 10_000, 20_000);
    for _ in 0..100 {
        let error = token(&plugin).await.unwrap_err();
        assert!(matches!(error, Error::ConnectFailure { .. }) && !error.is_transient(), "{error:?}");
    }
    keystone.wait_until_closed().await;
    assert_eq!((keystone.connections(), trusted.load(Ordering::Relaxed)), (1, 0));
}

async fn a14_a_compressed_response_of_a_gigabyte_is_read_up_to_the_size_limit() {
    let posts = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&posts);
    let bomb = tower::service_fn(move |_: Request<axum::body::Body>| {
        counter.fetch_add(1, Ordering::Relaxed);
        let body = axum::body::Body::new(Endless::new(1 << 30));
        let response = Response::builder().status(201).header("content-type", "application/json").body(body);
        async move { Ok::<_, std::convert::Infallible>(response.unwrap()) }
    });
    let routes = axum::Router::new().fallback_service(bomb).layer(CompressionLayer::new());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
    let peak = peak_memory_from_now();
    let error = password_at(&url).get_auth_ref(Transport::hyper().build()).await.unwrap_err();
    assert!(matches!(error, Error::InvalidResponse { reason, .. } if reason.contains("4 MiB")), "{error}");
    assert!(peak() <= 8 * 1024 * 1024, "{} bytes in use", peak());
    assert_eq!(posts.load(Ordering::Relaxed), 1);
    serving.abort();
}

async fn a16_a_token_of_128_kib_is_received_over_http() {
    let keystone = RawServer::serve(|mut stream, _| async move {
        read_request(&mut stream).await?;
        let (token, body) = ("t".repeat(128 * 1024), token_document().to_string());
        let head = format!(
            "HTTP/1.1 201 Created\r\nx-subject-token: {token}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await
    })
    .await;
    let access_info = password_at(&keystone.url()).get_auth_ref(Transport::hyper().build()).await.unwrap();
    assert_eq!(access_info.auth_token().map(str::len), Some(128 * 1024));
}

/// Starts a server that reads `reads` bytes of each connection, sends `response` and closes the connection.
async fn server_with_response(reads: usize, response: &'static [u8]) -> RawServer {
    RawServer::serve(move |mut stream, _| async move {
        stream.read_exact(&mut vec![0; reads]).await?;
        stream.write_all(response).await?;
        stream.shutdown().await?;
        until_closed(&mut stream).await
    })
    .await
}

const PLAIN_400: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const GO_400: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
const NGINX_400: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n\
    <center>The plain HTTP request was sent to HTTPS port</center>";

async fn a12_a_tls_misconfiguration_fails_at_once_and_names_its_cause() {
    let tls = RawServer::serve(|stream, _| async move {
        let mut tls = acceptor().accept(stream).await?;
        read_request(&mut tls).await?;
        tls.write_all(&token_response_bytes()).await
    })
    .await;
    let (plain, silent) = (server_with_response(16, PLAIN_400).await, server_with_response(16, b"").await);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let https = |server: &RawServer| server.url().replace("http:", "https:");
    for (url, transport, server, connections, reason) in [
        (https(&plain), over_tls(), &plain, 1, "it does not speak TLS"),
        (tls.url(), Transport::hyper().build(), &tls, 1, "it does not speak HTTP"),
        (https(&tls), over_tls(), &tls, 1, "its certificate was rejected: invalid peer certificate"),
        (silent.url(), over_tls(), &silent, 0, "does not support this URL scheme: unsupported scheme http"),
        (https(&silent), Transport::new(client), &silent, 0, "does not support this URL scheme"),
        (https(&silent), Transport::hyper().build(), &silent, 0, "plain http only"),
    ] {
        let before = server.connections();
        let plugin = plugin(&url, transport.clone(), 10_000, 20_000);
        for _ in 0..20 {
            let error = token(&plugin).await.unwrap_err();
            assert!(!error.is_transient() && error.to_string().contains(reason), "{error}");
            assert!(!error.to_string().contains("check the auth_url"), "{error}");
        }
        assert_eq!(server.connections() - before, connections, "{reason}");

        let alice = User::new().username("alice").user_domain_name("Default");
        let generic = GenericCredentials::password(url, alice, "wonderland");
        let error = generic.get_auth_ref(transport).await.unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains(reason), "{error}");
    }
    for response in [GO_400, NGINX_400] {
        let server = server_with_response(16, response).await;
        let plugin = plugin(&server.url(), Transport::hyper().build(), 10_000, 20_000);
        let error = token(&plugin).await.unwrap_err();
        assert!(
            !error.is_transient() && error.to_string().contains("use https:// in the auth_url"),
            "{error}"
        );
        assert_eq!(server.connections(), 1);
        let generic = GenericCredentials::password(server.url(), User::new().username("alice"), "wonderland");
        let error = generic.get_auth_ref(Transport::hyper().build()).await.unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains("that port speaks TLS"), "{error}");
    }
}

async fn a14_a_compressed_error_of_megabytes_uses_little_memory() {
    let unpacked = Bytes::from(format!("[{}0]", r#"{"":0},"#.repeat(4 * 1024 * 1024 / 7)));
    for status in [401, 404, 503] {
        let body = unpacked.clone();
        let service = tower::service_fn(move |_: Request<axum::body::Body>| {
            let response = Response::builder().status(status).header("content-type", "application/json");
            let response = response.body(axum::body::Body::from(body.clone())).unwrap();
            async move { Ok::<_, std::convert::Infallible>(response) }
        });
        let routes = axum::Router::new().fallback_service(service).layer(CompressionLayer::new());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
        let credentials = password_at(&url);
        let peak = peak_memory_from_now();
        for _ in 0..3 {
            let error = credentials.get_auth_ref(Transport::hyper().build()).await.unwrap_err();
            assert!(matches!(&error, Error::Keystone(response) if response.status == status), "{error}");
        }
        // The peak includes the memory of the server.
        assert!(peak() <= 2 * 1024 * 1024, "{status}: {} bytes in use", peak());
        serving.abort();
    }
}
