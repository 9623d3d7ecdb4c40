use super::{CloudConfig, CloudConfigBuilder};
use crate::error::ConfigError;

/// Loads the configuration of the selected cloud.
pub(super) fn build(_builder: &CloudConfigBuilder) -> Result<CloudConfig, ConfigError> {
    Err(ConfigError::conflict("not built"))
}

/// Returns the names of the clouds.
pub(super) fn names(_builder: &CloudConfigBuilder) -> Result<Vec<String>, ConfigError> {
    Err(ConfigError::conflict("not built"))
}

/// Returns the names of the regions of the selected cloud.
pub(super) fn region_names(_builder: &CloudConfigBuilder) -> Result<Vec<String>, ConfigError> {
    Err(ConfigError::conflict("not built"))
}
