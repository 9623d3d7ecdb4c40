//! Credentials and identity plugins: where the token of a request comes from.
//!
//! # With credentials
//!
//! [`V3Credentials`] contains the URL of Keystone, an [`AuthMethod`] (here the password of a [`User`]), and the
//! [`Scope`] of the token. [`RenewingPlugin`](crate::RenewingPlugin) logs in with these credentials at the first
//! request, and again before the token expires. It sends the login through a [`Transport`](crate::Transport):
//!
//! ```
//! use tower_keystone::{
//!     AuthLayer, AuthMethod, EndpointFilter, RenewingPlugin, Scope, Transport, User, V3Credentials,
//! };
//! # use tower_keystone::fixture::Cloud;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let auth_url = cloud.keystone().auth_url();
//! # let client =
//! #     tower::util::BoxCloneService::<http::Request<http_body_util::Full<bytes::Bytes>>, _, _>::new(cloud.clone());
//! let alice = User::new().username("alice").user_domain_name("Default");
//! let demo = Scope::new().project_name("demo").project_domain_name("Default");
//! let credentials = V3Credentials::new(auth_url, AuthMethod::password(alice, "wonderland")).scope(demo);
//!
//! let plugin = RenewingPlugin::new(credentials, Transport::new(client.clone()));
//! let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
//! # let _ = layer;
//! # assert_eq!(plugin.renew().await?.auth_ref().and_then(|info| info.project_name()), Some("demo"));
//! # Ok(())
//! # }
//! ```
//!
//! An application credential needs no [`Scope`], because Keystone fixed its scope when it was created. For multi-factor
//! authentication, add a second method with [`V3Credentials::and`]:
//!
//! ```
//! use tower_keystone::{AuthMethod, User, V3Credentials};
//!
//! let auth_url = "https://keystone.example.com/v3";
//! let credential = AuthMethod::application_credential("21dced0fd20347869b93710d2b98aae0", "secret");
//! let app = V3Credentials::new(auth_url, credential);
//!
//! let alice = User::new().username("alice").user_domain_name("Default");
//! let both = V3Credentials::new(auth_url, AuthMethod::password(alice.clone(), "wonderland"))
//!     .and(AuthMethod::totp(alice, "123456"));
//! # assert!(app.request().is_ok() && both.request().is_ok());
//! ```
//!
//! # With a token obtained elsewhere
//!
//! [`AccessInfoPlugin`] sends the token of an [`AccessInfo`](crate::AccessInfo), which contains a token and the JSON
//! document that Keystone returned with it. Here both come from a cache:
//!
//! ```
//! use tower_keystone::{AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter};
//!
//! # fn cached() -> (String, String) {
//! #     ("gAAAA".into(), r#"{"token": {"user": {"id": "u"}}}"#.into())
//! # }
//! let (token, body) = cached();
//! let plugin = AccessInfoPlugin::new(AccessInfo::new(token, body)?)
//!     .auth_url("https://keystone.example.com/v3");
//! let layer = AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute"));
//! # let _ = layer;
//! # Ok::<(), tower_keystone::Error>(())
//! ```
//!
//! # For many users
//!
//! A service that sends requests for its users needs one client only. An [`Identity`](crate::Identity) in the extensions
//! of a request replaces the plugin of the layer for this request. With
//! [`send_service_token`](crate::AuthLayer::send_service_token), the service adds its own token to such a request. The
//! called service then accepts a user token that expired during a long operation:
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Empty;
//! use tower::{Layer, ServiceExt};
//! use tower_keystone::{AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter, Identity};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = tower_keystone::fixture::Cloud::new([("compute", "nova")]).user("alice", "pw").project("demo");
//! # let cloud = cloud.service_user("glance", "pw");
//! # let issue = |user, project| cloud.keystone().issue(user, Some(project)).ok_or("no such user");
//! # let (alice, client) = (issue("alice", "demo")?, cloud.clone());
//! # let service = AccessInfoPlugin::new(issue("glance", "service")?);
//! // `service` is the plugin of the service account. All requests of the program share this client.
//! let nova = AuthLayer::new(service).send_service_token().endpoint(EndpointFilter::new("compute")).layer(client);
//!
//! let user = Identity::new(AccessInfoPlugin::new(alice));
//! let request = Request::get("/servers").extension(user).body(Empty::<Bytes>::new())?;
//! let response = nova.oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! If the program logs in for each user, a [`PluginPool`] holds their identities. [`ServiceTokenAuthWrapper`] is a plugin
//! that sends both tokens with all of its requests.
//!
//! # Without Keystone
//!
//! [`FixedEndpointPlugin`] is for a service at a known URL, here one without authentication:
//!
//! ```
//! use http::Uri;
//! use tower_keystone::{AuthLayer, FixedEndpointPlugin};
//!
//! let ironic = FixedEndpointPlugin::no_auth(Uri::from_static("http://ironic.example.com:6385"))?;
//! let layer = AuthLayer::new(ironic); // no EndpointFilter, because there is only one endpoint
//! # let _ = layer;
//! # Ok::<(), tower_keystone::Error>(())
//! ```

mod access_info_plugin;
mod auth_method;
mod auth_url;
mod cache_id;
mod credentials;
mod error_document;
mod fixed_endpoint;
mod generic;
mod login;
mod login_context;
#[cfg(feature = "federation")]
mod login_header;
mod plugin_pool;
mod request_body;
mod response;
mod scope;
#[cfg(feature = "federation")]
mod scope_headers;
mod service_token_wrapper;
mod text_setters;
#[cfg(feature = "federation")]
mod token_document;
mod user;
mod v2;
mod v3;

pub use access_info_plugin::AccessInfoPlugin;
pub use auth_method::AuthMethod;
pub use auth_url::AuthUrl;
pub use credentials::{AuthRefFuture, Credentials, PrepareFuture};
pub use fixed_endpoint::FixedEndpointPlugin;
pub use generic::GenericCredentials;
#[cfg(feature = "federation")]
#[cfg_attr(docsrs, doc(cfg(feature = "federation")))]
pub use login_header::LoginHeader;
pub use plugin_pool::PluginPool;
pub use scope::Scope;
pub use service_token_wrapper::ServiceTokenAuthWrapper;
pub use user::User;
pub use v2::V2Credentials;
pub use v3::V3Credentials;
#[cfg(feature = "federation")]
pub(crate) use v3::v3_url;

#[cfg(feature = "federation")]
pub(crate) use cache_id::{auth_url_element, cache_id, public_id};
#[cfg(feature = "validate")]
pub(crate) use error_document::is_error_document;
#[cfg(any(feature = "federation", feature = "validate"))]
pub(crate) use login::send as send_within_origin;
#[cfg(feature = "federation")]
pub(crate) use {
    login::{is_same_origin, request as login_request, send_with_header},
    login_context::TOKENLESS_CERTIFICATE,
    login_header::is_ticket_rejected,
    request_body::Json,
    response::wipe,
    token_document::token_document,
};
