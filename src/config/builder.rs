use std::{
    collections::HashMap,
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{CloudConfig, arguments::argument, identity::Prompt, profile::FetchedProfile, value::Mapping};
use crate::{Error, Secret, Transport};

/// Reads a file of the configuration.
pub(super) type ReadFile = Arc<dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync>;

/// A builder of a [`CloudConfig`]: which cloud, which files and variables, and settings that take precedence.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct CloudConfigBuilder {
    pub(super) cloud: Option<String>,
    pub(super) region_name: Option<String>,
    /// Top-level settings of the program, with names as the program spells them.
    pub(super) arguments: Mapping,
    /// Members of `auth` of the program.
    pub(super) auth_arguments: Mapping,
    /// `None` is the environment of the process.
    pub(super) environment: Option<HashMap<OsString, OsString>>,
    pub(super) load_envvars: bool,
    pub(super) envvar_prefix: Option<String>,
    pub(super) load_files: bool,
    pub(super) search_working_directory: bool,
    /// `None` is the working directory of the process.
    pub(super) working_directory: Option<PathBuf>,
    /// Paths that replace the search.
    pub(super) clouds_files: Option<Vec<PathBuf>>,
    pub(super) secure_files: Option<Vec<PathBuf>>,
    pub(super) public_files: Option<Vec<PathBuf>>,
    /// `None` reads from the disk.
    pub(super) read_file: Option<ReadFile>,
    pub(super) prompt: Option<Prompt>,
    pub(super) fetched_profiles: Vec<FetchedProfile>,
}

impl CloudConfigBuilder {
    pub(super) fn new() -> Self {
        Self {
            cloud: None,
            region_name: None,
            arguments: Mapping::default(),
            auth_arguments: Mapping::default(),
            environment: None,
            load_envvars: true,
            envvar_prefix: None,
            load_files: true,
            search_working_directory: true,
            working_directory: None,
            clouds_files: None,
            secure_files: None,
            public_files: None,
            read_file: None,
            prompt: None,
            fetched_profiles: Vec::new(),
        }
    }

    /// Selects a cloud by name. It takes precedence over `OS_CLOUD`.
    #[must_use]
    pub fn cloud(mut self, name: impl Into<String>) -> Self {
        self.cloud = Some(name.into());
        self
    }

    /// Selects a region of the cloud by name.
    #[must_use]
    pub fn region_name(mut self, name: impl Into<String>) -> Self {
        self.region_name = Some(name.into());
        self
    }

    /// Sets a setting by its name in `clouds.yaml`, such as `interface` or `verify`. It takes precedence over all files
    /// and variables.
    ///
    /// A boolean or a number is written as in YAML, such as `false`. A setting of the login, such as `project_name`, is
    /// accepted here, too.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<Secret>) -> Self {
        self.arguments.insert(name, argument(name, value.into()));
        self
    }

    /// Sets a member of `auth` by its name in `clouds.yaml`, such as `password`. It takes precedence over all files and
    /// variables.
    #[must_use]
    pub fn set_auth(mut self, name: &str, value: impl Into<Secret>) -> Self {
        self.auth_arguments.insert(name, argument(name, value.into()));
        self
    }

    /// Replaces the environment of the process: only these variables exist.
    #[must_use]
    pub fn environment<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        self.environment =
            Some(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect());
        self
    }

    /// Sets whether `OS_*` variables are used. The default is true.
    ///
    /// If not, the cloud and its settings come from files and arguments alone.
    #[must_use]
    pub fn load_envvars(mut self, load: bool) -> Self {
        self.load_envvars = load;
        self
    }

    /// Reads variables with this prefix, too, beside `OS_`.
    #[must_use]
    pub fn envvar_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.envvar_prefix = Some(prefix.into());
        self
    }

    /// Sets whether files are used. The default is true.
    #[must_use]
    pub fn load_files(mut self, load: bool) -> Self {
        self.load_files = load;
        self
    }

    /// Sets whether files are searched in the working directory, which comes before all other places. The default is
    /// true.
    #[must_use]
    pub fn search_working_directory(mut self, search: bool) -> Self {
        self.search_working_directory = search;
        self
    }

    /// Replaces the working directory of the process.
    #[must_use]
    pub fn working_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.working_directory = Some(path.into());
        self
    }

    /// Replaces the search for the clouds file: the first of these that can be read is used.
    #[must_use]
    pub fn clouds_files<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.clouds_files = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Replaces the search for the secure file: the first of these that can be read is used.
    #[must_use]
    pub fn secure_files<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.secure_files = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Replaces the search for the file of profiles (`clouds-public.yaml`): the first of these that can be read is used.
    #[must_use]
    pub fn public_files<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.public_files = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Reads files with this function instead of from the disk, for example from memory.
    ///
    /// It gets absolute paths. A file that it returns belongs to the program, so it is trusted.
    #[must_use]
    pub fn read_files_with(
        mut self,
        read: impl Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.read_file = Some(Arc::new(read));
        self
    }

    /// Asks the user for a password or passcode that the configuration does not contain.
    ///
    /// The function gets the prompt, such as `Password: `.
    #[must_use]
    pub fn prompt(mut self, ask: impl Fn(&str) -> io::Result<Secret> + Send + Sync + 'static) -> Self {
        self.prompt = Some(Arc::new(ask));
        self
    }

    /// Fetches the profile of the cloud, if it is not in a file and not built in.
    ///
    /// Some providers publish the settings of their cloud at `https://HOST/.well-known/openstack/api`. A cloud names
    /// such a provider by a URL in `profile`, or by the name `ovh` or `vexxhost`. [`build`](Self::build) sends no
    /// requests, so it refuses such a cloud until its profile was fetched. For all other clouds, nothing is sent.
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
        super::load::fetch_profile(self, transport).await
    }

    /// Loads the configuration of the cloud.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a file is malformed, the cloud or region does not exist, or a setting is missing or
    /// wrong.
    pub fn build(&self) -> Result<CloudConfig, Error> {
        Ok(super::load::build(self)?)
    }

    /// Returns the names of the clouds, in the order of the files; the cloud of the environment is the last.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a file is malformed. A cloud that cannot be used is listed.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        Ok(super::load::names(self)?)
    }

    /// Returns the names of the regions of the cloud, in order. It is empty if the configuration names no region.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a file is malformed or the cloud does not exist.
    pub fn region_names(&self) -> Result<Vec<String>, Error> {
        Ok(super::load::region_names(self)?)
    }
}

/// Shows which cloud is selected, never a setting.
impl fmt::Debug for CloudConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudConfigBuilder")
            .field("cloud", &self.cloud)
            .field("region_name", &self.region_name)
            .field("arguments", &self.arguments)
            .field("auth_arguments", &self.auth_arguments)
            .finish_non_exhaustive()
    }
}
