//! The layer around and inside of axum's routers.

use axum::{Router, body::Body, extract::Extension, routing::get as route};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tower::ServiceExt;
use tower_keystone::{SentUri, ValidateTokenLayer, Validation};

use crate::support::*;

async fn username(Extension(validation): Extension<Validation>) -> String {
    validation.caller().unwrap().access_info().username().unwrap().to_owned()
}

async fn status(router: Router, path: &str, token: &str) -> StatusCode {
    let request = Request::get(path).header("x-auth-token", token).body(Body::empty()).unwrap();
    router.oneshot(request).await.unwrap().status()
}

/// Returns a layer whose token `rules` may be used for `GET /a/b/x` only.
fn layer_with_rules() -> ValidateTokenLayer {
    let keystone = Keystone::new();
    let rules =
        json!({"id": "c", "access_rules": [{"service": "compute", "method": "GET", "path": "/a/b/x"}]});
    keystone.add("rules", Answer::Token(with(user("alice", &[]), "application_credential", rules)));
    keystone.layer().service_type("compute")
}

#[tokio::test]
async fn access_rules_apply_to_the_path_that_the_client_sent() {
    let x = || Router::new().route("/x", route(username));
    let layer = layer_with_rules;
    let inner = Router::new().nest("/a", Router::new().nest("/b", x().layer(layer())));
    let middle = Router::new().nest("/a", Router::new().nest("/b", x()).layer(layer()));
    let outer = Router::new().nest("/a", Router::new().nest("/b", x())).layer(layer());
    let service = Router::new().nest_service("/a/b", x().layer(layer()));
    for (index, router) in [inner, middle, outer, service].into_iter().enumerate() {
        assert_eq!(status(router, "/a/b/x", "rules").await, 200, "{index}");
    }
    // The path without its prefix would be allowed.
    let inner = Router::new().nest("/other", Router::new().route("/a/b/x", route(username)).layer(layer()));
    assert_eq!(status(inner, "/other/a/b/x", "rules").await, 401);
}

#[tokio::test]
async fn a_layer_outside_can_say_what_the_client_sent() {
    let router = Router::new().route("/x", route(username)).layer(layer_with_rules());
    let insert = tower::util::MapRequestLayer::new(|mut request: Request<Body>| {
        request.extensions_mut().insert(SentUri("/a/b/x".parse().unwrap()));
        request
    });
    assert_eq!(status(router.clone(), "/x", "rules").await, 401);
    assert_eq!(status(router.layer(insert), "/x", "rules").await, 200);

    let own = layer_with_rules().sent_uri(|extensions| extensions.get::<http::Uri>());
    // A `RequireLayer` around the handler reads the extension.
    let handler = async |Extension(SentUri(uri)): Extension<SentUri>| assert_eq!(uri, "/a/b/x");
    let router = Router::new().route("/x", route(handler)).layer(own);
    let insert = Extension(http::Uri::from_static("/a/b/x"));
    assert_eq!(status(router.layer(insert), "/x", "rules").await, 200);
}

#[tokio::test]
async fn unknown_paths_need_a_token_too() {
    let router = Router::new()
        .route("/x", route(username))
        .layer(Keystone::new().layer())
        .route("/healthcheck", route(|| async { "OK" }));
    assert_eq!(status(router.clone(), "/x", "good").await, 200);
    assert_eq!(status(router.clone(), "/y", "good").await, 404);
    assert_eq!(status(router.clone(), "/y", "unknown").await, 401);
    assert_eq!(status(router, "/healthcheck", "unknown").await, 200);
}

#[tokio::test]
async fn a_server_rejects_requests_of_every_method() {
    let router = Router::new().route("/x", route(username)).layer(Keystone::new().layer());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    for (method, has_body) in
        [("HEAD", false), ("GET", true), ("HEAD", false), ("OPTIONS", true), ("POST", true)]
    {
        let request =
            Request::builder().method(method).uri("/x").header("host", "x").body(Body::empty()).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!((response.status().as_u16(), challenges(response.headers())), (401, vec![CHALLENGE]));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(!body.is_empty(), has_body, "{method}");
    }
    let request =
        Request::get("/x").header("host", "x").header("x-auth-token", "good").body(Body::empty()).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "alice");
    connection.abort();
    server.abort();
}
