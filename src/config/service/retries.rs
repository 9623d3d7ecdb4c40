use std::time::Duration;

use http::StatusCode;

use super::service_settings::ServiceSettings;
use crate::{
    RetryPolicy,
    config::{
        connection::timeout::seconds,
        settings::Text,
        value::{Data, Value},
    },
    error::ConfigError,
    service_types,
};

/// How often the requests of a service are retried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Retries {
    pub(super) connect_retries: Option<u32>,
    pub(super) connect_retry_delay: Option<Duration>,
    pub(super) status_code_retries: Option<u32>,
    pub(super) status_code_retry_delay: Option<Duration>,
    pub(super) retriable_status_codes: Option<Vec<StatusCode>>,
}

impl Retries {
    pub(super) fn new(service: &ServiceSettings<'_>, service_type: &str) -> Result<Self, ConfigError> {
        let default = default_status_code_retries(service_type);
        let status_code_retries = match default {
            Some(_) if !service.is_written("status_code_retries") => default,
            _ => service.get_or_common("status_code_retries", count)?,
        };
        Ok(Self {
            connect_retries: service.get_or_common("connect_retries", count)?,
            connect_retry_delay: service.get_or_common("connect_retry_delay", seconds)?,
            status_code_retries,
            status_code_retry_delay: service.get_or_common("status_code_retry_delay", seconds)?,
            retriable_status_codes: service.get_or_common("retriable_status_codes", status_codes)?,
        })
    }

    /// Returns the policy with these settings.
    pub(super) fn set<B>(&self, mut policy: RetryPolicy<B>) -> RetryPolicy<B> {
        if let Some(retries) = self.connect_retries {
            policy = policy.connect_retries(retries);
        }
        if let Some(delay) = self.connect_retry_delay {
            policy = policy.connect_retry_delay(delay);
        }
        if let Some(retries) = self.status_code_retries {
            policy = policy.status_code_retries(retries);
        }
        if let Some(delay) = self.status_code_retry_delay {
            policy = policy.status_code_retry_delay(delay);
        }
        if let Some(codes) = &self.retriable_status_codes {
            policy = policy.retriable_status_codes(codes.iter().copied());
        }
        policy
    }
}

/// openstacksdk retries the requests of these services more often, because the services are often busy.
fn default_status_code_retries(service_type: &str) -> Option<u32> {
    let service_type = service_types::official(service_type)?;
    matches!(service_type, "baremetal" | "baremetal-introspection" | "image").then_some(5)
}

/// Reads a number of retries.
fn count(value: &Value) -> Result<Option<u32>, ConfigError> {
    let Some(Text { text, location }) = value.text()? else { return Ok(None) };
    let invalid = |_| ConfigError::invalid_value("a number of retries, such as 3").at(&location);
    text.expose().trim().parse().map(Some).map_err(invalid)
}

/// Reads a list of statuses, or a text with statuses separated by commas.
fn status_codes(value: &Value) -> Result<Option<Vec<StatusCode>>, ConfigError> {
    let Data::Sequence(values) = &value.data else { return status_codes_in_text(value) };
    let codes: Result<Vec<_>, _> = values.iter().map(status_codes_in_text).collect();
    Ok(Some(codes?.into_iter().flatten().flatten().collect()))
}

fn status_codes_in_text(value: &Value) -> Result<Option<Vec<StatusCode>>, ConfigError> {
    let Some(Text { text, location }) = value.text()? else { return Ok(None) };
    let codes = text.expose().split(',').map(|code| code.trim().parse());
    let invalid = |_| ConfigError::invalid_value("HTTP statuses, such as 502,503").at(&location);
    codes.collect::<Result<_, _>>().map(Some).map_err(invalid)
}
