//! Configuration of a cloud: `clouds.yaml` and `OS_*` variables.

#![allow(dead_code)]

mod builder;
mod cloud_config;
mod identity;
mod load;
mod service;
mod settings;
mod tls;
mod value;
mod yaml;

pub use builder::CloudConfigBuilder;
pub use cloud_config::CloudConfig;
pub use service::ServiceConfig;
pub use tls::TlsConfig;

#[doc(no_inline)]
pub use crate::error::{ConfigError, ConfigErrorKind, ConfigLocation};
