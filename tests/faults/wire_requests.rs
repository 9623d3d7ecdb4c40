//! Requests over sockets: half-read bodies, proxies, HTTP/2, and connections that stay open.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{Empty, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, proxy::Tunnel},
    },
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tower::{BoxError, Layer, retry::Retry, util::Oneshot};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, EndpointFilter, Error, Interface, ReauthPolicy, RenewingPlugin, ReplayBody,
    TokenRejected, Transport, V3Credentials,
};

use crate::{
    layer::access_info,
    support::*,
    wire::{RawServer, acceptor, certificate, read_request, read_to, until_closed},
};

cases![
    real_time c02_a_body_rejected_half_read_is_replayed_from_its_start,
    real_time c02_a_body_longer_than_the_replay_limit_is_sent_once,
    real_time c10_a_tunneling_proxy_never_sees_the_token,
    real_time c10_a_plain_http_proxy_gets_no_request_for_an_origin_that_is_not_allowed,
    real_time c11_a_refused_http2_stream_or_a_goaway_causes_no_renewal,
    real_time c11_a_thousand_rejected_http2_streams_cause_one_login,
    real_time c12_ten_thousand_rejections_with_unread_bodies_leave_no_connection_open,
];

fn plugin(keystone: &ScriptedKeystone) -> RenewingPlugin<V3Credentials> {
    RenewingPlugin::new(keystone.credentials(), Transport::new(keystone.clone()))
}

fn layer<P: tower_keystone::IdentityPlugin>(plugin: P, server: &RawServer) -> AuthLayer<P> {
    AuthLayer::new(plugin).endpoint(EndpointFilter::default().endpoint_override(server.url()))
}

const CHUNK: usize = 8 * 1024;

/// A body that stops halfway until the service has rejected the request.
struct Upload {
    parts: VecDeque<Bytes>,
    sent: usize,
    half: usize,
    rejections: Arc<AtomicUsize>,
}

impl Upload {
    fn new(parts: usize, rejections: &Arc<AtomicUsize>) -> Self {
        let parts: VecDeque<_> = (0..parts).map(|part| Bytes::from(vec![b'a' + part as u8; CHUNK])).collect();
        Self { half: parts.len() / 2, parts, sent: 0, rejections: Arc::clone(rejections) }
    }

    fn whole(&self) -> Vec<u8> {
        self.parts.iter().flatten().copied().collect()
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.sent == self.half && self.rejections.load(Ordering::Relaxed) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.sent += 1;
        Poll::Ready(self.parts.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact((self.parts.len() * CHUNK) as u64)
    }
}

/// Starts a server that rejects the first request before it reads the body, and accepts and reads all others.
async fn server_that_rejects_early(rejections: &Arc<AtomicUsize>) -> (RawServer, Arc<Mutex<Vec<Vec<u8>>>>) {
    let accepted: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (log, rejections) = (Arc::clone(&accepted), Arc::clone(rejections));
    let server = RawServer::serve(move |mut stream: TcpStream, before| {
        let (log, rejections) = (Arc::clone(&log), Arc::clone(&rejections));
        async move {
            if before == 0 {
                let head = read_to(&mut stream, b"\r\n\r\n").await?;
                assert!(head.starts_with(b"PUT"));
                stream.read_exact(&mut [0; CHUNK]).await?;
                stream
                    .write_all(b"HTTP/1.1 401 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                    .await?;
                rejections.fetch_add(1, Ordering::Relaxed);
                return until_closed(&mut stream).await;
            }
            let request = read_request(&mut stream).await?;
            let head = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            log.lock().unwrap().push(request[head..].to_vec());
            stream.write_all(b"HTTP/1.1 200 Yes\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await
        }
    })
    .await;
    (server, accepted)
}

/// Uploads a body of this number of parts with a replay limit of 64 KiB. Returns the status, the server, the accepted
/// bodies, the whole body and the number of logins.
async fn upload(parts: usize) -> (u16, RawServer, Vec<Vec<u8>>, Vec<u8>, usize) {
    let keystone = ScriptedKeystone::new();
    let rejections = Arc::default();
    let (server, accepted) = server_that_rejects_early(&rejections).await;
    let client: Client<_, ReplayBody<Upload>> = Client::builder(TokioExecutor::new()).build_http();
    let service = Retry::new(ReauthPolicy::replaying(), layer(plugin(&keystone), &server).layer(client));
    let body = Upload::new(parts, &rejections);
    let whole = body.whole();
    let request = Request::put("/image").body(ReplayBody::new(body, 64 * 1024)).unwrap();
    let response = Oneshot::new(service, request).await.unwrap();
    let accepted = accepted.lock().unwrap().clone();
    (response.status().as_u16(), server, accepted, whole, keystone.logins())
}

async fn c02_a_body_rejected_half_read_is_replayed_from_its_start() {
    for parts in [2, 5, 8] {
        let (status, server, accepted, whole, logins) = upload(parts).await;
        assert_eq!(status, 200, "{parts}");
        assert!(accepted == [whole], "{parts}: the body is incomplete");
        assert_eq!((server.connections(), logins), (2, 2), "{parts}");
    }
}

async fn c02_a_body_longer_than_the_replay_limit_is_sent_once() {
    let (status, server, accepted, _, logins) = upload(24).await;
    assert_eq!(status, 401);
    assert!(accepted.is_empty());
    assert_eq!((server.connections(), logins), (1, 1));
}

async fn c10_a_tunneling_proxy_never_sees_the_token() {
    let connects = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (outside, within) = (Arc::clone(&connects), Arc::clone(&requests));
    let proxy = RawServer::serve(move |mut stream: TcpStream, _| {
        let (outside, within) = (Arc::clone(&outside), Arc::clone(&within));
        async move {
            let connect = read_to(&mut stream, b"\r\n\r\n").await?;
            outside.lock().unwrap().push(String::from_utf8_lossy(&connect).to_ascii_lowercase());
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            // The proxy also acts as the service behind it, which alone can decrypt the tunnel.
            let mut inside = acceptor().accept(stream).await?;
            let request = read_request(&mut inside).await?;
            within.lock().unwrap().push(String::from_utf8_lossy(&request).to_ascii_lowercase());
            inside.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await?;
            inside.shutdown().await
        }
    })
    .await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tunnel = Tunnel::new(proxy.url().parse().unwrap(), HttpConnector::new());
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
    let client: Client<_, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build(connector.wrap_connector(tunnel));
    let nova = EndpointFilter::default().endpoint_override("https://localhost:8774/v2.1");
    let layer = AuthLayer::new(AccessInfoPlugin::new(access_info("token-canary"))).endpoint(nova);
    let request = Request::get("/servers").body(Empty::new()).unwrap();
    assert_eq!(Oneshot::new(layer.layer(client), request).await.unwrap().status(), 200);

    let (connects, requests) = (connects.lock().unwrap(), requests.lock().unwrap());
    assert_eq!((connects.len(), requests.len(), proxy.connections()), (1, 1, 1));
    let connect = &connects[0];
    assert!(connect.starts_with("connect localhost:8774 "), "{connect}");
    assert!(!connect.contains("canary") && !connect.contains("x-auth-token"), "{connect}");
    assert!(requests[0].contains("x-auth-token: token-canary\r\n"), "{}", requests[0]);
}

async fn c10_a_plain_http_proxy_gets_no_request_for_an_origin_that_is_not_allowed() {
    let proxy = RawServer::serve(|mut stream: TcpStream, _| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await
    })
    .await;
    let address = proxy.address;
    let through = tower::service_fn(move |_: http::Uri| {
        Box::pin(async move { Ok::<_, io::Error>(TokioIo::new(TcpStream::connect(address).await?)) })
    });
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(through);
    let plugin = || AccessInfoPlugin::new(access_info("token-1"));
    let auth = |layer: AuthLayer<AccessInfoPlugin>| layer.layer(client.clone());
    let get = |url: &str| Request::get(url).body(Empty::new()).unwrap();
    let known = "http://swift.example.com:8080/v1/AUTH_p1/c";
    let keystone = EndpointFilter::default().interface(Interface::Auth);

    for other in
        ["http://nova.example.com/v2.1/servers", "http://swift.example.com/v1", "http://evil.example.org/"]
    {
        let error = Oneshot::new(auth(AuthLayer::new(plugin())), get(other)).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::OriginNotAllowed { .. })), "{other}");
    }
    let strict = || AuthLayer::new(plugin().auth_url("http://keystone.test/v3")).require_https();
    for (layer, url) in [(strict(), known), (strict().endpoint(keystone), "/users")] {
        let error = Oneshot::new(auth(layer), get(url)).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::HttpsRequired { .. })), "{url}");
    }
    assert_eq!(proxy.connections(), 0);
    // The catalog contains a plain http URL, so the proxy sees the request. `require_https` prevents this.
    Oneshot::new(auth(AuthLayer::new(plugin())), get(known)).await.unwrap();
    assert_eq!(proxy.connections(), 1);
}

/// Starts an HTTP/2 service that validates tokens and counts requests.
///
/// If `refuse` returns a reason for the number of a request, the service resets the stream with it, or sends GOAWAY if
/// `goes_away` is set.
async fn http2_service(
    keystone: &ScriptedKeystone,
    refuse: impl Fn(usize) -> Option<h2::Reason> + Clone + Send + 'static,
    goes_away: bool,
) -> (RawServer, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let (counter, keystone) = (Arc::clone(&requests), keystone.clone());
    let server = RawServer::serve(move |stream, _| {
        let (counter, keystone, refuse) = (Arc::clone(&counter), keystone.clone(), refuse.clone());
        async move {
            let mut connection = h2::server::Builder::new()
                .max_concurrent_streams(2_000)
                .handshake::<_, Bytes>(stream)
                .await
                .map_err(io::Error::other)?;
            while let Some(stream) = connection.accept().await {
                let (request, mut respond) = stream.map_err(io::Error::other)?;
                let number = counter.fetch_add(1, Ordering::Relaxed);
                if let Some(reason) = refuse(number) {
                    if goes_away {
                        connection.abrupt_shutdown(reason);
                    } else {
                        respond.send_reset(reason);
                    }
                    continue;
                }
                let token = request.headers()["x-auth-token"].to_str().map_err(io::Error::other)?;
                let is_valid = keystone.issued_token(token).is_some_and(|issued| !issued.revoked);
                let head = Response::builder().status(if is_valid { 200 } else { 401 }).body(()).unwrap();
                respond.send_response(head, true).map_err(io::Error::other)?;
            }
            Ok(())
        }
    })
    .await;
    (server, requests)
}

fn http2() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

fn get() -> Request<Full<Bytes>> {
    Request::get("/servers").body(Full::default()).unwrap()
}

fn post() -> Request<Full<Bytes>> {
    Request::post("/servers").body(Full::from("{}")).unwrap()
}

async fn c11_a_refused_http2_stream_or_a_goaway_causes_no_renewal() {
    for goes_away in [false, true] {
        for reason in [h2::Reason::REFUSED_STREAM, h2::Reason::INTERNAL_ERROR, h2::Reason::ENHANCE_YOUR_CALM]
        {
            let keystone = ScriptedKeystone::new();
            let plugin = plugin(&keystone);
            let (server, requests) =
                http2_service(&keystone, move |number| (number == 0).then_some(reason), goes_away).await;
            let service = Retry::new(ReauthPolicy::new(), layer(plugin.clone(), &server).layer(http2()));
            let error = Oneshot::new(service.clone(), post()).await.unwrap_err();
            assert!(Error::find(&*error).is_none(), "the error of the client: {error}");
            assert_eq!((requests.load(Ordering::Relaxed), keystone.logins()), (1, 1), "{reason:?}");
            assert_eq!(Oneshot::new(service, post()).await.unwrap().status(), 200);
            assert_eq!((requests.load(Ordering::Relaxed), keystone.logins()), (2, 1), "{reason:?}");
            assert_eq!(server.connections(), if goes_away { 2 } else { 1 });
        }
    }
}

async fn c11_a_thousand_rejected_http2_streams_cause_one_login() {
    let keystone = ScriptedKeystone::new();
    let plugin = plugin(&keystone);
    token(&plugin).await.unwrap();
    let (server, requests) = http2_service(&keystone, |_| None, false).await;
    let service = Retry::new(ReauthPolicy::new(), layer(plugin, &server).layer(http2()));
    assert_eq!(Oneshot::new(service.clone(), get()).await.unwrap().status(), 200);
    keystone.revoke();
    let sent: JoinSet<_> = (0..1_000).map(|_| Oneshot::new(service.clone(), get())).collect();
    for response in sent.join_all().await {
        assert_eq!(response.unwrap().status(), 200);
    }
    let requests = requests.load(Ordering::Relaxed);
    assert!((1_002..=2_001).contains(&requests), "{requests}");
    assert_eq!((keystone.logins(), server.connections()), (2, 1));
}

async fn c12_ten_thousand_rejections_with_unread_bodies_leave_no_connection_open() {
    const REQUESTS: usize = 10_000;
    let keystone = ScriptedKeystone::new();
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let server = RawServer::serve(move |mut stream: TcpStream, _| {
        let counter = Arc::clone(&counter);
        async move {
            loop {
                read_request(&mut stream).await?;
                let number = counter.fetch_add(1, Ordering::Relaxed);
                // A client reads a short body to the end to reuse the connection. For a long body, it closes the
                // connection.
                let length = if number.is_multiple_of(20) { 100_000 } else { 1_000 };
                let mut response =
                    format!("HTTP/1.1 401 No\r\ncontent-length: {length}\r\n\r\n").into_bytes();
                response.resize(response.len() + length, b' ');
                stream.write_all(&response).await?;
            }
        }
    })
    .await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let service = Retry::new(ReauthPolicy::new(), layer(plugin(&keystone), &server).layer(client));
    for _ in 0..REQUESTS {
        let response = Oneshot::new(service.clone(), post()).await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(response.extensions().get::<TokenRejected>().is_some());
    }
    assert!(server.max_connections() <= 4, "{} connections at once", server.max_connections());
    let requests = requests.load(Ordering::Relaxed);
    assert_eq!(requests, 2 * REQUESTS, "each is sent twice");
    assert!(keystone.logins() <= 8, "{}", keystone.logins());
    drop(service);
    server.wait_until_closed().await;
}
