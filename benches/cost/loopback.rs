//! Requests over loopback, compared with a hyper-util client that sends a static sensitive header.
//!
//! The server is another process, so that only the instructions of the client are counted.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{runtime, task::JoinSet};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, retry::RetryLayer};
use tower_keystone::{AccessInfo, AccessInfoPlugin, AuthLayer, ReauthPolicy};

use crate::{
    callgrind::per_go,
    peers::X_AUTH_TOKEN,
    sample::{Body, ENDPOINT, PATH, TOKEN, document, filter, renewing},
    server::{Protocol, Server, client},
    table::{Gates, Table, grouped, ratio},
};

/// Maximum instructions, compared with the bare client.
const MOST: f64 = 1.1;
const AT_ONCE: usize = 64;
const TIMED: usize = 50 * AT_ONCE;

const PROTOCOLS: [(Protocol, &str); 2] = [(Protocol::Http1, "HTTP/1.1"), (Protocol::Http2, "HTTP/2")];

const BARE: &str = "hyper-util client, static header";
/// Over HTTP/2 a header that is not sensitive is sent once. Later requests refer to it by its index in a table.
const INDEXED: &str = "hyper-util client, static header, not sensitive";
const ACCESS_INFO: &str = "AuthLayer(AccessInfoPlugin)";
const RENEWING: &str = "AuthLayer(RenewingPlugin)";
const REAUTH: &str = "RetryLayer(ReauthPolicy), AuthLayer(RenewingPlugin)";

const CASES: [(&str, usize); 7] = [
    (BARE, 20),
    (INDEXED, 20),
    (ACCESS_INFO, 20),
    (ACCESS_INFO, 1_000),
    (RENEWING, 20),
    (RENEWING, 1_000),
    (REAUTH, 20),
];

pub fn run(gates: &mut Gates) {
    println!(
        "Requests over loopback: instructions of the client for each request, and requests per second.\n"
    );
    let headers =
        ["client", "services", "instructions", "x bare", "one by one", "x bare", "64 at once", "x bare"];
    let mut table = Table::new(&headers);
    for (_, name) in PROTOCOLS {
        let server = Process::start(&["loopback", "serve", name, "0"]);
        let mut bare = None;
        for (case, services) in CASES {
            let services = services.to_string();
            let of_case = ["loopback", name, case, &*services, &*server.url];
            let instructions = per_go(&of_case, 200);
            let compared = instructions / *bare.get_or_insert(instructions);
            let of_bare = [name, BARE, "20", &*server.url];
            let [one_by_one, at_once] = [1, AT_ONCE].map(|at_once| {
                Rate::of(|| send(&of_case[1..], TIMED, at_once), || send(&of_bare, TIMED, at_once), TIMED)
            });
            table.row([
                format!("{name}, {case}"),
                services,
                grouped(instructions),
                ratio(compared),
                grouped(one_by_one.a_second),
                ratio(one_by_one.ratio_to_bare),
                grouped(at_once.a_second),
                ratio(at_once.ratio_to_bare),
            ]);
            match case {
                BARE | INDEXED => {}
                REAUTH => gates.report(
                    &format!("instructions over {name}, with `ReauthPolicy`"),
                    "bare client",
                    compared,
                ),
                _ => gates.at_most(&format!("instructions over {name}"), "bare client", compared, MOST),
            }
        }
    }
    table.print();
}

/// Requests per second.
pub struct Rate {
    pub a_second: f64,
    pub ratio_to_bare: f64,
}

impl Rate {
    /// Returns the median of alternating rounds, so that other load on the machine affects both.
    pub fn of(case: impl Fn() -> Duration, bare: impl Fn() -> Duration, requests: usize) -> Self {
        let mut rounds = [(); 5].map(|()| {
            let [bare, of_case] = [bare(), case()].map(|time| requests as f64 / time.as_secs_f64());
            (of_case / bare, of_case)
        });
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (ratio_to_bare, a_second) = rounds[rounds.len() / 2];
        Self { a_second, ratio_to_bare }
    }
}

/// Serves until the input ends, or sends requests that callgrind counts.
pub fn child(arguments: &[&str], requests: usize) {
    match arguments {
        ["serve", protocol] => serve(named(protocol)),
        of_case => drop(send(of_case, requests, 1)),
    }
}

fn named(protocol: &str) -> Protocol {
    PROTOCOLS.into_iter().find(|(_, name)| *name == protocol).expect("a protocol").0
}

fn serve(protocol: Protocol) {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = Server::new(Duration::ZERO);
    server.tokens.lock().unwrap().insert(TOKEN.to_owned());
    runtime.block_on(server.serve(protocol));
    println!("{}", server.url());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A child process that runs the server, and is killed when this is dropped.
pub struct Process {
    process: Child,
    pub url: String,
}

impl Process {
    /// Starts this program as a child with these arguments. It writes its URL first.
    pub fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env::current_exe().expect("this program has a file"))
            .arg("child")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut url = String::new();
        let output = process.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut url).expect("the server says where it is");
        Self { process, url: url.trim().to_owned() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Returns the time to send this many requests.
fn send(of_case: &[&str], requests: usize, at_once: usize) -> Duration {
    let [protocol, case, services, url] = of_case else { panic!("protocol, case, services and URL") };
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let services = services.parse().expect("a number of services");
    let access_info = || {
        let document = document(services).replace(ENDPOINT, url);
        AccessInfo::new(TOKEN, document).expect("a document")
    };
    let client = client(named(protocol));
    let relative = Uri::from_static(PATH);
    match *case {
        BARE | INDEXED => {
            let uri: Uri = format!("{url}{PATH}").parse().unwrap();
            let mut token = HeaderValue::from_static(TOKEN);
            token.set_sensitive(*case == BARE);
            let request = move || {
                Request::get(uri.clone()).header(X_AUTH_TOKEN, token.clone()).body(Body::default()).unwrap()
            };
            runtime.block_on(drive(client, request, requests, at_once))
        }
        ACCESS_INFO => {
            let layer = AuthLayer::new(AccessInfoPlugin::new(access_info())).endpoint(filter());
            runtime.block_on(drive(layer.layer(client), with(relative), requests, at_once))
        }
        RENEWING => {
            let layer = AuthLayer::new(renewing(&access_info())).endpoint(filter());
            runtime.block_on(drive(layer.layer(client), with(relative), requests, at_once))
        }
        _ => {
            let layer = AuthLayer::new(renewing(&access_info())).endpoint(filter());
            let stack = ServiceBuilder::new()
                .layer(RetryLayer::new(ReauthPolicy::new()))
                .layer(layer)
                .service(client);
            runtime.block_on(drive(stack, with(relative), requests, at_once))
        }
    }
}

fn with(uri: Uri) -> impl Fn() -> Request<Body> + Clone + Send + 'static {
    move || Request::get(uri.clone()).body(Body::default()).unwrap()
}

/// Returns the time to send this many requests through a service.
pub async fn drive<S>(
    service: S,
    request: impl Fn() -> Request<Body> + Clone + Send + 'static,
    requests: usize,
    at_once: usize,
) -> Duration
where
    S: Service<Request<Body>, Response = Response<Incoming>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..at_once {
        let (mut service, request) = (service.clone(), request.clone());
        callers.spawn(async move {
            for _ in 0..requests / at_once {
                let response =
                    service.ready().await.map_err(Into::into)?.call(request()).await.map_err(Into::into)?;
                assert_eq!(response.status(), 200);
                response.into_body().collect().await?;
            }
            Ok::<_, BoxError>(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done.expect("a caller ends").expect("all requests are answered");
    }
    started.elapsed()
}
