//! Sends a request to each well-known service of a cloud, and says which of them respond.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! It uses the cloud that `clouds.yaml` or `OS_*` variables configure. If none is configured, it starts an in-memory
//! cloud on loopback. If a request fails, it prints the cause and continues with the next service.

use std::{error::Error as StdError, iter, process::ExitCode};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value, json};
use tower::{Service, ServiceExt};
use tower_keystone::{
    BoxError, CloudConfig, EndpointFilter, Error, Interface,
    config::CloudConfigBuilder,
    fixture::{Cloud, ServedCloud},
};

type Body = Full<Bytes>;

/// The service types to call, each with a version of its API, and the path of a list in that version.
const SERVICES: [(&str, (u32, u32), &str); 6] = [
    ("compute", (2, 1), "/servers"),
    ("block-storage", (3, 0), "/volumes"),
    ("image", (2, 0), "/images"),
    ("network", (2, 0), "/networks"),
    ("placement", (1, 0), "/resource_providers"),
    ("key-manager", (1, 0), "/secrets"),
];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(summary) if summary.failed.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<Summary, BoxError> {
    let (config, _server) = if CloudConfig::names()?.is_empty() {
        let (builder, server) = in_memory_cloud().await?;
        println!("no cloud is configured: using an in-memory cloud\n");
        (builder.build()?, Some(server))
    } else {
        let config = CloudConfig::from_env()?;
        println!("using the cloud {}\n", config.name().unwrap_or("of the defaults"));
        (config, None)
    };
    let mut openstack = config.client()?;

    // This request logs in. If that fails, all others would fail, too.
    let keystone = EndpointFilter::default().interface(Interface::Auth).version(3, 0);
    println!("Keystone");
    let request = Request::get("/auth/projects").extension(keystone).body(Body::default())?;
    show(openstack.ready().await?.call(request).await?).await?;

    let summary = call_services(openstack).await?;
    println!("responded: {}", list(&summary.responded));
    println!("failed: {}", list(&summary.failed));
    println!("not in the service catalog: {}", list(&summary.missing));
    Ok(summary)
}

/// What came of the requests, as service types.
#[derive(Default)]
struct Summary {
    responded: Vec<&'static str>,
    failed: Vec<&'static str>,
    missing: Vec<&'static str>,
}

/// Sends a request to each service, and prints the response or the error.
async fn call_services<S, B>(mut openstack: S) -> Result<Summary, BoxError>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    B: http_body::Body<Error: Into<BoxError>>,
{
    let mut summary = Summary::default();
    for (service_type, (major, minor), path) in SERVICES {
        let endpoint = EndpointFilter::new(service_type).version(major, minor);
        let request = Request::get(path).extension(endpoint).body(Body::default())?;
        let result = async { show(openstack.ready().await?.call(request).await?).await };
        println!("{service_type}");
        match result.await {
            Ok(()) => summary.responded.push(service_type),
            Err(error) if matches!(Error::find(&*error), Some(Error::EndpointNotFound(_))) => {
                println!("    not in the service catalog\n");
                summary.missing.push(service_type);
            }
            Err(error) => {
                println!("    {}\n", chain(&*error));
                summary.failed.push(service_type);
            }
        }
    }
    Ok(summary)
}

/// Prints the status, and the names of the listed resources.
async fn show<B: http_body::Body<Error: Into<BoxError>>>(response: Response<B>) -> Result<(), BoxError> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(Into::into)?.to_bytes();
    println!("    {}", parts.status);
    let members: Map<String, Value> = serde_json::from_slice(&body).unwrap_or_default();
    for (name, value) in members {
        let name_or_id = |entry: &Value| entry["name"].as_str().or(entry["id"].as_str()).map(str::to_owned);
        match &value {
            Value::Array(resources) => {
                let names: Vec<_> = resources.iter().filter_map(name_or_id).collect();
                println!("    {} {name}: {}", resources.len(), list(&names));
            }
            value => println!("    {name}: {value}"),
        }
    }
    println!();
    Ok(())
}

fn list<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Returns the messages of an error and its sources, joined by colons.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let errors = iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Serves an in-memory cloud on loopback, and returns its configuration.
async fn in_memory_cloud() -> Result<(CloudConfigBuilder, ServedCloud), BoxError> {
    let cloud =
        Cloud::new([("compute", "nova"), ("volumev3", "cinder")]).user("alice", "wonderland").project("demo");
    let servers = json!({"servers": [{"id": "s1", "name": "web-1"}, {"id": "s2", "name": "web-2"}]});
    cloud.respond("compute", Response::new(servers.to_string()));
    cloud.respond("volumev3", Response::new(json!({"volumes": []}).to_string()));
    let server = cloud.serve().await?;
    let builder = CloudConfig::builder().load_files(false).environment(cloud.environment());
    Ok((builder, server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unreachable_service_is_named_and_the_others_are_called() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let (builder, _server) = in_memory_cloud().await.unwrap();
        let builder = builder.set("compute_endpoint_override", &*origin).set("connect_retries", "0");
        let openstack = builder.build().unwrap().client().unwrap();

        let summary = call_services(openstack.clone()).await.unwrap();
        assert_eq!(summary.failed, ["compute"]);
        assert_eq!(summary.responded, ["block-storage"]);
        assert_eq!(summary.missing, ["image", "network", "placement", "key-manager"]);

        let nova = EndpointFilter::new("compute");
        let request = Request::get("/servers").extension(nova).body(Body::default()).unwrap();
        let Err(error) = openstack.oneshot(request).await else { panic!("it is down") };
        let message = chain(&*error);
        assert!(message.starts_with(&format!("the request to compute at {origin} failed: ")), "{message}");
        assert!(message.contains("refused"), "{message}");
    }
}
