//! Runs a program with an in-memory cloud on loopback, to try a client without a real cloud.
//!
//! ```sh
//! cargo run --example in_memory_cloud -- cargo run --example list_servers
//! ```
//!
//! The program finds the cloud through `OS_*` variables. A `clouds.yaml` says that it stores its token (`cache.auth`),
//! in a directory that the example removes at the end. So programs that run one after the other log in once:
//!
//! ```sh
//! cargo build --example list_servers
//! cd target/debug/examples && ./in_memory_cloud sh -c './list_servers && ./list_servers'
//! ```
//!
//! If no program is given, the example prints the variables for a shell, and serves the cloud until it is interrupted.
//! Tokens are not stored then.

use std::{
    env, fs,
    future::pending,
    io,
    path::PathBuf,
    process::{self, Command, ExitCode},
};

use http::Response;
use serde_json::json;
use tower_keystone::{BoxError, fixture::Cloud};

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let cloud =
        Cloud::new([("compute", "nova"), ("image", "glance")]).user("alice", "wonderland").project("demo");
    let servers = json!({"servers": [{"id": "s1", "name": "web-1"}, {"id": "s2", "name": "web-2"}]});
    cloud.respond("compute", Response::new(servers.to_string()));
    let images = json!({"images": [{"id": "i1", "name": "debian-13", "status": "active"}]});
    cloud.respond("image", Response::new(images.to_string()));
    let _server = cloud.serve().await?;

    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        for (name, value) in cloud.environment() {
            println!("export {name}={value}");
        }
        return pending().await;
    };
    let mut command = Command::new(&program);
    command.args(arguments);
    // Variables of another cloud, and those that cargo sets for this example.
    let foreign = ["OS_", "CARGO_MANIFEST_", "CARGO_PKG_"];
    for (name, _) in env::vars_os() {
        if foreign.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let directory = Directory::new()?;
    let clouds = directory.0.join("clouds.yaml");
    fs::write(&clouds, "cache: {auth: true}\nclouds: {}\n")?;
    command
        .envs(cloud.environment())
        .env("OS_CLIENT_CONFIG_FILE", clouds)
        .env("XDG_CACHE_HOME", &directory.0);
    let status = tokio::task::spawn_blocking(move || command.status()).await?;
    eprintln!("logins: {}", cloud.keystone().logins());
    match status {
        Ok(status) if status.success() => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(error) => {
            eprintln!("error: cannot run {}: {error}", program.display());
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A directory for the configuration and the tokens of the program, which exists as long as this value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("in-memory-cloud-{}", process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
