//! Logging in without a password at Keystone: OpenID Connect, SAML, OAuth 2.0, certificates and other Keystones.

#![allow(
    dead_code,
    unused_variables,
    unused_imports,
    unreachable_pub,
    clippy::todo,
    reason = "an outline: the bodies are written next"
)]

mod access_token_source;
#[cfg(feature = "browser")]
mod browser;
mod completed_login;
mod credentials;
mod device_login;
mod grant;
mod header_login;
mod identity_provider;
mod keystone_to_keystone;
mod logins;
mod oauth;
mod oauth2_client_credentials;
mod oauth2_endpoint;
mod oauth2_mtls_credentials;
mod plain_http;
mod random;
mod refresh_token;
mod retries;
#[cfg(feature = "saml")]
mod saml;
mod service_provider;
mod tokenless_plugin;
mod unscoped;

pub use access_token_source::AccessTokenSource;
#[cfg(feature = "browser")]
#[cfg_attr(docsrs, doc(cfg(feature = "browser")))]
pub use browser::{BrowserLogin, BrowserLoginBuilder, WebSsoLogin, WebSsoLoginBuilder};
pub use completed_login::CompletedLogin;
pub use credentials::FederatedCredentials;
pub use device_login::DeviceLogin;
pub use grant::Grant;
pub use identity_provider::IdentityProvider;
pub use keystone_to_keystone::Keystone2KeystoneCredentials;
pub use oauth::{AccessTokenType, ClientAuthentication, OidcClient};
pub use oauth2_client_credentials::OAuth2ClientCredentials;
pub use oauth2_mtls_credentials::OAuth2MtlsCredentials;
#[cfg(feature = "saml")]
#[cfg_attr(docsrs, doc(cfg(feature = "saml")))]
pub use saml::SamlIdentityProvider;
pub use tokenless_plugin::TokenlessPlugin;

#[doc(inline)]
pub use crate::identity::LoginHeader;
