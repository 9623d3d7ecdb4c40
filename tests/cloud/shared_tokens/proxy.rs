//! A proxy in front of Keystone that records the logins.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{Router, body, extract, response::IntoResponse};
use http::{Method, Request, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::support::{Body, Client};

/// A login at Keystone that was requested through the proxy.
#[derive(Clone)]
pub(super) struct Login {
    /// Such as `password` or `token`.
    pub(super) method: String,
    pub(super) is_scoped: bool,
    pub(super) requested_at: Instant,
}

/// A proxy on a free loopback port, until the runtime of the test ends.
pub(super) struct Proxy {
    auth_url: Uri,
    logins: Arc<Mutex<Vec<Login>>>,
}

impl Proxy {
    /// Starts a proxy for the Keystone at `auth_url`.
    pub(super) async fn start(auth_url: &Uri) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let logins = Arc::<Mutex<Vec<_>>>::default();
        let recorded = Arc::clone(&logins);
        let authority = auth_url.authority().expect("a URL").clone();
        let forward = async move |request: extract::Request| {
            let (mut parts, body) = request.into_parts();
            let body = body::to_bytes(body, 1 << 20).await.expect("a whole body");
            if parts.method == Method::POST && parts.uri.path().ends_with("/auth/tokens") {
                recorded.lock().expect("no panic with it").push(Login::read(&body));
            }
            let path = parts.uri.path_and_query().expect("a path").as_str();
            parts.uri = format!("http://{authority}{path}").parse().expect("a URL");
            let response = Client::new().oneshot(Request::from_parts(parts, Body::from(body))).await;
            response.expect("Keystone answers").into_response()
        };
        let router = Router::new().fallback(forward);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let auth_url = format!("http://{address}{}", auth_url.path()).parse().expect("a URL");
        Self { auth_url, logins }
    }

    pub(super) fn auth_url(&self) -> &Uri {
        &self.auth_url
    }

    /// Returns the logins until now.
    pub(super) fn logins(&self) -> Vec<Login> {
        self.logins.lock().expect("no panic with it").clone()
    }
}

impl Login {
    fn read(body: &[u8]) -> Self {
        let requested_at = Instant::now();
        let auth = &serde_json::from_slice::<Value>(body).expect("JSON")["auth"];
        let method = auth["identity"]["methods"][0].as_str().expect("a method").to_owned();
        Self { method, is_scoped: auth["scope"]["project"].is_object(), requested_at }
    }
}
