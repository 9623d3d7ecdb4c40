//! How the layer handles a 401.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::HttpBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::json;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};
use tower_keystone::{AccessInfo, AccessInfoPlugin, AuthLayer, Error, TokenRejected};

use crate::support::*;

/// A body that counts how often it is polled.
struct CountedBody(Arc<AtomicUsize>, Option<Bytes>);

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(self.1.take().map(|data| Ok(hyper::body::Frame::data(data))))
    }
}

#[tokio::test]
async fn a_401_without_renewal_is_returned_with_its_body_unread() {
    let polls = Arc::new(AtomicUsize::new(0));
    let calls = Arc::new(AtomicUsize::new(0));
    let (polled, called) = (polls.clone(), calls.clone());
    let inner = tower::service_fn(move |_: Request<()>| {
        called.fetch_add(1, Ordering::Relaxed);
        let response = Response::builder()
            .status(401)
            .header("www-authenticate", "Keystone uri='https://keystone'")
            .body(CountedBody(polled.clone(), Some(Bytes::from_static(b"refused"))));
        async { Ok::<_, Infallible>(response.unwrap()) }
    });
    let response = AuthLayer::new(fixed_token()).layer(inner).oneshot(get(NOVA)).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Keystone uri='https://keystone'");
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Final));
    assert!(response.extensions().get::<TokenRejected>().unwrap().is_final());
    assert_eq!((calls.load(Ordering::Relaxed), polls.load(Ordering::Relaxed)), (1, 0));

    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "refused");
    assert_eq!(polls.load(Ordering::Relaxed), 2, "the counter of the body works");
}

#[tokio::test]
async fn without_renewal_the_next_request_sends_the_same_token() {
    let layer = AuthLayer::new(fixed_token()).endpoint(to_nova());
    let inner = Inner::with_statuses([401, 401]);
    for expected in [401, 401, 200] {
        assert_eq!(send(&layer, &inner, get("/servers")).await.unwrap().status(), expected);
    }
    assert_eq!(inner.tokens(), ["token-1", "token-1", "token-1"]);
}

#[tokio::test]
async fn a_401_invalidates_the_access_and_the_next_request_gets_a_new_one() {
    for waiting in [false, true] {
        let plugin = ScriptedPlugin::default();
        if waiting {
            drop(plugin.hold());
        }
        let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
        let inner = Inner::with_statuses([200, 401]);
        send(&layer, &inner, get("/servers")).await.unwrap();
        let first = plugin.current().unwrap();

        let response = send(&layer, &inner, get("/servers")).await.unwrap();
        assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
        assert_eq!(plugin.invalidated().len(), 1);
        assert!(Arc::ptr_eq(&plugin.invalidated()[0], &first));

        let response = send(&layer, &inner, get("/servers")).await.unwrap();
        assert!(response.extensions().get::<TokenRejected>().is_none());
        assert_eq!(inner.tokens(), ["token-1", "token-1", "token-2"]);
    }
}

#[tokio::test]
async fn a_401_for_the_first_request_invalidates_the_access_it_waited_for() {
    let plugin = ScriptedPlugin::default();
    drop(plugin.hold());
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    let response = send(&layer, &Inner::with_statuses([401]), get("/servers")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
    assert_eq!(plugin.invalidated()[0].auth_ref().unwrap().auth_token(), Some("token-1"));
}

#[tokio::test]
async fn a_late_401_does_not_invalidate_a_newer_access() {
    let plugin = ScriptedPlugin::default();
    let layer = AuthLayer::new(plugin.clone());
    let (mut service, mut handle) = tower_test::mock::spawn_layer(layer);

    let mut responses = Vec::new();
    let mut pending = Vec::new();
    for _ in 0..2 {
        assert_ready_ok!(service.poll_ready());
        responses.push(task::spawn(service.call(get(NOVA))));
        pending.push(next_request(&mut handle));
    }
    let mut reject = |request: tower_test::mock::SendResponse<_>, response: usize| {
        request.send_response(status(401));
        let response = assert_ready_ok!(responses[response].poll());
        assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
    };

    let (late, first) = (pending.pop().unwrap().1, pending.pop().unwrap().1);
    reject(first, 0);
    assert_ready_ok!(service.poll_ready());
    let mut second = task::spawn(service.call(get(NOVA)));
    assert_pending!(second.poll());
    reject(late, 1);

    assert!(Arc::ptr_eq(&plugin.invalidated()[0], &plugin.invalidated()[1]));
    assert_eq!(plugin.current().unwrap().auth_ref().unwrap().auth_token(), Some("token-2"));
}

#[tokio::test]
async fn no_other_status_invalidates_the_access() {
    let plugin = ScriptedPlugin::default();
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    for code in [200, 204, 300, 302, 400, 402, 403, 404, 407, 409, 410, 429, 500, 502, 503] {
        let response = send(&layer, &Inner::with_statuses([code]), get("/servers")).await.unwrap();
        assert_eq!(response.status(), code);
        assert!(response.extensions().get::<TokenRejected>().is_none(), "{code}");
        assert!(
            code >= 400 || response.extensions().is_empty(),
            "{code}: the response is returned unchanged"
        );
    }
    assert!(plugin.invalidated().is_empty());
    assert_eq!(plugin.issued(), 1);
}

#[test]
fn a_rejection_says_what_to_do() {
    assert!(TokenRejected::Renewable.to_string().contains("send the request once more"));
    assert!(TokenRejected::Final.to_string().contains("cannot renew"));
    assert!(!TokenRejected::Renewable.is_final());
}

fn expiring(expires_at: &str) -> AccessInfoPlugin {
    let body = json!({"token": {"expires_at": expires_at, "catalog": [
        {"type": "compute", "endpoints": [{"interface": "public", "url": NOVA}]},
    ]}});
    AccessInfoPlugin::new(AccessInfo::new("token-1", body.to_string()).unwrap())
}

#[tokio::test]
async fn an_expired_token_is_sent_by_default() {
    let layer = AuthLayer::new(expiring("2020-01-01T00:00:00Z"));
    assert_eq!(tokens(&sent(&layer, get(NOVA)).await), ["token-1"]);
}

#[tokio::test]
async fn refuse_expired_refuses_an_expired_token_before_sending() {
    let layer = AuthLayer::new(expiring("2020-01-01T00:00:00Z").refuse_expired());
    assert!(matches!(refused(&layer, get(NOVA)).await, Error::Expired { .. }));

    let layer = AuthLayer::new(expiring("2999-01-01T00:00:00Z").refuse_expired());
    assert_eq!(tokens(&sent(&layer, get(NOVA)).await), ["token-1"]);
}

#[tokio::test]
async fn an_access_info_without_a_token_fails_the_request() {
    let access_info = AccessInfo::from_body(r#"{"token": {}}"#).unwrap();
    let mut service = AuthLayer::new(AccessInfoPlugin::new(access_info)).layer(Inner::new());
    let error = service.ready().await.unwrap().call(get(NOVA)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::NoToken)));
    assert_eq!(service.get_ref().count(), 0);
}
