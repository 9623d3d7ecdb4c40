//! A burst of requests without a token, and one during a revocation, compared with a burst without authentication.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{runtime, task::JoinSet};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_keystone::{
    AuthLayer, AuthMethod, EndpointFilter, IdentityPlugin, ReauthPolicy, RenewingPlugin, Scope, Transport,
    User, V3Credentials,
};

use crate::{
    peers::X_AUTH_TOKEN,
    sample::{Body, PATH, SERVICE_TYPE},
    server::{HyperClient, Protocol, Server, client},
    table::{Gates, Table, grouped, ratio},
};

const SIZES: [usize; 2] = [1_000, 10_000];
/// The time that Keystone takes to hash a password.
const LOGIN: Duration = Duration::from_millis(100);

pub fn run(gates: &mut Gates) {
    println!("Bursts of requests over HTTP/2, with a login that takes 0.1 s: lost requests and time.\n");
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut table =
        Table::new(&["burst", "requests", "logins", "rejected", "lost", "time", "x fixed + login"]);
    for requests in SIZES {
        let bare = runtime.block_on(bare(requests));
        let none = String::new;
        let cells =
            ["fixed token".to_owned(), requests.to_string(), none(), none(), none(), millis(bare), none()];
        table.row(cells);
        for (name, revoked) in [("without a token", false), ("token revoked halfway", true)] {
            let burst = runtime.block_on(burst(requests, revoked));
            let compared = burst.time.as_secs_f64() / (bare + LOGIN).as_secs_f64();
            table.row([
                name.to_owned(),
                requests.to_string(),
                burst.logins.to_string(),
                grouped(burst.rejected as f64),
                burst.lost.to_string(),
                millis(burst.time),
                ratio(compared),
            ]);
            gates.at_most("logins in a burst", "", burst.logins as f64, 1.0);
            gates.at_most("requests lost in a burst", "", burst.lost as f64, 0.0);
            gates.report("time of a burst", "burst with a fixed token, plus one login", compared);
        }
    }
    table.print();
}

/// callgrind counts nothing in this part.
pub fn child(_: &[&str], _: usize) {}

struct Burst {
    logins: usize,
    rejected: usize,
    lost: usize,
    time: Duration,
}

async fn bare(requests: usize) -> Duration {
    let server = Server::new(LOGIN);
    server.serve(Protocol::Http2).await;
    server.tokens.lock().unwrap().insert("token".to_owned());
    let uri: Uri = format!("{}{PATH}", server.url()).parse().unwrap();
    let client = connected(&server).await;
    let request = move || {
        let token = HeaderValue::from_static("token");
        Request::get(uri.clone()).header(X_AUTH_TOKEN, token).body(Body::default()).unwrap()
    };
    let (time, lost) = at_once(client, request, requests).await;
    assert_eq!(lost, 0, "the server answers all");
    time
}

async fn burst(requests: usize, revoked: bool) -> Burst {
    let server = Server::new(LOGIN);
    server.serve(Protocol::Http2).await;
    let client = connected(&server).await;
    let auth_url = format!("{}/v3", server.url());
    let alice = User::new().username("alice").user_domain_name("Default");
    let credentials = V3Credentials::new(auth_url, AuthMethod::password(alice, "wonderland"))
        .scope(Scope::new().project_name("demo").project_domain_name("Default"));
    let plugin = RenewingPlugin::new(credentials, Transport::new(client.clone()));
    if revoked {
        plugin.access().await.expect("a first login");
        server.revoke_at.store(server.requests.load(Relaxed) + requests / 2, Relaxed);
    }
    let before = (server.logins.load(Relaxed), server.requests.load(Relaxed));
    let stack = ServiceBuilder::new()
        .retry(ReauthPolicy::new())
        .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new(SERVICE_TYPE)))
        .service(client);
    let request = || Request::get(PATH).body(Body::default()).unwrap();
    let (time, lost) = at_once(stack, request, requests).await;
    let received = server.requests.load(Relaxed) - before.1;
    Burst { logins: server.logins.load(Relaxed) - before.0, rejected: received - requests, lost, time }
}

/// Returns a client that is already connected, so that the burst does not measure connecting.
async fn connected(server: &Arc<Server>) -> HyperClient {
    let client = client(Protocol::Http2);
    let request = Request::get(format!("{}/", server.url())).body(Body::default()).unwrap();
    client.request(request).await.expect("the server answers");
    client
}

/// Sends all requests at once. Returns the time, and the number of unexpected responses.
async fn at_once<S>(service: S, request: impl Fn() -> Request<Body>, requests: usize) -> (Duration, usize)
where
    S: Service<Request<Body>, Response = Response<Incoming>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError> + Send,
{
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..requests {
        let sent = service.clone().oneshot(request());
        callers.spawn(async move {
            let response = sent.await.map_err(Into::into)?;
            let status = response.status();
            response.into_body().collect().await?;
            Ok::<_, BoxError>(status)
        });
    }
    let mut lost = 0;
    while let Some(answer) = callers.join_next().await {
        lost += usize::from(!answer.is_ok_and(|answer| answer.is_ok_and(|status| status == 200)));
    }
    (started.elapsed(), lost)
}

fn millis(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}
