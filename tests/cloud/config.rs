//! `CloudConfig`: files and variables that lead to Keystone and Placement, with and without TLS.

use std::{
    error::Error as StdError,
    ffi::OsString,
    fs::{self, Permissions},
    io::ErrorKind,
    iter,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicUsize, Ordering},
};

use http::{Request, StatusCode};
use serde_json::json;
use tower::ServiceExt;
use tower_keystone::{
    AccessInfo, BoxError, CloudConfig, EndpointFilter, Error, Interface, Scope,
    config::{CloudConfigBuilder, ConfigErrorKind},
};

use crate::support::{Caller, PASSWORD, Real, body_of, keystone, real};

/// The home directory of a user of one test. It is removed when the test ends.
pub(crate) struct Home(PathBuf);

impl Home {
    pub(crate) fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("home-{}-{number}", process::id()));
        fs::create_dir_all(path.join("work")).unwrap();
        Self(path)
    }

    /// Writes a file that only its owner can change, and returns its path.
    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o644);
        path
    }

    /// Writes the clouds file of the user.
    pub(crate) fn clouds(&self, text: &str) {
        self.write(".config/openstack/clouds.yaml", text);
    }

    /// Returns a builder for a user who has this home directory and no variables.
    pub(crate) fn builder(&self) -> CloudConfigBuilder {
        self.builder_with([])
    }

    /// Returns a builder for a user who has this home directory and these variables.
    pub(crate) fn builder_with<'a>(
        &self,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> CloudConfigBuilder {
        let home = (OsString::from("HOME"), self.0.clone().into_os_string());
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        CloudConfig::builder()
            .environment([home].into_iter().chain(variables))
            .working_directory(self.0.join("work"))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Sends a request to Keystone at the auth_url, and one to Placement.
pub(crate) async fn statuses(config: &CloudConfig) -> [StatusCode; 2] {
    [to_keystone(config).await.unwrap(), to_placement(config).await.unwrap()]
}

pub(crate) async fn to_keystone(config: &CloudConfig) -> Result<StatusCode, BoxError> {
    send(config, "/auth/projects", keystone().version(3, 0)).await
}

pub(crate) async fn to_placement(config: &CloudConfig) -> Result<StatusCode, BoxError> {
    send(config, "/resource_providers", EndpointFilter::new("placement")).await
}

async fn send(config: &CloudConfig, path: &str, endpoint: EndpointFilter) -> Result<StatusCode, BoxError> {
    let request = Request::get(path).extension(endpoint).body(body_of(""))?;
    Ok(config.client()?.oneshot(request).await?.status())
}

/// Returns the messages of an error and its sources.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let errors = iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Logs in with the credentials of the configuration.
async fn token(real: &Real, config: &CloudConfig) -> AccessInfo {
    config.credentials().unwrap().get_auth_ref(real.transport()).await.unwrap()
}

/// Returns the auth_url without the version.
fn root(real: &Real) -> String {
    real.auth_url().to_string().trim_end_matches("/v3").to_owned()
}

pub(crate) const OK: [StatusCode; 2] = [StatusCode::OK; 2];

#[tokio::test]
async fn a_password_in_the_secure_file_logs_in() {
    let Some(real) = real() else { return };
    let home = Home::new();
    home.clouds(&format!(
        "clouds:
  real:
    auth: &auth
      auth_url: {}
      username: admin
      user_domain_name: Default
      project_name: admin
      project_domain_name: Default
    region_name: RegionOne
    interface: internal
  elsewhere:
    auth: *auth
    region_name: RegionTwo
  broken:
    auth_type: no-such-type
",
        root(real)
    ));
    home.write(
        ".config/openstack/secure.yaml",
        &format!(
            "clouds: {{real: {{auth: &secret {{password: '{}'}}}}, elsewhere: {{auth: *secret}}}}\n",
            real.text("password")
        ),
    );

    let named = home.builder().cloud("real").build().unwrap();
    let by_variable = home.builder_with([("OS_CLOUD", "real")]).build().unwrap();
    for config in [&named, &by_variable] {
        assert_eq!(config.name(), Some("real"));
        assert_eq!(config.region_name(), Some("RegionOne"));
        assert_eq!(config.interfaces(), [Interface::Internal]);
        assert_eq!(statuses(config).await, OK);
    }
    assert_eq!(token(real, &named).await.project_name(), Some("admin"));
    assert_eq!(home.builder().names().unwrap(), ["real", "elsewhere", "broken"]);

    // An argument takes precedence over the files.
    let wrong = home.builder().cloud("real").set_auth("password", "wrong").build().unwrap();
    let error = to_placement(&wrong).await.unwrap_err();
    let error = Error::find(&*error).unwrap();
    assert!(matches!(error, Error::Keystone(answer) if answer.status == StatusCode::UNAUTHORIZED), "{error}");

    // A region that the file does not list is refused by name. One that the catalog does not have has no endpoints.
    let error = home.builder().cloud("real").region_name("RegionTwo").build().unwrap_err();
    let Error::Config(config_error) = &error else { panic!("{error}") };
    let ConfigErrorKind::RegionNotFound { known, .. } = &config_error.kind else { panic!("{error}") };
    assert_eq!(known, &["RegionOne"]);
    let elsewhere = home.builder().cloud("elsewhere").build().unwrap();
    let error = to_placement(&elsewhere).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::EndpointNotFound(_))), "{error}");
}

#[tokio::test]
async fn an_application_credential_logs_in_with_and_without_an_auth_type() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let person = admin.person("admin").await;
    let as_person = Caller(real.openstack(&real.login(&person).await));
    let fields = json!({"name": "of-a-test", "secret": "0123"});
    let id = as_person.application_credential(&admin, &person, fields).await.expect("a good one");

    let home = Home::new();
    home.clouds(&format!(
        "clouds:
  by-id:
    auth_type: v3applicationcredential
    auth: &auth
      auth_url: {}
      application_credential_id: {id}
      application_credential_secret: 0123
  evident:
    auth: *auth
  by-name:
    auth_type: v3applicationcredential
    auth:
      auth_url: {}
      application_credential_name: of-a-test
      application_credential_secret: 0123
      user_id: {}
",
        root(real),
        real.auth_url(),
        person.id
    ));
    for cloud in ["by-id", "evident", "by-name"] {
        let config = home.builder().cloud(cloud).build().unwrap();
        assert_eq!(config.auth_type(), "v3applicationcredential", "{cloud}");
        assert_eq!(statuses(&config).await, OK, "{cloud}");
        assert_eq!(token(real, &config).await.application_credential_id(), Some(&*id), "{cloud}");
    }
}

#[tokio::test]
async fn a_token_is_exchanged_for_one_of_the_project() {
    let Some(real) = real() else { return };
    let unscoped = real.token(Scope::new().unscoped()).await;
    let home = Home::new();
    home.clouds(&format!(
        "clouds:
  generic:
    auth_type: token
    auth: &auth
      auth_url: {}
      token: {}
      project_name: admin
      project_domain_id: default
  v3:
    auth_type: v3token
    auth: *auth
",
        root(real),
        unscoped.auth_token().unwrap()
    ));
    for cloud in ["generic", "v3"] {
        let config = home.builder().cloud(cloud).build().unwrap();
        assert_eq!(statuses(&config).await, OK, "{cloud}");
        let exchanged = token(real, &config).await;
        assert_eq!(exchanged.project_name(), Some("admin"));
        assert_eq!(exchanged.expires().unwrap(), unscoped.expires().unwrap());
    }
}

#[tokio::test]
async fn the_scope_can_be_the_system() {
    let Some(real) = real() else { return };
    let home = Home::new();
    home.clouds(&format!(
        "clouds:
  system:
    auth:
      auth_url: {}
      username: admin
      user_domain_id: default
      password: {}
      system_scope: all
",
        root(real),
        real.text("password")
    ));
    let config = home.builder().cloud("system").build().unwrap();
    assert!(token(real, &config).await.system_scoped());
    // Placement accepts the token, and serves this list to projects only.
    assert_eq!(statuses(&config).await, [StatusCode::OK, StatusCode::FORBIDDEN]);
    let services = send(&config, "/services", keystone().version(3, 0)).await.unwrap();
    assert_eq!(services, StatusCode::OK);
}

#[tokio::test]
async fn the_scope_can_be_a_trust() {
    let Some(real) = real() else { return };
    let admin = real.admin().await;
    let (trustor, trustee) = (admin.person("admin").await, admin.person("member").await);
    let wanted = json!({
        "trustor_user_id": trustor.id,
        "trustee_user_id": trustee.id,
        "project_id": trustor.project_id,
        "impersonation": true,
        "roles": [{"id": admin.role_id("admin").await}],
    });
    let as_trustor = Caller(real.openstack(&real.login(&trustor).await));
    let trust_id = as_trustor.create("/OS-TRUST/trusts", "trust", wanted).await;

    let home = Home::new();
    home.clouds(&format!(
        "clouds:
  trust:
    auth:
      auth_url: {}
      username: {}
      user_domain_name: Default
      password: {}
      trust_id: {trust_id}
",
        root(real),
        trustee.name,
        PASSWORD,
    ));
    let config = home.builder().build().unwrap();
    assert_eq!(statuses(&config).await, OK);
    let token = token(real, &config).await;
    assert_eq!(token.trust_id(), Some(&*trust_id));
    assert_eq!(token.user_id(), Some(&*trustor.id));
}

#[tokio::test]
async fn the_environment_alone_is_enough() {
    let Some(real) = real() else { return };
    let home = Home::new();
    let (auth_url, root) = (real.auth_url().to_string(), root(real));
    for auth_url in [&*auth_url, &root] {
        let config = home
            .builder_with([
                ("OS_AUTH_URL", auth_url),
                ("OS_USERNAME", real.text("username")),
                ("OS_PASSWORD", real.text("password")),
                ("OS_USER_DOMAIN_NAME", "Default"),
                ("OS_PROJECT_NAME", "admin"),
                ("OS_PROJECT_DOMAIN_ID", "default"),
                ("OS_PROJECT_ID", ""),
                ("OS_REGION_NAME", "RegionOne"),
                ("OS_INTERFACE", "public"),
                ("OS_IDENTITY_API_VERSION", "3"),
            ])
            .build()
            .unwrap();
        assert_eq!(config.name(), Some("envvars"));
        assert_eq!(config.config_file(), None);
        assert_eq!(statuses(&config).await, OK);
    }
}

#[tokio::test]
async fn the_secure_file_is_not_used_with_a_clouds_file_that_others_can_write() {
    let Some(real) = real() else { return };
    let home = Home::new();
    let keystone = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    keystone.set_nonblocking(true).unwrap();
    let planted = home.write(
        "work/clouds.yaml",
        &format!(
            "clouds: {{real: {{auth: {{auth_url: 'http://{}/v3', username: admin, user_domain_id: default}}}}}}\n",
            keystone.local_addr().unwrap()
        ),
    );
    let secure = home.write(
        ".config/openstack/secure.yaml",
        &format!("clouds: {{real: {{auth: {{password: '{}'}}}}}}\n", real.text("password")),
    );
    let directory = planted.parent().unwrap();
    for (mode, directory_mode) in [(0o666, 0o755), (0o664, 0o755), (0o646, 0o755), (0o644, 0o777)] {
        set_mode(&planted, mode);
        set_mode(directory, directory_mode);
        let error = home.builder().build().unwrap_err();
        let Error::Config(config_error) = &error else { panic!("{error}") };
        assert!(matches!(config_error.kind, ConfigErrorKind::UntrustedCloudsFile { .. }), "{error}");
        let text = chain(&error);
        assert!(
            text.contains(planted.to_str().unwrap()) && text.contains(secure.to_str().unwrap()),
            "{text}"
        );
        assert!(!text.contains(real.text("password")));
        // Nor does it receive a password of the program.
        let error = home
            .builder()
            .secure_files::<PathBuf>([])
            .set_auth("password", real.text("password"))
            .build()
            .unwrap_err();
        assert!(chain(&error).contains(planted.to_str().unwrap()), "{}", chain(&error));
    }

    // The user's own clouds file is used if the program does not search the working directory.
    home.clouds(&format!(
        "clouds:
  real:
    auth: {{auth_url: '{}', username: admin, user_domain_id: default, system_scope: all}}
",
        real.auth_url()
    ));
    let config = home.builder().search_working_directory(false).build().unwrap();
    assert_eq!(to_keystone(&config).await.unwrap(), StatusCode::OK);
    assert_eq!(
        keystone.accept().unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "a login went to the planted cloud"
    );
}
