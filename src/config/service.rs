use std::time::Duration;

use http::StatusCode;

use super::settings::Settings;
use crate::{EndpointFilter, Interface, error::ConfigError};

/// The settings of one service.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    endpoint: EndpointFilter,
    api_version: Option<Box<str>>,
    default_microversion: Option<Box<str>>,
    connect_retries: Option<u32>,
    connect_retry_delay: Option<Duration>,
    status_code_retries: Option<u32>,
    status_code_retry_delay: Option<Duration>,
    retriable_status_codes: Option<Vec<StatusCode>>,
}

impl ServiceConfig {
    pub(super) fn new(
        _settings: &Settings,
        _auth_type: &str,
        _region_name: Option<&str>,
        _interfaces: &[Interface],
        _service_type: &str,
    ) -> Result<Self, ConfigError> {
        Err(ConfigError::conflict("not built"))
    }

    /// Returns the endpoint filter, for the extensions of a request or for
    /// [`AuthLayer::endpoint`](crate::AuthLayer::endpoint).
    pub fn endpoint(&self) -> EndpointFilter {
        self.endpoint.clone()
    }
}
