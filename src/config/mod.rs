//! Configuration of a cloud: `clouds.yaml` and `OS_*` variables.

#![allow(dead_code)]

mod api_version;
mod arguments;
mod builder;
#[cfg(feature = "rustls")]
#[cfg_attr(docsrs, doc(cfg(feature = "rustls")))]
pub mod client;
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
#[cfg(test)]
mod merge_tests;
mod missing_settings;
mod options;
mod profile;
#[cfg(feature = "rustls")]
mod proxy_variables;
mod read_file;
mod region;
mod retries;
mod search;
mod service;
pub mod service_defaults;
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
#[cfg(feature = "rustls")]
#[cfg_attr(docsrs, doc(cfg(feature = "rustls")))]
pub use client::CloudClient;
pub use cloud_config::CloudConfig;
pub use service::ServiceConfig;
pub use service_defaults::{ServiceDefaults, ServiceDefaultsLayer};
pub use tls::TlsConfig;

#[doc(no_inline)]
pub use crate::error::{ConfigError, ConfigErrorKind, ConfigLocation};
