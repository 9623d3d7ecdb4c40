//! Configuration of a cloud: `clouds.yaml` and `OS_*` variables. Requires the feature `config`.
//!
//! [`CloudConfig::from_env`] loads the cloud that the files and the environment of this user select.
//! [`CloudConfig::builder`] is for programs that choose the cloud, the files or single settings themselves. The result
//! has the credentials, the layer, and the settings of services and TLS:
//!
//! ```
//! use std::io;
//!
//! use bytes::Bytes;
//! use http::{Request, StatusCode};
//! use http_body_util::Empty;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_keystone::{config::CloudConfig, fixture::Cloud};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! let clouds = format!(
//!     "clouds:
//!        demo:
//!          auth:
//!            auth_url: {}
//!            username: alice
//!            user_domain_name: Default
//!            project_name: demo
//!            project_domain_name: Default
//!     ",
//!     cloud.keystone().auth_url()
//! );
//! let config = CloudConfig::builder()
//!     .environment([("HOME", "/home/alice"), ("OS_CLOUD", "demo")])
//!     .read_files_with(move |path| match path.to_str() {
//!         Some("/home/alice/.config/openstack/clouds.yaml") => Ok(clouds.clone().into()),
//!         Some("/home/alice/.config/openstack/secure.yaml") => {
//!             Ok("clouds: {demo: {auth: {password: wonderland}}}".into())
//!         }
//!         _ => Err(io::ErrorKind::NotFound.into()),
//!     })
//!     .build()?;
//! assert_eq!(config.name(), Some("demo"));
//!
//! let nova = ServiceBuilder::new().layer(config.layer(cloud.transport())).service(cloud);
//! let mut request = Request::get("/servers/detail").body(Empty::<Bytes>::new())?;
//! request.extensions_mut().insert(config.service("compute")?.endpoint());
//! assert_eq!(nova.oneshot(request).await?.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```
//!
//! The rules are those of openstacksdk, so the files and variables of OpenStack's other clients can be used.
//!
//! # Files
//!
//! There are three files. All are optional:
//!
//! - `clouds.yaml` has the clouds, by name, in `clouds`.
//! - `secure.yaml` has the secrets of clouds, also in `clouds`. It is merged over `clouds.yaml`.
//! - `clouds-public.yaml` has profiles of providers, by name, in `public-clouds`. A cloud names one in `profile`, and
//!   its settings are merged over the profile. Profiles of some providers are built in. Others have to be fetched, see
//!   [`fetch_profile`](CloudConfigBuilder::fetch_profile).
//!
//! Each is searched on its own, with the endings `.yaml`, `.yml` and `.json`. The first one that can be read is used:
//!
//! 1. the path in `OS_CLIENT_CONFIG_FILE` (for `clouds.yaml`) or `OS_CLIENT_SECURE_FILE` (for `secure.yaml`); `~` in it
//!    is not expanded;
//! 2. the working directory, unless [`search_working_directory`](CloudConfigBuilder::search_working_directory) is off;
//! 3. `$XDG_CONFIG_HOME/openstack`, and `~/.config/openstack`;
//! 4. on Unix, `openstack` in each directory of `$XDG_CONFIG_DIRS` (by default `/etc/xdg`), and `/etc/openstack`.
//!
//! A file that does not exist or may not be read is skipped, as is a directory. A file that is malformed, longer than
//! 1 MiB or not a regular file is an error. `/dev/null` counts as an empty file.
//!
//! # The cloud and its region
//!
//! The cloud is the one that the program [asks for](CloudConfigBuilder::cloud), else that of `OS_CLOUD`, else that of
//! the environment, else the only one in the files. Without any of them, all settings come from the program.
//!
//! The environment describes a cloud of its own if an `OS_*` variable is set besides `OS_CLOUD`, `OS_REGION_NAME`,
//! `OS_CLOUD_NAME` and the two variables for files. Its name is that in `OS_CLOUD_NAME`, by default `envvars`. The
//! variable `OS_USERNAME` is the setting `username`, and so on. Variables never change a cloud of the files. A variable
//! with an empty value counts as not set.
//!
//! `regions` lists the regions of a cloud. An entry can have `values`: settings for this region. The region is the one
//! that the program [asks for](CloudConfigBuilder::region_name), else the first one.
//!
//! # Settings
//!
//! Settings of the [program](CloudConfigBuilder::set) take precedence over those of the region, the cloud and the
//! profile. Names can be written with `-` instead of `_`.
//!
//! `{name}` in `auth_url`, or in a setting outside `auth`, is replaced by the setting of that name outside `auth`, for
//! example `{region_name}`. Other braces stay as they are, but are an error in `auth_url`. The names of users, projects
//! and domains are not changed.
//!
//! # Who receives secrets
//!
//! A configuration file says where the secrets of a cloud are sent, so a file that another user planted could have them
//! sent to a server of that user. Two rules prevent this:
//!
//! - If the settings of a cloud come from several places, each of its files must belong to this user or to root, and
//!   only its owner may be able to write to it. The same holds for its directory, which others may write to only if it
//!   has the sticky bit, and for a link to the file. Otherwise, the cloud is refused with
//!   [`ConfigErrorKind::UntrustedCloudsFile`] or [`ConfigErrorKind::Conflict`]. A place is a directory with the files of
//!   one owner, the environment, secrets that the program sets, or the answer of the user to a prompt. Files that the
//!   program provides [itself](CloudConfigBuilder::read_files_with) are trusted.
//! - A secret is never inserted into another setting. Its name in braces is an error.
//!
//! This user is the owner of `/proc/self`, or of the home directory where that does not exist. Where files have no Unix
//! owner, a file in the working directory is not trusted, and files in other places are.
//!
//! # Differences from openstacksdk
//!
//! The tests replay 577 cases that were recorded with openstacksdk 4.22. Where it guesses, this crate returns an error or
//! takes the evident meaning:
//!
//! | setting | openstacksdk | this crate |
//! |---|---|---|
//! | a file that cannot be parsed | skips it, and uses the next one | an error |
//! | the password `0123`, `1.10` or `yes`, without quotes | sends `83`, `1.1` or the boolean `true` | sends the characters that were written |
//! | `verify: "false"`, or `OS_VERIFY=false` | the path of a file of CA certificates | certificates are not verified |
//! | `insecure: "yes"`, or `OS_INSECURE=1` | certificates are verified | they are not verified; `1` is an error |
//! | an argument, and the same setting in `auth` of a file | the file takes precedence, except for projects and domains | the argument takes precedence |
//! | an application credential or a token, without `auth_type` and password | an error, or a login with a password | the auth type is evident |
//! | an empty variable, such as `OS_AUTH_TYPE=` | depends on the setting; here no authentication | counts as not set |
//! | a missing password, or an `api_timeout` that is no number | fails when it is used | fails when it is loaded |
//! | a project or domain that is null | sends the text `None` | counts as not set |
//! | `auth_type: none` | sends the token `notused` | sends no token |
//! | `<<: [*a, *b]` | `b` takes precedence | `a` takes precedence, as in YAML |
//! | `regions: R1`, which is no list | the region `R` | an error |
//!
//! # Errors and warnings
//!
//! A [`ConfigError`] says where the setting was written, and contains no value of a setting. A warning is logged for
//! what is deprecated or has no effect, for example a profile that does not exist.

#![cfg_attr(not(feature = "rustls"), allow(dead_code, reason = "the client uses more of it"))]

mod builder;
#[cfg(feature = "rustls")]
#[cfg_attr(docsrs, doc(cfg(feature = "rustls")))]
pub mod client;
mod cloud;
mod cloud_config;
mod connection;
mod identity;
mod load;
#[cfg(test)]
mod merge_tests;
mod options;
mod service;
pub mod service_defaults;
mod settings;
mod sources;
#[cfg(test)]
mod temp_dir;
mod value;

pub use builder::CloudConfigBuilder;
#[cfg(feature = "rustls")]
#[cfg_attr(docsrs, doc(cfg(feature = "rustls")))]
pub use client::CloudClient;
pub use cloud_config::CloudConfig;
pub use connection::tls::TlsConfig;
pub use service::service_config::ServiceConfig;
pub use service_defaults::{ServiceDefaults, ServiceDefaultsLayer, ServiceRetryPolicy};

#[doc(no_inline)]
pub use crate::error::{ConfigError, ConfigErrorKind, ConfigLocation};
