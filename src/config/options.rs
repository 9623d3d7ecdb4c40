//! The options of a load, which the program sets.

use std::{
    collections::HashMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::Uri;

use super::{identity::Prompt, value::Mapping};
use crate::Secret;
#[cfg(feature = "store")]
use crate::SharedTokens;

/// Reads a file of the configuration.
pub(super) type ReadFile = Arc<dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync>;

/// How a configuration is loaded.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) cloud: Option<String>,
    pub(super) region_name: Option<String>,
    /// Top-level settings that the program sets, with its spelling of the names.
    pub(super) arguments: Mapping,
    /// Members of `auth` that the program sets.
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
    /// The content of the clouds file, which replaces the file and the search for the other files.
    pub(super) clouds_yaml: Option<Secret>,
    /// `None` reads from the disk.
    pub(super) read_file: Option<ReadFile>,
    pub(super) prompt: Option<Prompt>,
    /// The hosts to which secrets of a federated login may be sent over plain http.
    pub(super) http_hosts: Vec<Box<str>>,
    /// Whether tokens are stored in files, in place of `cache.auth`.
    #[cfg(feature = "store")]
    pub(super) cache_auth: Option<bool>,
    /// The store for the tokens, in place of files.
    #[cfg(feature = "store")]
    pub(super) shared_tokens: Option<SharedTokens>,
    pub(super) fetched_profiles: Vec<FetchedProfile>,
}

/// A profile that was fetched.
#[derive(Clone)]
pub(super) struct FetchedProfile {
    pub(super) url: Uri,
    pub(super) members: Mapping,
}

impl Default for Options {
    fn default() -> Self {
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
            clouds_yaml: None,
            read_file: None,
            prompt: None,
            http_hosts: Vec::new(),
            #[cfg(feature = "store")]
            cache_auth: None,
            #[cfg(feature = "store")]
            shared_tokens: None,
            fetched_profiles: Vec::new(),
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Returns options with these variables only.
    pub(crate) fn with_variables(variables: &[(&str, &str)]) -> Options {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Options { environment: Some(variables), ..Options::default() }
    }

    /// Returns options with these files only, in the working directory `/cwd` and with the home directory `/home/a`.
    pub(crate) fn with_files(files: &[(&'static str, &'static str)]) -> Options {
        let files = files.to_vec();
        let read = move |path: &Path| match files.iter().find(|(file, _)| path == Path::new(file)) {
            Some((_, text)) => Ok((*text).into()),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        Options {
            working_directory: Some("/cwd".into()),
            read_file: Some(Arc::new(read)),
            ..with_variables(&[("HOME", "/home/a")])
        }
    }
}
