//! A stack of layers that does what keystoneauth's `Session` and `Adapter` do.
//!
//! ```sh
//! cargo run --example session_stack
//! ```
//!
//! From the outermost to the innermost layer, with the names in keystoneauth in parentheses:
//!
//! 1. `ErrorContextLayer`: errors name the service and the origin of the request.
//! 2. `RaiseForStatusLayer`: turns statuses of 400 and above into errors (`raise_exc`).
//! 3. `SetRequestIdLayer`: sets `X-OpenStack-Request-ID` to the same id for all attempts, unless the request has one
//!    already (`global_request_id`).
//! 4. `retry` with `ReauthPolicy`: sends a request once more after a 401 (`allow_reauth`).
//! 5. `retry` with `RetryPolicy`: retries after a failure to connect, or if the server is unavailable
//!    (`connect_retries`, `status_code_retries`).
//! 6. `timeout`: limits each attempt, including the upload of the body. With `RenewingPlugin` it must be longer than
//!    `RenewalPolicy::wait_timeout`, which is 30 s.
//! 7. `AuthLayer`: sets the endpoint, the token and the microversion (`service_type`, `region_name`,
//!    `default_microversion`).
//! 8. `FollowRedirectLayer` with `RedirectPolicy`: follows redirects, and sends the token to the same origin only
//!    (`redirect`).
//! 9. `SetRequestHeaderLayer`: sets `User-Agent`. Use more of them for other headers (`user_agent`,
//!    `additional_headers`).
//! 10. `TraceLayer`: records the request id of the caller and that of the service in a span.
//! 11. `concurrency_limit`: limits the requests in flight. Requests that wait for a retry do not count
//!     (`max_concurrency`).
//! 12. `rate_limit` with a `buffer` around it, because it is not `Clone` and all clones of the stack must share it
//!     (`rate_limit`).
//! 13. The client.

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
    RedirectPolicy, RetryPolicy,
    fixture::{Cloud, ResponseBody},
};
use tracing::{Span, field::Empty, info, info_span};

type Body = Full<Bytes>;

const X_OPENSTACK_REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// Creates request ids of the form that OpenStack services accept: `req-` and a UUID.
#[derive(Clone, Copy)]
struct GlobalRequestId;

impl MakeRequestId for GlobalRequestId {
    fn make_request_id<B>(&mut self, request: &Request<B>) -> Option<RequestId> {
        let uuid = MakeRequestUuid.make_request_id(request)?;
        let id = format!("req-{}", uuid.header_value().to_str().ok()?);
        Some(RequestId::new(id.parse().ok()?))
    }
}

/// Creates the span of a request. The field `request_id` is set when the response arrives.
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

/// Records the request id of the service, and logs the response.
fn on_response<B>(response: &Response<B>, latency: Duration, span: &Span) {
    let compute = HeaderName::from_static("x-compute-request-id");
    let id = response.headers().get(X_OPENSTACK_REQUEST_ID).or_else(|| response.headers().get(compute));
    span.record("request_id", id.and_then(|id| id.to_str().ok()));
    info!(status = response.status().as_u16(), ?latency, "response");
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_target(false).without_time().with_ansi(false).init();

    let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    let access_info = cloud.keystone().issue("alice", Some("demo")).ok_or("alice is not a user")?;
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
        .layer(TraceLayer::new_for_http().make_span_with(span).on_request(()).on_response(on_response))
        .concurrency_limit(10)
        .buffer(10)
        .rate_limit(100, Duration::from_secs(1))
        .service(client(&cloud));

    // The client first returns a 503, and then a redirect.
    let response = nova.clone().oneshot(Request::get("/old").body(Body::default())?).await?;
    println!("{}", response.status());

    cloud.keystone().revoke(access_info.auth_token().unwrap_or_default());
    let Err(error) = nova.oneshot(Request::get("/servers").body(Body::default())?).await else {
        return Err("the request succeeded with a revoked token".into());
    };
    println!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default());
    if let Some(Error::Service(error)) = Error::find(&*error)
        && error.token_renewable == Some(false)
    {
        println!("the plugin cannot renew its token");
    }
    Ok(())
}

/// Returns a client whose first response is a 503, and that redirects `/old` to `/servers`.
fn client(
    cloud: &Cloud,
) -> impl Service<Request<Body>, Response = Response<ResponseBody>, Error = BoxError, Future: Send> + Send + use<>
{
    let (cloud, count) = (cloud.clone(), AtomicUsize::new(0));
    service_fn(move |request: Request<Body>| {
        let (cloud, count) = (cloud.clone(), count.fetch_add(1, Ordering::Relaxed));
        async move {
            let mut response = Response::new(ResponseBody::default());
            if count == 0 {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response.headers_mut().insert("retry-after", HeaderValue::from_static("0"));
            } else if request.uri().path().ends_with("/old") {
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                response.headers_mut().insert("location", HeaderValue::from_static("servers"));
            } else {
                response = cloud.oneshot(request).await?;
            }
            let id = format!("req-response-{count}").parse()?;
            response.headers_mut().insert(X_OPENSTACK_REQUEST_ID, id);
            Ok(response)
        }
    })
}
