//! A service behind a `ValidateTokenLayer`.

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, Transport, ValidateTokenLayer,
    renewal::{Clock, Now},
};

/// The endpoint of Keystone.
pub(crate) const KEYSTONE: &str = "https://keystone.example.com/v3";

/// A clock that stands still at 2027-01-15T08:00:00Z.
struct StandingClock(Instant);

impl Clock for StandingClock {
    fn now(&self) -> Now {
        Now::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000), self.0)
    }
}

/// Returns the document of a token of this user, in the project `p1`.
pub(crate) fn document(user: &str, roles: &[&str], expires_at: &str) -> Value {
    let roles: Vec<_> = roles.iter().map(|name| json!({"id": name, "name": name})).collect();
    let endpoint = json!({"interface": "internal", "url": KEYSTONE});
    json!({
        "user": {"id": user, "name": user, "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p1", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "roles": roles,
        "expires_at": expires_at,
        "catalog": [{"type": "identity", "endpoints": [endpoint]}, {"type": "compute", "endpoints": []}],
    })
}

/// Returns a layer that asks this Keystone.
pub(crate) fn layer(keystone: Transport) -> ValidateTokenLayer {
    let own = json!({"token": document("own", &["service"], "2027-01-15T20:00:00Z")});
    let own = AccessInfo::new("own", own.to_string()).expect("a token document");
    with_clock(ValidateTokenLayer::new(AccessInfoPlugin::new(own), keystone))
}

pub(crate) fn with_clock(layer: ValidateTokenLayer) -> ValidateTokenLayer {
    layer
        .clock(StandingClock(Instant::now()))
        .connect_retries(0)
        .www_authenticate_uri("https://public.example.com/v3".parse().expect("a URL"))
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// Returns the output of a future that waits only for tasks.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.block_on(future))
}

/// Sends a request, and returns the response and the request as the application received it.
pub(crate) fn send<L>(layer: &L, request: Request<()>) -> (Response<Bytes>, Option<Parts>)
where
    L: Layer<App>,
    L::Service: tower::Service<Request<()>, Response = Response<Bytes>, Error = Infallible>,
{
    let seen: Seen = Arc::default();
    let service = layer.layer(App(Arc::clone(&seen)));
    let response = block_on(service.oneshot(request)).expect("the layer does not fail");
    let seen = seen.lock().expect("no panic").take();
    assert_eq!(seen.is_some(), response.body() == "app");
    (response, seen)
}

type Seen = Arc<Mutex<Option<Parts>>>;

/// The application: it records the request.
#[derive(Clone)]
pub(crate) struct App(Seen);

impl tower::Service<Request<()>> for App {
    type Response = Response<Bytes>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Bytes>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let before = self.0.lock().expect("no panic").replace(request.into_parts().0);
        assert!(before.is_none(), "a request is sent once");
        ready(Ok(Response::new(Bytes::from_static(b"app"))))
    }
}

/// A Keystone that confirms all tokens with one document.
pub(crate) fn confirming(document: &Value) -> Transport {
    let body = Bytes::from(json!({ "token": document }).to_string());
    Transport::new(service_fn(move |_: Request<http_body_util::Full<Bytes>>| {
        ready(Ok::<_, Infallible>(Response::new(http_body_util::Full::new(body.clone()))))
    }))
}
