//! A million requests to a service with the server layer, while tokens expire, are revoked, and Keystone is killed.
//!
//! ```sh
//! cargo bench --bench validate_load
//! ```
//!
//! Callers, service and Keystone talk HTTP/1.1 over loopback, all in one thread. Their clock, and the timers of tokio,
//! go on only when the bench sets them forward. Set `LOAD_REQUESTS` to the number of requests: at least 200,000, so that
//! each token is used often.

use std::{
    cell::Cell,
    collections::HashMap,
    convert::Infallible,
    env,
    net::SocketAddr,
    process::ExitCode,
    rc::Rc,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, SystemTime},
};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{JoinHandle, JoinSet, LocalSet, yield_now},
    time::{Instant, advance},
};
use tower_keystone::{
    AccessInfoPlugin, Caller, Transport, ValidateTokenLayer,
    fixture::{CatalogService, V3Token},
    renewal::{Clock, Now},
    validate::ValidationMetrics,
};

const TOKENS: usize = 1_000;
const EXPIRIES: usize = 50;
const REVOCATIONS: usize = 20;
const KILLS: usize = 10;
const CALLERS: usize = 64;
/// How long the service caches a token.
const LIFETIME: Duration = Duration::from_secs(300);
/// The shortest time after which the layer validates a cached token again.
const MIN_SOFT_LIFE: Duration = Duration::from_secs(225);
/// How long validations that have started in an outage go on after it.
const VALIDATION_TIMEOUT: Duration = Duration::from_secs(10);
/// The clock goes on in steps of this length.
const STEP: Duration = Duration::from_millis(500);
const STEPS: usize = 8_000;
/// The steps in which Keystone is killed.
const FIRST_KILL: usize = 300;
const KILL_INTERVAL: usize = 760;

/// What Keystone says about a token that it does not know.
const NOT_FOUND: &str =
    r#"{"error": {"code": 404, "message": "Could not find token.", "title": "Not Found"}}"#;

type Body = Full<Bytes>;
type HttpClient = Client<HttpConnector, Body>;

/// The outages of a run.
struct Plan {
    name: &'static str,
    outage_grace: Duration,
    outage: Duration,
}

const PLANS: [Plan; 2] = [
    Plan { name: "outages of 29 s", outage_grace: Duration::ZERO, outage: Duration::from_secs(29) },
    Plan {
        name: "outages of 320 s, outage_grace of 600 s",
        outage_grace: Duration::from_secs(600),
        outage: Duration::from_secs(320),
    },
];

/// A clock that goes on as tokio's does.
#[derive(Clone, Copy)]
struct TokioClock {
    start: Instant,
    begin: SystemTime,
}

impl TokioClock {
    fn wall(&self) -> SystemTime {
        self.begin + self.start.elapsed()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Now {
        Now::new(self.wall(), Instant::now().into_std())
    }
}

/// A token, as Keystone and its caller know it.
struct Token {
    text: String,
    document: Bytes,
    expires: SystemTime,
    revoked_at: Option<SystemTime>,
    first_used: Option<SystemTime>,
    last_used: SystemTime,
    /// Whether a caller was told that the token is not valid. It is not used again.
    is_refused: bool,
    /// How often Keystone answered that the token is valid, and that it is unknown.
    confirmed: usize,
    denied: usize,
}

struct World {
    clock: TokioClock,
    tokens: Mutex<Vec<Token>>,
    numbers: HashMap<String, usize>,
}

impl World {
    fn new(clock: TokioClock) -> Self {
        let begin = clock.begin;
        let token = |number: usize| {
            let text = format!("gAAAAABnZ3V5-{number:05}-{}", "b3BlbnN0YWNr".repeat(13));
            // Spread over the run.
            let expires = match number {
                ..EXPIRIES => STEP * (STEPS * (number + 1) / (EXPIRIES + 2)) as u32 + STEP / 2,
                _ => 2 * STEP * STEPS as u32,
            };
            let document = V3Token::new("u", "alice").project("p", "demo").role("r", "member").issued(begin);
            let document =
                document.expires(begin + expires).with("audit_ids", vec![number.to_string()].into());
            Token {
                text,
                document: document.document().to_string().into(),
                expires: begin + expires,
                revoked_at: None,
                first_used: None,
                last_used: begin,
                is_refused: false,
                confirmed: 0,
                denied: 0,
            }
        };
        let tokens: Vec<_> = (0..TOKENS).map(token).collect();
        let numbers = tokens.iter().enumerate().map(|(number, token)| (token.text.clone(), number)).collect();
        Self { clock, tokens: tokens.into(), numbers }
    }

    /// Responds to `GET /v3/auth/tokens`.
    fn keystone(&self, request: &Request<Incoming>) -> Response<Body> {
        let subject = request.headers().get("x-subject-token").and_then(|token| token.to_str().ok());
        let number = *subject.and_then(|token| self.numbers.get(token)).expect("a token of the bench");
        let (mut tokens, now) = (self.tokens.lock().unwrap(), self.clock.wall());
        let token = &mut tokens[number];
        let is_valid = token.revoked_at.is_none() && now < token.expires;
        *(if is_valid { &mut token.confirmed } else { &mut token.denied }) += 1;
        let body = if is_valid { token.document.clone() } else { Bytes::from_static(NOT_FOUND.as_bytes()) };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = if is_valid { StatusCode::OK } else { StatusCode::NOT_FOUND };
        response
    }
}

/// The counters of a run.
#[derive(Default)]
struct Report {
    accepted: usize,
    refused: usize,
    good_refused: usize,
    revoked_accepted: usize,
    expired_accepted: usize,
    outages_seen: usize,
}

/// Serves until the task is aborted, which closes the port and all connections.
fn listen(world: Arc<World>, address: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let listener: TcpListener = socket.listen(1024).unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let world = Arc::clone(&world);
            connections.spawn(async move {
                let service = hyper::service::service_fn(|request: Request<Incoming>| {
                    let response = world.keystone(&request);
                    async move { Ok::<_, Infallible>(response) }
                });
                let builder = hyper::server::conn::http1::Builder::new();
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, task)
}

fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// Starts the service, and returns its URI.
async fn serve(layer: ValidateTokenLayer) -> Uri {
    let whoami = get(|caller: Caller| async move {
        assert_eq!(caller.access_info().username(), Some("alice"));
        StatusCode::NO_CONTENT
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/whoami", listener.local_addr().unwrap());
    tokio::spawn(
        async move { axum::serve(listener, Router::new().route("/whoami", whoami).layer(layer)).await },
    );
    uri.parse().unwrap()
}

/// Sends a request and compares the response with what is known about the token.
///
/// The clock does not go on meanwhile.
async fn send(
    client: &HttpClient,
    uri: &Uri,
    world: &World,
    number: usize,
    plan: &Plan,
) -> (StatusCode, Fault) {
    let (text, now) = (world.tokens.lock().unwrap()[number].text.clone(), world.clock.wall());
    let request = Request::get(uri.clone()).header("x-auth-token", text).body(Body::default()).unwrap();
    let response = client.request(request).await.expect("the service responds");
    let status = response.status();
    response.into_body().collect().await.expect("the service responds");
    assert_eq!(world.clock.wall(), now, "the clock stands still");

    let token = &mut world.tokens.lock().unwrap()[number];
    token.first_used.get_or_insert(now);
    token.last_used = now;
    let is_accepted = status == StatusCode::NO_CONTENT;
    // At the very moment of its expiry, a token has not expired.
    let has_expired = token.expires < now;
    let fault = match (is_accepted, token.revoked_at) {
        (true, _) if has_expired => Fault::ExpiredAccepted,
        (true, Some(revoked_at)) if now > revoked_at + LIFETIME + plan.outage_grace => Fault::RevokedAccepted,
        (false, None) if !has_expired => Fault::GoodRefused,
        _ => Fault::None,
    };
    token.is_refused |= status == StatusCode::UNAUTHORIZED;
    (status, fault)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    GoodRefused,
    RevokedAccepted,
    ExpiredAccepted,
}

impl Report {
    fn count(&mut self, (status, fault): (StatusCode, Fault)) {
        *(if status == StatusCode::NO_CONTENT { &mut self.accepted } else { &mut self.refused }) += 1;
        match fault {
            Fault::None => {}
            Fault::GoodRefused => self.good_refused += 1,
            Fault::RevokedAccepted => self.revoked_accepted += 1,
            Fault::ExpiredAccepted => self.expired_accepted += 1,
        }
    }
}

/// Lets this many requests of the callers be sent, all at once.
async fn send_all(
    client: &HttpClient,
    uri: &Uri,
    world: &Arc<World>,
    plan: &'static Plan,
    next: &Rc<Cell<usize>>,
    requests: usize,
    report: &mut Report,
) {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, uri, world, next) = (client.clone(), uri.clone(), Arc::clone(world), Rc::clone(next));
        callers.spawn_local(async move {
            let mut responses = Vec::new();
            for _ in 0..requests / CALLERS + usize::from(caller < requests % CALLERS) {
                let number = loop {
                    let number = next.replace(next.get() + 1) % TOKENS;
                    if !world.tokens.lock().unwrap()[number].is_refused {
                        break number;
                    }
                };
                responses.push(send(&client, &uri, &world, number, plan).await);
            }
            responses
        });
    }
    while let Some(responses) = callers.join_next().await {
        responses.expect("a caller ends").into_iter().for_each(|response| report.count(response));
    }
}

fn steps(time: Duration) -> usize {
    (time.as_millis() / STEP.as_millis()) as usize
}

/// Waits until no validation is in flight. The clock stands still.
async fn settle(metrics: &ValidationMetrics) {
    while metrics.snapshot().in_flight > 0 {
        yield_now().await;
    }
}

/// Runs a plan, and returns whether all went well.
async fn run(plan: &'static Plan, requests: usize) -> bool {
    let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_478_400);
    let clock = TokioClock { start: Instant::now(), begin };
    let world = Arc::new(World::new(clock));
    let (keystone, mut keystone_task) = listen(Arc::clone(&world), SocketAddr::from(([127, 0, 0, 1], 0)));
    let url = format!("http://{keystone}/v3");
    let identity = CatalogService::new("identity").standard_endpoints("RegionOne", &url);
    let own = V3Token::new("own", "service").project("s", "service").service(&identity);
    let own = own.expires(clock.begin + 10 * STEP * STEPS as u32).access_info("own").unwrap();
    let layer = ValidateTokenLayer::new(AccessInfoPlugin::new(own).auth_url(url), Transport::new(client()))
        .token_cache_time(LIFETIME)
        .outage_grace(plan.outage_grace)
        .validation_timeout(VALIDATION_TIMEOUT)
        .clock(clock);
    let metrics = layer.metrics();
    let (uri, client) = (serve(layer).await, client());

    let started = std::time::Instant::now();
    let (mut report, next) = (Report::default(), Rc::default());
    let (mut killed, mut revoked) = (0, 0);
    // The steps in which the outage and the validations that have started in it end.
    let (mut up_again, mut settled) = (None, 0);
    for step in 0..STEPS {
        let of_step = requests * (step + 1) / STEPS - requests * step / STEPS;
        send_all(&client, &uri, &world, plan, &next, of_step, &mut report).await;
        if up_again.is_none() && step >= settled {
            settle(&metrics).await;
        }
        if killed < KILLS && step == FIRST_KILL + KILL_INTERVAL * killed {
            killed += 1;
            keystone_task.abort();
            let _ = (&mut keystone_task).await;
            up_again = Some(step + steps(plan.outage));
        }
        if up_again == Some(step) {
            (up_again, settled) = (None, step + steps(2 * VALIDATION_TIMEOUT));
            keystone_task = listen(Arc::clone(&world), keystone).1;
        }
        if revoked < REVOCATIONS && step == STEPS * (revoked + 1) / (REVOCATIONS + 2) {
            world.tokens.lock().unwrap()[EXPIRIES + revoked].revoked_at = Some(clock.wall());
            revoked += 1;
        }
        advance(STEP).await;
    }
    let elapsed = started.elapsed();
    let unavailable = metrics.snapshot().unavailable;
    report.outages_seen = unavailable as usize;
    verdict(plan, &world, &report, killed, elapsed, &client, &uri).await
}

async fn verdict(
    plan: &Plan,
    world: &World,
    report: &Report,
    killed: usize,
    elapsed: Duration,
    client: &HttpClient,
    uri: &Uri,
) -> bool {
    let (mut confirmed, mut denied, mut allowed, mut too_often) = (0, 0, 0, 0);
    let (mut expiries_seen, mut revocations_seen) = (0, 0);
    for token in world.tokens.lock().unwrap().iter() {
        let used = token.last_used.duration_since(token.first_used.unwrap_or(token.last_used)).unwrap();
        let soft_lives = 1 + used.as_secs() / MIN_SOFT_LIFE.as_secs();
        let refusals = u64::from(token.is_refused);
        (confirmed, denied) = (confirmed + token.confirmed, denied + token.denied);
        allowed += soft_lives + refusals;
        too_often += usize::from((token.confirmed as u64) > soft_lives || token.denied as u64 > refusals);
        expiries_seen += usize::from(token.is_refused && token.revoked_at.is_none());
        revocations_seen += usize::from(token.is_refused && token.revoked_at.is_some());
    }
    let mut accepted_again = 0;
    for number in 0..EXPIRIES + REVOCATIONS {
        accepted_again +=
            usize::from(send(client, uri, world, number, plan).await.0 != StatusCode::UNAUTHORIZED);
    }
    let requests = report.accepted + report.refused;
    println!("{}\n", plan.name);
    println!("requests accepted                            {:>9}", report.accepted);
    println!("requests refused                             {:>9}", report.refused);
    println!("good requests refused                        {:>9}", report.good_refused);
    println!("revoked tokens accepted beyond the lifetime  {:>9}", report.revoked_accepted);
    println!("expired tokens accepted                      {:>9}", report.expired_accepted);
    println!("expiries seen                                {expiries_seen:>9}, {EXPIRIES} expected");
    println!("revocations seen                             {revocations_seen:>9}, {REVOCATIONS} expected");
    println!("of these tokens, accepted at the end         {accepted_again:>9}");
    println!("Keystone kills                               {killed:>9}");
    println!(
        "validations that Keystone answered           {:>9}, at most {allowed} allowed",
        confirmed + denied
    );
    println!("tokens that were validated too often         {too_often:>9}");
    println!("validations that failed in an outage         {:>9}", report.outages_seen);
    println!(
        "time                                         {:>9.1} s, {:.0} requests/s\n",
        elapsed.as_secs_f64(),
        requests as f64 / elapsed.as_secs_f64()
    );
    let faults = report.good_refused + report.revoked_accepted + report.expired_accepted + accepted_again;
    faults + too_often == 0
        && killed == KILLS
        && report.outages_seen > 0
        && (expiries_seen, revocations_seen) == (EXPIRIES, REVOCATIONS)
        && (confirmed + denied) as u64 <= allowed
}

fn main() -> ExitCode {
    let requests = env::var("LOAD_REQUESTS").map_or(1_000_000, |number| number.parse().expect("a number"));
    assert!(requests >= 200_000, "with fewer requests, tokens are not in steady use");
    let all_good = PLANS.iter().fold(true, |all_good, plan| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        // While a blocking task runs, tokio does not set its clock forward by itself.
        let (done, running) = mpsc::channel::<()>();
        let blocking = runtime.spawn_blocking(move || running.recv());
        let good = LocalSet::new().block_on(&runtime, run(plan, requests));
        drop(done);
        let _ = runtime.block_on(blocking);
        good && all_good
    });
    if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
