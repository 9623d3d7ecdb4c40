//! Configuration of a cloud: `clouds.yaml` and `OS_*` variables. Requires the feature `config`.
//!
//! [`CloudConfig::from_env`] loads the cloud that the files and the environment of the user select. With
//! [`CloudConfig::builder`], the program selects the cloud or the files, or sets single settings. A [`CloudConfig`]
//! makes the client (feature `rustls`), or the layer for another HTTP client:
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
//! The rules are those of openstacksdk, OpenStack's library for Python. So the files and variables that you have for it
//! also work here.
//!
//! # Files
//!
//! There are three files. All are optional:
//!
//! - `clouds.yaml`, the *clouds file*, has the clouds, by name, in `clouds`.
//! - `secure.yaml`, the *secure file*, has the same structure, for secrets. It is merged over the clouds file.
//! - `clouds-public.yaml` has profiles of providers, by name, in `public-clouds`. A cloud names its profile in
//!   `profile`. The settings of the cloud are merged over those of the profile. Profiles of some providers are built
//!   in. Others have to be fetched, see [`fetch_profile`](CloudConfigBuilder::fetch_profile).
//!
//! Each of the three is searched for separately, with the endings `.yaml`, `.yml` and `.json`. The first file that can
//! be read is used:
//!
//! 1. the path in `OS_CLIENT_CONFIG_FILE` (clouds file) or `OS_CLIENT_SECURE_FILE` (secure file); `~` in it is not
//!    expanded;
//! 2. the working directory, unless [`search_working_directory`](CloudConfigBuilder::search_working_directory) is off;
//! 3. `$XDG_CONFIG_HOME/openstack`, and `~/.config/openstack`;
//! 4. on Unix, `openstack` in each directory of `$XDG_CONFIG_DIRS` (by default `/etc/xdg`), and `/etc/openstack`.
//!
//! A file that does not exist or that you may not read is skipped, and so is a directory. A file that is malformed,
//! longer than 1 MiB or not a regular file is an error. `/dev/null` counts as an empty file.
//!
//! If the program passes the [content](CloudConfigBuilder::clouds_yaml) of the clouds file, no files are searched for.
//!
//! # The cloud and its region
//!
//! The first of these is the cloud:
//!
//! 1. the one that the program [selects](CloudConfigBuilder::cloud);
//! 2. the one that `OS_CLOUD` names;
//! 3. the one that the environment describes;
//! 4. the only cloud in the files.
//!
//! If there is none of them, all settings come from the program.
//!
//! The environment describes a cloud if an `OS_*` variable is set, other than `OS_CLOUD`, `OS_REGION_NAME`,
//! `OS_CLOUD_NAME`, the two variables for files, and those that begin with `OS_TEST`, `OS_STD` or `OS_LOG`. The name of
//! this cloud is the value of `OS_CLOUD_NAME`, by default `envvars`. The variable `OS_USERNAME` is its setting
//! `username`, and so on. Variables never change a cloud of the files. The command `openstack` is different: it applies
//! variables such as `OS_REGION_NAME` to a cloud of the files. A variable with an empty value counts as not set.
//!
//! `regions` lists the regions of a cloud. An entry can have `values`: settings for this region only. The region is the
//! one that the program [selects](CloudConfigBuilder::region_name), otherwise the first one.
//!
//! # Settings
//!
//! [Arguments](CloudConfigBuilder::set), which the program sets, take precedence over the `values` of the region. Then
//! come `secure.yaml`, `clouds.yaml`, the profile and the defaults. Names can be written with `-` instead of `_`.
//!
//! `{name}` in a setting outside `auth`, or in `auth_url`, is replaced by the setting with this name outside `auth`,
//! for example `{region_name}`. If there is no such setting, the braces stay as they are; in `auth_url`, they are an
//! error. The names of users, projects and domains are not changed.
//!
//! # Federated logins
//!
//! The feature `federation` adds logins at an identity provider, with OAuth 2.0, and with client certificates. For
//! example, a person logs in with the browser of any device:
//!
//! ```yaml
//! clouds:
//!   campus:
//!     auth_type: v3oidcdeviceauthz
//!     auth:
//!       auth_url: https://keystone.example.com/v3
//!       identity_provider: campus
//!       protocol: openid
//!       client_id: command-line
//!       discovery_endpoint: https://login.example.com/.well-known/openid-configuration
//!       project_name: demo
//!       project_domain_name: Default
//! ```
//!
//! | auth type | who logs in | settings of its own |
//! |---|---|---|
//! | `v3oidcclientcredentials` | a program | those of a client, see below |
//! | `v3oidcpassword` | a user of the provider | those of a client, `username`, `password`, `idp_otp_key` |
//! | `v3oidcaccesstoken` | a program with a token of the provider, such as a CI job | `access_token` |
//! | `v3oidcauthcode` | a program with an authorization code, for one login | those of a client, `code`, `redirect_uri` |
//! | `v3oidcdeviceauthz` | a person, with any browser | those of a client, `device_authorization_endpoint`, `code_challenge_method` |
//! | `v3websso` (feature `browser`) | a person, with the browser of this machine | `redirect_host`, `redirect_port`, `login_timeout` |
//! | `v3samlpassword` (feature `saml`) | a user of a SAML provider | `identity_provider_url`, `username`, `password` |
//! | `v3oauth2clientcredential` | an application credential | `oauth2_endpoint`, `oauth2_client_id`, `oauth2_client_secret` |
//! | `v3oauth2mtlsclientcredential` | a user with a certificate | `oauth2_endpoint`, `oauth2_client_id` |
//! | `v3tokenlessauth` | a user with a certificate, at Keystone only | none |
//!
//! The first seven also have `identity_provider` and `protocol`. The settings of a client are `client_id`,
//! `client_secret`, `openid_scope`, `access_token_type`, and `discovery_endpoint` or `access_token_endpoint`. The
//! certificate of the last two is that of the connection, in `cert` and `key`.
//!
//! - A program calls `CloudConfig::log_in` before the first request, which shows a person where to log in. It does
//!   nothing if the auth type needs no person. A request never waits for a person: without this call, it fails.
//! - If `idp_otp_key` is set, the passcode is the setting `passcode`, or the reply of the user to a
//!   [prompt](CloudConfigBuilder::prompt).
//! - A device login has a code challenge (PKCE) with the method `S256`. `code_challenge_method: none` leaves it out.
//! - Secrets go over plain http to loopback only, unless `CloudConfigBuilder::allow_http` names the host.
//! - If tokens are stored, the unscoped token and the refresh token of the login are stored, too. The next run of the
//!   program then asks no person, until the login has ended or the program calls `CloudConfig::forget_login`. This needs
//!   a store that is sealed with a key, as `cache.auth` is. Everybody who has the store and the key goes on with the login
//!   of the person who has logged in last, so do not share them between persons.
//! - Without such a store, a person logs in again in each run of the program, unless it keeps the login itself with
//!   `CloudConfig::keep_login`.
//!
//! The auth types `v3kerberos`, `v3fedkerb` and `v3oauth1` need a function of the program, so no configuration can
//! select them. The error says which credentials to use in the program. The same holds for Keystone to Keystone, and
//! for a token in a file that the platform replaces: see `Keystone2KeystoneCredentials` and `AccessTokenSource::file`.
//!
//! # Stored tokens
//!
//! A command line program logs in each time it runs. With the feature `store`, `cache.auth` in the clouds file makes it
//! store its token in a file, so that the next run needs no login:
//!
//! ```yaml
//! cache:
//!   auth: true
//! clouds:
//!   demo:
//!     # as always
//! ```
//!
//! It is the setting of openstacksdk, and like there it applies to all clouds, also to that of the environment. The
//! files are in `tower-keystone` in `$XDG_CACHE_HOME`, or else in `~/.cache`. Only this user can read them. Programs that
//! log in with the same credentials share the token, also while they run. `store::FileStore` describes the
//! files.
//!
//! If the files cannot be used, for example because there is no home directory or because others can read the
//! directory, a warning is logged, and the program logs in as without the setting. The same holds on systems other than
//! Unix, and without the feature `store`.
//!
//! The other members of `cache` are about responses of services, and have no effect here. No `OS_*` variable turns
//! `cache.auth` on. A program can turn it on or off (`CloudConfigBuilder::cache_auth`), or set another store, such as
//! memcached (`CloudConfigBuilder::shared_tokens`).
//!
//! # Who receives secrets
//!
//! A configuration file says where the secrets of a cloud are sent. Another user who can write to a file could thus
//! have the secrets sent to a server of their own. Two rules prevent this:
//!
//! - If the settings of a cloud come from several sources, each of its files must be protected. Otherwise, loading
//!   fails with [`ConfigErrorKind::UntrustedCloudsFile`] or [`ConfigErrorKind::Conflict`].
//! - A secret is never inserted into another setting. Its name in braces is an error.
//!
//! These are sources: all files of one owner in one directory, the environment, secrets that the program sets, the
//! reply of the user to a [prompt](CloudConfigBuilder::prompt), a person who logs in (`CloudConfig::log_in`), and the
//! client certificate of `v3oauth2mtlsclientcredential` and `v3tokenlessauth`.
//!
//! A file is protected if it belongs to this user or to root, and nobody else can write to it. Its directory must
//! belong to this user or to root, too, and others must not be able to write to the directory unless it has the sticky
//! bit. If a path is a symbolic link, these rules also apply to the link and its directory. A file that the program
//! [provides](CloudConfigBuilder::read_files_with) is protected.
//!
//! "This user" is the owner of `/proc/self`, or of the home directory where `/proc/self` does not exist. On systems
//! other than Unix, a file in the working directory is not protected, and all other files are.
//!
//! # Differences from openstacksdk
//!
//! The tests replay 577 cases that were recorded with openstacksdk 4.22. Where openstacksdk guesses, this crate returns
//! an error, or uses the only sensible meaning:
//!
//! | setting | openstacksdk | this crate |
//! |---|---|---|
//! | a file that cannot be parsed | skips it, and uses the next one | an error |
//! | the password `0123`, `1.10` or `yes`, without quotes | sends `83`, `1.1` or the boolean `true` | sends the characters that were written |
//! | `verify: "false"`, or `OS_VERIFY=false` | the path of a file of CA certificates | certificates are not verified |
//! | `insecure: "yes"`, or `OS_INSECURE=1` | certificates are verified | they are not verified; `1` is an error |
//! | an argument, and the same setting in `auth` of a file | the file takes precedence, except for projects and domains | the argument takes precedence |
//! | an application credential or a token, without `auth_type` and password | an error, or a login with a password | a login with the application credential or the token |
//! | an empty variable, such as `OS_AUTH_TYPE=` | depends on the setting; here no authentication | counts as not set |
//! | a missing password, or an `api_timeout` that is no number | fails when it is used | loading fails |
//! | a project or domain that is null | sends the text `None` | counts as not set |
//! | `auth_type: none` | sends the token `notused` | sends no token |
//! | `<<: [*a, *b]` | `b` takes precedence | `a` takes precedence, as in YAML |
//! | `cache.auth: true` | stores tokens in the keyring of the desktop | stores them in files |
//! | `regions: R1`, which is no list | the region `R` | an error |
//! | a device login without `code_challenge_method` | without PKCE | PKCE with `S256`; `none` leaves it out |
//!
//! # Errors and warnings
//!
//! A [`ConfigError`] says where the setting was written, and contains no value of a setting. Loading logs a warning for
//! each setting that is deprecated or has no effect, for example a profile that does not exist, and for each file that
//! may not be read. Unknown settings outside `auth` are ignored, because other programs have settings in the same files
//! and variables. A warning is logged if the name of one is close to a known name.

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
#[cfg(feature = "federation")]
mod log_in;
#[cfg(feature = "federation")]
mod login_page;
#[cfg(test)]
mod merge_tests;
pub(crate) mod names;
mod options;
mod service;
pub mod service_defaults;
mod settings;
mod sources;
mod stored_tokens;
#[cfg(test)]
mod temp_dir;
mod value;

pub use builder::CloudConfigBuilder;
#[cfg(feature = "rustls")]
#[cfg_attr(docsrs, doc(cfg(feature = "rustls")))]
pub use client::CloudClient;
pub use cloud_config::CloudConfig;
pub use connection::tls::TlsConfig;
#[cfg(feature = "federation")]
#[cfg_attr(docsrs, doc(cfg(feature = "federation")))]
pub use login_page::LoginPage;
pub use service::service_config::ServiceConfig;
pub use service_defaults::{ServiceDefaults, ServiceDefaultsLayer, ServiceRetryPolicy};

#[doc(no_inline)]
pub use crate::error::{ConfigError, ConfigErrorKind, ConfigLocation};
