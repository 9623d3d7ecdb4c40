use std::path::{Path, PathBuf};

use super::settings::Settings;
use crate::error::ConfigError;

/// The TLS settings of a cloud: `verify`, `insecure`, `cacert`, `cert` and `key`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// Whether the certificates of servers are verified.
    pub verify: bool,
    /// A file of CA certificates (PEM), which replace the usual ones.
    pub cacert: Option<PathBuf>,
    /// A file with the client certificate (PEM), and with its private key if [`key`](Self::key) is not set.
    pub cert: Option<PathBuf>,
    /// A file with the private key of the client certificate (PEM).
    pub key: Option<PathBuf>,
}

impl TlsConfig {
    /// Reads the settings. A path that begins with `~` is in the home directory, a relative path is in the working
    /// directory.
    pub(super) fn new(
        _settings: &Settings,
        _home: Option<&Path>,
        _working_directory: &Path,
    ) -> Result<Self, ConfigError> {
        Err(ConfigError::conflict("not built"))
    }
}
