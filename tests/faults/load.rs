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
    alone b05_ten_thousand_who_wait_cost_one_login_a_kilobyte_each_and_two_polls,
    paused b07_a_late_refusal_of_the_old_token_keeps_the_new_one,
    paused b08_a_revocation_that_hits_many_services_costs_one_login_and_no_retry_of_the_budget,
    paused b09_a_service_that_refuses_every_token_causes_four_logins_a_minute,
    paused b10_only_a_401_to_our_own_token_counts,
    paused b11_waiting_for_a_token_blocks_no_other_layer,
    paused b11_what_was_polled_ready_is_what_is_called,
];

fn b05_ten_thousand_who_wait_cost_one_login_a_kilobyte_each_and_two_polls() {
    const WAITING: usize = 10_000;
    let runtime = Builder::new_multi_thread().worker_threads(16).enable_all().build().unwrap();
    let (gate, logins) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (closed, counted) = (Arc::clone(&gate), Arc::clone(&logins));
    let keystone = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let closed = Arc::clone(&closed);
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let _ = closed.acquire().await;
            Ok::<_, BoxError>(token_answer("token-1", &hour()))
        }
    });
    let plugin = RenewingPlugin::new(password(), Transport::new(keystone));
    let polls = Arc::new(AtomicUsize::new(0));

    // In boxes of their own rather than in tasks, whose memory would be counted.
    let before = in_use();
    let mut waiting: Vec<_> = (0..WAITING)
        .map(|_| {
            let _entered = runtime.enter();
            let mut waiting = tokio_test::task::spawn(plugin.access());
            assert!(waiting.poll().is_pending());
            waiting.into_inner()
        })
        .collect();
    let each = (in_use() - before) / WAITING.cast_signed();
    assert!(each <= 1024, "{each} bytes");

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
    let brought = runtime.block_on(tasks.join_all());
    assert!(brought.iter().all(|access| Arc::ptr_eq(access.as_ref().unwrap(), brought[0].as_ref().unwrap())));
    assert_eq!(logins.load(Ordering::Relaxed), 1);
    assert!(polls.load(Ordering::Relaxed) <= 2 * WAITING, "{polls:?}");
}

async fn b07_a_late_refusal_of_the_old_token_keeps_the_new_one() {
    for seed in 0..50 {
        let keystone = Keystone::new();
        keystone.usually(Answer::Token.slowly(millis(50)));
        let plugin = keystone.plugin();
        token(&plugin).await.unwrap();
        keystone.revoke();
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let nova = Nova::new(&keystone, move || millis(random.lock().unwrap().u64(1..=500)));
        let requests: JoinSet<_> = (0..50).map(|_| Oneshot::new(nova.behind_retry(&plugin), get())).collect();
        for response in requests.join_all().await {
            assert_eq!(response.unwrap().status(), 200, "seed {seed}");
        }
        assert_eq!((keystone.logins() - 1, nova.seen().len()), (1, 100), "seed {seed}");
    }
}

async fn b08_a_revocation_that_hits_many_services_costs_one_login_and_no_retry_of_the_budget() {
    const SERVICES: usize = 5;
    let keystone = Keystone::new();
    keystone.usually(Answer::Token.slowly(millis(50)));
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    keystone.revoke();
    let services: Vec<_> = (0..SERVICES)
        .map(|service| {
            let random = Mutex::new(fastrand::Rng::with_seed(service as u64));
            Nova::new(&keystone, move || millis(random.lock().unwrap().u64(1..=400)))
        })
        .collect();
    // A budget that allows no retry at all.
    let budget = tower_keystone::retry::RetryBudget::new(seconds(10), 0, 0.0);
    let mut requests = JoinSet::new();
    for number in 0..1_000 {
        let service = ServiceBuilder::new()
            .retry(RetryPolicy::new().budget(budget.clone()))
            .retry(ReauthPolicy::new())
            .service(services[number % SERVICES].behind(&plugin));
        requests.spawn(service.oneshot(get()));
    }
    for response in requests.join_all().await {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert_eq!(keystone.logins() - 1, 1);
    for service in services {
        assert_eq!(service.seen().len(), 2 * 1_000 / SERVICES);
    }
}

async fn b09_a_service_that_refuses_every_token_causes_four_logins_a_minute() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let nova = Nova::new(&keystone, || Duration::ZERO).closed();
    let mut behind = nova.behind_retry(&plugin);
    for _ in 0..3_000 {
        let response = behind.ready().await.unwrap().call(get()).await.unwrap();
        assert_eq!(response.status(), 401, "the service's own answer");
        assert!(
            !response.extensions().get::<TokenRejected>().unwrap().is_final(),
            "another replica may accept it"
        );
        sleep(millis(60)).await;
    }
    assert!(most_within_a_minute(&keystone.logins_at()) <= 4, "{:?}", keystone.logins_at());
    assert_eq!(nova.seen().len(), 2 * 3_000, "each request is sent twice");
}

async fn b10_only_a_401_to_our_own_token_counts() {
    let keystone = Keystone::new();
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

    // Whether or not the service says whose token it was not.
    for challenge in [None, Some("Keystone uri=\"https://keystone.test\""), Some("Basic realm=\"x\"")] {
        pass(61).await;
        let logins = keystone.logins();
        let refusing = Inner::respond_with(move |parts| {
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
            let response = Oneshot::new(layer.layer(refusing.clone()), request).await.unwrap();
            assert!(response.extensions().get::<TokenRejected>().is_none());
        }
        token(&plugin).await.unwrap();
        assert_eq!(keystone.logins(), logins);
        let response = Oneshot::new(layer.layer(refusing.clone()), get()).await.unwrap();
        assert!(!response.extensions().get::<TokenRejected>().unwrap().is_final());
        token(&plugin).await.unwrap();
        assert_eq!((refusing.count(), keystone.logins()), (3, logins + 1), "{challenge:?}");
    }
}

/// A request that waits for its token keeps what was reserved for it inside of the layer, since that is
/// what it is sent to; it takes nothing else, and gives it back if there is no token.
async fn b11_waiting_for_a_token_blocks_no_other_layer() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Token.slowly(seconds(5)));
    let plugin = keystone.plugin();
    let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
    let inner = Inner::new();
    let permit_of_one =
        ServiceBuilder::new().layer(layer.clone()).concurrency_limit(1).service(inner.clone());
    let buffer = Buffer::new(permit_of_one, 16);
    let requests: JoinSet<_> = (0..50).map(|_| Oneshot::new(buffer.clone(), get())).collect();
    for response in requests.join_all().await {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert_eq!((keystone.logins(), inner.count()), (1, 50));

    // No load is shed, and readiness is there, while all wait for a login.
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

    // A login that fails wears out neither a permit nor a buffer.
    plugin.reset();
    keystone.usually(Answer::Status(403).slowly(seconds(1)));
    for _ in 0..20 {
        let error = Oneshot::new(buffer.clone(), get()).await.unwrap_err();
        assert!(matches!(Error::find(&*error), Some(Error::Keystone(_))), "{error}");
    }
    keystone.usually(Answer::Token);
    plugin.reset();
    assert_eq!(Oneshot::new(buffer, get()).await.unwrap().status(), 200);
    assert_eq!((keystone.logins(), inner.count()), (4, 101));
}

async fn b11_what_was_polled_ready_is_what_is_called() {
    let keystone = Keystone::new();
    keystone.usually(Answer::Token.slowly(seconds(5)));
    let plugin = keystone.plugin();
    // It panics if a clone is called that was not polled ready.
    let inner = Inner::with_statuses([401]);
    let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
    let mut service = Retry::new(ReauthPolicy::new(), layer.layer(inner.clone()));
    for _ in 0..3 {
        assert_eq!(service.ready().await.unwrap().call(get()).await.unwrap().status(), 200);
    }
    assert_eq!((keystone.logins(), inner.count()), (2, 4));
    drop(plugin.access());
}
