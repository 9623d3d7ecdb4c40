//! Errors that name the service and origin of a request.

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::{pending, ready},
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use tokio::net::TcpListener;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn, timeout::error::Elapsed};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter, Error, ErrorContextLayer, RaiseForStatusLayer,
    RedirectPolicy, RetryPolicy, Unauthenticated, error_context::RequestFailed,
};

type Body = Full<Bytes>;

/// Returns a layer whose catalog lists Nova and Cinder at these URLs.
fn layer(nova: &str, cinder: &str) -> AuthLayer<AccessInfoPlugin> {
    let service = |service_type: &str, url: &str| {
        let endpoint = json!({"id": service_type, "interface": "public", "region": "R", "url": url});
        json!({"type": service_type, "id": service_type, "name": service_type, "endpoints": [endpoint]})
    };
    let catalog = json!([service("compute", nova), service("volumev3", cinder)]);
    let body = json!({"token": {"user": {"id": "u"}, "catalog": catalog}}).to_string();
    let plugin = AccessInfoPlugin::new(AccessInfo::new("gAAAA-canary", body).unwrap());
    AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute"))
}

fn example() -> AuthLayer<AccessInfoPlugin> {
    layer("https://nova.example.com:8774/v2.1/p-canary", "https://cinder.example.com/v3")
}

fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::default()).unwrap()
}

/// Returns a client that always fails with this error.
fn failing(
    error: fn() -> BoxError,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone {
    service_fn(move |_: Request<Body>| ready(Err(error())))
}

fn connection_refused() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

async fn error<S>(service: S, request: Request<Body>) -> BoxError
where
    S: Service<Request<Body>, Response = Response<Body>, Error = BoxError>,
{
    service.oneshot(request).await.unwrap_err()
}

fn has_source<T: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|error| error.is::<T>())
}

#[tokio::test]
async fn a_connection_failure_that_no_retry_can_change_says_what_to_do() {
    let send = async |nova: &str, client: fn() -> BoxError| {
        let stack = ServiceBuilder::new()
            .layer(ErrorContextLayer::new())
            .layer(layer(nova, "https://cinder.example.com/v3"))
            .service(failing(client));
        error(stack, get("/servers")).await.to_string()
    };
    let (tls, plain) = ("https://nova.test:8774/v2.1", "http://nova.test:8774/v2.1");
    let corrupt = || io::Error::other("received corrupt message of type InvalidContentType").into();
    assert_eq!(
        send(tls, corrupt).await,
        "the request to compute at https://nova.test:8774 failed: it does not speak TLS, or no version that the client \
         supports; check whether the URL needs http:// or another port"
    );
    let untrusted = || io::Error::other("invalid peer certificate: UnknownIssuer").into();
    let text = send(tls, untrusted).await;
    assert!(
        text.contains(
            "failed: its certificate was rejected; check the CA certificates that the client trusts"
        ),
        "{text}"
    );
    let text = send(plain, || "invalid HTTP version parsed".into()).await;
    assert!(text.contains("failed: it does not speak HTTP; check whether the URL needs https://"), "{text}");

    // Other errors are shown by their sources alone.
    let failed = "the request to compute at https://nova.test:8774 failed";
    assert_eq!(send(tls, connection_refused).await, failed);
    assert_eq!(send(plain, untrusted).await, failed.replace("https", "http"), "there is no certificate");
    let rejecting = ServiceBuilder::new()
        .layer(ErrorContextLayer::new())
        .layer(layer(tls, "https://cinder.example.com/v3"))
        .layer(RaiseForStatusLayer::new())
        .service(service_fn(|_: Request<Body>| {
            let response = Response::builder().status(400).header("content-type", "application/json");
            ready(response.body(Body::from(r#"{"error": {"message": "the certificate is malformed"}}"#)))
        }));
    let rejected = rejecting.oneshot(get("/servers")).await.unwrap_err();
    assert_eq!(rejected.to_string(), failed, "the text of a response says nothing about the connection");
    assert!(rejected.source().unwrap().to_string().contains("the certificate is malformed"), "{rejected:?}");
}

#[tokio::test]
async fn an_error_of_the_client_names_service_and_origin() {
    let stack = || {
        ServiceBuilder::new()
            .layer(ErrorContextLayer::new())
            .layer(example())
            .service(failing(connection_refused))
    };
    let with = |filter: EndpointFilter| {
        let mut request = get("/x?token=canary");
        request.extensions_mut().insert(filter);
        request
    };
    let long = "x".repeat(300);
    let truncated = format!("{} at https://nova.example.com:8774", "x".repeat(256));
    for (request, expected) in [
        (with(EndpointFilter::new(&long).endpoint_override("https://nova.example.com:8774")), &*truncated),
        (get("/servers?token=canary"), "compute at https://nova.example.com:8774"),
        (with(EndpointFilter::new("volumev3")), "volumev3 at https://cinder.example.com"),
        (with(EndpointFilter::new("block-storage")), "block-storage at https://cinder.example.com"),
        (
            with(EndpointFilter::new("my\nown").endpoint_override("http://[::1]:9292/canary")),
            r"my\nown at http://[::1]:9292",
        ),
        // The layer's filter does not apply to an absolute URI.
        (get("https://cinder.example.com/v3/canary?token=canary"), "https://cinder.example.com"),
    ] {
        let error = error(stack(), request).await;
        assert_eq!(error.to_string(), format!("the request to {expected} failed"));
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert!(has_source::<io::Error>(&*error));
        let failed: &RequestFailed = error.downcast_ref().unwrap();
        assert!(expected.ends_with(&*failed.origin));
    }
}

#[tokio::test]
async fn a_refused_connection_of_the_hyper_client_names_the_origin() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let nova = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client: Client<HttpConnector, Body> = Client::builder(TokioExecutor::new()).build_http();
    let stack = ServiceBuilder::new()
        .layer(ErrorContextLayer::new())
        .layer(layer(&nova, &nova))
        .service(client.map_response(|response| response.map(|_| Body::default())));
    let error = error(stack, get("/servers")).await;
    assert_eq!(error.to_string(), format!("the request to compute at {nova} failed"));
    assert!(has_source::<io::Error>(&*error), "{error:?}");
}

#[tokio::test]
async fn a_user_name_in_a_url_is_not_shown() {
    let stack = ServiceBuilder::new()
        .layer(ErrorContextLayer::new())
        .layer(example())
        .service(failing(connection_refused));
    let mut request = get("https://admin:canary@nova.example.com/");
    request.extensions_mut().insert(Unauthenticated);
    let error = error(stack, request).await;
    assert_eq!(error.to_string(), "the request to https://nova.example.com failed");
    assert!(!format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn errors_of_this_crate_are_returned_unchanged() {
    for (request, client) in [
        (get("https://elsewhere.example.org/"), failing(connection_refused)),
        (get("/../x"), failing(connection_refused)),
        (get("/servers"), failing(|| Error::plugin(true, "busy").into())),
    ] {
        let stack = ServiceBuilder::new().layer(ErrorContextLayer::new()).layer(example()).service(client);
        let error = error(stack, request).await;
        assert!(error.is::<Error>(), "{error}");
    }
}

#[tokio::test]
async fn an_error_response_is_found_as_the_source() {
    for (status, transient) in [(404, false), (503, true)] {
        let client = service_fn(move |_: Request<Body>| {
            ready(Ok::<_, Infallible>(Response::builder().status(status).body(Body::default()).unwrap()))
        });
        let stack = ServiceBuilder::new()
            .layer(ErrorContextLayer::new())
            .layer(RaiseForStatusLayer::new())
            .layer(example())
            .service(client);
        let error = error(stack, get("/servers")).await;
        assert!(error.to_string().contains("compute at https://nova.example.com:8774"), "{error}");
        let Some(crate_error @ Error::Service(response)) = Error::find(&*error) else { panic!("{error:?}") };
        assert_eq!((response.status.as_u16(), crate_error.is_transient()), (status, transient));
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_names_service_and_origin() {
    let stack = ServiceBuilder::new()
        .layer(ErrorContextLayer::new())
        .timeout(Duration::from_secs(60))
        .layer(example())
        .service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
    let error = error(stack, get("/servers")).await;
    assert!(error.to_string().contains("compute at") && has_source::<Elapsed>(&*error), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_connect_is_retried_with_the_context_inside_and_outside() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let client = service_fn(move |_: Request<Body>| {
        counted.fetch_add(1, Ordering::Relaxed);
        ready(Err::<Response<Body>, _>(connection_refused()))
    });
    let retry = || RetryPolicy::new().connect_retries(2);
    let inside = ServiceBuilder::new()
        .retry(retry())
        .layer(ErrorContextLayer::new())
        .layer(example())
        .service(client.clone());
    let outside = ServiceBuilder::new()
        .layer(ErrorContextLayer::new())
        .retry(retry())
        .layer(example())
        .service(client.clone());
    let below =
        ServiceBuilder::new().retry(retry()).layer(example()).layer(ErrorContextLayer::new()).service(client);
    let check = |error: BoxError, expected: &str| {
        assert_eq!(error.to_string(), format!("the request to {expected} failed"));
        assert_eq!(attempts.swap(0, Ordering::Relaxed), 3);
    };
    check(error(inside, get("/servers")).await, "compute at https://nova.example.com:8774");
    check(error(outside, get("/servers")).await, "compute at https://nova.example.com:8774");
    check(error(below, get("/servers")).await, "https://nova.example.com:8774");
}

#[tokio::test]
async fn after_a_redirect_the_error_names_the_new_origin() {
    let client = service_fn(|request: Request<Body>| {
        let moved =
            Response::builder().status(302).header("location", "https://moved.example.com/x?y=canary");
        ready(match request.uri().host() {
            Some("nova.example.com") => Ok(moved.body(Body::default()).unwrap()),
            _ => Err(connection_refused()),
        })
    });
    let stack = ServiceBuilder::new()
        .layer(ErrorContextLayer::new())
        .layer(example())
        .layer(FollowRedirectLayer::with_policy(RedirectPolicy::new()))
        .service(client);
    let error = error(stack, get("/servers")).await;
    assert_eq!(error.to_string(), "the request to compute at https://moved.example.com failed");
}

#[tokio::test]
async fn responses_and_readiness_errors_are_returned_unchanged() {
    let client = service_fn(|_: Request<Body>| {
        ready(Ok::<_, Infallible>(
            Response::builder().status(500).extension(7).body(Body::default()).unwrap(),
        ))
    });
    let stack = ServiceBuilder::new().layer(ErrorContextLayer::new()).layer(example()).service(client);
    let response = stack.oneshot(get("/servers")).await.unwrap();
    assert_eq!((response.status().as_u16(), response.extensions().get()), (500, Some(&7)));

    struct NeverReady;
    impl Service<Request<Body>> for NeverReady {
        type Response = Response<Body>;
        type Error = io::Error;
        type Future = std::future::Ready<Result<Response<Body>, io::Error>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()))
        }
        fn call(&mut self, _: Request<Body>) -> Self::Future {
            unreachable!("the service is never ready")
        }
    }
    let stack = ServiceBuilder::new().layer(ErrorContextLayer::new()).service(NeverReady);
    assert!(error(stack, get("https://nova.example.com/")).await.is::<io::Error>());
}
