//! The layer in stacks of tower's layers.

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

fn layer() -> (AuthLayer<RenewingPlugin>, RenewingPlugin) {
    let plugin = RenewingPlugin::default();
    (AuthLayer::new(plugin.clone()).endpoint(to_nova()), plugin)
}

/// Sends a refused request once more, if the refusal is not final.
#[derive(Clone, Default)]
struct OnceMore {
    done: bool,
}

impl<B: Clone, R> Policy<Request<B>, Response<R>, BoxError> for OnceMore {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<B>,
        result: &mut Result<Response<R>, BoxError>,
    ) -> Option<Self::Future> {
        let refusal: &TokenRejected = result.as_ref().ok()?.extensions().get()?;
        if std::mem::replace(&mut self.done, true) || refusal.is_final() {
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
    let plugin = RenewingPlugin::default();
    let inner = Inner::answering([401]);
    let retry = Retry::new(OnceMore::default(), AuthLayer::new(plugin).layer(inner.clone()));
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
async fn a_retry_above_hands_on_the_second_refusal() {
    let (layer, plugin) = layer();
    let inner = Inner::answering([401, 401]);
    let service = ServiceBuilder::new().layer(RetryLayer::new(OnceMore::default())).layer(layer);
    let response = service.service(inner.clone()).oneshot(get("/servers")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable));
    assert_eq!((inner.count(), plugin.invalidated().len()), (2, 2));
}

#[tokio::test]
async fn a_retry_above_does_not_send_a_final_refusal_again() {
    let inner = Inner::answering([401]);
    let retry = Retry::new(OnceMore::default(), AuthLayer::new(fixed()).layer(inner.clone()));
    let response = retry.oneshot(get(NOVA)).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&TokenRejected::Final));
    assert_eq!(inner.count(), 1);
}

#[tokio::test]
async fn a_retry_above_sends_a_request_in_a_permit_of_one() {
    let (layer, plugin) = layer();
    drop(plugin.hold());
    let inner = Inner::answering([401]);
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(OnceMore::default()))
        .layer(layer)
        .concurrency_limit(1)
        .service(inner.clone());
    let mut response = task::spawn(service.oneshot(get("/servers")));
    let response = loop {
        match response.poll() {
            std::task::Poll::Ready(response) => break response.unwrap(),
            std::task::Poll::Pending => assert!(response.is_woken(), "it waits for itself"),
        }
    };
    assert_eq!(response.status(), 200);
    assert_eq!(inner.tokens(), ["token-1", "token-2"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_authentication_does_not_wear_out_a_buffer() {
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
async fn a_waiting_request_does_not_hold_up_a_buffer_above() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let inner = Inner::new();
    let buffer = Buffer::new(layer.layer(inner.clone()), 1);
    let waiting = tokio::spawn(buffer.clone().oneshot(get("/first")));
    until(|| plugin.asked() > 0).await;
    in_the_end(buffer.oneshot(get("/second"))).await.unwrap();
    release.send(()).unwrap();
    in_the_end(waiting).await.unwrap().unwrap();
    assert_eq!(inner.uris(), [format!("{NOVA}/second"), format!("{NOVA}/first")]);
}

#[tokio::test(start_paused = true)]
async fn a_buffer_below_is_used_by_many_clones() {
    let (layer, plugin) = layer();
    let release = plugin.hold();
    let inner = Inner::new();
    let service = layer.layer(Buffer::new(inner.clone(), 1));
    let mut requests: Vec<_> =
        (0..9).map(|_| task::spawn(service.clone().oneshot(get("/servers")))).collect();
    // The first request waits and gives the only place in the buffer back, which the second one takes.
    for request in &mut requests {
        assert_pending!(request.poll());
    }
    assert_eq!(plugin.asked(), 2);
    release.send(()).unwrap();
    let requests = JoinSet::from_iter(requests.into_iter().map(task::Spawn::into_inner));
    let responses = in_the_end(requests.join_all()).await;
    assert!(responses.into_iter().all(|response| response.unwrap().status() == 200));
    assert_eq!((inner.count(), plugin.issued()), (9, 1));
}

#[tokio::test]
async fn load_shed_above_sheds_what_the_inner_service_is_not_ready_for() {
    let (layer, _) = layer();
    let (service, mut handle) = mock::pair::<Request<()>, Response<()>>();
    let mut service = LoadShed::new(layer.layer(service));
    handle.allow(0);
    let error = service.ready().await.unwrap().call(get("/servers")).await.unwrap_err();
    assert!(error.is::<Overloaded>());

    handle.allow(1);
    let mut response = task::spawn(service.ready().await.unwrap().call(get("/servers")));
    assert_pending!(response.poll());
    next(&mut handle).1.send_response(status(200));
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
async fn a_timeout_above_ends_one_waiting_request_and_no_other() {
    let (layer, plugin) = layer();
    let (_held, release) = (plugin.hold(), plugin.hold());
    let inner = Inner::new();
    let service = layer.layer(inner.clone());
    let mut patient = task::spawn(service.clone().oneshot(get("/patient")));
    let hasty = Timeout::new(service, Duration::from_secs(5));

    let mut hasty = task::spawn(hasty.oneshot(get("/hasty")));
    assert_pending!(hasty.poll());
    assert_pending!(patient.poll());
    assert_eq!(plugin.asked(), 2);
    assert!(hasty.await.unwrap_err().is::<Elapsed>());
    assert_eq!(inner.count(), 0);

    release.send(()).unwrap();
    assert_ready_ok!(patient.poll());
    assert_eq!(inner.uris(), [format!("{NOVA}/patient")]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_below_does_not_count_the_wait_for_an_access() {
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
async fn it_can_be_boxed() {
    let (layer, plugin) = layer();
    let inner = Inner::new();
    let boxed = BoxCloneService::new(layer.layer(inner.clone()));
    let boxed_sync = BoxCloneSyncService::new(layer.layer(inner.clone()));
    boxed.clone().oneshot(get("/a")).await.unwrap();
    boxed_sync.clone().oneshot(get("/b")).await.unwrap();
    // Boxes of boxes are services as well, and so are layers around them.
    let twice = BoxCloneService::new(layer.layer(boxed));
    twice.oneshot(get("/c")).await.unwrap();
    assert_eq!(inner.tokens(), ["token-1", "token-1", "token-1"]);
    assert_eq!(plugin.issued(), 1);
}

#[tokio::test]
async fn plugins_of_several_kinds_fit_one_type_of_layer() {
    let plugins: [Arc<dyn IdentityPlugin>; 2] =
        [Arc::new(RenewingPlugin::default()), Arc::new(fixed().auth_url(uri(AUTH_URL)))];
    let mut refusals = Vec::new();
    for plugin in plugins {
        let layer = AuthLayer::new(plugin).endpoint(to_nova());
        let response = send(&layer, &Inner::answering([401]), get("/servers")).await.unwrap();
        refusals.extend(response.extensions().get::<TokenRejected>().copied());
    }
    assert_eq!(refusals, [TokenRejected::Renewable, TokenRejected::Final]);

    let by_arc: Arc<dyn IdentityPlugin> = Arc::new(fixed().auth_url(uri(AUTH_URL)));
    assert_eq!(sent(&AuthLayer::new(by_arc), get(AUTH_URL)).await.uri, AUTH_URL);
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
async fn all_attempts_have_one_request_id_and_one_microversion() {
    let name = http::HeaderName::from_static("x-openstack-request-id");
    for own in [None, Some("req-own")] {
        let inner = Inner::answering([503, 401, 503]);
        let stack = ServiceBuilder::new()
            .layer(SetRequestIdLayer::new(name.clone(), MakeRequestUuid))
            .retry(ReauthPolicy::new())
            .retry(RetryPolicy::new())
            .layer(AuthLayer::new(RenewingPlugin::default()))
            .service(inner.clone());
        let mut request = get("/servers");
        request.extensions_mut().insert(to_nova().microversion("2.79"));
        if let Some(own) = own {
            request.headers_mut().insert(name.clone(), own.parse().unwrap());
        }
        assert_eq!(stack.oneshot(request).await.unwrap().status(), 200);
        let seen = inner.seen();
        let id = seen[0].headers[&name].to_str().unwrap();
        assert!(own.is_none_or(|own| own == id), "{id}");
        assert_eq!(seen.len(), 4);
        for attempt in &*seen {
            assert_eq!(attempt.headers[&name], id);
            assert_eq!(attempt.headers["openstack-api-version"], "compute 2.79");
        }
    }
}
