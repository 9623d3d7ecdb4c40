//! Bodies of responses.

use std::{convert::Infallible, future::ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keystone::Rejection;

use crate::support::*;

fn app<R: Send + 'static>(
    body: fn() -> R,
) -> impl Service<Request<()>, Response = Response<R>, Error = Infallible, Future: Send> + Clone {
    service_fn(move |_: Request<()>| ready(Ok(Response::new(body()))))
}

fn no_token() -> Request<()> {
    Request::new(())
}

#[tokio::test(start_paused = true)]
async fn a_body_from_bytes_needs_no_function() {
    let layer = Keystone::new().layer();
    let full = layer.layer(app(Full::<Bytes>::default)).oneshot(no_token()).await.unwrap();
    let axum = layer.layer(app(axum::body::Body::empty)).oneshot(no_token()).await.unwrap();
    let bytes = [
        full.into_body().collect().await.unwrap().to_bytes(),
        axum.into_body().collect().await.unwrap().to_bytes(),
    ];
    for bytes in bytes {
        assert!(bytes.starts_with(br#"{"error": {"code": 401"#));
    }
    let vec: Response<Vec<u8>> = layer.layer(app(Vec::new)).oneshot(no_token()).await.unwrap();
    assert_eq!(vec.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn other_bodies_are_made_by_a_function() {
    type Boxed = BoxBody<Bytes, Infallible>;
    let layer =
        Keystone::new().layer().respond_with(|rejection| rejection.respond(|json| Full::new(json).boxed()));
    let response: Response<Boxed> = layer.layer(app(Boxed::default)).oneshot(no_token()).await.unwrap();
    assert_eq!((response.status().as_u16(), challenges(response.headers())), (401, vec![CHALLENGE]));

    /// Neither `Default` nor a body.
    struct Own(usize);
    let layer = Keystone::new().layer().respond_with(|rejection: Rejection| {
        let length = rejection.document().len();
        Response::builder().status(200).header("www-authenticate", "none").body(Own(length)).unwrap()
    });
    let response = layer.layer(app(|| Own(0))).oneshot(no_token()).await.unwrap();
    assert_eq!((response.status().as_u16(), challenges(response.headers())), (401, vec![CHALLENGE]));
    assert!(response.body().0 > 0);
    assert_eq!(response.extensions().get::<Rejection>().unwrap().status(), 401);
}

#[tokio::test(start_paused = true)]
async fn a_raw_response_is_sent_as_it_is() {
    let layer = Keystone::new().layer().respond_with_raw(|rejection: Rejection| {
        let status = if rejection.status() == 503 { "14" } else { "16" };
        Response::builder().header("grpc-status", status).body(String::new()).unwrap()
    });
    let service = layer.layer(app(String::new));
    for (token, status) in [("unknown", "16"), ("down", "14")] {
        let request = Request::get("/").header("x-auth-token", token).body(()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["grpc-status"]),
            (200, &status.parse().unwrap())
        );
        assert_eq!(response.headers().len(), 1);
    }
    let request = Request::get("/").header("x-auth-token", "good").body(()).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().headers().len(), 0);
}
