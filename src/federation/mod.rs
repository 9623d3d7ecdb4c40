//! Logging in without a password at Keystone: OpenID Connect, OAuth 2.0, certificates, other clouds, SAML and Kerberos.
//! Requires the feature `federation`.
//!
//! In many clouds, people and programs have no password at Keystone. An identity provider knows them, such as the
//! single sign-on of a company or a university, and Keystone trusts that provider. A federated login proves to Keystone
//! that the provider knows the user, and gets an unscoped token for the proof. With the unscoped token, it gets a token
//! for a project.
//!
//! # Which login?
//!
//! | who logs in | with | keystoneauth |
//! |---|---|---|
//! | a person with a browser on this machine | `BrowserLogin` (feature `browser`) | |
//! | the same, if only Keystone is a client of the provider, as with Horizon | `WebSsoLogin` (feature `browser`) | `v3websso` |
//! | a person on a machine without a browser, such as a server | [`DeviceLogin`] | `v3oidcdeviceauthz` |
//! | the same person in the next run of the program | [`Grant::refresh_token`] | |
//! | a person, if the program has obtained an authorization code itself | [`Grant::authorization_code`] | `v3oidcauthcode` |
//! | a CI job, with the ID token of its platform; see [below](#ci-jobs-and-pods) | [`Grant::access_token`] | `v3oidcaccesstoken` |
//! | a Kubernetes pod, with its projected service account token | [`Grant::access_token`] of [`AccessTokenSource::file`] | `v3oidcaccesstoken` |
//! | a service account: a client of the provider, with a secret | [`Grant::client_credentials`] | `v3oidcclientcredentials` |
//! | a user with a password at the provider, if the provider allows that | [`Grant::password`] | `v3oidcpassword` |
//! | a user of another cloud, whose Keystone this one trusts | [`Keystone2KeystoneCredentials`] | `Keystone2Keystone` |
//! | a user with a TLS client certificate | [`OAuth2MtlsCredentials`] | `v3oauth2mtlsclientcredential` |
//! | the same, for requests to Keystone only | [`TokenlessPlugin`] | `v3tokenlessauth` |
//! | a program whose services take OAuth 2.0 bearers of Keystone | [`OAuth2ClientCredentials`] | `v3oauth2clientcredential` |
//! | a user with a Kerberos ticket | [`AuthMethod::kerberos`](crate::AuthMethod::kerberos), or [`Grant::header`] if the provider is federated | `v3kerberos`, `v3fedkerb` |
//! | a user with a password at a SAML identity provider with ECP | `Grant::saml` (feature `saml`) | `v3samlpassword` |
//! | a program with an OAuth 1.0a access token | [`AuthMethod::oauth1`](crate::AuthMethod::oauth1) | `v3oauth1` |
//!
//! A program that has a user at Keystone needs none of these: an application credential
//! ([`AuthMethod::application_credential`](crate::AuthMethod::application_credential)) is simpler. The roles of a
//! federated user often come from groups that the mapping of the provider assigns at each login. Keystone gives such
//! roles to no application credential, unless the operator sets `authorization_ttl` of the identity provider.
//!
//! # Example
//!
//! A service account logs in at the provider, and a [`RenewingPlugin`](crate::RenewingPlugin) renews its token:
//!
//! ```
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{Layer, ServiceExt};
//! use tower_keystone::{
//!     AuthLayer, EndpointFilter, RenewingPlugin, Scope,
//!     federation::{FederatedCredentials, Grant, IdentityProvider, OidcClient},
//! };
//! # use bytes::Bytes;
//! # use tower_keystone::fixture::Cloud;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).project("demo").identity_provider("company", "openid");
//! # cloud.oidc_provider().add_client("robot", "robot-secret");
//! # let (auth_url, discovery) = (cloud.keystone().auth_url(), cloud.oidc_provider().discovery_endpoint());
//! # let (client, transport) = (cloud.clone(), cloud.transport());
//! // As `openstack identity provider list` and `openstack federation protocol list` show them.
//! let provider = IdentityProvider::new(auth_url, "company", "openid");
//! // The client that is registered at the provider.
//! let robot = OidcClient::new("robot").secret("robot-secret").discovery_endpoint(discovery);
//! let demo = Scope::new().project_name("demo").project_domain_name("Default");
//!
//! let credentials = FederatedCredentials::new(provider, Grant::client_credentials(robot)).scope(demo);
//! let plugin = RenewingPlugin::new(credentials, transport);
//! let nova = AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")).layer(client);
//!
//! let response = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! The examples `device_login`, `ci_token` and `kerberos` show a person, a CI job and a user with a Kerberos ticket.
//! With a `clouds.yaml`, the `auth_type` selects most of these logins (feature `config`). The program then has no code
//! for them, except a call of `CloudConfig::log_in` if a person logs in.
//!
//! # CI jobs and pods
//!
//! | platform | token | source |
//! |---|---|---|
//! | GitLab | the variable that `id_tokens` of the job names, such as `KEYSTONE_TOKEN` | [`Grant::access_token`] of its value; with the feature `config`, the variables `OS_AUTH_TYPE=v3oidcaccesstoken` and `OS_ACCESS_TOKEN=$KEYSTONE_TOKEN` |
//! | GitHub Actions | the member `value` of the response to a GET of `$ACTIONS_ID_TOKEN_REQUEST_URL&audience=keystone`, with the header `Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN` | [`AccessTokenSource::function`], which requests a new one at each login |
//! | Kubernetes | the file of a `serviceAccountToken` in a `projected` volume, with an `audience` | [`AccessTokenSource::file`] |
//!
//! The token of such a platform is a JWT, and is sent to Keystone as the access token. The operator of the cloud has to
//! register the platform as an identity provider, and the web server of Keystone has to accept its tokens for the
//! audience. A fixed token often expires within an hour, and then there is no other login. A job that runs for longer
//! needs a function or a file, which are read again at each login. While the file is missing, the login is repeated for
//! up to 30 s; with [`RenewalPolicy::fail_fast`](crate::RenewalPolicy::fail_fast), a wrong path is an error at once.
//!
//! # Logins of persons
//!
//! A login of a person is a value that the program awaits. It shows a URL, and yields a [`CompletedLogin`]: the
//! unscoped token of the user and, if the provider gives one, a refresh token. [`CompletedLogin::into_credentials`]
//! makes credentials of it. To get a refresh token, add `offline_access` to [`OidcClient::scope`].
//!
//! No person is ever asked in the background. When the refresh token has expired (or the unscoped token, if there is no
//! refresh token), requests fail with [`Error::LoginEnded`](crate::Error::LoginEnded): start another login.
//!
//! A person stays logged in between two runs of a program if it saves the refresh token, for example in the keyring of
//! the desktop. Most providers replace a refresh token each time it is used, so that the program saves it twice:
//!
//! ```
//! # use tower_keystone::{Error, Secret, Transport};
//! use tower_keystone::federation::{DeviceLogin, FederatedCredentials, Grant, IdentityProvider, OidcClient};
//!
//! /// `saved` is the refresh token that `save` got last, in an earlier run.
//! async fn log_in(
//!     keystone: IdentityProvider,
//!     client: OidcClient, // with .scope("openid profile offline_access")
//!     transport: Transport,
//!     saved: Option<Secret>,
//!     save: fn(&Secret),
//! ) -> Result<FederatedCredentials, Error> {
//!     if let Some(token) = saved {
//!         let grant = Grant::refresh_token(client, token);
//!         return Ok(FederatedCredentials::new(keystone, grant).on_refresh_token(save));
//!     }
//!     let mut login = DeviceLogin::start(keystone, client, transport).await?;
//!     println!("Open {} and enter the code {}.", login.verification_uri(), login.user_code());
//!     let login = login.complete().await?;
//!     if let Some(token) = login.refresh_token() {
//!         save(token); // the first one
//!     }
//!     Ok(login.into_credentials().on_refresh_token(save)) // the later ones
//! }
//! # let _ = log_in;
//! ```
//!
//! If a request then fails with `Error::LoginEnded`, forget the saved token, and call `log_in` again. With a
//! configuration, `CloudConfig::keep_login` does all of this. If two runs use the same refresh token at the same time,
//! the provider can take that for theft and end the login. With `FederatedCredentials::store` (feature `store`) and a
//! key, they use it one after the other, and each uses the newest one.
//!
//! A sealed store does this, too: `CompletedLogin::store` stores the login, and `CompletedLogin::stored` finds it in the
//! next run, which then asks nobody (feature `store`).
//!
//! # Renewal, and several scopes
//!
//! Clones of [`FederatedCredentials`] with different scopes share the unscoped token. While it has more than half of
//! its life left, the first token of each further scope is requested with it, without another login at the provider. So
//! `credentials.clone().scope(demo)` and `credentials.scope(billing)`, each in a `RenewingPlugin`, are two projects
//! with one login.
//!
//! A token with a scope expires at the same time as the unscoped token that it was requested with. So a token is
//! renewed by a new login, or with an unscoped token that another scope has obtained since.
//!
//! With `FederatedCredentials::store` (feature `store`), processes share the unscoped token and the refresh token.
//!
//! # Errors
//!
//! [`Error::FederatedLoginFailed`](crate::Error::FederatedLoginFailed) says which step failed, with the status, the
//! error code and the description of the server, and what to do. The URLs of Keystone are often guarded by a web
//! server, which checks the bearer: a 401 of [`LoginStep::Federation`](crate::error::LoginStep::Federation) is from
//! there, if its error code is `invalid_token`. If Keystone issues an unscoped token but no token for the project, the
//! error is [`Error::Keystone`](crate::Error::Keystone): the user has no role in the project, most often because the
//! mapping of the provider puts the user in no group that has one.
//!
//! # What is sent where
//!
//! Secrets, passwords and bearers are sent over https only, and over plain http to loopback, unless the `allow_http` of
//! the type names the host. Token requests follow no redirects. A discovery document that was fetched over https never
//! leads to a URL with http. No secret is in an error, in a log or in `Debug` output.

mod access_token_source;
#[cfg(feature = "browser")]
mod browser;
mod completed_login;
mod credentials;
mod device_login;
mod grant;
mod identity_provider;
mod keystone_to_keystone;
mod logins;
mod oauth;
mod oauth2_client_credentials;
mod oauth2_endpoint;
mod oauth2_mtls_credentials;
mod person;
mod plain_http;
mod random;
mod refresh_token;
#[cfg(feature = "saml")]
mod saml;
mod service_provider;
#[cfg(feature = "store")]
mod stored_login;
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
