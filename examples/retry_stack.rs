//! AuthLayer in a stack with retries, timeouts and tracing, and what their order means.
//!
//! ```sh
//! cargo run --example retry_stack
//! ```
//!
//! From the outside in:
//!
//! 1. `retry` stands outside the layer, twice, so that every attempt gets its token and its endpoint anew: for
//!    a refused token, and inside of that for a server that has no time.
//! 2. `timeout` outside the layer bounds one attempt, the wait for a token and the upload of the body included.
//! 3. `AuthLayer`.
//! 4. `TraceLayer` inside it sees the URI that was resolved; the token is sensitive and not shown.
//! 5. The client.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, EndpointFilter, ReauthPolicy, RetryPolicy, TokenRejected, fixture::Cloud,
};

type Body = Full<Bytes>;

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
        .retry(ReauthPolicy::new())
        .retry(RetryPolicy::new().status_code_retries(2))
        .timeout(Duration::from_secs(60))
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
    if let Some(refusal) = response.extensions().get::<TokenRejected>() {
        println!("{refusal}");
    }
    Ok(())
}
