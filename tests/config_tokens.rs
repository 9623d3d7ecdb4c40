//! Tokens that command line programs find in the files of their user (`cache.auth`).
#![cfg(unix)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use jiff::Timestamp;
use tokio::runtime::{Builder, Runtime};
use tower::{ServiceExt, service_fn};
use tower_keystone::{
    BoxError, CloudConfig, Error, IdentityPlugin, RenewalPolicy, SharedTokens, Transport,
    config::CloudConfigBuilder,
    fixture::{Cloud, ServedCloud},
};

const STORED: &str = "cache: {auth: true}\n";

/// A cloud, and the home directory of its user, with a `clouds.yaml` that stores the tokens.
struct World {
    cloud: Cloud,
    home: Home,
    _served: ServedCloud,
    _runtime: Runtime,
}

impl World {
    fn new() -> Self {
        let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").user("bob", "builder");
        let cloud = cloud.project("demo");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let served = runtime.block_on(cloud.serve()).unwrap();
        let home = Home::new();
        let world = Self { cloud, home, _served: served, _runtime: runtime };
        world.write_clouds(STORED);
        world
    }

    /// Writes the `clouds.yaml` of this user, with these further members beside `clouds`.
    fn write_clouds(&self, members: &str) {
        let cloud = |name: &str, user: &str, password: &str| {
            format!(
                "  {name}:\n    auth: {{auth_url: '{}', username: {user}, user_domain_name: Default, password: {password}, \
                 project_name: demo, project_domain_name: Default}}\n",
                self.cloud.keystone().auth_url()
            )
        };
        let clouds = cloud("alice", "alice", "wonderland")
            + &cloud("bob", "bob", "builder")
            + &cloud("wrong", "alice", "looking-glass");
        self.home.write(".config/openstack/clouds.yaml", &format!("{members}clouds:\n{clouds}"));
    }

    /// Returns the configuration of a program that starts now.
    fn builder(&self, cloud: &str) -> CloudConfigBuilder {
        let home = self.home.path();
        CloudConfig::builder().environment([("HOME", home)]).working_directory(home).cloud(cloud)
    }

    /// Runs a program that sends one request and ends.
    fn run(&self, builder: &CloudConfigBuilder) -> Result<(), BoxError> {
        let mut policy = RenewalPolicy::default();
        policy.fail_fast = true;
        program(async {
            let nova = builder.build()?.renewal_policy(policy).client()?.service("compute")?;
            nova.oneshot(Request::get("/servers").body(Full::default())?).await?;
            Ok(())
        })
    }

    fn logins(&self) -> usize {
        self.cloud.keystone().logins()
    }

    fn store(&self) -> PathBuf {
        self.home.path().join(".cache/tower-keystone")
    }
}

/// Runs a program. When it ends, its tasks end, too.
fn program<T>(main: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(main)
}

#[test]
fn a_program_that_runs_a_hundred_times_logs_in_once() {
    let world = World::new();
    for _ in 0..100 {
        world.run(&world.builder("alice")).unwrap();
    }
    assert_eq!(world.logins(), 1);
    let requests = world.cloud.received_requests("compute");
    assert_eq!(requests.len(), 100);
    assert!(requests.iter().all(|request| request.has_token()));
}

#[test]
fn a_program_that_starts_50_minutes_after_the_login_does_not_log_in() {
    for (minutes, logins) in [(50, 1), (61, 2)] {
        let world = World::new();
        let transport = keystone_in_the_past(world.cloud.transport(), Duration::from_secs(minutes * 60));
        for transport in [transport, world.cloud.transport()] {
            let config = world.builder("alice").build().unwrap();
            program(async { config.plugin(transport).access().await.unwrap() });
        }
        assert_eq!(world.logins(), logins, "after {minutes} minutes");
    }
}

#[test]
fn a_wrong_password_is_tried_once_until_it_is_corrected() {
    let world = World::new();
    for _ in 0..100 {
        let error = world.run(&world.builder("wrong")).unwrap_err();
        assert!(Error::find(&*error).is_some_and(|error| !error.is_transient()), "{error}");
    }
    assert_eq!(world.logins(), 1);
    world.run(&world.builder("wrong").set_auth("password", "wonderland")).unwrap();
    assert_eq!(world.logins(), 2);
}

#[test]
fn different_users_never_share_a_token() {
    let world = World::new();
    let username = |cloud: &str| {
        let config = world.builder(cloud).build().unwrap();
        let access = program(async { config.plugin(world.cloud.transport()).access().await.unwrap() });
        access.auth_ref().and_then(|info| info.username()).map(str::to_owned)
    };
    for _ in 0..3 {
        assert_eq!(username("alice").as_deref(), Some("alice"));
        assert_eq!(username("bob").as_deref(), Some("bob"));
    }
    assert_eq!(world.logins(), 2);
}

#[test]
fn nothing_is_stored_unless_the_configuration_wants_it() {
    for (members, stored) in [
        ("", false),
        ("cache:\n", false),
        ("cache: {auth: null}\n", false),
        ("cache: {auth: false, expiration_time: 3600, class: dogpile.cache.memory}\n", false),
        ("cache: {auth: 'True', expiration_time: 3600}\n", true),
        ("cache: {auth: on}\n", true),
    ] {
        let world = World::new();
        world.write_clouds(members);
        let builder = world.builder("alice");
        assert_eq!(builder.build().unwrap().shared_tokens().is_some(), stored, "{members}");
        for _ in 0..2 {
            world.run(&builder).unwrap();
        }
        assert_eq!(
            (world.logins(), world.store().exists()),
            (if stored { 1 } else { 2 }, stored),
            "{members}"
        );
    }
}

#[test]
fn a_setting_that_is_no_boolean_is_an_error() {
    let world = World::new();
    for (members, expected) in [
        ("cache: {auth: 1}\n", "clouds.yaml:1:9: cache.auth: expected true or false"),
        ("cache: {auth: [true]}\n", "clouds.yaml:1:9: cache.auth: expected a text"),
        ("cache: true\n", "clouds.yaml:1:1: cache: expected a mapping; indent its members below it"),
    ] {
        world.write_clouds(members);
        let error = world.builder("alice").build().unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn the_secure_file_takes_precedence_and_the_program_over_both() {
    let world = World::new();
    world.home.write(".config/openstack/secure.yaml", "cache: {auth: false}\nclouds: {}\n");
    let is_stored = |builder: CloudConfigBuilder| builder.build().unwrap().shared_tokens().is_some();
    assert!(!is_stored(world.builder("alice")));
    assert!(is_stored(world.builder("alice").cache_auth(true)));
    world.home.write(".config/openstack/secure.yaml", "clouds: {}\n");
    assert!(is_stored(world.builder("alice")));
    assert!(!is_stored(world.builder("alice").cache_auth(false)));
    assert!(!is_stored(
        world
            .builder("alice")
            .load_files(false)
            .cloud("")
            .set("auth_type", "none")
            .set("endpoint", "http://k")
            .cache_auth(true)
    ));
}

#[test]
fn a_cloud_of_the_environment_has_the_setting_of_the_file() {
    let world = World::new();
    let mut variables = world.cloud.environment();
    variables.push(("HOME", world.home.path().to_str().unwrap().to_owned()));
    let builder = CloudConfig::builder().environment(variables).working_directory(world.home.path());
    for _ in 0..2 {
        world.run(&builder).unwrap();
    }
    assert_eq!(world.logins(), 1);
}

#[test]
fn the_files_are_where_the_environment_says() {
    let world = World::new();
    let elsewhere = world.home.path().join("elsewhere");
    let home = world.home.path();
    let builder = world.builder("alice").environment([("HOME", home), ("XDG_CACHE_HOME", &elsewhere)]);
    world.run(&builder).unwrap();
    assert!(elsewhere.join("tower-keystone").exists() && !world.store().exists());
}

#[test]
fn a_program_works_without_a_place_for_the_files() {
    let world = World::new();
    let clouds = fs::read_to_string(world.home.path().join(".config/openstack/clouds.yaml")).unwrap();
    let without_home = world.builder("alice").environment::<&str, &str>([]).clouds_yaml(clouds);
    assert!(without_home.build().unwrap().shared_tokens().is_none());
    world.run(&without_home).unwrap();

    fs::create_dir_all(world.store()).unwrap();
    set_mode(&world.store(), 0o755);
    assert!(world.builder("alice").build().unwrap().shared_tokens().is_none());
    world.run(&world.builder("alice")).unwrap();
    assert_eq!(world.logins(), 2);
    assert_eq!(fs::read_dir(world.store()).unwrap().count(), 0);
}

#[test]
fn a_store_of_the_program_is_used_instead_of_files() {
    for members in ["", STORED] {
        let world = World::new();
        world.write_clouds(members);
        let builder = world.builder("alice").shared_tokens(SharedTokens::in_memory());
        for _ in 0..3 {
            world.run(&builder).unwrap();
        }
        assert_eq!((world.logins(), world.store().exists()), (1, false));
        world.run(&builder.cache_auth(false)).unwrap();
        assert_eq!(world.logins(), 1);
    }
}

/// Returns a transport to a Keystone whose clock shows an earlier time, as if the requests had been sent then.
fn keystone_in_the_past(keystone: Transport, ago: Duration) -> Transport {
    let keystone = Arc::new(keystone);
    Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let keystone = Arc::clone(&keystone);
        async move {
            let (head, body) = request.into_parts();
            let body = http_body_util::BodyExt::collect(body).await?.to_bytes();
            let response = keystone.send(Request::from_parts(head, body)).await?;
            let (mut head, body) = response.into_parts();
            let mut document: serde_json::Value = serde_json::from_slice(&body)?;
            for member in ["issued_at", "expires_at"] {
                if let Some(time) = document["token"].get_mut(member) {
                    let shifted = time.as_str().unwrap().parse::<Timestamp>()? - ago;
                    *time = format!("{shifted:.6}").into();
                }
            }
            head.headers.remove("content-length");
            head.headers.remove("date");
            Ok::<_, BoxError>(Response::from_parts(head, Full::new(Bytes::from(document.to_string()))))
        }
    }))
}

/// A home directory that exists as long as this value.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tower-keystone-home-{:016x}", fastrand::u64(..)));
        fs::create_dir(&path).unwrap();
        set_mode(&path, 0o700);
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        let directory = path.parent().unwrap();
        fs::create_dir_all(directory).unwrap();
        set_mode(directory, 0o700);
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o600);
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
