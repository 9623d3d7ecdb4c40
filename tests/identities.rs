//! Many identities through one stack at the same time: no request carries the token of another.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{task::JoinSet, time::sleep};
use tower::{
    BoxError, ServiceBuilder, ServiceExt, buffer::BufferLayer, limit::ConcurrencyLimitLayer,
    retry::RetryLayer, service_fn,
};
use tower_keystone::{
    AccessFuture, AuthLayer, EndpointFilter, Identity, IdentityPlugin, ReauthPolicy, RetryPolicy,
    ServiceAccess, Transport, Unauthenticated,
    discovery::Discovery,
    endpoint::Origin,
    fixture::{CatalogService, Discovery as Versions, V3Token},
    retry::RetryBudget,
};

const IDENTITIES: usize = 200;
const REQUESTS: usize = 50;

/// A plugin whose tokens name it: `NAME.0`, `NAME.1` and so on. Its logins are slow. Clones share one state.
#[derive(Clone)]
struct SlowPlugin(Arc<State>);

struct State {
    name: String,
    current: Mutex<Option<Arc<ServiceAccess>>>,
    logins: AtomicUsize,
}

impl SlowPlugin {
    fn new(name: impl Into<String>) -> Self {
        let (current, logins) = Default::default();
        Self(Arc::new(State { name: name.into(), current, logins }))
    }

    fn logins(&self) -> usize {
        self.0.logins.load(Ordering::Relaxed)
    }

    fn drop_token(&self) {
        *self.0.current.lock().unwrap() = None;
    }
}

impl IdentityPlugin for SlowPlugin {
    fn access(&self) -> AccessFuture {
        if let Some(access) = &*self.0.current.lock().unwrap() {
            return AccessFuture::ready(Ok(Arc::clone(access)));
        }
        let state = Arc::clone(&self.0);
        AccessFuture::new(async move {
            sleep(Duration::from_millis(fastrand::u64(..200))).await;
            let mut current = state.current.lock().unwrap();
            if let Some(access) = &*current {
                return Ok(Arc::clone(access));
            }
            let (name, login) = (&state.name, state.logins.fetch_add(1, Ordering::Relaxed));
            // Each identity has its own endpoint, so the URL shows whose catalog was used.
            let url = format!("https://{name}.example.com/");
            let nova = CatalogService::new("compute").standard_endpoints("RegionOne", &url);
            let token = V3Token::new(name, name).project(name, name).service(&nova);
            let access = ServiceAccess::from_auth_ref(token.access_info(&format!("{name}.{login}"))?)?;
            Ok(Arc::clone(current.insert(Arc::new(access))))
        })
    }

    fn invalidate(&self, access: &Arc<ServiceAccess>, origin: &Origin) -> bool {
        let name = &self.0.name;
        assert_eq!(access.project_id(), Some(&**name), "an access of another identity was invalidated");
        assert!(origin.to_string().contains(&format!("//{name}.example.com")));
        self.0.current.lock().unwrap().take_if(|current| Arc::ptr_eq(current, access));
        true
    }
}

/// The services of the cloud. They check that each request has the token of its identity, and fail at random.
#[derive(Clone, Default)]
struct Services(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    accepted: usize,
    rejected: usize,
    unavailable: usize,
    documents: usize,
}

type Body = Full<Bytes>;

impl Services {
    async fn respond(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let host = request.uri().host().ok_or("no host")?;
        let name = host.strip_suffix(".example.com").ok_or("another host")?.to_owned();
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        sleep(Duration::from_millis(fastrand::u64(..20))).await;
        let (token, service_token) = (header("x-auth-token"), header("x-service-token"));
        let owner = token.as_deref().and_then(|token| Some(token.split_once('.')?.0.to_owned()));
        let status = |code| Ok(Response::builder().status(code).body(Body::default())?);
        if request.uri().path() == "/" {
            // A version document, which requires a token.
            let Some(owner) = owner else { return status(401) };
            assert_eq!((owner, service_token), (name.clone(), None));
            self.0.lock().unwrap().documents += 1;
            let versions =
                Versions::new().version("v2.1", "CURRENT", &format!("https://{host}/{name}/v2.1/"));
            return Ok(Response::new(Body::from(versions.document().to_string())));
        }
        let sender = header("x-sender").ok_or("no sender")?;
        assert_eq!(sender, name, "the request went to the endpoint of another");
        match sender.as_str() {
            "service" => assert_eq!((owner.as_deref(), service_token), (Some("service"), None)),
            _ if header("x-unauthenticated").is_some() => assert_eq!((owner, service_token), (None, None)),
            _ => {
                assert_eq!(owner.as_deref(), Some(&*sender), "the request has the token of another");
                let service_token = service_token.unwrap();
                assert!(service_token.starts_with("service."), "{service_token}");
            }
        }
        if request.uri().path().contains("/versioned") {
            assert_eq!(request.uri().path(), format!("/{name}/v2.1/versioned"));
        }
        let mut counts = self.0.lock().unwrap();
        match fastrand::u8(..20) {
            0 if token.is_some() => {
                counts.rejected += 1;
                status(401)
            }
            1 => {
                counts.unavailable += 1;
                status(503)
            }
            _ => {
                counts.accepted += 1;
                status(200)
            }
        }
    }
}

type Attempt = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

#[tokio::test(start_paused = true)]
async fn each_request_carries_the_token_of_its_own_identity() {
    fastrand::seed(7);
    let services = Services::default();
    let client = {
        let services = services.clone();
        service_fn(move |request| -> Attempt { Box::pin(services.clone().respond(request)) })
    };
    let service = SlowPlugin::new("service");
    let compute = EndpointFilter::new("compute");
    let layer = AuthLayer::new(service.clone())
        .endpoint(compute.clone())
        .discovery(Discovery::new(Transport::new(client.clone())))
        .send_service_token();
    let budget = RetryBudget::new(Duration::from_secs(10), 1_000_000, 1.0);
    let stack = ServiceBuilder::new()
        .buffer(64)
        .layer(RetryLayer::new(ReauthPolicy::new()))
        .layer(RetryLayer::new(RetryPolicy::new().status_code_retries(20).budget(budget)))
        .layer(layer)
        .layer(BufferLayer::new(16))
        .layer(ConcurrencyLimitLayer::new(32))
        .service(client)
        .boxed_clone();

    let identities: Vec<_> =
        (0..IDENTITIES).map(|number| SlowPlugin::new(format!("user-{number}"))).collect();
    let mut requests = JoinSet::new();
    for number in 0..IDENTITIES * REQUESTS {
        let (plugin, stack, compute) =
            (identities[number % IDENTITIES].clone(), stack.clone(), compute.clone());
        requests.spawn(async move {
            sleep(Duration::from_millis(fastrand::u64(..5_000))).await;
            let request = Request::get("/servers").header("x-sender", &plugin.0.name);
            let mut request = request.extension(Identity::new(plugin.clone()));
            match fastrand::u8(..10) {
                0 => plugin.drop_token(),
                1 => request = request.header("x-unauthenticated", "yes").extension(Unauthenticated),
                2 => request = Request::get("/servers").header("x-sender", "service"),
                3 => request = request.uri("/versioned").extension(compute.version(2, 1)),
                _ => {}
            }
            stack.oneshot(request.body(Body::default()).unwrap()).await.map(|response| response.status())
        });
    }
    let mut statuses = Vec::new();
    while let Some(status) = requests.join_next().await {
        statuses.push(status.expect("no request panics").expect("no request fails"));
    }
    assert_eq!(statuses.len(), IDENTITIES * REQUESTS);
    let ok = statuses.iter().filter(|status| **status == StatusCode::OK).count();
    let rejected_twice = statuses.iter().filter(|status| **status == StatusCode::UNAUTHORIZED).count();
    assert_eq!(ok + rejected_twice, statuses.len(), "a request that is rejected twice fails, and no other");
    let counts = services.0.lock().unwrap();
    assert_eq!(counts.accepted, ok);
    assert!(rejected_twice < statuses.len() / 50, "{rejected_twice}");
    assert!(
        counts.rejected > 100 && counts.unavailable > 100 && counts.documents >= IDENTITIES,
        "all happened"
    );
    assert!(identities.iter().all(|identity| identity.logins() > 1));
}
