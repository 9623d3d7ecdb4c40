//! The layer accepts request and response bodies of any type.

use std::{cell::Cell, convert::Infallible, marker::PhantomData};

use axum::{Router, body::Body, http::HeaderMap, routing::post};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keystone::{AccessInfoPlugin, Auth, AuthLayer, BoxError, IdentityPlugin, auth::ResponseFuture};

use crate::support::*;

/// A body type that implements none of `Clone`, `Debug`, `Send`, `Sync` and `http_body::Body`.
struct Awkward(Cell<u8>, PhantomData<*const ()>);

#[tokio::test]
async fn bodies_of_any_type_pass_through_unchanged() {
    for waiting in [false, true] {
        let plugin = ScriptedPlugin::default();
        if waiting {
            drop(plugin.hold());
        }
        let inner = service_fn(|request: Request<Awkward>| async move {
            let (parts, body) = request.into_parts();
            assert_eq!((tokens(&parts), body.0.get()), (vec!["token-1"], 1));
            Ok::<_, Infallible>(Response::new(Awkward(Cell::new(2), PhantomData)))
        });
        let request = Request::get(NOVA).body(Awkward(Cell::new(1), PhantomData)).unwrap();
        let response = AuthLayer::new(plugin).layer(inner).oneshot(request).await.unwrap();
        assert_eq!(response.into_body().0.get(), 2);
    }
}

#[tokio::test]
async fn the_body_of_a_request_reaches_the_service() {
    let inner = service_fn(|request: Request<Full<Bytes>>| async {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, Infallible>(Response::new(Full::new(body)))
    });
    let request = Request::post(NOVA).body(Full::from("{\"server\": {}}")).unwrap();
    let response = AuthLayer::new(fixed_token()).layer(inner).oneshot(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{\"server\": {}}");
}

#[tokio::test]
async fn an_axum_router_can_be_the_inner_service() {
    async fn echo(headers: HeaderMap, body: String) -> String {
        format!("{}: {body}", headers["x-auth-token"].to_str().unwrap())
    }
    let router = Router::new().route("/v2.1/servers", post(echo));
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    let request = Request::post("/servers").body(Body::from("hello")).unwrap();
    let response = layer.layer(router).oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "token-1: hello");
}

#[tokio::test]
async fn a_proxy_can_forward_a_received_request_through_the_layer() {
    // The request type of an axum or hyper server is also the request type of the layer's service.
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    let inner = Inner::respond_with(|_| status(200));
    let upstream = layer.layer(inner.clone());
    let proxy = Router::new().fallback(move |request: Request<Body>| {
        let upstream = upstream.clone();
        async move { upstream.oneshot(request).await.unwrap().map(|()| Body::empty()) }
    });
    let request = Request::get("/servers").body(Body::empty()).unwrap();
    assert_eq!(proxy.oneshot(request).await.unwrap().status(), 200);
    assert_eq!(inner.uris(), ["https://nova.example.com/v2.1/servers"]);
}

fn is_service<B, R, S>(_: &S)
where
    S: Service<Request<B>, Response = Response<R>, Error = BoxError> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
}

#[tokio::test]
async fn the_hyper_client_can_be_the_inner_service() {
    let layer = AuthLayer::new(fixed_token());
    let builder = Client::builder(TokioExecutor::new());
    is_service::<Full<Bytes>, Incoming, _>(&layer.layer(builder.build_http()));
    is_service::<Empty<Bytes>, Incoming, _>(&layer.layer(builder.build_http()));
    is_service::<Body, Incoming, _>(&layer.layer(builder.build_http()));
    is_service::<Incoming, Incoming, _>(&layer.layer(builder.build_http()));
}

#[test]
fn layer_service_and_future_are_send() {
    fn assert_clone_send_sync<T: Clone + Send + Sync + 'static>() {}
    fn assert_send_unpin<T: Send + Unpin + 'static>() {}
    type Dyn = std::sync::Arc<dyn IdentityPlugin>;

    assert_clone_send_sync::<AuthLayer<AccessInfoPlugin>>();
    assert_clone_send_sync::<AuthLayer<Dyn>>();
    assert_clone_send_sync::<Auth<AccessInfoPlugin, Inner>>();
    assert_clone_send_sync::<Auth<Dyn, Inner>>();
    assert_send_unpin::<ResponseFuture<AccessInfoPlugin, Inner<Body>, Body>>();
    assert_send_unpin::<ResponseFuture<Dyn, Inner<Incoming>, Incoming>>();
    assert_send_unpin::<ResponseFuture<Dyn, Inner<Cell<u8>>, Cell<u8>>>();
}

#[test]
fn the_layer_is_clone_even_if_its_plugin_is_not() {
    struct NotClone;
    fn is_clone<T: Clone>() {}
    is_clone::<AuthLayer<NotClone>>();
    is_clone::<Auth<NotClone, Inner>>();
}
