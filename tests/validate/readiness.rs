//! The readiness of the inner service.

use std::{task::Poll, time::Duration};

use http::{Request, Response};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit,
    util::BoxCloneSyncService,
};
use tower_keystone::IdentityStatus;

use crate::support::*;

type Inner = BoxCloneSyncService<Request<Opaque>, Response<bytes::Bytes>, tower::BoxError>;

fn good() -> Request<Opaque> {
    get("/", &[("x-auth-token", "good")])
}

/// Lets other tasks run, until Keystone was asked this many questions.
async fn until_asked(keystone: &Keystone, questions: usize) {
    for _ in 0..1_000 {
        if keystone.questions().len() == questions {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{} questions", keystone.questions().len());
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_costs_no_clone_of_the_inner_service() {
    let (layer, app) = (Keystone::new().layer(), App::new());
    let mut service = layer.layer(app.clone());
    service.ready().await.unwrap().call(good()).await.unwrap();
    let clones = app.clones();
    for _ in 0..3 {
        service.ready().await.unwrap().call(good()).await.unwrap();
    }
    assert_eq!((app.clones(), app.count()), (clones, 4));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_holds_no_permit() {
    let (keystone, app) = (Keystone::new(), App::new());
    let layer = keystone.layer();
    layer.layer(app.clone()).oneshot(good()).await.unwrap();
    keystone.hold();
    let limited = ConcurrencyLimit::new(app.clone(), 1);
    let service = layer.layer(limited);
    let mut waiting = task::spawn(service.clone().oneshot(get("/", &[("x-auth-token", "plain")])));
    assert_pending!(waiting.poll());
    until_asked(&keystone, 2).await;
    assert_pending!(waiting.poll());
    // The only permit is free for others.
    let other = tokio::time::timeout(Duration::from_secs(1), service.clone().oneshot(good())).await;
    assert_eq!(other.unwrap().unwrap().status(), 200);
    keystone.release(1);
    assert_eq!(waiting.await.unwrap().status(), 200);
    assert_eq!(app.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_gives_its_permit_back() {
    let (layer, app) = (Keystone::new().layer(), App::new());
    let limited = ConcurrencyLimit::new(app.clone(), 1);
    let mut idle = layer.layer(limited);
    let mut other = idle.clone();
    for headers in [&[][..], &[("x-auth-token", "unknown")], &[("x-auth-token", "unknown")]] {
        assert_unauthorized(&idle.ready().await.unwrap().call(get("/", headers)).await.unwrap());
        // The first service is still alive, but holds nothing.
        let mut ready = task::spawn(other.ready());
        assert_ready_ok!(ready.poll());
        drop(ready);
        other.call(good()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_is_called_only_when_it_is_ready() {
    let keystone = Keystone::new();
    let (mock, mut handle) = tower_test::mock::pair::<Request<Opaque>, Response<bytes::Bytes>>();
    handle.allow(1);
    let mut service = keystone.layer().layer(mock);
    assert_ready_ok!(task::spawn(service.ready()).poll());
    let mut response = task::spawn(service.call(good()));
    handle.allow(0);
    assert_pending!(response.poll());
    until_asked(&keystone, 1).await;
    for _ in 0..20 {
        assert_pending!(response.poll());
        assert!(handle.poll_request().is_pending());
        tokio::task::yield_now().await;
    }
    handle.allow(1);
    assert_pending!(response.poll());
    let Poll::Ready(Some((request, send_response))) = handle.poll_request() else { panic!("not called") };
    assert_eq!(request.headers()["x-auth-token"], "good");
    send_response.send_response(Response::default());
    assert_ready!(response.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_inner_service_is_returned_unchanged() {
    let keystone = Keystone::new();
    let (mock, mut handle) = tower_test::mock::pair::<Request<Opaque>, Response<bytes::Bytes>>();
    let response = task::spawn(keystone.layer().layer(mock).oneshot(good()));
    handle.send_error("broken");
    assert_eq!(response.await.unwrap_err().to_string(), "broken");

    let (mock, mut handle) = tower_test::mock::pair::<Request<Opaque>, Response<bytes::Bytes>>();
    let mut service = keystone.layer().layer(mock);
    handle.allow(1);
    assert_ready_ok!(task::spawn(service.ready()).poll());
    handle.allow(0);
    response_error(service.call(good()), &mut handle).await;
}

async fn response_error<T>(
    response: T,
    handle: &mut tower_test::mock::Handle<Request<Opaque>, Response<bytes::Bytes>>,
) where
    T: Future<Output = Result<Response<bytes::Bytes>, tower::BoxError>>,
{
    let mut response = task::spawn(response);
    for _ in 0..20 {
        assert_pending!(response.poll());
        tokio::task::yield_now().await;
    }
    handle.send_error("broken later");
    assert_eq!(response.await.unwrap_err().to_string(), "broken later");
}

#[tokio::test(start_paused = true)]
async fn dropping_a_waiting_request_has_no_effect() {
    let (keystone, app) = (Keystone::new(), App::new());
    keystone.hold();
    let service = keystone.layer().layer(ConcurrencyLimit::new(app.clone(), 1));
    let mut first = task::spawn(service.clone().oneshot(good()));
    let mut second = task::spawn(service.clone().oneshot(good()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    until_asked(&keystone, 1).await;
    drop(first);
    keystone.release(1);
    assert_eq!(second.await.unwrap().status(), 200);
    assert_eq!((keystone.asked(), app.count()), (vec!["good".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn it_works_inside_and_around_buffers_and_limits() {
    let keystone = Keystone::new();
    let layer = keystone.layer();
    let box_it = |app: App| Inner::new(app.map_err(tower::BoxError::from));
    let makes: [&dyn Fn(App) -> Inner; 4] = [
        &|app| Inner::new(layer.layer(Buffer::new(box_it(app), 1))),
        &|app| Inner::new(layer.layer(ConcurrencyLimit::new(box_it(app), 2))),
        &|app| Inner::new(Buffer::new(layer.layer(box_it(app)), 1)),
        &|app| {
            let stack = ServiceBuilder::new().load_shed().concurrency_limit(50).layer(&layer);
            Inner::new(stack.service(box_it(app)))
        },
    ];
    for make in makes {
        let app = App::new();
        let stack = make(app.clone());
        let mut sent = tokio::task::JoinSet::new();
        for index in 0..20 {
            let token = if index % 2 == 0 { "good" } else { "plain" };
            sent.spawn(stack.clone().oneshot(get("/", &[("x-auth-token", token)])));
        }
        while let Some(response) = sent.join_next().await {
            assert_eq!(response.unwrap().unwrap().status(), 200);
        }
        assert_eq!(app.count(), 20);
    }
    assert_eq!(keystone.questions().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_two_validations_at_most() {
    let (keystone, app) = (Keystone::new(), App::new());
    keystone.hold();
    let service = keystone.layer().layer(app.clone());
    let headers = [("x-auth-token", "old"), ("x-service-token", "service")];
    let mut response = task::spawn(service.oneshot(get("/", &headers)));
    assert_pending!(response.poll());
    until_asked(&keystone, 1).await;
    keystone.release(1);
    while keystone.questions().len() < 2 {
        assert_pending!(response.poll());
        tokio::task::yield_now().await;
    }
    keystone.release(1);
    assert_eq!(response.await.unwrap().status(), 200);
    assert_eq!(keystone.asked(), ["service", "old"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_no_longer_for_two_tokens_than_for_one() {
    let (keystone, app) = (Keystone::new(), App::new());
    keystone.hold();
    let slow = keystone.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(9)).await;
        slow.release(1);
        sleep(Duration::from_secs(9)).await;
        slow.release(1);
    });
    let layer = keystone.layer();
    let started = Instant::now();
    let headers = [("x-auth-token", "good"), ("x-service-token", "service")];
    let response = send(&layer, &app, &headers).await;
    assert_eq!((response.status().as_u16(), started.elapsed().as_secs()), (503, 10));
    assert_eq!(keystone.asked(), ["service", "good"]);

    assert_eq!(send(&layer, &app, &headers).await.status(), 200);
    assert_eq!((keystone.asked().len(), started.elapsed().as_secs()), (2, 18), "the validation went on");
}

#[tokio::test(start_paused = true)]
async fn with_a_delayed_decision_both_tokens_have_one_timeout_too() {
    let (keystone, app) = (Keystone::new(), App::new());
    keystone.hold();
    let layer = keystone.layer().delay_auth_decision();
    let started = Instant::now();
    send(&layer, &app, &[("x-auth-token", "good"), ("x-service-token", "service")]).await;
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(statuses(&app.request()), (IdentityStatus::Unavailable, IdentityStatus::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_does_not_wait_for_the_application() {
    let (keystone, app) = (Keystone::new(), App::new());
    let mut busy = ConcurrencyLimit::new(app.clone(), 1);
    let mut service = keystone.layer().layer(busy.clone());
    busy.ready().await.unwrap();
    for token in ["unknown", "unknown"] {
        let response = service.call(get("/", &[("x-auth-token", token)]));
        let response =
            tokio::time::timeout(Duration::from_secs(1), response).await.expect("it does not wait");
        assert_eq!(response.unwrap().status(), 401);
    }
    assert_eq!((app.count(), keystone.questions().len()), (0, 1));
    drop(busy);
}
