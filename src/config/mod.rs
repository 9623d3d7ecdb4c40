//! Configuration of a cloud: `clouds.yaml` and `OS_*` variables.

#![allow(dead_code)]

mod api_version;
mod arguments;
mod builder;
mod cloud_config;
mod clouds;
mod endpoint_setting;
mod environment;
mod expand;
mod force_ipv4;
mod identity;
mod interfaces;
mod load;
mod merge;
mod options;
mod profile;
mod read_file;
mod region;
mod retries;
mod search;
mod service;
mod service_settings;
mod settings;
#[cfg(test)]
mod temp_dir;
mod timeout;
mod tls;
mod trust;
mod value;
mod vendors;
mod yaml;

pub use builder::CloudConfigBuilder;
pub use cloud_config::CloudConfig;
pub use service::ServiceConfig;
pub use tls::TlsConfig;

#[doc(no_inline)]
pub use crate::error::{ConfigError, ConfigErrorKind, ConfigLocation};
