//! Federated logins, whose servers return what a target says.

use std::{
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::runtime::{Builder, Runtime};
use tower::service_fn;
use tower_keystone::{Error, Transport, federation::IdentityProvider};

pub(crate) const KEYSTONE: &str = "https://keystone.example.com/v3";

/// The secret that is sent. Nothing that is shown contains it.
pub(crate) const SECRET: &str = "canary-0123456789";

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
}

/// Runs a login to its end.
pub(crate) fn run<F: Future>(login: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.block_on(login))
}

pub(crate) fn identity_provider() -> IdentityProvider {
    IdentityProvider::new(KEYSTONE, "op", "openid")
}

/// The requests that were sent.
pub(crate) type Requests = Arc<Mutex<Vec<Request<Bytes>>>>;

/// Returns a transport whose responses are made by a function, and the requests that it sends.
pub(crate) fn transport(
    respond: impl Fn(&Request<Bytes>) -> Response<Bytes> + Clone + Send + Sync + 'static,
) -> (Transport, Requests) {
    let requests = Requests::default();
    let sent = Arc::clone(&requests);
    let transport = Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let (sent, respond) = (Arc::clone(&sent), respond.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let request = Request::from_parts(parts, body);
            let response = respond(&request);
            sent.lock().expect("no panic").push(request);
            Ok::<_, Infallible>(response.map(Full::new))
        }
    }));
    (transport, requests)
}

/// The unscoped token of Keystone.
pub(crate) fn unscoped_token() -> Response<Bytes> {
    let document = r#"{"token": {"methods": ["openid"], "user": {"id": "u", "name": "alice"},
                       "issued_at": "2026-01-15T12:00:00Z", "expires_at": "2999-01-15T12:00:00Z"}}"#;
    let response = Response::builder().status(201).header("x-subject-token", "keystone-token");
    response.body(document.into()).expect("a response")
}

pub(crate) fn json(document: impl Into<Bytes>) -> Response<Bytes> {
    Response::new(document.into())
}

/// Checks that an error can be shown, with a limited length and without the secret.
pub(crate) fn look_at(error: &Error) {
    let shown = format!("{error} {error:?}");
    assert!(shown.len() < 100_000, "{} bytes", shown.len());
    assert!(!shown.contains(SECRET), "{shown}");
    let _ = error.is_transient();
}
