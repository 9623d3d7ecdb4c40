//! An HTTP server, with or without TLS, which records what it receives.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri, Version};
use http_body_util::Full;
use hyper::{body::Incoming, rt, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ProtocolVersion, ServerConfig},
};

/// With this header, a request asks for a response whose header of this name has so many bytes.
pub(crate) const LENGTH: &str = "x-length";

/// With this header, a request asks for a response that has so many headers of this name.
pub(crate) const COUNT: &str = "x-count";

/// A request that a server received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// `None` for plain http.
    pub(crate) tls: Option<ProtocolVersion>,
    pub(crate) has_client_certificate: bool,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    location: Option<Arc<str>>,
}

impl Server {
    /// Serves `hello` over TLS for all paths.
    pub(crate) async fn start(tls: ServerConfig) -> Self {
        Self::serve(Some(tls), None).await
    }

    /// Serves `hello` over plain http.
    pub(crate) async fn start_plain() -> Self {
        Self::serve(None, None).await
    }

    /// Redirects all requests to this URL.
    pub(crate) async fn start_redirect(tls: ServerConfig, location: String) -> Self {
        Self::serve(Some(tls), Some(location.into())).await
    }

    async fn serve(tls: Option<ServerConfig>, location: Option<Arc<str>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Self { port, received: Arc::default(), location };
        let (accepting, tls) = (server.clone(), tls.map(|tls| TlsAcceptor::from(Arc::new(tls))));
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (server, tls) = (accepting.clone(), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return server.respond(TokioIo::new(tcp), None, false).await };
                    let Ok(stream) = tls.accept(tcp).await else { return };
                    let connection = stream.get_ref().1;
                    let version = connection.protocol_version();
                    let has_client_certificate = connection.peer_certificates().is_some();
                    server.respond(TokioIo::new(stream), version, has_client_certificate).await;
                });
            }
        });
        server
    }

    async fn respond<I>(&self, io: I, tls: Option<ProtocolVersion>, has_client_certificate: bool)
    where
        I: rt::Read + rt::Write + Unpin + Send + 'static,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let (parts, _) = request.into_parts();
            let number = |name| -> Option<usize> { parts.headers.get(name)?.to_str().unwrap().parse().ok() };
            let (length, count) = (number(LENGTH), number(COUNT));
            self.received.lock().unwrap().push(Received {
                uri: parts.uri,
                version: parts.version,
                headers: parts.headers,
                tls,
                has_client_certificate,
            });
            let mut response = match &self.location {
                Some(location) => Response::builder().status(307).header("location", &**location),
                None => Response::builder(),
            };
            if let Some(length) = length {
                response = response.header(LENGTH, "x".repeat(length));
            }
            for number in 0..count.unwrap_or_default() {
                response = response.header(COUNT, number);
            }
            let response = response.body(Full::new(Bytes::from_static(b"hello"))).unwrap();
            async move { Ok::<_, Infallible>(response) }
        });
        let _ = Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
    }

    pub(crate) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.port)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Returns the only request.
    pub(crate) fn only(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "{received:?}");
        received.into_iter().next().unwrap()
    }
}
