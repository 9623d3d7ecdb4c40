//! The first program in the README, which is the example `list_servers`, run with an in-memory cloud.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use http::Response;
use serde_json::{Value, json};
use tokio::task::block_in_place;
use tower_keystone::fixture::Cloud;

const README: &str = include_str!("../README.md");
const EXAMPLE: &str = include_str!("../examples/list_servers.rs");

/// Returns the lines of a program without its docs.
fn code(program: &str) -> Vec<&str> {
    program.lines().filter(|line| !line.starts_with("//!")).skip_while(|line| line.is_empty()).collect()
}

#[test]
fn the_first_program_of_the_readme_is_the_example_and_short() {
    let (_, program) = README.split_once("```rust,no_run\n").unwrap();
    let (program, _) = program.split_once("```\n").unwrap();
    let program = code(program);
    assert_eq!(program, code(EXAMPLE));
    assert!(program.len() <= 25, "{} lines", program.len());
    let functions = program.split(|line| *line == "}").filter_map(|lines| {
        let start = lines.iter().position(|line| line.starts_with("async fn"))?;
        Some((lines[start], lines.len() - start - 1))
    });
    let functions: Vec<_> = functions.collect();
    assert_eq!(functions.len(), 2);
    assert!(functions.iter().map(|(_, lines)| lines).sum::<usize>() <= 10, "{functions:?}");
}

/// Builds the example, and returns the path of the program.
fn program() -> PathBuf {
    let mut build = Command::new(env::var_os("CARGO").unwrap());
    // Cargo sets these for this test. Some build scripts run again if they change.
    let is_of_test = |name: &str| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_");
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_test(&name.to_string_lossy())) {
        build.env_remove(name);
    }
    build.args(["build", "--quiet", "--locked", "--example", "list_servers", "--message-format", "json"]);
    let output = build.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let messages = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap());
    let programs: Vec<PathBuf> =
        messages.filter_map(|message: Value| message["executable"].as_str().map(PathBuf::from)).collect();
    let [program] = <[PathBuf; 1]>::try_from(programs).unwrap();
    program
}

/// Runs the program in this home directory, with these variables and no others.
fn run<V: AsRef<OsStr>>(home: &Path, variables: impl IntoIterator<Item = (&'static str, V)>) -> Output {
    let mut command = Command::new(program());
    command.current_dir(home).env_clear().env("HOME", home).envs(variables);
    block_in_place(|| command.output().unwrap())
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// Returns a home directory with these configuration files.
fn home(name: &str, files: &[(&str, String)]) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("first-program-{name}"));
    let openstack = home.join(".config/openstack");
    fs::create_dir_all(&openstack).unwrap();
    for (file, content) in files {
        fs::write(openstack.join(file), content).unwrap();
    }
    home
}

fn cloud() -> Cloud {
    let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
    let servers = json!({"servers": [{"id": "s1", "name": "web-1"}, {"id": "s2", "name": "web-2"}]});
    cloud.respond("compute", Response::new(servers.to_string()));
    cloud
}

const LISTED: &str = r#"200 OK {"servers":[{"id":"s1","name":"web-1"},{"id":"s2","name":"web-2"}]}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_leads_to_the_cloud() {
    let cloud = cloud();
    let _server = cloud.serve().await.unwrap();
    let output = run(&home("variables", &[]), cloud.environment());
    assert_eq!(text(&output.stdout), LISTED, "{}", text(&output.stderr));
    assert!(output.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn clouds_yaml_leads_to_the_cloud() {
    let cloud = cloud();
    let _server = cloud.serve().await.unwrap();
    let clouds = format!(
        "clouds:
  my-cloud:
    auth:
      auth_url: {}
      username: alice
      user_domain_name: Default
      project_name: demo
      project_domain_name: Default
  other:
    auth_type: none
",
        cloud.keystone().auth_url()
    );
    let secure = "clouds: {my-cloud: {auth: {password: wonderland}}}\n".to_owned();
    let home = home("files", &[("clouds.yaml", clouds), ("secure.yaml", secure)]);
    let output = run(&home, [("OS_CLOUD", "my-cloud")]);
    assert_eq!(text(&output.stdout), LISTED, "{}", text(&output.stderr));

    let output = run(&home, [("OS_CLOUD", "mycloud")]);
    assert!(!output.status.success());
    let error = text(&output.stderr);
    assert!(["mycloud", "my-cloud", "other"].iter().all(|name| error.contains(name)), "{error}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn with_stored_tokens_only_the_first_run_logs_in() {
    let cloud = cloud();
    let _server = cloud.serve().await.unwrap();
    let home = home("stored", &[("clouds.yaml", "cache: {auth: true}\nclouds: {}\n".to_owned())]);
    let _ = fs::remove_dir_all(home.join(".cache"));
    for _ in 0..3 {
        let output = run(&home, cloud.environment());
        assert_eq!(text(&output.stdout), LISTED, "{}", text(&output.stderr));
        assert_eq!(cloud.keystone().logins(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_configuration_the_error_names_what_is_missing() {
    let output = run(&home("empty", &[]), [("LANG", "C")]);
    assert!(!output.status.success());
    let error = text(&output.stderr);
    assert!(error.starts_with("error: no cloud is configured: "), "{error}");
}
