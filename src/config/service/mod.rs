//! The settings of single services.

mod api_version;
mod endpoint_setting;
pub(crate) mod interfaces;
mod retries;
pub(crate) mod service_config;
mod service_settings;
