//! Inner services with a limited number of permits or queue places, which the login also needs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use tokio::{task::JoinSet, time::sleep};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit, load_shed::LoadShed,
    service_fn, util::BoxCloneSyncService,
};
use tower_keystone::{
    AuthLayer, AuthMethod, BoxError, Credentials, EndpointFilter, GenericCredentials, IdentityPlugin,
    ReauthPolicy, RenewingPlugin, Scope, Transport, User, V3Credentials,
    discovery::Discovery,
    fixture::{Cloud, ResponseBody},
};
type Body = Full<Bytes>;
type Client = BoxCloneSyncService<Request<Body>, Response<ResponseBody>, BoxError>;

fn cloud() -> Cloud {
    Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo")
}

/// Returns a client that takes 10 ms per request and responds with 503 to the first `failures` logins.
fn client(cloud: &Cloud, failures: usize) -> Client {
    let (cloud, failures) = (cloud.clone(), Arc::new(AtomicUsize::new(failures)));
    BoxCloneSyncService::new(service_fn(move |request: Request<Body>| {
        let (cloud, failures) = (cloud.clone(), failures.clone());
        async move {
            sleep(Duration::from_millis(10)).await;
            let is_login = request.uri().path().ends_with("/auth/tokens");
            let fail = |left: usize| left.checked_sub(1);
            if is_login && failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fail).is_ok() {
                let mut response = Response::new(ResponseBody::default());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return Ok(response);
            }
            Ok::<_, BoxError>(cloud.oneshot(request).await?)
        }
    }))
}

fn buffered(client: Client, bound: usize) -> Client {
    BoxCloneSyncService::new(Buffer::new(client, bound))
}

fn limited(client: Client, bound: usize) -> Client {
    BoxCloneSyncService::new(ConcurrencyLimit::new(client, bound))
}

fn both(client: Client, bound: usize) -> Client {
    buffered(limited(client, bound), bound)
}

fn alice() -> User {
    User::new().username("alice").user_domain_name("Default")
}

fn demo() -> Scope {
    Scope::new().project_name("demo").project_domain_name("Default")
}

fn v3(cloud: &Cloud) -> Arc<dyn Credentials> {
    let auth_url: Uri = cloud.keystone().auth_url().parse().unwrap();
    Arc::new(V3Credentials::new(auth_url, AuthMethod::password(alice(), "wonderland")).scope(demo()))
}

fn generic(cloud: &Cloud) -> Arc<dyn Credentials> {
    let auth_url: Uri = cloud.keystone().auth_url().trim_end_matches("/v3").parse().unwrap();
    Arc::new(GenericCredentials::password(auth_url, alice(), "wonderland").scope(demo()))
}

fn servers() -> Request<Body> {
    Request::get("/servers").body(Body::default()).unwrap()
}

/// Sends this many requests at once, and returns how many responses have status 200.
async fn count_ok<S>(stack: &S, requests: usize) -> usize
where
    S: Service<Request<Body>, Response = Response<ResponseBody>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut sent: JoinSet<_> = (0..requests).map(|_| stack.clone().oneshot(servers())).collect();
    let mut ok = 0;
    while let Some(response) = sent.join_next().await {
        ok += usize::from(response.unwrap().is_ok_and(|response| response.status() == 200));
    }
    ok
}

#[tokio::test(start_paused = true)]
async fn a_login_succeeds_through_a_client_shared_with_all_waiting_requests() {
    for bound in [1, 32, 128] {
        for make in [buffered, limited, both] {
            for credentials in [v3, generic] {
                let cloud = cloud();
                let client: Client = make(client(&cloud, 0), bound);
                let plugin = RenewingPlugin::new(credentials(&cloud), Transport::new(client.clone()));
                let stack = AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")).layer(client);
                for requests in [bound - 1, bound, bound + 1, 10 * bound] {
                    assert_eq!(count_ok(&stack, requests).await, requests, "{requests} of {bound}");
                }
                assert_eq!(cloud.keystone().logins(), 1);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn load_shed_above_sheds_no_request_that_waits_for_a_login() {
    for make in [buffered, limited] {
        let cloud = cloud();
        let client: Client = make(client(&cloud, 0), 32);
        let plugin = RenewingPlugin::new(v3(&cloud), Transport::new(client.clone()));
        let stack =
            LoadShed::new(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")).layer(client));
        assert_eq!(count_ok(&stack, 320).await, 320);
        assert_eq!(cloud.keystone().logins(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn discovery_succeeds_through_a_client_shared_with_all_waiting_requests() {
    for make in [buffered, limited] {
        let cloud = cloud();
        let client: Client = make(client(&cloud, 0), 32);
        let plugin = RenewingPlugin::new(v3(&cloud), Transport::new(client.clone()));
        let stack = AuthLayer::new(plugin)
            .discovery(Discovery::new(Transport::new(client.clone())))
            .endpoint(EndpointFilter::new("compute").min_version(2, 1))
            .layer(client);
        assert_eq!(count_ok(&stack, 320).await, 320);
        assert_eq!(cloud.keystone().logins(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_survive_a_revocation_through_a_client_shared_with_the_login() {
    for make in [buffered, limited] {
        let cloud = cloud();
        let client: Client = make(client(&cloud, 0), 64);
        let plugin = RenewingPlugin::new(v3(&cloud), Transport::new(client.clone()));
        let stack = ServiceBuilder::new()
            .retry(ReauthPolicy::new())
            .layer(AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute")))
            .service(client);
        assert_eq!(count_ok(&stack, 1).await, 1);
        for logins in 2..=3 {
            let access = plugin.access().await.unwrap();
            cloud.keystone().revoke(access.auth_ref().unwrap().auth_token().unwrap());
            assert_eq!(count_ok(&stack, 640).await, 640);
            assert_eq!(cloud.keystone().logins(), logins);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn steady_requests_succeed_despite_a_failed_login() {
    let cloud = cloud();
    let client = buffered(client(&cloud, 1), 64);
    let plugin = RenewingPlugin::new(v3(&cloud), Transport::new(client.clone()));
    let stack = AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")).layer(client);
    let mut sent = JoinSet::new();
    for _ in 0..2_000 {
        sent.spawn(stack.clone().oneshot(servers()));
        sleep(Duration::from_millis(5)).await;
    }
    assert!(
        sent.join_all()
            .await
            .into_iter()
            .all(|response| response.is_ok_and(|response| response.status() == 200))
    );
    assert_eq!(cloud.keystone().logins(), 1);
}
