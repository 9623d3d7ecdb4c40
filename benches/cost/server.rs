//! One server on a loopback port that is both Keystone and a service.

use std::{
    collections::HashSet,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;

use crate::{
    peers::X_AUTH_TOKEN,
    sample::{Body, ENDPOINT, document},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// The state and counters of the server.
#[derive(Default)]
pub struct Server {
    pub tokens: Mutex<HashSet<String>>,
    pub logins: AtomicUsize,
    pub requests: AtomicUsize,
    /// All tokens are revoked after this many requests. 0 means never.
    pub revoke_at: AtomicUsize,
    login_takes: Duration,
    address: Mutex<String>,
}

impl Server {
    pub fn new(login_takes: Duration) -> Arc<Self> {
        Arc::new(Self { login_takes, ..Self::default() })
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        self.address.lock().unwrap().clone()
    }

    /// Serves until the runtime ends.
    pub async fn serve(self: &Arc<Self>, protocol: Protocol) {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        *self.address.lock().unwrap() = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (stream, server) = (TokioIo::new(stream), Arc::clone(&server));
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        let server = Arc::clone(&server);
                        async move { Ok::<_, Infallible>(server.answer(request).await) }
                    });
                    // The client notices a connection that ends early.
                    let _ = match protocol {
                        Protocol::Http1 => http1::Builder::new().serve_connection(stream, service).await,
                        Protocol::Http2 => {
                            let mut builder = http2::Builder::new(TokioExecutor::new());
                            builder.max_concurrent_streams(20_000).serve_connection(stream, service).await
                        }
                    };
                });
            }
        });
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if request.method() == Method::POST {
            tokio::time::sleep(self.login_takes).await;
            let token = format!("token-{}", self.logins.fetch_add(1, Relaxed) + 1);
            self.tokens.lock().unwrap().insert(token.clone());
            let document = document(20).replace(ENDPOINT, &self.url());
            let response = Response::builder().status(StatusCode::CREATED).header("x-subject-token", token);
            return response.body(Full::from(document)).unwrap();
        }
        let requests = self.requests.fetch_add(1, Relaxed) + 1;
        let mut tokens = self.tokens.lock().unwrap();
        if requests == self.revoke_at.load(Relaxed) {
            tokens.clear();
        }
        let token = request.headers().get(X_AUTH_TOKEN).and_then(|token| token.to_str().ok());
        match token.is_some_and(|token| tokens.contains(token)) {
            true => Response::new(Full::new(Bytes::from_static(b"{\"servers\": []}"))),
            false => Response::builder().status(StatusCode::UNAUTHORIZED).body(Body::default()).unwrap(),
        }
    }
}

pub type HyperClient = Client<HttpConnector, Body>;

pub fn client(protocol: Protocol) -> HyperClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut builder = Client::builder(TokioExecutor::new());
    builder.http2_only(protocol == Protocol::Http2).build(connector)
}
