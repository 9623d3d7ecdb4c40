//! Requests as they leave the layer.

use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_keystone::{AccessInfo, AuthLayer, BoxError, IdentityPlugin, Transport};

/// The token of these requests.
pub(crate) const TOKEN: &str = "the-token";

/// Returns an access info whose catalog has these endpoints of one compute service.
pub(crate) fn access_info(urls: &[&str]) -> AccessInfo {
    let endpoints: Vec<_> =
        urls.iter().map(|url| serde_json::json!({"interface": "public", "url": url})).collect();
    let catalog = serde_json::json!([{"type": "compute", "endpoints": endpoints}]);
    let document = serde_json::json!({"token": {"project": {"id": "p1"}, "catalog": catalog}});
    AccessInfo::new(TOKEN, document.to_string()).expect("a token document")
}

/// Returns the output of a future that is ready at once.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}

/// Returns the request that the inner service of a layer receives, or the error.
pub(crate) fn sent<P: IdentityPlugin>(
    layer: &AuthLayer<P>,
    request: Request<()>,
) -> Result<Request<()>, BoxError> {
    let seen = Arc::new(Mutex::new(None));
    let inner = service_fn({
        let seen = Arc::clone(&seen);
        move |request: Request<()>| {
            let before = seen.lock().expect("no panic").replace(request);
            assert!(before.is_none(), "a request is sent once");
            std::future::ready(Ok::<_, Infallible>(Response::new(())))
        }
    });
    let answer = now(layer.layer(inner).oneshot(request));
    let seen = seen.lock().expect("no panic").take();
    match (answer, seen) {
        (Ok(_), Some(request)) => Ok(request),
        (Err(error), None) => Err(error),
        (answer, _) => panic!("sent, and yet not: {answer:?}"),
    }
}

/// A Keystone that returns this response to every request.
pub(crate) fn keystone(answer: Response<Bytes>) -> Transport {
    Transport::new(service_fn(move |_: Request<Full<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(answer.clone().map(Full::new)))
    }))
}
