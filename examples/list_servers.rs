//! Lists the servers of a cloud.
//!
//! `clouds.yaml` or `OS_*` variables configure the cloud, as for any OpenStack client:
//!
//! ```sh
//! OS_CLOUD=my-cloud cargo run --example list_servers
//! ```
//!
//! The example `in_memory_cloud` starts a cloud for it:
//!
//! ```sh
//! cargo run --example in_memory_cloud -- cargo run --example list_servers
//! ```
//!
//! With `cache: {auth: true}` in `clouds.yaml`, the token is stored in a file, so that the next run needs no login.

use std::process::ExitCode;

use http::Request;
use http_body_util::{BodyExt, Full};
use tower::ServiceExt;
use tower_keystone::{BoxError, CloudConfig};

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = list_servers().await else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

async fn list_servers() -> Result<(), BoxError> {
    let nova = CloudConfig::from_env()?.client()?.service("compute")?;
    let response = nova.oneshot(Request::get("/servers").body(Full::default())?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    println!("{status} {}", String::from_utf8_lossy(&body));
    Ok(())
}
