//! An axum service over loopback, with and without the layer.
//!
//! The clients are another process, so that only the instructions of the service are counted.

use std::{
    env,
    io::Read,
    process::{Command, Stdio},
};

use axum::{Router, routing::get};
use http::{Request, Uri};
use tokio::{net::TcpListener, runtime};

use crate::{
    callgrind::{per_call, per_go},
    keystone::{documents, layer, token},
    loopback::{Process, Rate, drive},
    peers::X_AUTH_TOKEN,
    sample::Body,
    server::{Protocol, client},
    table::{Gates, Table, grouped, ratio},
};

/// Maximum instructions, compared with the service without the layer.
const MOST: f64 = 1.15;
const AT_ONCE: usize = 64;
const TIMED: usize = 50 * AT_ONCE;
const PART: &str = "validate-loopback";
const BARE: &str = "axum";
const VALIDATE: &str = "axum, ValidateTokenLayer";

pub fn run(gates: &mut Gates) {
    println!(
        "A service over loopback: instructions for each request, without the hash of its token, and requests per \
         second.\n"
    );
    let hash = per_call(&["validate", "Hash", "0"], 1_000);
    let mut table =
        Table::new(&["service", "instructions", "x bare", "one by one", "x bare", "64 at once", "x bare"]);
    let mut bare = None;
    let bare_process = Process::start(&[PART, "serve", BARE, "0"]);
    for (case, hashes) in [(BARE, 0.0), (VALIDATE, hash)] {
        let instructions = per_go(&[PART, "count", case], 200) - hashes;
        let compared = instructions / *bare.get_or_insert(instructions);
        let process = Process::start(&[PART, "serve", case, "0"]);
        let [one_by_one, at_once] = [1, AT_ONCE].map(|at_once| {
            Rate::of(|| send(&process.url, TIMED, at_once), || send(&bare_process.url, TIMED, at_once), TIMED)
        });
        table.row([
            case.to_owned(),
            grouped(instructions),
            ratio(compared),
            grouped(one_by_one.a_second),
            ratio(one_by_one.ratio_to_bare),
            grouped(at_once.a_second),
            ratio(at_once.ratio_to_bare),
        ]);
        if case == VALIDATE {
            gates.at_most(
                "instructions of an axum service over loopback",
                "the service without the layer",
                compared,
                MOST,
            );
            gates.report(
                "its requests per second, 64 at once",
                "the service without the layer",
                at_once.ratio_to_bare,
            );
        }
    }
    table.print();
}

/// Serves until the input ends, serves a client that sends this many requests, or is that client.
pub fn child(arguments: &[&str], requests: usize) {
    match arguments {
        ["serve", case] => serve(case, |url| {
            println!("{url}");
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
        }),
        ["count", case] => serve(case, |url| {
            let status = Command::new(env::current_exe().expect("this program has a file"))
                .args(["child", PART, "send", url, &requests.to_string()])
                .stdin(Stdio::null())
                .status();
            assert!(status.expect("the client starts").success(), "the client fails");
        }),
        ["send", url] => drop(send(url, requests, 1)),
        _ => panic!("what to do"),
    }
}

/// Serves while `clients` runs, in a thread of its own.
fn serve(case: &str, clients: impl FnOnce(&str)) {
    let layer = layer(documents(20));
    let router = Router::new().route("/v1/items", get(async || "{\"items\": []}"));
    let router = if case == VALIDATE { router.layer(layer) } else { router };
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    runtime.spawn(async { axum::serve(listener, router).await });
    clients(&url);
}

/// Returns the time to send this many requests.
fn send(url: &str, requests: usize, at_once: usize) -> std::time::Duration {
    let uri: Uri = format!("{url}/v1/items").parse().expect("a URI");
    let token = token(0);
    let request = move || {
        let request =
            Request::get(uri.clone()).header("accept", "application/json").header(X_AUTH_TOKEN, &token);
        request.body(Body::default()).expect("a request")
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(drive(client(Protocol::Http1), request, requests, at_once))
}
