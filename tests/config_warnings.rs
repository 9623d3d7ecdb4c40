//! What is logged while a configuration is loaded.
//!
//! This is a test of its own, because other threads would decide together with it whether an event is enabled.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use tower_keystone::config::{CloudConfig, CloudConfigBuilder};

const AUTH: &str = "auth: {auth_url: 'https://k/v3', user_id: u, password: canary}";

#[test]
fn what_has_no_effect_is_logged_once_and_without_values() {
    misspelt_settings();
    files_that_are_skipped();
    variables_beside_a_cloud_of_a_file();
    users_that_are_missing();
    anchors_without_a_value();
    profiles_that_are_deprecated();
    keys_without_a_certificate();
    tokens_that_are_not_stored();
}

fn misspelt_settings() {
    let text = format!(
        "clouds:\n  one:\n    {AUTH}\n    regoin_name: canary\n    verfy: canary\n    compue_endpoint_override: canary\n    \
         color: canary\n    external_network: canary\n  two:\n    cacret: canary\n"
    );
    let builder = with_clouds(&text).cloud("one");
    let unknown = |location: &str, name: &str, meant: &str| {
        format!("{location}: the setting {name} is unknown, so it is ignored; did you mean {meant}?")
    };
    assert_eq!(
        warnings(&builder),
        [
            unknown("/cwd/clouds.yaml:4:5", "regoin_name", "region_name"),
            unknown("/cwd/clouds.yaml:5:5", "verfy", "verify"),
            unknown("/cwd/clouds.yaml:6:5", "compue_endpoint_override", "compute_endpoint_override"),
        ]
    );

    let builder = with_clouds(&format!("clouds: {{one: {{{AUTH}}}}}"));
    assert_eq!(
        warnings(&builder.clone().set("regoin-name", "canary")),
        [unknown("the argument regoin-name", "regoin_name", "region_name")]
    );
    assert!(warnings(&builder.set("color", "canary")).is_empty());

    let variables = [
        ("OS_AUTH_URL", "https://k/v3"),
        ("OS_USER_ID", "u"),
        ("OS_PASSWORD", "canary"),
        ("OS_PROJET_NAME", "canary"),
        ("OS_DEFAULT_DOMAIN", "canary"),
        ("OS_ARCH", "canary"),
        ("OS_PROJECT_ID", ""),
    ];
    assert_eq!(
        warnings(&CloudConfig::builder().environment(variables).load_files(false)),
        [unknown("the variable OS_PROJET_NAME", "projet_name", "OS_PROJECT_NAME")]
    );
}

fn files_that_are_skipped() {
    let one = || Ok(format!("clouds: {{one: {{{AUTH}}}}}"));
    let builder = with_files([
        ("/cwd/clouds.yaml", Err(io::ErrorKind::PermissionDenied)),
        ("/etc/openstack/clouds.yaml", one()),
    ]);
    assert_eq!(warnings(&builder), ["the file /cwd/clouds.yaml may not be read, so it is skipped"]);

    let builder = with_files([("/etc/openstack/clouds.yaml", one())]);
    let variables = [("OS_CLIENT_CONFIG_FILE", "/nonexist"), ("OS_CLIENT_SECURE_FILE", "s.yaml")];
    assert_eq!(
        warnings(&builder.environment(variables)),
        [("OS_CLIENT_CONFIG_FILE", "/nonexist"), ("OS_CLIENT_SECURE_FILE", "/cwd/s.yaml")].map(
            |(variable, path)| format!(
                "the variable {variable}: there is no file {path} that can be read; the usual places are searched"
            )
        )
    );

    let with_variables = || with_clouds(&format!("clouds: {{one: {{{AUTH}}}}}")).environment(variables);
    assert!(warnings(&with_variables().load_files(false)).is_empty());
    let with_paths = with_variables().clouds_files(["/cwd/clouds.yaml"]).secure_files(["/none"]);
    assert!(warnings(&with_paths).is_empty());

    let without_files = || with_files([]).clouds_files(["a.yaml", "/b.yaml"]);
    let none = ["WARN there is none of the clouds files that the program has set: /cwd/a.yaml, /b.yaml"];
    assert_eq!(events(&without_files()), none);
    let names = logged(|| assert_eq!(without_files().names().unwrap(), [""; 0]));
    assert_eq!(names, none);
    assert!(events(&without_files().load_files(false)).is_empty());
    assert!(events(&with_files([]).clouds_files::<&str>([])).is_empty());

    let builder = with_files([("/cwd/clouds.yaml", Err(io::ErrorKind::PermissionDenied))]);
    let error = builder.cloud("one").search_working_directory(true).build().unwrap_err().to_string();
    assert_eq!(
        error,
        "the argument cloud: there is no cloud \"one\"; no cloud is configured: /cwd/clouds.yaml may not be read; no \
         clouds.yaml was found in the working directory, /home/alice/.config/openstack, /etc/xdg/openstack, \
         /etc/openstack"
    );
}

fn variables_beside_a_cloud_of_a_file() {
    let builder = with_clouds(&format!("clouds: {{one: {{{AUTH}}}}}"));
    let variables = [
        ("OS_CLOUD", "one"),
        ("OS_REGION_NAME", "canary"),
        ("OS_PASSWORD", "canary"),
        ("OS_ARCH", "canary"),
        ("OS_FORCE_IPV4", "true"),
        ("OS_PROJECT_NAME", ""),
    ];
    let builder = builder.environment(variables);
    let ignored =
        "the cloud \"one\" is one of a file, so these variables are ignored: OS_PASSWORD, OS_REGION_NAME";
    assert_eq!(warnings(&builder), [format!("{ignored}; set them in the file, or unset them")]);

    let requested = builder.cloud("one");
    assert!(warnings(&requested).is_empty());
    assert!(events(&requested).contains(&format!("DEBUG {ignored}")));
    assert!(events(&requested.load_envvars(false)).is_empty());
}

fn users_that_are_missing() {
    let cloud = |auth: &str| {
        with_clouds(&format!("clouds:\n  one:\n    auth: {{auth_url: 'https://k/v3', {auth}}}\n"))
    };
    assert_eq!(
        warnings(&cloud("password: canary")),
        [
            "/cwd/clouds.yaml:3:38: auth.password: no user is configured for it; set username and user_domain_name, or \
          user_id"
        ]
    );
    let credential = "application_credential_name: n, application_credential_secret: canary";
    assert_eq!(warnings(&cloud(credential)).len(), 1);
    assert!(
        warnings(&cloud("application_credential_id: n, application_credential_secret: canary")).is_empty()
    );
    assert!(warnings(&cloud("token: canary")).is_empty());
}

fn anchors_without_a_value() {
    let text =
        "clouds:\n  one:\n    auth:\n      password: &canary\n      username: &u x\n    regions: [&r]\n";
    assert_eq!(
        warnings(&with_clouds(text)),
        [
            "/cwd/clouds.yaml:4:7: password: the value is empty, because `&` begins an anchor; quote it if it is a \
          text"
        ]
    );
}

fn profiles_that_are_deprecated() {
    let cloud = with_clouds(&format!("clouds: {{one: {{profile: fuga, {AUTH}}}}}"));
    assert_eq!(warnings(&cloud), ["the profile is deprecated: its API no longer responds profile=\"fuga\""]);
}

fn keys_without_a_certificate() {
    let cloud = |tls: &str| with_clouds(&format!("clouds: {{one: {{{tls}, {AUTH}}}}}"));
    assert_eq!(warnings(&cloud("key: k.pem")), ["key has no effect, because cert is not set"]);
    assert!(warnings(&cloud("key: k.pem, cert: c.pem")).is_empty());
}

fn tokens_that_are_not_stored() {
    let cache = |cache: &str| with_clouds(&format!("cache: {cache}\nclouds: {{one: {{{AUTH}}}}}"));
    assert_eq!(
        warnings(&cache("{auht: true, expiration_time: 3600, class: x, arguments: {a: b}}")),
        [
            "/cwd/clouds.yaml:1:9: the setting cache.auht is unknown, so it is ignored; did you mean cache.auth?"
        ]
    );
    let in_the_cloud = with_clouds(&format!("clouds: {{one: {{cache: {{auth: true}}, {AUTH}}}}}"));
    assert_eq!(
        warnings(&in_the_cloud),
        ["/cwd/clouds.yaml:1:16: cache.auth has no effect in a cloud; write cache beside clouds"]
    );

    let without_a_home = || {
        cache("{auth: true}")
            .environment([("HOME", "canary")])
            .clouds_yaml(format!("cache: {{auth: true}}\nclouds: {{one: {{{AUTH}}}}}"))
    };
    let warned = warnings(&without_a_home());
    let [warning] = &*warned else { panic!("{warned:?}") };
    assert!(
        warning.starts_with("cache.auth has no effect, because the tokens cannot be stored: "),
        "{warning}"
    );
    assert!(warnings(&without_a_home().cache_auth(false)).is_empty());
    let shared_tokens = tower_keystone::SharedTokens::in_memory();
    assert!(warnings(&without_a_home().shared_tokens(shared_tokens)).is_empty());
    let without_keystone = "cache: {auth: true}\nclouds: {one: {auth_type: none, endpoint: 'http://k'}}";
    assert!(warnings(&without_a_home().clouds_yaml(without_keystone)).is_empty());
}

fn with_clouds(text: &str) -> CloudConfigBuilder {
    with_files([("/cwd/clouds.yaml", Ok(text.to_owned()))])
}

/// Returns a builder that finds these files alone.
fn with_files<const N: usize>(
    files: [(&'static str, Result<String, io::ErrorKind>); N],
) -> CloudConfigBuilder {
    let read = move |path: &Path| match files.iter().find(|(file, _)| path == Path::new(file)) {
        Some((_, Ok(text))) => Ok(text.clone().into_bytes()),
        Some((_, Err(kind))) => Err((*kind).into()),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    CloudConfig::builder()
        .environment([("HOME", "/home/alice")])
        .working_directory("/cwd")
        .read_files_with(read)
}

/// Returns the warnings of a load, without their times and modules.
fn warnings(builder: &CloudConfigBuilder) -> Vec<String> {
    events(builder).into_iter().filter_map(|line| line.strip_prefix("WARN ").map(str::to_owned)).collect()
}

/// Returns the events of a load, each with its level.
fn events(builder: &CloudConfigBuilder) -> Vec<String> {
    logged(|| drop(builder.build()))
}

/// Returns the events of a call, each with its level.
fn logged(call: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, call);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!log.contains("canary"), "{log}");
    log.lines().map(|line| line.trim_start().to_owned()).collect()
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
