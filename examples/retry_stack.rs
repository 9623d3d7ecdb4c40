//! AuthLayer in a stack with retries, timeouts and tracing, and what their order means.
//!
//! ```sh
//! cargo run --example retry_stack
//! ```
//!
//! From the outside in:
//!
//! 1. `retry` stands outside the layer, so that every attempt gets its token and its endpoint anew.
//! 2. `timeout` outside the layer bounds one attempt, the wait for a token included.
//! 3. `AuthLayer`.
//! 4. `TraceLayer` inside it sees the URI that was resolved; the token is sensitive and not shown.
//! 5. The client.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{BoxError, ServiceBuilder, ServiceExt, retry::Policy, service_fn};
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tower_keystone::{AccessInfoPlugin, AuthLayer, EndpointFilter, Refusal, fixture::Cloud};

type Body = Full<Bytes>;

/// Tries a few times more while the service is unavailable, or when a refused token can be renewed.
#[derive(Clone)]
struct Again {
    left: usize,
}

impl<B> Policy<Request<Body>, Response<B>, BoxError> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Body>,
        result: &mut Result<Response<B>, BoxError>,
    ) -> Option<Self::Future> {
        let response = result.as_ref().ok()?;
        let worth_it = match response.extensions().get::<Refusal>() {
            Some(refusal) => !refusal.is_final(),
            None => response.status() == StatusCode::SERVICE_UNAVAILABLE,
        };
        self.left = self.left.checked_sub(usize::from(worth_it))?;
        worth_it.then(|| ready(()))
    }

    /// The clone has the extensions too, and with them its EndpointFilter.
    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_target(false)
        .init();

    let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    let access_info = cloud.keystone().issue("alice", Some("demo")).ok_or("alice is a user")?;
    let sent = AtomicUsize::new(0);
    let behind = cloud.clone();
    // A nova that is unavailable at first.
    let client = service_fn(|request: Request<Body>| {
        let first = sent.fetch_add(1, Ordering::Relaxed) == 0;
        let behind = behind.clone();
        async move {
            if first {
                let mut response = Response::new(Body::default());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return Ok::<_, Infallible>(response);
            }
            behind.oneshot(request).await
        }
    });

    let nova = ServiceBuilder::new()
        .retry(Again { left: 2 })
        .timeout(Duration::from_secs(30))
        .layer(
            AuthLayer::new(AccessInfoPlugin::new(access_info.clone()))
                .endpoint(EndpointFilter::new("compute")),
        )
        .layer(TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().include_headers(true)))
        .service(client);

    let request = Request::get("/servers").body(Body::default())?;
    let response = nova.clone().oneshot(request.clone()).await?;
    println!("{} after {} attempts", response.status(), sent.swap(0, Ordering::Relaxed));

    cloud.keystone().revoke(access_info.auth_token().unwrap_or_default());
    sent.store(1, Ordering::Relaxed);
    let response = nova.oneshot(request).await?;
    println!("{} after {} attempt", response.status(), sent.load(Ordering::Relaxed) - 1);
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        println!("{refusal}");
    }
    Ok(())
}
