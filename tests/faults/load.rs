//! Many requests at once, and services that reject their token.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use tokio::{runtime::Builder, sync::Semaphore, task::JoinSet, time::sleep};
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt, buffer::Buffer, retry::Retry, util::Oneshot,
};
use tower_keystone::{
    AuthLayer, EndpointFilter, Error, IdentityPlugin, ReauthPolicy, RenewingPlugin, RetryPolicy,
    TokenRejected, Transport, Unauthenticated,
};

use crate::{layer::Inner, support::*};

cases![
    without_runtime b05_ten_thousand_waiting_requests_cost_one_login_and_each_a_kilobyte_and_two_polls,
    paused b07_a_late_rejection_of_the_old_token_keeps_the_new_one,
    paused b08_a_revocation_noticed_by_many_services_costs_one_login_and_no_retry_budget,
    paused b09_a_service_that_rejects_every_token_causes_four_logins_a_minute,
    paused b10_only_a_401_to_a_token_of_the_plugin_causes_a_renewal,
    paused b11_a_request_that_waits_for_a_token_blocks_no_other_layer,
    paused b11_the_inner_service_that_was_polled_ready_is_the_one_that_is_called,
];

fn b05_ten_thousand_waiting_requests_cost_one_login_and_each_a_kilobyte_and_two_polls() {
    const WAITING: usize = 10_000;
    let runtime = Builder::new_multi_thread().worker_threads(16).enable_all().build().unwrap();
    let (gate, logins) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (closed, counter) = (Arc::clone(&gate), Arc::clone(&logins));
    let keystone = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let closed = Arc::clone(&closed);
        counter.fetch_add(1, Ordering::Relaxed);
        async move {
            let _ = closed.acquire().await;
            Ok::<_, BoxError>(token_response("token-1", &token_document()))
        }
    });
    let plugin = RenewingPlugin::new(password(), Transport::new(keystone));
    let polls = Arc::new(AtomicUsize::new(0));

    // The futures are boxed, not spawned, because the memory of tasks would be counted.
    let before = memory_in_use();
    let mut waiting: Vec<_> = (0..WAITING)
        .map(|_| {
            let _entered = runtime.enter();
            let mut waiting = tokio_test::task::spawn(plugin.access());
            assert!(waiting.poll().is_pending());
            waiting.into_inner()
        })
        .collect();
    let bytes_each = (memory_in_use() - before) / WAITING.cast_signed();
    assert!(bytes_each <= 1024, "{bytes_each} bytes");

    let tasks: JoinSet<_> = {
        let _entered = runtime.enter();
        let counting = |access: tower_keystone::AccessFuture| {
            let polls = Arc::clone(&polls);
            async move {
                let mut access = pin!(access);
                poll_fn(|cx| {
                    polls.fetch_add(1, Ordering::Relaxed);
                    Future::poll(access.as_mut(), cx)
                })
                .await
            }
        };
        waiting.drain(..).map(counting).collect()
    };
    while polls.load(Ordering::Relaxed) < WAITING {
        std::thread::yield_now();
    }
    gate.add_permits(1);
    let results = runtime.block_on(tasks.join_all());
    assert!(results.iter().all(|access| Arc::ptr_eq(access.as_ref().unwrap(), results[0].as_ref().unwrap())));
    assert_eq!(logins.load(Ordering::Relaxed), 1);
    assert!(polls.load(Ordering::Relaxed) <= 2 * WAITING, "{polls:?}");
}

async fn b07_a_late_rejection_of_the_old_token_keeps_the_new_one() {
    for seed in 0..50 {
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(LoginResponse::Token.delayed_by(millis(50)));
        let plugin = keystone.plugin();
        token(&plugin).await.unwrap();
        keystone.revoke();
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let nova = ScriptedService::new(&keystone, move || millis(random.lock().unwrap().u64(1..=500)));
        let requests: JoinSet<_> =
            (0..50).map(|_| Oneshot::new(nova.with_auth_and_retry(&plugin), get())).collect();
        for response in requests.join_all().await {
            assert_eq!(response.unwrap().status(), 200, "seed {seed}");
        }
        assert_eq!((keystone.logins() - 1, nova.take_requests().len()), (1, 100), "seed {seed}");
    }
}

async fn b08_a_revocation_noticed_by_many_services_costs_one_login_and_no_retry_budget() {
    const SERVICES: usize = 5;
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(50)));
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    keystone.revoke();
    let services: Vec<_> = (0..SERVICES)
        .map(|service| {
            let random = Mutex::new(fastrand::Rng::with_seed(service as u64));
            ScriptedService::new(&keystone, move || millis(random.lock().unwrap().u64(1..=400)))
        })
        .collect();
    // This budget permits no retry.
    let budget = tower_keystone::retry::RetryBudget::new(seconds(10), 0, 0.0);
    let mut requests = JoinSet::new();
    for number in 0..1_000 {
        let service = ServiceBuilder::new()
            .retry(RetryPolicy::new().budget(budget.clone()))
            .retry(ReauthPolicy::new())
            .service(services[number % SERVICES].with_auth(&plugin));
        requests.spawn(service.oneshot(get()));
    }
    for response in requests.join_all().await {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert_eq!(keystone.logins() - 1, 1);
    for service in services {
        assert_eq!(service.take_requests().len(), 2 * 1_000 / SERVICES);
    }
}

async fn b09_a_service_that_rejects_every_token_causes_four_logins_a_minute() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let nova = ScriptedService::new(&keystone, || Duration::ZERO).rejecting_all();
    let mut client = nova.with_auth_and_retry(&plugin);
    for _ in 0..3_000 {
        let response = client.ready().await.unwrap().call(get()).await.unwrap();
        assert_eq!(response.status(), 401, "the response of the service");
        assert!(
            !response.extensions().get::<TokenRejected>().unwrap().is_final(),
            "another replica may accept it"
        );
        sleep(millis(60)).await;
    }
    assert!(max_per_minute(&keystone.login_times()) <= 4, "{:?}", keystone.login_times());
    assert_eq!(nova.take_requests().len(), 2 * 3_000, "each request is sent twice");
}

async fn b10_only_a_401_to_a_token_of_the_plugin_causes_a_renewal() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let statuses = [200, 204, 300, 400, 402, 403, 404, 407, 409, 429, 500, 503];
    let inner = Inner::with_statuses(statuses);
    let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
    for status in statuses {
        let response = Oneshot::new(layer.layer(inner.clone()), get()).await.unwrap();
        assert_eq!(response.status(), status);
        assert!(response.extensions().get::<TokenRejected>().is_none());
    }
    assert_eq!((inner.count(), keystone.logins()), (statuses.len(), 1));

    // With and without a challenge, of Keystone or another one.
    for challenge in [None, Some("Keystone uri=\"https://keystone.test\""), Some("Basic realm=\"x\"")] {
        sleep_secs(61).await;
        let logins = keystone.logins();
        let rejecting = Inner::respond_with(move |parts| {
            let mut headers = HeaderMap::new();
            headers.extend(
                challenge.map(|challenge| (http::header::WWW_AUTHENTICATE, challenge.parse().unwrap())),
            );
            let mut response = crate::layer::status(401);
            *response.headers_mut() = headers;
            assert!(parts.headers.contains_key("x-auth-token") || parts.uri.path() == "/v2.1/open");
            response
        });
        let mut open = Request::get("/open").body(()).unwrap();
        open.extensions_mut().insert(Unauthenticated);
        let own = Request::get("/servers").header("x-auth-token", "own").body(()).unwrap();
        for request in [open, own] {
            let response = Oneshot::new(layer.layer(rejecting.clone()), request).await.unwrap();
            assert!(response.extensions().get::<TokenRejected>().is_none());
        }
        token(&plugin).await.unwrap();
        assert_eq!(keystone.logins(), logins);
        let response = Oneshot::new(layer.layer(rejecting.clone()), get()).await.unwrap();
        assert!(!response.extensions().get::<TokenRejected>().unwrap().is_final());
        token(&plugin).await.unwrap();
        assert_eq!((rejecting.count(), keystone.logins()), (3, logins + 1), "{challenge:?}");
    }
}

/// A request that waits for its token keeps the capacity that was reserved for it in the inner service, because it is
/// sent to that service. It takes nothing else, and releases the capacity if the login fails.
async fn b11_a_request_that_waits_for_a_token_blocks_no_other_layer() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    let plugin = keystone.plugin();
    let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
    let inner = Inner::new();
    let limited_to_one =
        ServiceBuilder::new().layer(layer.clone()).concurrency_limit(1).service(inner.clone());
    let buffer = Buffer::new(limited_to_one, 16);
    let requests: JoinSet<_> = (0..50).map(|_| Oneshot::new(buffer.clone(), get())).collect();
    for response in requests.join_all().await {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert_eq!((keystone.logins(), inner.count()), (1, 50));

    // While all requests wait for a login, the service is ready and no load is shed.
    plugin.reset();
    let mut shedding = ServiceBuilder::new().load_shed().layer(layer.clone()).service(inner.clone());
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let ready = tokio::time::timeout(millis(1), shedding.ready()).await.expect("readiness does not wait");
        requests.spawn(ready.unwrap().call(get()));
    }
    settle().await;
    assert_eq!((keystone.logins(), inner.count()), (2, 50));
    assert!(requests.join_all().await.into_iter().all(|response| response.unwrap().status() == 200));
    assert_eq!((keystone.logins(), inner.count()), (2, 100));

    // A failed login loses neither a permit nor a slot of the buffer.
    plugin.reset();
    keystone.respond_with(LoginResponse::Status(403).delayed_by(seconds(1)));
    for _ in 0..20 {
        let error = Oneshot::new(buffer.clone(), get()).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::Keystone(_))), "{error}");
    }
    keystone.respond_with(LoginResponse::Token);
    plugin.reset();
    assert_eq!(Oneshot::new(buffer, get()).await.unwrap().status(), 200);
    assert_eq!((keystone.logins(), inner.count()), (4, 101));
}

async fn b11_the_inner_service_that_was_polled_ready_is_the_one_that_is_called() {
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    let plugin = keystone.plugin();
    // This service panics if a clone is called that was not polled ready.
    let inner = Inner::with_statuses([401]);
    let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
    let mut service = Retry::new(ReauthPolicy::new(), layer.layer(inner.clone()));
    for _ in 0..3 {
        assert_eq!(service.ready().await.unwrap().call(get()).await.unwrap().status(), 200);
    }
    assert_eq!((keystone.logins(), inner.count()), (2, 4));
    drop(plugin.access());
}
