use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use rustls::ClientConfig;
use tokio::time::timeout;
use tower_service::Service;

use super::{proxies::Proxies, route::Route, stream::Stream};
use crate::BoxError;

/// Connects to the server of a URL, with TLS if the URL is `https`.
#[derive(Clone)]
pub(super) struct Connector {
    tls: HttpsConnector<Route>,
    proxies: Arc<Proxies>,
    timeout: Duration,
}

impl Connector {
    /// `timeout` limits all of it: name resolution, TCP, the proxy and TLS.
    pub(super) fn new(tls: ClientConfig, route: Route, proxies: Arc<Proxies>, timeout: Duration) -> Self {
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        Self { tls: tls.enable_http1().enable_http2().wrap_connector(route), proxies, timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Stream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tls.poll_ready(cx)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let (connecting, limit) = (self.tls.call(url.clone()), self.timeout);
        let proxies = Arc::clone(&self.proxies);
        Box::pin(async move {
            timeout(limit, connecting).await.unwrap_or_else(|_| {
                let message = format!("no connection within {} ms", limit.as_millis());
                let error = io::Error::new(io::ErrorKind::TimedOut, message);
                Err(proxies.name_proxy_in(error.into(), &url))
            })
        })
    }
}
