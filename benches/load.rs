//! A million requests over loopback while tokens expire, are revoked, and Keystone is killed.
//!
//! ```sh
//! cargo bench --bench load
//! ```
//!
//! The client and Keystone share a simulated clock, which the bench sets forward to let tokens expire. Set
//! `LOAD_REQUESTS` to the minimum number of requests.

use std::{
    collections::HashMap,
    convert::Infallible,
    env,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::RwLock,
    task::{JoinHandle, JoinSet},
};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keystone::{
    AuthLayer, AuthMethod, EndpointFilter, ReauthPolicy, RenewingPlugin, Scope, Transport, User,
    V3Credentials,
    fixture::{CatalogService, V3Token},
    renewal::{Clock, Now},
};

const EXPIRIES: usize = 50;
const REVOCATIONS: usize = 20;
const KILLS: usize = 10;
const CALLERS: usize = 64;
const LIFETIME: Duration = Duration::from_secs(3600);

type Body = Full<Bytes>;

/// A clock that runs and can be set forward.
#[derive(Clone)]
struct Shifted {
    start: Instant,
    begin: SystemTime,
    ahead: Arc<AtomicU64>,
}

impl Shifted {
    fn set_forward(&self, by: Duration) {
        self.ahead.fetch_add(by.as_secs(), Relaxed);
    }

    fn passed(&self) -> Duration {
        self.start.elapsed() + Duration::from_secs(self.ahead.load(Relaxed))
    }
}

impl Clock for Shifted {
    fn now(&self) -> Now {
        let passed = self.passed();
        Now::new(self.begin + passed, self.start + passed)
    }
}

/// The state of Keystone and the service: valid tokens and counters.
struct Cloud {
    clock: Shifted,
    tokens: Mutex<HashMap<String, SystemTime>>,
    latest: Mutex<String>,
    logins: AtomicUsize,
    answered: AtomicUsize,
    refused: AtomicUsize,
    expired: AtomicUsize,
    service: Mutex<String>,
}

impl Cloud {
    /// Responds to `POST /v3/auth/tokens` with a new token.
    fn login(&self) -> Response<Body> {
        let number = self.logins.fetch_add(1, Relaxed) + 1;
        let token = format!("token-{number}");
        let now = self.clock.now().wall;
        let nova =
            CatalogService::new("compute").standard_endpoints("RegionOne", &self.service.lock().unwrap());
        let document = V3Token::new("u", "alice").project("p", "demo").service(&nova);
        let document = document.issued(now).expires(now + LIFETIME);
        self.tokens.lock().unwrap().insert(token.clone(), now + LIFETIME);
        self.latest.lock().unwrap().clone_from(&token);
        let body = Full::new(Bytes::from(document.document().to_string()));
        Response::builder().status(201).header("x-subject-token", token).body(body).unwrap()
    }

    fn serve(&self, request: &Request<Incoming>) -> Response<Body> {
        let token = request.headers().get("x-auth-token").and_then(|token| token.to_str().ok());
        let expires = token.and_then(|token| self.tokens.lock().unwrap().get(token).copied());
        let status = match expires {
            Some(expires) if self.clock.now().wall < expires => {
                self.answered.fetch_add(1, Relaxed);
                StatusCode::NO_CONTENT
            }
            expires => {
                self.expired.fetch_add(usize::from(expires.is_some()), Relaxed);
                self.refused.fetch_add(1, Relaxed);
                StatusCode::UNAUTHORIZED
            }
        };
        Response::builder().status(status).body(Full::default()).unwrap()
    }

    fn revoke_latest(&self) {
        let latest = self.latest.lock().unwrap().clone();
        self.tokens.lock().unwrap().remove(&latest);
    }
}

/// Serves until the task is aborted, which closes the port and all connections.
fn listen(cloud: Arc<Cloud>, address: SocketAddr, keystone: bool) -> (SocketAddr, JoinHandle<()>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let listener: TcpListener = socket.listen(1024).unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let cloud = Arc::clone(&cloud);
            connections.spawn(async move {
                let service = hyper::service::service_fn(|request: Request<Incoming>| {
                    let response = if keystone { cloud.login() } else { cloud.serve(&request) };
                    async move { Ok::<_, Infallible>(response) }
                });
                let builder = hyper::server::conn::http1::Builder::new();
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, task)
}

fn client() -> Client<HttpConnector, Body> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let requests: usize =
        env::var("LOAD_REQUESTS").map_or(1_000_000, |number| number.parse().expect("a number"));
    let clock = Shifted { start: Instant::now(), begin: SystemTime::now(), ahead: Arc::default() };
    let cloud = Arc::new(Cloud {
        clock: clock.clone(),
        tokens: Mutex::default(),
        latest: Mutex::default(),
        logins: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
        expired: AtomicUsize::new(0),
        service: Mutex::default(),
    });
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let (service, _service) = listen(Arc::clone(&cloud), free, false);
    *cloud.service.lock().unwrap() = format!("http://{service}");
    let (keystone, mut keystone_task) = listen(Arc::clone(&cloud), free, true);

    let auth_url: Uri = format!("http://{keystone}/v3").parse().unwrap();
    let alice = User::new().username("alice").user_domain_name("Default");
    let credentials = V3Credentials::new(auth_url, AuthMethod::password(alice, "wonderland"))
        .scope(Scope::new().project_name("demo").project_domain_name("Default"));
    let plugin = RenewingPlugin::new(credentials, Transport::new(client())).clock(clock.clone());
    let nova = ServiceBuilder::new()
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute")))
        .service(client());

    // The clock is set only while no request is in flight.
    let on_the_way = Arc::new(RwLock::new(()));
    let sent = Arc::new(AtomicUsize::new(0));
    let lost = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut nova = nova.clone();
        let (sent, lost, on_the_way) = (Arc::clone(&sent), Arc::clone(&lost), Arc::clone(&on_the_way));
        let done = Arc::clone(&done);
        callers.spawn(async move {
            while sent.fetch_add(1, Relaxed) < requests || !done.load(Relaxed) {
                let _on_the_way = on_the_way.read().await;
                let request = Request::get("/servers").body(Body::default()).unwrap();
                let answer = nova.ready().await.unwrap().call(request).await;
                if !answer.is_ok_and(|answer| answer.status() == StatusCode::NO_CONTENT) {
                    lost.fetch_add(1, Relaxed);
                }
            }
        });
    }

    // The events, mixed, and spread evenly over the requests.
    let events = {
        let (plugin, cloud, clock) = (plugin.clone(), Arc::clone(&cloud), clock.clone());
        let (sent, done, on_the_way) = (Arc::clone(&sent), Arc::clone(&done), Arc::clone(&on_the_way));
        tokio::spawn(async move {
            let total = EXPIRIES + REVOCATIONS + KILLS;
            let (mut expired, mut revoked, mut killed) = (0, 0, 0);
            for event in 0..total {
                let next = requests * (event + 1) / (total + 1);
                while sent.load(Relaxed) < next {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let logins = cloud.logins.load(Relaxed);
                if event % 8 < 2 && revoked < REVOCATIONS {
                    revoked += 1;
                    cloud.revoke_latest();
                } else if event % 8 == 2 && killed < KILLS {
                    killed += 1;
                    keystone_task.abort();
                    let _ = (&mut keystone_task).await;
                    {
                        let _nobody = on_the_way.write().await;
                        clock.set_forward(LIFETIME * 92 / 100);
                    }
                    // Keystone is down until at least one login has failed. The old token is still valid.
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    assert_eq!(cloud.logins.load(Relaxed), logins, "Keystone is down");
                    keystone_task = listen(Arc::clone(&cloud), keystone, true).1;
                } else {
                    expired += 1;
                    let _nobody = on_the_way.write().await;
                    clock.set_forward(LIFETIME);
                }
                while cloud.logins.load(Relaxed) == logins {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                // Far enough from the next event that the plugin counts them as two.
                while plugin.needs_renewal() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let _nobody = on_the_way.write().await;
                clock.set_forward(Duration::from_secs(61));
            }
            done.store(true, Relaxed);
            (expired, revoked, killed)
        })
    };

    while callers.join_next().await.is_some() {}
    let elapsed = started.elapsed();
    let (expired, revoked, killed) = events.await.unwrap();
    let logins = cloud.logins.load(Relaxed);
    let expected = 1 + expired + revoked + killed;
    let lost = lost.load(Relaxed);
    let sent_expired = cloud.expired.load(Relaxed);
    println!("requests answered          {:>9}", cloud.answered.load(Relaxed));
    println!("requests lost              {lost:>9}");
    println!("sent with an expired token {sent_expired:>9}");
    println!("refused and sent again     {:>9}", cloud.refused.load(Relaxed));
    println!("expiries                   {expired:>9}");
    println!("revocations                {revoked:>9}");
    println!("Keystone kills             {killed:>9}");
    println!("successful logins          {logins:>9}, {expected} expected");
    println!(
        "time                       {:>9.1} s, {:.0} requests/s",
        elapsed.as_secs_f64(),
        cloud.answered.load(Relaxed) as f64 / elapsed.as_secs_f64()
    );
    let good = lost == 0 && sent_expired == 0 && logins == expected;
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
