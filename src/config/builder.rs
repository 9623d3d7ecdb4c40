use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{CloudConfig, arguments::argument, load, options::Options};
use crate::{Error, Secret, Transport};

/// A builder of a [`CloudConfig`]: which cloud, which files and variables, and settings that take precedence.
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

    /// Sets a setting by its name in `clouds.yaml`, such as `interface` or `verify`. It takes precedence over all files
    /// and variables.
    ///
    /// A boolean or a number is written as in YAML, such as `false`. A setting of the login, such as `project_name`, is
    /// accepted here, too.
    pub fn set(mut self, name: &str, value: impl Into<Secret>) -> Self {
        self.options.arguments.insert(name, argument(name, value.into()));
        self
    }

    /// Sets a member of `auth` by its name in `clouds.yaml`, such as `password`. It takes precedence over all files and
    /// variables.
    pub fn set_auth(mut self, name: &str, value: impl Into<Secret>) -> Self {
        self.options.auth_arguments.insert(name, argument(name, value.into()));
        self
    }

    /// Replaces the environment of the process: only these variables exist.
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
    /// If not, the cloud and its settings come from files and arguments alone.
    pub fn load_envvars(mut self, load: bool) -> Self {
        self.options.load_envvars = load;
        self
    }

    /// Reads variables with this prefix, too, beside `OS_`.
    pub fn envvar_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.envvar_prefix = Some(prefix.into());
        self
    }

    /// Sets whether files are used. The default is true.
    pub fn load_files(mut self, load: bool) -> Self {
        self.options.load_files = load;
        self
    }

    /// Sets whether files are searched in the working directory, which comes before all other places. The default is
    /// true.
    pub fn search_working_directory(mut self, search: bool) -> Self {
        self.options.search_working_directory = search;
        self
    }

    /// Replaces the working directory of the process.
    pub fn working_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.working_directory = Some(path.into());
        self
    }

    /// Replaces the search for the clouds file: the first of these that can be read is used.
    pub fn clouds_files<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.options.clouds_files = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Replaces the search for the secure file: the first of these that can be read is used.
    pub fn secure_files<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.options.secure_files = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Replaces the search for the file of profiles (`clouds-public.yaml`): the first of these that can be read is used.
    pub fn public_files<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.options.public_files = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Reads files with this function instead of from the disk, for example from memory.
    ///
    /// It gets absolute paths. A file that it returns belongs to the program, so it is trusted.
    pub fn read_files_with(
        mut self,
        read: impl Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.options.read_file = Some(Arc::new(read));
        self
    }

    /// Asks the user for a password or passcode that the configuration does not contain.
    ///
    /// The function gets the prompt, such as `Password: `.
    pub fn prompt(mut self, ask: impl Fn(&str) -> io::Result<Secret> + Send + Sync + 'static) -> Self {
        self.options.prompt = Some(Arc::new(ask));
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

    /// Returns the names of the clouds, in the order of the files; the cloud of the environment is the last.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a file is malformed. A cloud that cannot be used is listed.
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

/// How to load a configuration.
impl CloudConfig {
    /// Loads the cloud that the environment and the files of this user select.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a file is malformed, the cloud or region does not exist, or a setting is missing or
    /// wrong.
    pub fn from_env() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Returns a builder, for programs that choose the cloud, the files or single settings themselves.
    pub fn builder() -> CloudConfigBuilder {
        CloudConfigBuilder { options: Options::default() }
    }

    /// Returns the names of the clouds, in the order of the files; the cloud of the environment is the last.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a file is malformed. A cloud that cannot be used is listed.
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
