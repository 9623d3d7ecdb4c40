//! `AuthLayer` in a stack with retries, a timeout and tracing.
//!
//! ```sh
//! cargo run --example retry_stack
//! ```
//!
//! From the outermost to the innermost layer:
//!
//! 1. `retry` with `ReauthPolicy`: sends a request once more after a 401. Because both retry layers are outside of
//!    `AuthLayer`, each attempt gets a current token and endpoint.
//! 2. `retry` with `RetryPolicy`: retries if the server is unavailable.
//! 3. `timeout`: limits each attempt, including the wait for a token and the upload of the body.
//! 4. `AuthLayer`.
//! 5. `TraceLayer`: sees the resolved URI. The token is marked as sensitive and is not printed.
//! 6. The client.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, EndpointFilter, ReauthPolicy, RetryPolicy, TokenRejected,
    fixture::{Cloud, Fault},
};

type Body = Full<Bytes>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_target(false)
        .init();

    let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    let access_info = cloud.keystone().issue("alice", Some("demo")).ok_or("alice is not a user")?;
    // The first attempt gets a 503.
    cloud.fail_next("compute", 1, Fault::status(StatusCode::SERVICE_UNAVAILABLE));

    let nova = ServiceBuilder::new()
        .retry(ReauthPolicy::new())
        .retry(RetryPolicy::new().status_code_retries(2))
        .timeout(Duration::from_secs(60))
        .layer(
            AuthLayer::new(AccessInfoPlugin::new(access_info.clone()))
                .endpoint(EndpointFilter::new("compute")),
        )
        .layer(TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().include_headers(true)))
        .service(cloud.clone());

    let request = Request::get("/servers").body(Body::default())?;
    let response = nova.clone().oneshot(request.clone()).await?;
    let attempts = cloud.requests_to("compute");
    println!("{} after {attempts} attempts", response.status());

    cloud.keystone().revoke(access_info.auth_token().unwrap_or_default());
    let response = nova.oneshot(request).await?;
    println!("{} after {} attempt", response.status(), cloud.requests_to("compute") - attempts);
    if let Some(rejected) = response.extensions().get::<TokenRejected>() {
        println!("{rejected}");
    }
    Ok(())
}
