//! The HTTPS client against TLS servers and proxies on loopback.

mod certificates;
mod client_certificate;
mod connection;
mod files;
#[allow(dead_code, reason = "tests/renewal uses the other items")]
#[path = "../renewal/log.rs"]
mod log;
mod proxies;
mod proxy;
mod server;
mod trust;

use std::process::Command;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::task::spawn_blocking;
use tower::{Service, ServiceExt};
use tower_keystone::{BoxError, Error, HttpsClient, HttpsClientBuilder, Transport};
use tracing::Level;

use log::Log;

/// Returns a builder that does not read the environment of the test.
fn builder() -> HttpsClientBuilder {
    HttpsClient::builder().proxy_from(|_| None)
}

/// Sends a request with `client`, and reads the response.
async fn get(client: &HttpsClient, url: &str) -> Result<Response<Bytes>, BoxError> {
    send(client, Request::get(url).body(Full::default())?).await
}

async fn send(client: &HttpsClient, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, BoxError> {
    let (parts, body) = client.clone().ready().await?.call(request).await?.into_parts();
    Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
}

/// Sends a request through a [`Transport`], as a login does, and returns its error.
async fn transport_error(client: &HttpsClient, url: &str) -> Error {
    let request = Request::get(url).body(Bytes::new()).unwrap();
    Transport::new(client.clone()).send(request).await.unwrap_err()
}

/// Returns the messages of an error and its sources.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(source) = next {
        texts.push(source.to_string());
        next = source.source();
    }
    texts.join(": ")
}

/// Runs a test of this program again, in a child process with these variables.
///
/// In the child process, [`is_child`] is true.
async fn run_as_child(test: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test]).env(CHILD, "1").env_remove("no_proxy").env_remove("NO_PROXY");
    child.env_remove("SSL_CERT_DIR").envs(variables.iter().copied());
    let output = spawn_blocking(move || child.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

const CHILD: &str = "TOWER_KEYSTONE_TEST_CHILD";

/// Returns what a function returns, and what it logs.
fn log_of<T>(run: impl FnOnce() -> T) -> (T, String) {
    let (log, _guard) = Log::with_max_level(Level::TRACE);
    let result = run();
    (result, log.take())
}
