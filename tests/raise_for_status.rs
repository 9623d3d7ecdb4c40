//! Responses with a status of 400 or above as errors.

use std::{
    convert::Infallible,
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, AuthMethod, EndpointFilter, Error, FixedEndpointPlugin,
    RaiseForStatusLayer, ReauthPolicy, RenewingPlugin, Scope, ServiceTokenAuthWrapper, User, V3Credentials,
    error::HttpError, fixture::Cloud,
};

async fn send<B>(response: Response<B>) -> Result<Response<B>, BoxError>
where
    B: Body<Data = Bytes>,
{
    let mut response = Some(response);
    let service = tower::util::service_fn(move |_: Request<()>| {
        let response = response.take().expect("called once");
        async { Ok::<_, Infallible>(response) }
    });
    let mut service = ServiceBuilder::new().layer(RaiseForStatusLayer::new()).service(service);
    service.ready().await?.call(Request::new(())).await
}

fn raised<B>(result: Result<Response<B>, BoxError>) -> Arc<HttpError> {
    let Err(error) = result else { panic!("expected an error") };
    match Error::find(&*error) {
        Some(Error::Service(response)) => Arc::clone(response),
        _ => panic!("{error}"),
    }
}

#[tokio::test]
async fn message_details_and_retry_after_are_in_the_error() {
    for (status, headers, body, message, details, retry_after) in [
        (
            403,
            &[("content-type", "application/json")][..],
            r#"{"error":{"message":"no","details":"why"}}"#,
            Some("no"),
            Some("why"),
            None,
        ),
        (404, &[("content-type", "text/html")], "<h1>404</h1>", None, Some("<h1>404</h1>"), None),
        (500, &[("content-type", "text/plain")], "boom", None, Some("boom"), None),
        (503, &[("retry-after", "7")], "", None, None, Some(7)),
        (503, &[("retry-after", "x")], "", None, None, None),
        (
            429,
            &[("content-type", "application/json")],
            r#"{"errors":[{"title":"Slow","detail":"down"}]}"#,
            Some("Slow"),
            Some("down"),
            None,
        ),
        (
            400,
            &[("content-type", "application/json")],
            r#"{"errors":[]}"#,
            None,
            Some(r#"{"errors":[]}"#),
            None,
        ),
        (
            418,
            &[("content-type", "application/json")],
            r#"{"teapot":1}"#,
            None,
            Some(r#"{"teapot":1}"#),
            None,
        ),
        (413, &[("retry-after", "3")], "", None, None, Some(3)),
        (409, &[("content-type", "application/json")], "not json", None, Some("not json"), None),
        (599, &[], "", None, None, None),
        (
            405,
            &[("content-type", "application/json; charset=utf-8")],
            r#"{"error":{"message":"m"}}"#,
            Some("m"),
            None,
            None,
        ),
    ] {
        let mut response = Response::builder().status(status).header("x-compute-request-id", "req-1");
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let error = raised(send(response.body(Full::<Bytes>::from(body)).unwrap()).await);
        assert_eq!(error.status.as_u16(), status);
        assert_eq!((error.message.as_deref(), error.details.as_deref()), (message, details), "{body}");
        assert_eq!(error.retry_after.map(|after| after.as_secs()), retry_after);
        assert_eq!((error.request_id.as_deref(), error.token_renewable), (Some("req-1"), None));
    }
}

#[tokio::test]
async fn a_response_below_400_is_returned_unchanged() {
    for status in [100, 200, 204, 300, 304, 399] {
        let response =
            Response::builder().status(status).extension(7).body(Full::<Bytes>::from("kept")).unwrap();
        let response = send(response).await.unwrap();
        assert_eq!((response.status().as_u16(), response.extensions().get()), (status, Some(&7)));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "kept");
    }
}

#[tokio::test]
async fn the_error_text_is_one_line_with_status_message_and_request_id() {
    let body = r#"{"itemNotFound": {"code": 404, "message": "Instance 7\nnot found."}}"#;
    let response = Response::builder()
        .status(404)
        .header("content-type", "application/json")
        .header("x-openstack-request-id", "req-7")
        .body(Full::<Bytes>::from(body))
        .unwrap();
    let error = send(response).await.unwrap_err();
    let expected = r"the service returned 404 Not Found: Instance 7\nnot found. (request req-7)";
    assert_eq!(error.to_string(), expected);
    assert!(error.source().is_none(), "the text contains everything");
    assert!(!Error::find(&*error).unwrap().is_transient());
    let busy = Response::builder().status(503).body(Full::<Bytes>::default()).unwrap();
    assert!(Error::find(&*send(busy).await.unwrap_err()).unwrap().is_transient());
}

/// A body that yields text and then fails at `fails_at` bytes. It counts the bytes read.
struct FailingBody {
    read: Arc<AtomicUsize>,
    fails_at: usize,
}

impl Body for FailingBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let read = self.read.fetch_add(1_000, Ordering::Relaxed);
        let frame = if read < self.fails_at {
            Ok(Frame::data(vec![b'x'; 1_000].into()))
        } else {
            Err("it broke off")
        };
        Poll::Ready(Some(frame))
    }
}

#[tokio::test]
async fn a_body_is_read_up_to_64_kib_or_its_first_error() {
    for (fails_at, expected_length) in [(1_000_000, 64 * 1024), (3_000, 3_000), (0, 0)] {
        let read = Arc::new(AtomicUsize::new(0));
        let body = FailingBody { read: Arc::clone(&read), fails_at };
        let response =
            Response::builder().status(502).header("content-type", "text/plain").body(body).unwrap();
        let error = raised(send(response).await);
        assert_eq!(error.status, StatusCode::BAD_GATEWAY);
        assert_eq!(error.details.as_ref().map_or(0, String::len), expected_length);
        assert!(!format!("{error:?} {error}").contains("xx"), "Debug and Display omit the details");
        assert!(read.load(Ordering::Relaxed) <= 66_000);
    }
}

/// A body of empty frames or trailers, followed by frames of one byte.
struct TinyFrames {
    empty_frames: usize,
    trailers: bool,
    left: usize,
}

impl Body for TinyFrames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = if let Some(left) = self.empty_frames.checked_sub(1) {
            self.empty_frames = left;
            if self.trailers { Frame::trailers(HeaderMap::new()) } else { Frame::data(Bytes::new()) }
        } else if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            Frame::data(Bytes::from("x"))
        } else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(Ok(frame)))
    }
}

#[test]
fn a_body_of_tiny_frames_yields_to_other_tasks() {
    for (empty_frames, trailers, left, expected_length) in [
        (1_024, false, 3, 3),
        (1_024, true, 3, 3),
        (usize::MAX, false, 0, 0),
        (usize::MAX, true, 0, 0),
        (0, false, 100_000, 64 * 1024),
        (10, false, 10, 10),
    ] {
        let body = TinyFrames { empty_frames, trailers, left };
        let response =
            Response::builder().status(502).header("content-type", "text/plain").body(body).unwrap();
        let mut sent = tokio_test::task::spawn(send(response));
        let mut polls = 1;
        let error = loop {
            match sent.poll() {
                Poll::Ready(result) => break raised(result),
                Poll::Pending => assert!(sent.is_woken()),
            }
            polls += 1;
        };
        assert_eq!(error.details.as_ref().map_or(0, String::len), expected_length);
        assert!(polls >= (empty_frames.min(1_024) + left.min(64 * 1024)) / 100, "{polls}");
    }
}

#[tokio::test]
async fn a_secret_at_the_truncated_end_of_a_body_is_redacted() {
    let request = || Request::get("/").header("x-auth-token", "xx-canary").body(()).unwrap();
    for fails_at in [1_000_000, 3_000] {
        let service = service_fn(move |_: Request<()>| {
            let body = FailingBody { read: Arc::default(), fails_at };
            let response = Response::builder().status(502).header("content-type", "text/plain");
            ready(Ok::<_, Infallible>(response.body(body).unwrap()))
        });
        let service = ServiceBuilder::new().layer(RaiseForStatusLayer::new()).service(service);
        let details = raised(service.oneshot(request()).await).details.clone().unwrap();
        assert!(details.contains("redacted"), "{} bytes", details.len());
    }
    let service = service_fn(move |_: Request<()>| {
        let response = Response::builder().status(502).header("content-type", "text/plain");
        ready(Ok::<_, Infallible>(response.body(Full::new(Bytes::from("it ends in xx"))).unwrap()))
    });
    let service = ServiceBuilder::new().layer(RaiseForStatusLayer::new()).service(service);
    assert_eq!(raised(service.oneshot(request()).await).details.as_deref(), Some("it ends in xx"));
}

#[tokio::test]
async fn a_401_is_retried_before_it_becomes_an_error() {
    let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    let alice = AuthMethod::password(User::new().username("alice").user_domain_name("Default"), "wonderland");
    let scope = Scope::new().project_name("demo").project_domain_name("Default");
    let credentials = V3Credentials::new(cloud.keystone().auth_url(), alice).scope(scope);
    let plugin = RenewingPlugin::new(credentials, cloud.transport());
    let revoke = |info: Option<&AccessInfo>| {
        cloud.keystone().revoke(info.and_then(AccessInfo::auth_token).expect("the access info has a token"));
    };
    let request = || Request::get("/servers").body(Full::<Bytes>::default()).unwrap();
    let filter = EndpointFilter::new("compute");

    let stack = ServiceBuilder::new()
        .layer(RaiseForStatusLayer::new())
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin.clone()).endpoint(filter.clone()))
        .service(cloud.clone());
    revoke(plugin.renew().await.unwrap().auth_ref());
    assert_eq!(stack.oneshot(request()).await.unwrap().status(), 200);

    let stack = ServiceBuilder::new()
        .layer(RaiseForStatusLayer::new())
        .layer(AuthLayer::new(plugin.clone()).endpoint(filter.clone()))
        .service(cloud.clone());
    revoke(plugin.renew().await.unwrap().auth_ref());
    assert_eq!(raised(stack.oneshot(request()).await).token_renewable, Some(true));

    let info = cloud.keystone().issue("alice", Some("demo")).unwrap();
    revoke(Some(&info));
    let stack = ServiceBuilder::new()
        .layer(RaiseForStatusLayer::new())
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(AccessInfoPlugin::new(info)).endpoint(filter))
        .service(cloud.clone());
    let error = raised(stack.oneshot(request()).await);
    assert_eq!((error.status, error.token_renewable), (StatusCode::UNAUTHORIZED, Some(false)));
}

#[tokio::test]
async fn a_secret_echoed_in_latin_1_is_redacted() {
    for content_type in ["text/plain", "application/json"] {
        let body = Bytes::from_static(b"{\"message\": \"what is canary\xe4b?\"}");
        let response = Response::builder().status(400).header("content-type", content_type);
        let response = response.body(Full::new(body)).unwrap();
        let service = service_fn(move |_: Request<()>| ready(Ok::<_, Infallible>(response.clone())));
        let service = ServiceBuilder::new().layer(RaiseForStatusLayer::new()).service(service);
        let secret = HeaderValue::from_bytes("canary\u{e4}b".as_bytes()).unwrap();
        let request = Request::get("/").header("x-auth-token", secret).body(()).unwrap();
        let details = raised(service.oneshot(request).await).details.clone().unwrap();
        assert!(details.contains("redacted"), "{details}");
    }
}

#[tokio::test]
async fn an_echoed_token_is_redacted() {
    for code in [400, 404, 500] {
        let info = AccessInfo::new("gAAAA-canary", r#"{"token": {}}"#).unwrap();
        let nova = service_fn(move |request: Request<Full<Bytes>>| {
            let token = request.headers()["x-auth-token"].to_str().unwrap();
            let body = format!(r#"{{"badRequest": {{"message": "what is {token}?", "code": {code}}}}}"#);
            let response = Response::builder().status(code).header("content-type", "application/json");
            ready(Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).unwrap()))
        });
        let filter = EndpointFilter::new("compute").endpoint_override("https://nova.example.com");
        let stack = ServiceBuilder::new()
            .layer(RaiseForStatusLayer::new())
            .layer(AuthLayer::new(AccessInfoPlugin::new(info)).endpoint(filter))
            .service(nova);
        let request = Request::get("/servers").body(Full::default()).unwrap();
        let error = raised(stack.oneshot(request).await);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("redacted") && !shown.contains("canary"), "{shown}");
    }
}

#[tokio::test]
async fn an_echoed_http_basic_password_is_redacted_in_every_form() {
    let endpoint = "https://ironic.example.com".parse().unwrap();
    let basic = FixedEndpointPlugin::http_basic(endpoint, "admin", &"canary".into()).unwrap();
    let service = AccessInfoPlugin::new(AccessInfo::new("gAAAA", r#"{"token": {}}"#).unwrap());
    let both = ServiceTokenAuthWrapper::new(basic.clone(), service);
    for echoed in ["canary", "admin:canary", "YWRtaW46Y2FuYXJ5", "Basic YWRtaW46Y2FuYXJ5"] {
        let ironic = service_fn(move |_: Request<Full<Bytes>>| {
            let response = Response::builder().status(401).header("content-type", "text/plain");
            ready(Ok::<_, Infallible>(response.body(Full::new(Bytes::from(echoed))).unwrap()))
        });
        let stack = ServiceBuilder::new().layer(RaiseForStatusLayer::new());
        let request = || Request::get("/").body(Full::default()).unwrap();
        for sent in [
            stack.clone().layer(AuthLayer::new(basic.clone())).service(ironic).oneshot(request()).await,
            stack.clone().layer(AuthLayer::new(both.clone())).service(ironic).oneshot(request()).await,
        ] {
            assert!(raised(sent).details.as_deref().unwrap().contains("redacted"), "{echoed}");
        }
    }
}

#[tokio::test]
async fn echoed_headers_of_the_caller_are_redacted() {
    for (name, value, echoed) in [
        ("x-auth-token", "gAAAA-canary", "gAAAA-canary"),
        ("x-subject-token", "gAAAA-canary", "gAAAA-canary"),
        ("x-service-token", "gAAAA-canary", "gAAAA-canary"),
        ("openstack-auth-receipt", "gAAAA-canary", "gAAAA-canary"),
        ("authorization", "Basic canary", "Basic canary"),
        ("authorization", "Basic canary", "canary"),
        ("authorization", "bearer  canary", "canary"),
        ("proxy-authorization", "Basic canary", "canary"),
        ("cookie", "session=canary", "session=canary"),
        ("cookie", "a=b; session=the-canary=; c=d", "the-canary="),
        ("cookie", "session=the-canary;c=d", "the-canary"),
        ("x-of-the-caller", "canary", "canary"),
        ("x-of-the-caller", "\u{e9}canary", "\u{e9}canary"),
    ] {
        let service = service_fn(move |_: Request<()>| {
            let response = Response::builder().status(404).header("content-type", "application/json");
            let body = format!(r#"{{"error": {{"message": "no {echoed}", "details": "{echoed}?"}}}}"#);
            ready(Ok::<_, Infallible>(response.body(Full::new(Bytes::from(body))).unwrap()))
        });
        let service = ServiceBuilder::new().layer(RaiseForStatusLayer::new()).service(service);
        let mut request = Request::new(());
        let mut value = HeaderValue::from_str(value).unwrap();
        value.set_sensitive(name == "x-of-the-caller");
        request.headers_mut().insert(name, value);
        let error = raised(service.oneshot(request).await);
        let shown = format!("{error} {error:?} {:?}", error.details);
        assert!(shown.contains("redacted") && !shown.contains("canary"), "{name}: {shown}");

        let mut request = Request::new(());
        request.headers_mut().insert("x-of-the-caller", HeaderValue::from_str(echoed).unwrap());
        let error = raised(service.oneshot(request).await);
        assert_eq!(
            error.details.as_deref(),
            Some(&*format!("{echoed}?")),
            "a header that is not sensitive is not redacted"
        );
    }
}

#[tokio::test]
async fn errors_of_the_inner_service_are_returned_unchanged() {
    let broken =
        service_fn(|_: Request<()>| async { Err::<Response<Full<Bytes>>, _>(BoxError::from("broken")) });
    let service = ServiceBuilder::new().layer(RaiseForStatusLayer::new()).service(broken);
    assert_eq!(service.oneshot(Request::new(())).await.unwrap_err().to_string(), "broken");
}

#[tokio::test]
async fn the_message_is_found_in_the_error_formats_of_different_servers() {
    for (status, content_type, body, expected) in [
        (
            404,
            Some("application/json"),
            r#"{"code": 404, "title": "Not Found", "description": "Secret not found."}"#,
            "the service returned 404 Not Found: Secret not found.",
        ),
        (
            409,
            Some("Application/JSON"),
            r#"{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"Node 7 is locked.\", \"debuginfo\": null}"}"#,
            "the service returned 409 Conflict: Node 7 is locked.",
        ),
        (
            400,
            Some("application/problem+json"),
            r#"{"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "No such flavor."}"#,
            "the service returned 400 Bad Request: No such flavor.",
        ),
        (
            401,
            None,
            r#"{"error": "invalid_client"}"#,
            "the service returned 401 Unauthorized: invalid_client",
        ),
        (
            404,
            Some("application/xml"),
            r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchBucket</Code><HostId>h</HostId></Error>"#,
            "the service returned 404 Not Found: NoSuchBucket",
        ),
        (502, Some("text/html"), "<h1>Bad Gateway</h1>", "the service returned 502 Bad Gateway"),
    ] {
        let mut response = Response::builder().status(status);
        if let Some(content_type) = content_type {
            response = response.header("content-type", content_type);
        }
        let error = send(response.body(Full::<Bytes>::from(body)).unwrap()).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
