//! The layer below and above other middleware of tower.

use std::{
    future::{Ready, ready},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use tokio::task::JoinSet;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt,
    buffer::Buffer,
    load_shed::{LoadShed, error::Overloaded},
    retry::{Policy, Retry, RetryLayer},
    timeout::{Timeout, TimeoutLayer, error::Elapsed},
    util::{BoxCloneService, BoxCloneSyncService},
};
use tower_http::request_id::{MakeRequestUuid, SetRequestIdLayer};
use tower_keystone::{
    AuthLayer, EndpointFilter, Error, IdentityPlugin, ReauthPolicy, RetryPolicy, TokenRejected,
};
use tower_test::mock;

use crate::support::*;

fn layer() -> (AuthLayer<ScriptedPlugin>, ScriptedPlugin) {
    let plugin = ScriptedPlugin::default();
    (AuthLayer::new(plugin.clone()).endpoint(to_nova()), plugin)
}

/// Sends a request once more after a 401, unless the rejection is final.
#[derive(Clone, Default)]
struct RetryOnce {
    done: bool,
}

impl<B: Clone, R> Policy<Request<B>, Response<R>, BoxError> for RetryOnce {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<B>,
        result: &mut Result<Response<R>, BoxError>,
    ) -> Option<Self::Future> {
        let rejection: &TokenRejected = result.as_ref().ok()?.extensions().get()?;
        if std::mem::replace(&mut self.done, true) || rejection.is_final() {
            return None;
        }
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}

#[tokio::test]
async fn a_retry_above_sends_the_same_request_with_a_new_token() {
    let plugin = ScriptedPlugin::default();
    let inner = Inner::with_statuses([401]);
    let retry = Retry::new(RetryOnce::default(), AuthLayer::new(plugin).layer(inner.clone()));
    let request =
        Request::post("/volumes?x=%20").header("x-own", "1").extension(EndpointFilter::new("block-storage"));
    assert_eq!(retry.oneshot(request.body(()).unwrap()).await.unwrap().status(), 200);

    assert_eq!(inner.tokens(), ["token-1", "token-2"]);
    for seen in &*inner.seen() {
        assert_eq!(seen.method, "POST");
        assert_eq!(seen.uri, "https://cinder.example.com:8776/v3/p1/volumes?x=%20");
        assert_eq!(seen.headers["x-own"], "1");
        assert!(seen.extensions.get::<EndpointFilter>().is_none());
    }
}

#[tokio::test]
async fn a_retry_above_returns_the_second_401() {
    let (layer, plugin) = layer();
    let inner = Inner::with_statuses([401, 401]);
    let service = ServiceBuilder::new().layer(RetryLayer::new(RetryOnce::default())).layer(layer);
    let response = service.service(inner.clone()).oneshot(get("/servers")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
    assert_eq!((inner.count(), plugin.invalidated().len()), (2, 2));
}

#[tokio::test]
async fn a_retry_above_does_not_retry_a_final_rejection() {
    let inner = Inner::with_statuses([401]);
    let retry = Retry::new(RetryOnce::default(), AuthLayer::new(fixed_token()).layer(inner.clone()));
    let response = retry.oneshot(get(NOVA)).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Final));
    assert_eq!(inner.count(), 1);
}

#[tokio::test]
async fn a_retry_above_works_with_a_single_permit_below() {
    let (layer, plugin) = layer();
    drop(plugin.hold());
    let inner = Inner::with_statuses([401]);
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(RetryOnce::default()))
        .layer(layer)
        .concurrency_limit(1)
        .service(inner.clone());
    let mut response = task::spawn(service.oneshot(get("/servers")));
    let response = loop {
        match response.poll() {
            std::task::Poll::Ready(response) => break response.unwrap(),
            std::task::Poll::Pending => assert!(response.is_woken(), "the request waits for its own permit"),
        }
    };
    assert_eq!(response.status(), 200);
    assert_eq!(inner.tokens(), ["token-1", "token-2"]);
}

#[tokio::test(start_paused = true)]
async fn an_authentication_error_does_not_close_a_buffer_above() {
    let (layer, plugin) = layer();
    let mut buffer = Buffer::new(layer.layer(Inner::new()), 2);
    for waiting in [false, true] {
        if waiting {
            drop(plugin.hold());
        }
        plugin.fail(Error::plugin(true, "keystone is down"));
        let error = buffer.ready().await.unwrap().call(get("/servers")).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::Plugin { transient: true, .. })));
    }
    let error = buffer.ready().await.unwrap().call(get("https://evil.example.org/")).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::OriginNotAllowed { .. })));
    assert_eq!(buffer.ready().await.unwrap().call(get("/servers")).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_does_not_block_a_buffer_above() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let inner = Inner::new();
    let buffer = Buffer::new(layer.layer(inner.clone()), 1);
    let waiting = tokio::spawn(buffer.clone().oneshot(get("/first")));
    wait_until(|| plugin.access_calls() > 0).await;
    within_a_day(buffer.oneshot(get("/second"))).await.unwrap();
    release.send(()).unwrap();
    within_a_day(waiting).await.unwrap().unwrap();
    assert_eq!(inner.uris(), [format!("{NOVA}/second"), format!("{NOVA}/first")]);
}

#[tokio::test(start_paused = true)]
async fn many_clones_share_one_place_in_a_buffer_below() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let inner = Inner::new();
    let service = layer.layer(Buffer::new(inner.clone(), 1));
    let mut requests: Vec<_> =
        (0..9).map(|_| task::spawn(service.clone().oneshot(get("/servers")))).collect();
    // The first request waits and releases the only place in the buffer, which the second one takes.
    for request in &mut requests {
        assert_pending!(request.poll());
    }
    assert_eq!(plugin.access_calls(), 2);
    release.send(()).unwrap();
    let requests = JoinSet::from_iter(requests.into_iter().map(task::Spawn::into_inner));
    let responses = within_a_day(requests.join_all()).await;
    assert!(responses.into_iter().all(|response| response.unwrap().status() == 200));
    assert_eq!((inner.count(), plugin.issued()), (9, 1));
}

#[tokio::test]
async fn load_shed_above_sheds_requests_while_the_inner_service_is_not_ready() {
    let (layer, _) = layer();
    let (service, mut handle) = mock::pair::<Request<()>, Response<()>>();
    let mut service = LoadShed::new(layer.layer(service));
    handle.allow(0);
    let error = service.ready().await.unwrap().call(get("/servers")).await.unwrap_err();
    assert!(error.is::<Overloaded>());

    handle.allow(1);
    let mut response = task::spawn(service.ready().await.unwrap().call(get("/servers")));
    assert_pending!(response.poll());
    next_request(&mut handle).1.send_response(status(200));
    assert_ready_ok!(response.poll());
}

#[tokio::test]
async fn load_shed_above_does_not_shed_while_a_request_waits() {
    let (layer, plugin) = layer();
    let _held = plugin.hold();
    let mut service = LoadShed::new(layer.layer(Inner::new()));
    let mut waiting = task::spawn(service.ready().await.unwrap().call(get("/first")));
    assert_pending!(waiting.poll());
    assert_ready_ok!(task::spawn(service.ready().await.unwrap().call(get("/second"))).poll());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_above_cancels_only_its_own_request() {
    let (layer, plugin) = layer();
    let (_held, release) = (plugin.hold(), plugin.hold());
    let inner = Inner::new();
    let service = layer.layer(inner.clone());
    let mut without_timeout = task::spawn(service.clone().oneshot(get("/patient")));
    let with_timeout = Timeout::new(service, Duration::from_secs(5));

    let mut with_timeout = task::spawn(with_timeout.oneshot(get("/hasty")));
    assert_pending!(with_timeout.poll());
    assert_pending!(without_timeout.poll());
    assert_eq!(plugin.access_calls(), 2);
    assert!(with_timeout.await.unwrap_err().is::<Elapsed>());
    assert_eq!(inner.count(), 0);

    release.send(()).unwrap();
    assert_ready_ok!(without_timeout.poll());
    assert_eq!(inner.uris(), [format!("{NOVA}/patient")]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_below_does_not_include_the_wait_for_an_access() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let timeout = TimeoutLayer::new(Duration::from_secs(5));
    let mut service = ServiceBuilder::new().layer(layer).layer(timeout).service(Inner::new());
    let mut waiting = task::spawn(service.ready().await.unwrap().call(get("/servers")));
    assert_pending!(waiting.poll());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_pending!(waiting.poll());
    release.send(()).unwrap();
    assert_ready_ok!(waiting.poll());
}

#[tokio::test]
async fn the_service_can_be_boxed() {
    let (layer, plugin) = layer();
    let inner = Inner::new();
    let boxed = BoxCloneService::new(layer.layer(inner.clone()));
    let boxed_sync = BoxCloneSyncService::new(layer.layer(inner.clone()));
    boxed.clone().oneshot(get("/a")).await.unwrap();
    boxed_sync.clone().oneshot(get("/b")).await.unwrap();
    // A boxed service can be wrapped in the layer and boxed again.
    let twice = BoxCloneService::new(layer.layer(boxed));
    twice.oneshot(get("/c")).await.unwrap();
    assert_eq!(inner.tokens(), ["token-1", "token-1", "token-1"]);
    assert_eq!(plugin.issued(), 1);
}

#[tokio::test]
async fn plugins_of_different_types_can_be_shared_as_trait_objects() {
    let plugins: [Arc<dyn IdentityPlugin>; 2] =
        [Arc::new(ScriptedPlugin::default()), Arc::new(fixed_token().auth_url(uri(AUTH_URL)))];
    let mut rejections = Vec::new();
    for plugin in plugins {
        let layer = AuthLayer::new(plugin).endpoint(to_nova());
        let response = send(&layer, &Inner::with_statuses([401]), get("/servers")).await.unwrap();
        rejections.extend(response.extensions().get::<TokenRejected>().copied());
    }
    assert_eq!(rejections, [TokenRejected::Renewable, TokenRejected::Final]);

    let shared: Arc<dyn IdentityPlugin> = Arc::new(fixed_token().auth_url(uri(AUTH_URL)));
    assert_eq!(sent(&AuthLayer::new(shared), get(AUTH_URL)).await.uri, AUTH_URL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_one_layer() {
    let (layer, plugin) = layer();
    let inner = Inner::new();
    let tasks: Vec<_> =
        (0..64).map(|_| tokio::spawn(layer.layer(inner.clone()).oneshot(get("/x")))).collect();
    for response in tasks {
        assert_eq!(response.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!((inner.count(), plugin.issued()), (64, 1));
}

#[tokio::test(start_paused = true)]
async fn all_attempts_share_one_request_id_and_microversion() {
    let name = http::HeaderName::from_static("x-openstack-request-id");
    for callers_id in [None, Some("req-own")] {
        let inner = Inner::with_statuses([503, 401, 503]);
        let stack = ServiceBuilder::new()
            .layer(SetRequestIdLayer::new(name.clone(), MakeRequestUuid))
            .retry(ReauthPolicy::new())
            .retry(RetryPolicy::new())
            .layer(AuthLayer::new(ScriptedPlugin::default()))
            .service(inner.clone());
        let mut request = get("/servers");
        request.extensions_mut().insert(to_nova().microversion("2.79"));
        if let Some(callers_id) = callers_id {
            request.headers_mut().insert(name.clone(), callers_id.parse().unwrap());
        }
        assert_eq!(stack.oneshot(request).await.unwrap().status(), 200);
        let seen = inner.seen();
        let id = seen[0].headers[&name].to_str().unwrap();
        assert!(callers_id.is_none_or(|callers_id| callers_id == id), "{id}");
        assert_eq!(seen.len(), 4);
        for attempt in &*seen {
            assert_eq!(attempt.headers[&name], id);
            assert_eq!(attempt.headers["openstack-api-version"], "compute 2.79");
        }
    }
}
