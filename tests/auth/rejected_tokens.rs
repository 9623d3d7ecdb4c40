//! What a 401 causes.

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

/// Counts how often it is asked for a frame.
struct Counted(Arc<AtomicUsize>, Option<Bytes>);

impl HttpBody for Counted {
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
async fn a_401_that_cannot_be_renewed_is_sent_once_and_handed_on_unread() {
    let polls = Arc::new(AtomicUsize::new(0));
    let calls = Arc::new(AtomicUsize::new(0));
    let (polled, called) = (polls.clone(), calls.clone());
    let inner = tower::service_fn(move |_: Request<()>| {
        called.fetch_add(1, Ordering::Relaxed);
        let response = Response::builder()
            .status(401)
            .header("www-authenticate", "Keystone uri='https://keystone'")
            .body(Counted(polled.clone(), Some(Bytes::from_static(b"refused"))));
        async { Ok::<_, Infallible>(response.unwrap()) }
    });
    let response = AuthLayer::new(fixed()).layer(inner).oneshot(get(NOVA)).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Keystone uri='https://keystone'");
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Final));
    assert!(response.extensions().get::<TokenRejected>().unwrap().is_final());
    assert_eq!((calls.load(Ordering::Relaxed), polls.load(Ordering::Relaxed)), (1, 0));

    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "refused");
    assert_eq!(polls.load(Ordering::Relaxed), 2, "the body does count");
}

#[tokio::test]
async fn the_next_request_has_the_same_token_if_it_cannot_be_renewed() {
    let layer = AuthLayer::new(fixed()).endpoint(to_nova());
    let inner = Inner::answering([401, 401]);
    for expected in [401, 401, 200] {
        assert_eq!(send(&layer, &inner, get("/servers")).await.unwrap().status(), expected);
    }
    assert_eq!(inner.tokens(), ["token-1", "token-1", "token-1"]);
}

#[tokio::test]
async fn a_401_invalidates_the_access_that_was_used_and_the_next_request_has_a_new_one() {
    for waiting in [false, true] {
        let plugin = RenewingPlugin::default();
        if waiting {
            drop(plugin.hold());
        }
        let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
        let inner = Inner::answering([200, 401]);
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
async fn the_first_request_of_all_can_be_refused_after_waiting() {
    let plugin = RenewingPlugin::default();
    drop(plugin.hold());
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    let response = send(&layer, &Inner::answering([401]), get("/servers")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
    assert_eq!(plugin.invalidated()[0].auth_ref().unwrap().auth_token(), Some("token-1"));
}

#[tokio::test]
async fn a_late_401_is_about_the_access_it_was_sent_with_not_about_the_newer_one() {
    let plugin = RenewingPlugin::default();
    let layer = AuthLayer::new(plugin.clone());
    let (mut service, mut handle) = tower_test::mock::spawn_layer(layer);

    let mut responses = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..2 {
        assert_ready_ok!(service.poll_ready());
        responses.push(task::spawn(service.call(get(NOVA))));
        answers.push(next(&mut handle));
    }
    let mut refuse = |answer: tower_test::mock::SendResponse<_>, response: usize| {
        answer.send_response(status(401));
        let response = assert_ready_ok!(responses[response].poll());
        assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
    };

    let (late, first) = (answers.pop().unwrap().1, answers.pop().unwrap().1);
    refuse(first, 0);
    assert_ready_ok!(service.poll_ready());
    let mut second = task::spawn(service.call(get(NOVA)));
    assert_pending!(second.poll());
    refuse(late, 1);

    assert!(Arc::ptr_eq(&plugin.invalidated()[0], &plugin.invalidated()[1]));
    assert_eq!(plugin.current().unwrap().auth_ref().unwrap().auth_token(), Some("token-2"));
}

#[tokio::test]
async fn no_other_answer_invalidates_anything() {
    let plugin = RenewingPlugin::default();
    let layer = AuthLayer::new(plugin.clone()).endpoint(to_nova());
    for code in [200, 204, 300, 302, 400, 402, 403, 404, 407, 409, 410, 429, 500, 502, 503] {
        let response = send(&layer, &Inner::answering([code]), get("/servers")).await.unwrap();
        assert_eq!(response.status(), code);
        assert!(response.extensions().get::<TokenRejected>().is_none(), "{code}");
        assert!(code >= 400 || response.extensions().is_empty(), "{code}: an answer is handed on as it is");
    }
    assert!(plugin.invalidated().is_empty());
    assert_eq!(plugin.issued(), 1);
}

#[test]
fn a_refusal_says_what_to_do() {
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
async fn an_expired_access_info_is_sent_and_the_service_decides() {
    let layer = AuthLayer::new(expiring("2020-01-01T00:00:00Z"));
    assert_eq!(tokens(&sent(&layer, get(NOVA)).await), ["token-1"]);
}

#[tokio::test]
async fn an_expired_access_info_is_refused_before_anything_is_sent_if_told_so() {
    let layer = AuthLayer::new(expiring("2020-01-01T00:00:00Z").refuse_expired());
    assert!(matches!(refused(&layer, get(NOVA)).await, Error::Expired { .. }));

    let layer = AuthLayer::new(expiring("2999-01-01T00:00:00Z").refuse_expired());
    assert_eq!(tokens(&sent(&layer, get(NOVA)).await), ["token-1"]);
}

#[tokio::test]
async fn an_access_info_without_a_token_fails_its_requests() {
    let access_info = AccessInfo::from_body(r#"{"token": {}}"#).unwrap();
    let mut service = AuthLayer::new(AccessInfoPlugin::new(access_info)).layer(Inner::new());
    let error = service.ready().await.unwrap().call(get(NOVA)).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::NoToken)));
    assert_eq!(service.get_ref().count(), 0);
}
