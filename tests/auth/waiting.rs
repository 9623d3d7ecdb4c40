//! Requests that wait for an access.

use std::sync::Arc;

use http::{Request, Response};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{
    Layer, Service, ServiceExt,
    limit::{ConcurrencyLimit, ConcurrencyLimitLayer},
    load_shed::LoadShed,
};
use tower_keystone::{Auth, AuthLayer, Error, IdentityPlugin};
use tower_test::mock;

use crate::support::*;

type Mock = mock::Mock<Request<()>, Response<()>>;

fn layer() -> (AuthLayer<ScriptedPlugin>, ScriptedPlugin) {
    let plugin = ScriptedPlugin::default();
    (AuthLayer::new(plugin.clone()).endpoint(to_nova()), plugin)
}

#[tokio::test]
async fn polling_readiness_causes_no_login_and_no_request() {
    let (layer, plugin) = layer();
    let inner = Inner::new();
    let mut service = layer.layer(inner.clone());
    service.ready().await.unwrap();
    assert_eq!((plugin.access_calls(), inner.count()), (0, 0));
}

#[tokio::test]
async fn readiness_is_exactly_that_of_the_inner_service() {
    let (layer, plugin) = layer();
    let _held = plugin.hold();
    plugin.fail(Error::NoToken);
    let (mut service, mut handle): (mock::Spawn<Auth<ScriptedPlugin, Mock>>, _) = mock::spawn_layer(layer);

    handle.allow(0);
    assert_pending!(service.poll_ready());
    assert!(!service.is_woken());
    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());

    handle.send_error("the connection is gone");
    let error = assert_ready_err!(service.poll_ready());
    assert_eq!(error.to_string(), "the connection is gone");
    assert!(Error::find(&*error).is_none());
    assert_eq!(plugin.access_calls(), 0);
}

#[tokio::test]
async fn with_a_current_access_the_request_is_sent_within_call() {
    let (layer, _) = layer();
    let inner = Inner::new();
    let mut service = layer.layer(inner.clone());
    let clones = inner.clones();
    let response = service.ready().await.unwrap().call(get("/servers"));
    assert_eq!(
        (inner.count(), inner.clones()),
        (1, clones),
        "the request is sent without another clone of the service"
    );
    assert_eq!(format!("{response:?}"), "ResponseFuture(sent)");
}

#[tokio::test]
async fn a_request_that_waits_for_its_access_blocks_no_other() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let inner = Inner::new();
    let mut service = layer.layer(inner.clone());

    let mut waiting = task::spawn(service.ready().await.unwrap().call(get("/first")));
    assert_eq!(format!("{:?}", *waiting), "ResponseFuture(pending)");
    assert_pending!(waiting.poll());
    // Only the first request waits at a gate. The second one renews the token at once.
    assert_ready_ok!(task::spawn(service.ready().await.unwrap().call(get("/second"))).poll());
    assert_pending!(waiting.poll());
    assert!(!waiting.is_woken());

    release.send(()).unwrap();
    assert!(waiting.is_woken());
    assert_ready_ok!(waiting.poll());
    assert_eq!(inner.uris(), [format!("{NOVA}/second"), format!("{NOVA}/first")]);
    assert_eq!(
        (plugin.access_calls(), plugin.issued()),
        (3, 1),
        "the first request asks for the access a second time before it is sent"
    );
}

#[tokio::test]
async fn a_waiting_request_releases_its_readiness_and_polls_it_again() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let (mut service, mut handle): (_, mock::Handle<_, _>) = mock::spawn_layer(layer);

    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut waiting = task::spawn(service.call(get("/servers")));
    assert_pending!(waiting.poll());
    handle.allow(0);
    release.send(()).unwrap();
    assert_pending!(waiting.poll());
    assert_pending!(handle.poll_request());
    handle.allow(1);
    assert!(waiting.is_woken());
    assert_pending!(waiting.poll());
    next_request(&mut handle).1.send_response(status(204));
    assert_eq!(assert_ready_ok!(waiting.poll()).status(), 204);
}

#[tokio::test]
async fn an_error_of_poll_ready_fails_the_waiting_request() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let (mut service, mut handle): (_, mock::Handle<Request<()>, Response<()>>) = mock::spawn_layer(layer);
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut waiting = task::spawn(service.call(get("/servers")));
    assert_pending!(waiting.poll());
    release.send(()).unwrap();
    handle.send_error("the connection is gone");
    assert_eq!(assert_ready_err!(waiting.poll()).to_string(), "the connection is gone");
}

#[tokio::test]
async fn a_waiting_request_holds_no_permit() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let inner = Inner::new();
    let limited = layer.layer(ConcurrencyLimit::new(inner.clone(), 1));
    let (mut one, mut other) = (mock::Spawn::new(limited.clone()), mock::Spawn::new(limited));

    assert_ready_ok!(one.poll_ready());
    let mut waiting = task::spawn(one.call(get("/servers")));
    assert_pending!(waiting.poll());
    assert_ready_ok!(other.poll_ready());

    release.send(()).unwrap();
    assert_pending!(waiting.poll());
    assert_ready_ok!(task::spawn(other.call(get("/other"))).poll());
    assert!(waiting.is_woken(), "the released permit wakes the waiting request");
    assert_ready_ok!(waiting.poll());
    assert_eq!(inner.uris(), [format!("{NOVA}/other"), format!("{NOVA}/servers")]);
}

#[tokio::test]
async fn a_request_that_waited_for_a_permit_gets_the_current_token() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let inner = Inner::new();
    let limited = layer.layer(ConcurrencyLimit::new(inner.clone(), 1));
    let (mut one, mut other) = (mock::Spawn::new(limited.clone()), mock::Spawn::new(limited));

    assert_ready_ok!(one.poll_ready());
    let mut waiting = task::spawn(one.call(get("/servers")));
    release.send(()).unwrap();
    assert_ready_ok!(other.poll_ready());
    assert_pending!(waiting.poll());

    let rejected = plugin.current().unwrap();
    plugin.invalidate(&rejected, &origin(NOVA));
    let release = plugin.hold();
    drop(other);
    assert!(waiting.is_woken());
    assert_pending!(waiting.poll());
    assert_ready_ok!(one.poll_ready(), "the request waits for the new token without holding the permit");

    release.send(()).unwrap();
    assert_pending!(waiting.poll());
    drop(one);
    assert_ready_ok!(waiting.poll());
    assert_eq!(inner.tokens(), ["token-2"]);
}

/// The token of the request is invalidated each time that the service becomes ready.
#[tokio::test]
async fn a_request_that_waits_repeatedly_gets_the_current_token() {
    let (layer, plugin) = layer();
    let mut release = plugin.hold();
    let inner = Inner::new();
    let limited = layer.layer(ConcurrencyLimit::new(inner.clone(), 1));
    let mut service = mock::Spawn::new(limited.clone());
    assert_ready_ok!(service.poll_ready());
    let mut waiting = task::spawn(service.call(get("/servers")));
    assert_pending!(waiting.poll());
    for _ in 0..3 {
        let mut other = mock::Spawn::new(limited.clone());
        assert_ready_ok!(other.poll_ready());
        release.send(()).unwrap();
        assert_pending!(waiting.poll());
        plugin.invalidate(&plugin.current().unwrap(), &origin(NOVA));
        release = plugin.hold();
        drop(other);
        assert_pending!(waiting.poll());
    }
    assert_ready_ok!(service.poll_ready());
    release.send(()).unwrap();
    assert_pending!(waiting.poll());
    plugin.invalidate(&plugin.current().unwrap(), &origin(NOVA));
    plugin.access().await.unwrap();
    drop(service);
    assert_ready_ok!(waiting.poll());
    assert_eq!(inner.tokens(), ["token-5"]);
}

#[tokio::test]
async fn a_future_that_is_polled_late_gets_the_current_token() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let inner = Inner::new();
    let mut service = layer.layer(inner.clone());
    let mut late = task::spawn(service.ready().await.unwrap().call(get("/late")));
    assert_pending!(late.poll());
    release.send(()).unwrap();
    assert_ready_ok!(task::spawn(service.ready().await.unwrap().call(get("/first"))).poll());
    let rejected = plugin.current().unwrap();
    plugin.invalidate(&rejected, &origin(NOVA));
    assert_ready_ok!(task::spawn(service.ready().await.unwrap().call(get("/second"))).poll());
    assert_ready_ok!(late.poll());
    assert_eq!(inner.tokens(), ["token-1", "token-2", "token-2"]);
}

#[tokio::test]
async fn a_failed_access_releases_the_permit() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    plugin.fail(Error::NoToken);
    let mut service = mock::Spawn::new(layer.layer(ConcurrencyLimit::new(Inner::new(), 1)));

    assert_ready_ok!(service.poll_ready());
    let mut waiting = task::spawn(service.call(get("/servers")));
    assert_pending!(waiting.poll());
    release.send(()).unwrap();
    assert_ready_err!(waiting.poll());
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test]
async fn load_shed_below_does_not_shed_a_request_that_waited() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let mut service = layer.layer(LoadShed::new(Inner::new()));
    let mut waiting = task::spawn(service.ready().await.unwrap().call(get("/servers")));
    assert_pending!(waiting.poll());
    release.send(()).unwrap();
    assert_ready_ok!(waiting.poll());
}

#[tokio::test]
async fn dropping_a_waiting_request_does_not_affect_another() {
    let (layer, plugin) = layer();
    let (first, second) = (plugin.hold(), plugin.hold());
    let inner = Inner::new();
    let limited = layer.layer(ConcurrencyLimit::new(inner.clone(), 2));
    let (mut one, mut other) = (mock::Spawn::new(limited.clone()), mock::Spawn::new(limited));

    assert_ready_ok!(one.poll_ready());
    let mut dropped = task::spawn(one.call(get("/dropped")));
    assert_pending!(dropped.poll());
    assert_ready_ok!(other.poll_ready());
    let mut waiting = task::spawn(other.call(get("/waiting")));
    assert_pending!(waiting.poll());

    drop(dropped);
    assert!(first.is_closed());
    assert_ready_ok!(one.poll_ready());
    second.send(()).unwrap();
    assert_ready_ok!(waiting.poll());
    assert_ready_ok!(task::spawn(one.call(get("/next"))).poll());
    assert_eq!(inner.uris(), [format!("{NOVA}/waiting"), format!("{NOVA}/next")]);
    assert!(plugin.invalidated().is_empty());
}

#[tokio::test]
async fn dropping_a_request_that_was_sent_invalidates_nothing() {
    let (layer, plugin) = layer();
    let (mut service, mut handle) = mock::spawn_layer(layer);
    assert_ready_ok!(service.poll_ready());
    let response = service.call(get("/servers"));
    let (_, responder) = next_request(&mut handle);
    drop(response);
    responder.send_response(status(401));
    assert!(plugin.invalidated().is_empty());
}

#[tokio::test]
async fn clones_of_layer_and_service_share_one_plugin() {
    let (layer, plugin) = layer();
    let inner = Inner::new();
    let services = [layer.layer(inner.clone()), layer.clone().layer(inner.clone())];
    let clones: Vec<_> = services.iter().cycle().take(20).cloned().collect();
    for service in clones {
        service.oneshot(get("/servers")).await.unwrap();
    }
    assert_eq!((plugin.access_calls(), plugin.issued()), (20, 1));
    assert!(inner.tokens().iter().all(|token| token == "token-1"));
    drop((layer, services));
    assert_eq!(Arc::strong_count(&plugin.current().unwrap()), 2, "layer and services keep no access alive");
}

#[tokio::test]
async fn a_concurrency_limit_above_counts_waiting_requests() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let limited = ConcurrencyLimitLayer::new(1).layer(layer.layer(Inner::new()));
    let (mut one, mut other) = (mock::Spawn::new(limited.clone()), mock::Spawn::new(limited));

    assert_ready_ok!(one.poll_ready());
    let mut waiting = task::spawn(one.call(get("/servers")));
    assert_pending!(waiting.poll());
    assert_pending!(other.poll_ready());
    release.send(()).unwrap();
    assert_ready_ok!(waiting.poll());
    drop(waiting);
    assert_ready_ok!(other.poll_ready());
    assert_ready_ok!(task::spawn(other.call(get("/servers"))).poll());
}

#[tokio::test]
async fn a_refused_request_releases_its_permit() {
    let (layer, _) = layer();
    let limited = layer.layer(ConcurrencyLimit::new(Inner::new(), 1));
    let (mut one, mut other) = (mock::Spawn::new(limited.clone()), mock::Spawn::new(limited));
    assert_ready_ok!(one.poll_ready());
    assert_ready_err!(task::spawn(one.call(get("https://evil.example.org/"))).poll());
    assert_ready_ok!(other.poll_ready());
}
