//! Requests that wait for their access.

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

fn layer() -> (AuthLayer<RenewingPlugin>, RenewingPlugin) {
    let plugin = RenewingPlugin::default();
    (AuthLayer::new(plugin.clone()).endpoint(to_nova()), plugin)
}

#[tokio::test]
async fn nothing_is_asked_or_sent_before_a_request_comes() {
    let (layer, plugin) = layer();
    let inner = Inner::new();
    let mut service = layer.layer(inner.clone());
    service.ready().await.unwrap();
    assert_eq!((plugin.asked(), inner.count()), (0, 0));
}

#[tokio::test]
async fn readiness_is_exactly_that_of_the_inner_service() {
    let (layer, plugin) = layer();
    let _held = plugin.hold();
    plugin.fail(Error::NoToken);
    let (mut service, mut handle): (mock::Spawn<Auth<RenewingPlugin, Mock>>, _) = mock::spawn_layer(layer);

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
    assert_eq!(plugin.asked(), 0);
}

#[tokio::test]
async fn with_an_access_at_hand_the_request_is_passed_on_in_the_call() {
    let (layer, _) = layer();
    let inner = Inner::new();
    let mut service = layer.layer(inner.clone());
    let clones = inner.clones();
    let response = service.ready().await.unwrap().call(get("/servers"));
    assert_eq!((inner.count(), inner.clones()), (1, clones), "not to one more clone");
    assert_eq!(format!("{response:?}"), "ResponseFuture(sent)");
}

#[tokio::test]
async fn a_request_waits_for_its_access_and_nothing_else_does() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let inner = Inner::new();
    let mut service = layer.layer(inner.clone());

    let mut waiting = task::spawn(service.ready().await.unwrap().call(get("/first")));
    assert_eq!(format!("{:?}", *waiting), "ResponseFuture(pending)");
    assert_pending!(waiting.poll());
    // The plugin has no other gate, so the second request gets the token that the first waits for.
    assert_ready_ok!(task::spawn(service.ready().await.unwrap().call(get("/second"))).poll());
    assert_pending!(waiting.poll());
    assert!(!waiting.is_woken());

    release.send(()).unwrap();
    assert!(waiting.is_woken());
    assert_ready_ok!(waiting.poll());
    assert_eq!(inner.uris(), [format!("{NOVA}/second"), format!("{NOVA}/first")]);
    assert_eq!((plugin.asked(), plugin.issued()), (3, 1), "the first one has looked again");
}

#[tokio::test]
async fn a_waiting_request_gives_its_readiness_back_and_asks_for_it_again() {
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
    next(&mut handle).1.send_response(status(204));
    assert_eq!(assert_ready_ok!(waiting.poll()).status(), 204);
}

#[tokio::test]
async fn an_inner_service_that_fails_to_get_ready_fails_the_waiting_request() {
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
    assert!(waiting.is_woken(), "the permit is free again");
    assert_ready_ok!(waiting.poll());
    assert_eq!(inner.uris(), [format!("{NOVA}/other"), format!("{NOVA}/servers")]);
}

#[tokio::test]
async fn a_request_that_waits_for_its_permit_gets_the_token_that_is_current_then() {
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

    let refused = plugin.current().unwrap();
    plugin.invalidate(&refused, &origin(NOVA));
    let release = plugin.hold();
    drop(other);
    assert!(waiting.is_woken());
    assert_pending!(waiting.poll());
    assert_ready_ok!(one.poll_ready(), "it waits for the new token, and without the permit");

    release.send(()).unwrap();
    assert_pending!(waiting.poll());
    drop(one);
    assert_ready_ok!(waiting.poll());
    assert_eq!(inner.tokens(), ["token-2"]);
}

/// Its token is dropped each time that the service is ready for it.
#[tokio::test]
async fn a_request_that_has_waited_often_gets_the_token_that_is_current_all_the_same() {
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
async fn a_future_that_is_polled_late_gets_the_token_that_is_current_then() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let inner = Inner::new();
    let mut service = layer.layer(inner.clone());
    let mut late = task::spawn(service.ready().await.unwrap().call(get("/late")));
    assert_pending!(late.poll());
    release.send(()).unwrap();
    assert_ready_ok!(task::spawn(service.ready().await.unwrap().call(get("/first"))).poll());
    let refused = plugin.current().unwrap();
    plugin.invalidate(&refused, &origin(NOVA));
    assert_ready_ok!(task::spawn(service.ready().await.unwrap().call(get("/second"))).poll());
    assert_ready_ok!(late.poll());
    assert_eq!(inner.tokens(), ["token-1", "token-2", "token-2"]);
}

#[tokio::test]
async fn an_access_that_fails_gives_the_permit_back() {
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
async fn a_service_that_sheds_load_unless_polled_ready_is_not_shed_after_waiting() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let mut service = layer.layer(LoadShed::new(Inner::new()));
    let mut waiting = task::spawn(service.ready().await.unwrap().call(get("/servers")));
    assert_pending!(waiting.poll());
    release.send(()).unwrap();
    assert_ready_ok!(waiting.poll());
}

#[tokio::test]
async fn dropping_a_waiting_request_disturbs_no_other() {
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
    let (_, answer) = next(&mut handle);
    drop(response);
    answer.send_response(status(401));
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
    assert_eq!((plugin.asked(), plugin.issued()), (20, 1));
    assert!(inner.tokens().iter().all(|token| token == "token-1"));
    drop((layer, services));
    assert_eq!(Arc::strong_count(&plugin.current().unwrap()), 2, "nothing keeps an access");
}

#[tokio::test]
async fn the_limit_of_a_layer_above_counts_waiting_requests() {
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
async fn a_refused_request_gives_its_permit_back() {
    let (layer, _) = layer();
    let limited = layer.layer(ConcurrencyLimit::new(Inner::new(), 1));
    let (mut one, mut other) = (mock::Spawn::new(limited.clone()), mock::Spawn::new(limited));
    assert_ready_ok!(one.poll_ready());
    assert_ready_err!(task::spawn(one.call(get("https://evil.example.org/"))).poll());
    assert_ready_ok!(other.poll_ready());
}
