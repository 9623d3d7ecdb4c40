//! What keystoneauth's Session and Adapter do around a request, as one stack: the layers of this crate, of
//! tower and of tower-http.
//!
//! ```sh
//! cargo run --example session_stack
//! ```
//!
//! From the outside in:
//!
//! 1. `ErrorContextLayer`: errors say which service and origin the request was for.
//! 2. `RaiseForStatusLayer`: statuses from 400 are errors (`raise_exc`).
//! 3. `SetRequestIdLayer`: `X-OpenStack-Request-ID`, the same for all attempts, unless the request has one of
//!    its own (`global_request_id`).
//! 4. `retry`, twice: after a refused token (`allow_reauth`), and inside of that when there is no connection or
//!    the server has no time (`connect_retries`, `status_code_retries`).
//! 5. `timeout`, for each attempt, the upload of its body included. With `RenewingPlugin`, longer than its
//!    `wait_timeout`, which is 30 s.
//! 6. `AuthLayer`: the endpoint, the token and the microversion (`service_type`, `region_name`,
//!    `default_microversion`).
//! 7. `FollowRedirectLayer` with `RedirectPolicy`: the token stays within its origin (`redirect`).
//! 8. `SetRequestHeaderLayer`: `User-Agent`, and further headers likewise (`user_agent`, `additional_headers`).
//! 9. `TraceLayer`: the span has both request ids, ours and the one that the service answers.
//! 10. `concurrency_limit` (`max_concurrency`), for what is on its way and not for what waits in a retry.
//! 11. `rate_limit` (`rate_limit`), with a `buffer` around it, since it cannot be cloned and all clones of
//!     the stack are to share it.
//! 12. The client.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header::USER_AGENT};
use http_body_util::Full;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::{
    follow_redirect::FollowRedirectLayer,
    request_id::{MakeRequestId, MakeRequestUuid, RequestId, SetRequestIdLayer},
    set_header::SetRequestHeaderLayer,
    trace::TraceLayer,
};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, EndpointFilter, Error, ErrorContextLayer, RaiseForStatusLayer, ReauthPolicy,
    RedirectPolicy, RetryPolicy, fixture::Cloud,
};
use tracing::{Span, field::Empty, info, info_span};

type Body = Full<Bytes>;

const X_OPENSTACK_REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// `req-` and a UUID, the form in which services take an id from others.
#[derive(Clone, Copy)]
struct GlobalRequestId;

impl MakeRequestId for GlobalRequestId {
    fn make_request_id<B>(&mut self, request: &Request<B>) -> Option<RequestId> {
        let uuid = MakeRequestUuid.make_request_id(request)?;
        let id = format!("req-{}", uuid.header_value().to_str().ok()?);
        Some(RequestId::new(id.parse().ok()?))
    }
}

/// A span with room for the id that the service answers.
fn span<B>(request: &Request<B>) -> Span {
    let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    info_span!(
        "request",
        method = %request.method(),
        uri = %request.uri(),
        user_agent = header(USER_AGENT),
        microversion = header(HeaderName::from_static("openstack-api-version")),
        global_request_id = header(X_OPENSTACK_REQUEST_ID),
        request_id = Empty,
    )
}

fn answered<B>(response: &Response<B>, latency: Duration, span: &Span) {
    let compute = HeaderName::from_static("x-compute-request-id");
    let id = response.headers().get(X_OPENSTACK_REQUEST_ID).or_else(|| response.headers().get(compute));
    span.record("request_id", id.and_then(|id| id.to_str().ok()));
    info!(status = response.status().as_u16(), ?latency, "answered");
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_target(false).without_time().with_ansi(false).init();

    let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    let access_info = cloud.keystone().issue("alice", Some("demo")).ok_or("alice is a user")?;
    let plugin = AccessInfoPlugin::new(access_info.clone());

    let nova = ServiceBuilder::new()
        .layer(ErrorContextLayer::new())
        .layer(RaiseForStatusLayer::new())
        .layer(SetRequestIdLayer::new(X_OPENSTACK_REQUEST_ID, GlobalRequestId))
        .retry(ReauthPolicy::new())
        .retry(RetryPolicy::new().status_code_retries(2))
        .timeout(Duration::from_secs(60))
        .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute").microversion("2.79")))
        .layer(FollowRedirectLayer::with_policy(RedirectPolicy::new()))
        .layer(SetRequestHeaderLayer::if_not_present(
            USER_AGENT,
            HeaderValue::from_static("my-program/1.0 tower-keystone"),
        ))
        .layer(TraceLayer::new_for_http().make_span_with(span).on_request(()).on_response(answered))
        .concurrency_limit(10)
        .buffer(10)
        .rate_limit(100, Duration::from_secs(1))
        .service(client(&cloud));

    // Unavailable at first, then moved to another path.
    let response = nova.clone().oneshot(Request::get("/old").body(Body::default())?).await?;
    println!("{}", response.status());

    cloud.keystone().revoke(access_info.auth_token().unwrap_or_default());
    let Err(error) = nova.oneshot(Request::get("/servers").body(Body::default())?).await else {
        return Err("the token was revoked".into());
    };
    println!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default());
    if let Some(Error::Service(answer)) = Error::find(&*error)
        && answer.token_renewable == Some(false)
    {
        println!("the plugin cannot renew its token");
    }
    Ok(())
}

/// The way to a nova that has no time for the first request, and where `/old` has become `/servers`.
fn client(
    cloud: &Cloud,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Send + use<> {
    let (cloud, count) = (cloud.clone(), AtomicUsize::new(0));
    service_fn(move |request: Request<Body>| {
        let (cloud, count) = (cloud.clone(), count.fetch_add(1, Ordering::Relaxed));
        async move {
            let mut response = Response::new(Body::default());
            if count == 0 {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response.headers_mut().insert("retry-after", HeaderValue::from_static("0"));
            } else if request.uri().path().ends_with("/old") {
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                response.headers_mut().insert("location", HeaderValue::from_static("servers"));
            } else {
                response = cloud.oneshot(request).await?;
            }
            let id = format!("req-answer-{count}").parse()?;
            response.headers_mut().insert(X_OPENSTACK_REQUEST_ID, id);
            Ok(response)
        }
    })
}
