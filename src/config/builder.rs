use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{CloudConfig, cloud::arguments::argument, load, options::Options};
#[cfg(feature = "store")]
use crate::SharedTokens;
use crate::{Error, Secret, Transport};

/// A builder of a [`CloudConfig`]. It selects the cloud, the files and the environment, and sets single settings.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
#[must_use]
pub struct CloudConfigBuilder {
    options: Options,
}

impl CloudConfigBuilder {
    /// Selects a cloud by name. It takes precedence over `OS_CLOUD`.
    pub fn cloud(mut self, name: impl Into<String>) -> Self {
        self.options.cloud = Some(name.into());
        self
    }

    /// Selects a region of the cloud by name.
    pub fn region_name(mut self, name: impl Into<String>) -> Self {
        self.options.region_name = Some(name.into());
        self
    }

    /// Sets a setting of the cloud, such as `interface` or `verify`, by its name in `clouds.yaml`.
    ///
    /// It takes precedence over all files and variables. Write a boolean or a number as in YAML, such as `false`. The
    /// name can begin with `os_`, and can contain `-` instead of `_`. A member of `auth`, such as `project_name`, can
    /// be set in this way, too. An empty value counts as not set.
    pub fn set(mut self, name: &str, value: impl Into<Secret>) -> Self {
        self.options.arguments.insert(name, argument(name, value.into()));
        self
    }

    /// Sets a member of `auth`, such as `password`, by its name in `clouds.yaml`.
    ///
    /// It takes precedence over all files and variables.
    pub fn set_auth(mut self, name: &str, value: impl Into<Secret>) -> Self {
        self.options.auth_arguments.insert(name, argument(name, value.into()));
        self
    }

    /// Replaces the environment of the process with these variables.
    pub fn environment<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        self.options.environment =
            Some(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect());
        self
    }

    /// Sets whether `OS_*` variables are used. The default is true.
    ///
    /// With false, the cloud and its settings come only from files and the program.
    pub fn load_envvars(mut self, load: bool) -> Self {
        self.options.load_envvars = load;
        self
    }

    /// Reads variables with this prefix, too, such as `MY_APP_`.
    ///
    /// `MY_APP_PASSWORD` then takes precedence over `OS_PASSWORD`, and so on.
    pub fn envvar_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.envvar_prefix = Some(prefix.into());
        self
    }

    /// Sets whether files are used. The default is true.
    pub fn load_files(mut self, load: bool) -> Self {
        self.options.load_files = load;
        self
    }

    /// Sets whether files are searched for in the working directory. The default is true.
    ///
    /// The working directory is searched before all other directories.
    pub fn search_working_directory(mut self, search: bool) -> Self {
        self.options.search_working_directory = search;
        self
    }

    /// Sets the directory to use in place of the working directory of the process.
    pub fn working_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.working_directory = Some(path.into());
        self
    }

    /// Sets the content of the clouds file (`clouds.yaml`), in YAML.
    ///
    /// No clouds file is read then. A secure file and a file of profiles are read only if
    /// [`secure_files`](Self::secure_files) and [`public_files`](Self::public_files) set their paths. Errors name the
    /// content `clouds_yaml`, as in `clouds_yaml:3:5`. It counts as [protected](super#who-receives-secrets).
    ///
    /// ```
    /// use tower_keystone::CloudConfig;
    ///
    /// # fn main() -> Result<(), tower_keystone::BoxError> {
    /// let text = "clouds: {demo: {auth: {auth_url: 'https://keystone.example.com', token: gAAAA}}}";
    /// let config = CloudConfig::builder().load_envvars(false).clouds_yaml(text).build()?;
    /// assert_eq!(config.name(), Some("demo"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn clouds_yaml(mut self, text: impl Into<Secret>) -> Self {
        self.options.clouds_yaml = Some(text.into());
        self
    }

    /// Sets the paths of the clouds file (`clouds.yaml`). The first one that can be read is used.
    ///
    /// They replace the search and `OS_CLIENT_CONFIG_FILE`. A relative path is in the working directory. A secure file
    /// is still searched for, unless [`secure_files`](Self::secure_files) sets its paths.
    pub fn clouds_files<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.options.clouds_files = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the paths of the secure file (`secure.yaml`). The first one that can be read is used.
    ///
    /// They replace the search and `OS_CLIENT_SECURE_FILE`. A relative path is in the working directory.
    pub fn secure_files<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.options.secure_files = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the paths of the file of profiles (`clouds-public.yaml`). The first one that can be read is used.
    ///
    /// They replace the search. A relative path is in the working directory.
    pub fn public_files<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.options.public_files = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Reads files with this function instead of from the disk, for example from memory.
    ///
    /// It gets absolute paths. If it fails with [`io::ErrorKind::NotFound`] or [`io::ErrorKind::PermissionDenied`], the
    /// next path is tried. The files count as [protected](super#who-receives-secrets).
    pub fn read_files_with(
        mut self,
        read: impl Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.options.read_file = Some(Arc::new(read));
        self
    }

    /// Sets a function that asks the user for a password or passcode that the configuration does not contain.
    ///
    /// [`build`](Self::build) calls it with a prompt, such as `Password: `, if nothing else is missing. If it returns
    /// an error, `build` fails.
    pub fn prompt(mut self, ask: impl Fn(&str) -> io::Result<Secret> + Send + Sync + 'static) -> Self {
        self.options.prompt = Some(Arc::new(ask));
        self
    }

    /// Allows a federated login to send secrets to this host over plain http, where anybody on the path can read them.
    ///
    /// Without it, client secrets, passwords and tokens of identity providers are sent over https, and over plain http to
    /// loopback only. This also holds for the `auth_url`. Other logins use plain http if the `auth_url` does.
    #[cfg(feature = "federation")]
    #[cfg_attr(docsrs, doc(cfg(feature = "federation")))]
    pub fn allow_http(mut self, host: impl Into<Box<str>>) -> Self {
        self.options.http_hosts.push(host.into());
        self
    }

    /// Sets whether tokens are stored in the files of the user, whatever `cache.auth` in the configuration is.
    ///
    /// The [module docs](super#stored-tokens) describe when and where.
    #[cfg(feature = "store")]
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    pub fn cache_auth(mut self, store: bool) -> Self {
        self.options.cache_auth = Some(store);
        self
    }

    /// Sets the store for the tokens, whatever `cache.auth` in the configuration is.
    ///
    /// So the replicas of a program can share their token. Clones of the store are the same store. For example, several
    /// configurations in one process can share one in memory:
    ///
    /// ```
    /// use tower_keystone::{CloudConfig, Error, SharedTokens};
    ///
    /// fn configs() -> Result<[CloudConfig; 2], Error> {
    ///     let tokens = SharedTokens::in_memory();
    ///     let region = |name| CloudConfig::builder().region_name(name).shared_tokens(tokens.clone()).build();
    ///     Ok([region("RegionOne")?, region("RegionTwo")?])
    /// }
    /// # let _ = configs;
    /// ```
    #[cfg(feature = "store")]
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    pub fn shared_tokens(mut self, shared_tokens: SharedTokens) -> Self {
        self.options.shared_tokens = Some(shared_tokens);
        self
    }

    /// Fetches the profile of the cloud, if it is not in a file and not built in.
    ///
    /// Some providers publish the settings of their cloud at `https://HOST/.well-known/openstack/api`. A cloud names
    /// such a provider by a URL in `profile`, or by the name `ovh` or `vexxhost`. [`build`](Self::build) sends no
    /// requests, so it fails for such a cloud unless its profile has been fetched. For all other clouds, this method
    /// sends nothing.
    ///
    /// The returned builder contains the profile. The request has no credentials. Only `https` is used, redirects are
    /// not followed, and the response must not be longer than 64 KiB.
    ///
    /// # Errors
    ///
    /// - [`Error::Config`] if the profile does not exist or is malformed, and for all errors of the configuration that
    ///   `build` finds before it needs the profile.
    /// - The error of the transport, if the request fails.
    pub async fn fetch_profile(&self, transport: &Transport) -> Result<Self, Error> {
        Ok(Self { options: load::fetch_profile(&self.options, transport).await? })
    }

    /// Loads the configuration of the cloud.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a file is malformed, the cloud or region does not exist, or a setting is missing or
    /// wrong.
    pub fn build(&self) -> Result<CloudConfig, Error> {
        Ok(load::build(&self.options)?)
    }

    /// Returns the names of the clouds: those of the files in order, then the one that the environment describes.
    ///
    /// A cloud with a wrong setting is listed, too.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a file is malformed.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        Ok(load::names(&self.options)?)
    }

    /// Returns the names of the regions of the cloud, in order. It is empty if the configuration names no region.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a file is malformed or the cloud does not exist.
    pub fn region_names(&self) -> Result<Vec<String>, Error> {
        Ok(load::region_names(&self.options)?)
    }
}

impl CloudConfig {
    /// Loads the cloud that the environment and the files of the user select.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a file is malformed, the cloud or region does not exist, or a setting is missing or
    /// wrong.
    pub fn from_env() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Returns a builder, to select the cloud or the files, or to set single settings.
    pub fn builder() -> CloudConfigBuilder {
        CloudConfigBuilder { options: Options::default() }
    }

    /// Returns the names of the clouds: those of the files in order, then the one that the environment describes.
    ///
    /// A cloud with a wrong setting is listed, too.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a file is malformed.
    pub fn names() -> Result<Vec<String>, Error> {
        Self::builder().names()
    }
}

/// Shows which cloud is selected, never a setting.
impl fmt::Debug for CloudConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudConfigBuilder")
            .field("cloud", &self.options.cloud)
            .field("region_name", &self.options.region_name)
            .field("arguments", &self.options.arguments)
            .field("auth_arguments", &self.options.auth_arguments)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        convert::Infallible,
        future,
        sync::atomic::{AtomicU32, Ordering},
    };

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;

    use super::*;
    use crate::config::ConfigErrorKind;

    fn builder(files: &[(&'static str, &'static str)]) -> CloudConfigBuilder {
        let files: HashMap<_, _> = files.iter().copied().collect();
        CloudConfig::builder().environment([("HOME", "/home/a")]).working_directory("/cwd").read_files_with(
            move |path| match files.get(path.to_str().unwrap()) {
                Some(text) => Ok((*text).into()),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        )
    }

    #[test]
    fn a_cloud_is_put_together_from_all_sources() {
        let builder = builder(&[
            (
                "/cwd/clouds.yaml",
                "clouds: {one: {profile: acme, auth: {username: u, project_name: p}, interface: internal,\
                 regions: [R1, {name: R2, values: {api_timeout: 5, auth: {auth_url: 'https://{region_name}/v3'}}}]}}",
            ),
            (
                "/home/a/.config/openstack/secure.json",
                r#"{"clouds": {"one": {"auth": {"password": "canary"}}}}"#,
            ),
            (
                "/etc/openstack/clouds-public.yml",
                "public-clouds: {acme: {auth: {auth_url: 'https://k/v3', user_domain_name: d,\
                 project_domain_name: d}, api_timeout: 7}}",
            ),
        ]);
        let config = builder.build().unwrap();
        assert_eq!(config.name(), Some("one"));
        assert_eq!(config.region_name(), Some("R1"));
        assert_eq!(config.auth_type(), "password");
        assert_eq!(config.api_timeout().map(|timeout| timeout.as_secs()), Some(7));
        assert_eq!(config.config_file(), Some(Path::new("/cwd/clouds.yaml")));
        assert_eq!(config.secure_file(), Some(Path::new("/home/a/.config/openstack/secure.json")));
        assert_eq!(config.credentials().unwrap().auth_url(), "https://k/v3");
        assert_eq!(builder.region_names().unwrap(), ["R1", "R2"]);

        let config = builder.clone().region_name("R2").set("api_timeout", "3").build().unwrap();
        assert_eq!(config.region_name(), Some("R2"));
        assert_eq!(config.api_timeout().map(|timeout| timeout.as_secs()), Some(3));
        assert_eq!(config.credentials().unwrap().auth_url(), "https://r2/v3");
        assert!(!format!("{config:?} {builder:?}").contains("canary"));
    }

    #[test]
    fn an_empty_name_of_a_region_is_none() {
        let builder = builder(&[(
            "/cwd/clouds.yaml",
            "clouds: {one: {regions: [''], auth: {auth_url: 'https://k', user_id: u, password: p}}}",
        )]);
        assert_eq!(builder.build().unwrap().region_name(), None);
        assert!(builder.region_names().unwrap().is_empty());
    }

    #[test]
    fn only_a_profile_that_has_to_be_fetched_is_requested() {
        let clouds = "clouds: {one: {profile: auro}, two: {}, three: {profile: ovh, auth: {username: u, password: p}}}";
        let builder = builder(&[("/cwd/clouds.yaml", clouds)]);
        let document =
            r#"{"name": "ovhcloud", "profile": {"auth": {"auth_url": "https://k"}, "regions": ["BHS"]}}"#;
        let requests = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&requests);
        let transport = Transport::new(tower::service_fn(move |_: Request<Full<Bytes>>| {
            counted.fetch_add(1, Ordering::Relaxed);
            let body = Full::<Bytes>::from(document);
            future::ready(Ok::<_, Infallible>(Response::new(body)))
        }));
        let fetch =
            |builder: &CloudConfigBuilder| tokio_test::block_on(builder.fetch_profile(&transport)).unwrap();
        for name in ["one", "two"] {
            let _ = fetch(&builder.clone().cloud(name));
        }
        assert_eq!(requests.load(Ordering::Relaxed), 0);

        let builder = builder.cloud("three");
        assert!(builder.build().is_err());
        let config = fetch(&builder).build().unwrap();
        assert_eq!(config.region_name(), Some("BHS"));
        assert_eq!(config.credentials().unwrap().auth_url(), "https://k");
        assert_eq!(requests.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_content_of_the_clouds_file_replaces_all_files() {
        let one = "clouds:\n  one:\n    auth: {auth_url: 'https://k', user_id: u, password: canary}\n";
        let files = [
            ("/cwd/clouds.yaml", "clouds: {two: {}}"),
            ("/cwd/secure.yaml", "clouds: {one: {verify: false}}"),
            ("/cwd/clouds-public.yaml", "public-clouds: {acme: {verify: false}}"),
            ("/mine/secure.yaml", "clouds: {one: {auth: {password: other}, insecure: true}}"),
        ];
        let environment = [("OS_CLIENT_CONFIG_FILE", "/cwd/clouds.yaml"), ("OS_CLOUD", "one")];
        let builder =
            builder(&files).environment(environment).clouds_yaml(format!("{one}    profile: acme\n"));
        assert_eq!(builder.names().unwrap(), ["one"]);
        let config = builder.build().unwrap();
        assert_eq!((config.name(), config.tls().verify), (Some("one"), true));
        assert_eq!((config.config_file(), config.secure_file()), (None, None));
        assert!(!format!("{builder:?} {config:?}").contains("canary"));
        // Not even without the search for files.
        assert!(builder.clone().load_files(false).build().is_ok());

        let secured = builder.clone().secure_files(["/mine/secure.yaml"]).build().unwrap();
        assert!(!secured.tls().verify && secured.secure_file().is_some());
        assert!(!builder.clone().public_files(["clouds-public.yaml"]).build().unwrap().tls().verify);

        let error = builder.clone().clouds_yaml(format!("{one}    regions: canary\n")).build().unwrap_err();
        assert_eq!(error.to_string(), "clouds_yaml:4:5: regions: expected a list of regions");
        let error = builder.cloud("two").build().unwrap_err().to_string();
        assert_eq!(error, "the argument cloud: there is no cloud \"two\"; the clouds are one");
    }

    #[test]
    fn a_broken_cloud_spoils_no_other() {
        let builder = builder(&[(
            "/cwd/clouds.yaml",
            "clouds: {broken: [], one: {auth: {auth_url: 'https://k', password: p}},\
             regions: {regions: canary}, profile: {profile: ultimum}, url: {profile: 'https://h'}}",
        )]);
        assert_eq!(builder.names().unwrap(), ["broken", "one", "regions", "profile", "url"]);
        for name in builder.names().unwrap() {
            let builder = builder.clone().cloud(&name);
            let is_usable = name == "one";
            assert_eq!(builder.build().is_ok(), is_usable, "{name}");
            assert_eq!(builder.region_names().is_ok(), is_usable, "{name}");
        }
    }

    #[cfg(unix)]
    mod trust {
        use std::path::PathBuf;

        use super::*;
        use crate::config::temp_dir::{TempDir, set_mode};

        const CLOUD: &str = "clouds: {one: {auth: {auth_url: 'https://k', username: u}}}";
        const SECURE: &str = "clouds: {one: {auth: {password: canary}}}";

        /// Returns a builder that searches the working directory and the home directory.
        fn builder(directory: &TempDir) -> CloudConfigBuilder {
            CloudConfig::builder()
                .working_directory(directory.path().join("cwd"))
                .environment([
                    ("HOME", directory.path().join("home")),
                    ("XDG_CONFIG_DIRS", "/nowhere".into()),
                ])
                .cloud("one")
        }

        fn untrusted(result: Result<CloudConfig, Error>) -> (PathBuf, PathBuf) {
            match result {
                Err(Error::Config(error)) => match &error.kind {
                    ConfigErrorKind::UntrustedCloudsFile { clouds, secure } => {
                        assert!(!error.to_string().contains("canary"));
                        (clouds.to_path_buf(), secure.to_path_buf())
                    }
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
        }

        #[test]
        fn planted_clouds_receive_no_secret() {
            let directory = TempDir::new();
            let clouds = directory.write("cwd/clouds.yaml", CLOUD);
            let secure = directory.write("home/.config/openstack/secure.yaml", SECURE);
            assert!(builder(&directory).build().is_ok());

            set_mode(&clouds, 0o666);
            assert_eq!(untrusted(builder(&directory).build()), (clouds.clone(), secure));
            assert!(builder(&directory).names().is_ok() && builder(&directory).region_names().is_ok());

            set_mode(&clouds, 0o600);
            set_mode(clouds.parent().unwrap(), 0o777);
            untrusted(builder(&directory).build());

            directory.write("home/.config/openstack/clouds.yaml", CLOUD);
            assert!(builder(&directory).search_working_directory(false).build().is_ok());
        }

        #[test]
        fn a_planted_secure_file_receives_no_secret() {
            let directory = TempDir::new();
            let secure =
                directory.write("cwd/secure.yaml", "clouds: {one: {auth: {auth_url: 'https://evil'}}}");
            let clouds = directory.write(
                "home/.config/openstack/clouds.yaml",
                "clouds: {one: {auth: {auth_url: 'https://k', username: u, password: canary}}}",
            );
            set_mode(&secure, 0o666);
            assert_eq!(untrusted(builder(&directory).build()), (secure, clouds));
        }

        #[test]
        fn a_secure_file_without_the_cloud_is_no_reason_to_refuse() {
            let directory = TempDir::new();
            let clouds = directory.write(
                "cwd/clouds.yaml",
                "clouds: {one: {auth: {auth_url: 'https://k', username: u, password: p}}}",
            );
            directory.write("home/.config/openstack/secure.yaml", "clouds: {two: {}}");
            set_mode(&clouds, 0o666);
            assert!(builder(&directory).build().is_ok());
        }

        #[test]
        fn planted_profiles_receive_no_secret() {
            let directory = TempDir::new();
            let profiles = "public-clouds: {acme: {auth: {auth_url: 'https://evil'}}}";
            let public = directory.write("cwd/clouds-public.yaml", profiles);
            let clouds = directory.write(
                "home/.config/openstack/clouds.yaml",
                "clouds: {one: {profile: acme, auth: {username: u, password: canary}}}",
            );
            assert!(builder(&directory).build().is_ok());
            set_mode(&public, 0o666);
            assert_eq!(untrusted(builder(&directory).build()), (public, clouds));

            let variables = [("OS_PROFILE", "acme"), ("OS_USERNAME", "u"), ("OS_PASSWORD", "canary")];
            let builder = builder(&directory).environment(variables).cloud("envvars");
            let error = builder.build().unwrap_err().to_string();
            assert!(error.contains("secrets of the environment are not used with it"), "{error}");
        }

        #[test]
        fn secrets_of_the_program_and_of_the_user_are_protected_too() {
            let directory = TempDir::new();
            let clouds = directory.write("cwd/clouds.yaml", CLOUD);
            let of_the_program = builder(&directory).set_auth("password", "canary");
            let of_the_user = builder(&directory).prompt(|_| Ok("canary".into()));
            assert!(of_the_program.build().is_ok() && of_the_user.build().is_ok());

            set_mode(&clouds, 0o666);
            let error = of_the_program.build().unwrap_err().to_string();
            assert!(error.contains("secrets of the program are not used with it"), "{error}");
            let at_the_top = builder(&directory).set("password", "canary").build().unwrap_err();
            assert_eq!(at_the_top.to_string(), error);
            let error = of_the_user.prompt(|_| panic!("the user was asked")).build().unwrap_err().to_string();
            assert!(error.contains("secrets of the user are not used with it"), "{error}");
            assert!(
                builder(&directory).set("interface", "internal").set_auth("username", "x").names().is_ok()
            );
        }

        #[cfg(feature = "federation")]
        #[test]
        fn planted_clouds_do_not_use_the_certificate_of_the_user() {
            for (auth_type, members) in [
                (
                    "v3oauth2mtlsclientcredential",
                    "oauth2_endpoint: 'https://k/v3/OS-OAUTH2/token', oauth2_client_id: u",
                ),
                ("v3tokenlessauth", "project_id: p"),
            ] {
                let directory = TempDir::new();
                let clouds = format!(
                    "clouds: {{one: {{auth_type: {auth_type}, auth: {{auth_url: 'https://k/v3', {members}}}, \
                     compute_endpoint_override: 'https://evil'}}}}"
                );
                let clouds = directory.write("cwd/clouds.yaml", &clouds);
                assert!(builder(&directory).build().is_ok());
                set_mode(&clouds, 0o666);
                let error = builder(&directory).build().unwrap_err().to_string();
                assert!(error.contains("secrets of the user are not used with it"), "{error}");
            }
        }

        #[cfg(feature = "federation")]
        #[tokio::test]
        async fn a_person_does_not_log_in_by_an_unprotected_file() {
            use crate::{Error, Transport};

            let directory = TempDir::new();
            let clouds = directory.write(
                "cwd/clouds.yaml",
                "clouds: {one: {auth_type: v3oidcdeviceauthz, auth: {auth_url: 'https://k', identity_provider: op, \
                 protocol: openid, client_id: cli, access_token_endpoint: 'https://op/token', \
                 device_authorization_endpoint: 'https://op/device'}}}",
            );
            set_mode(&clouds, 0o666);
            let config = builder(&directory).build().unwrap();
            let client = tower::service_fn(|_: http::Request<http_body_util::Full<bytes::Bytes>>| async {
                Err::<http::Response<http_body_util::Full<bytes::Bytes>>, crate::BoxError>("a request".into())
            });
            let log_in = config.log_in(Transport::new(client), |_| panic!("a person is asked"));
            let Error::Config(error) = log_in.await.unwrap_err() else {
                panic!("no error of the configuration")
            };
            assert!(error.to_string().contains("secrets of the user are not used with it"), "{error}");
        }
    }
}
