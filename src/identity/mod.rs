//! How a token is got: the identity plugins of this crate.
//!
//! # With credentials
//!
//! [`V3Auth`] is what it takes to log in: where Keystone is, an [`AuthMethod`], here the password of a [`User`], and
//! the [`Scope`] that the token is to have. [`Renewing`](crate::Renewing) makes a plugin of it, which logs in with
//! the first request and again before the token expires. The [`Transport`] is its way to Keystone:
//!
//! ```
//! use tower_keystone::{
//!     AuthLayer, AuthMethod, EndpointFilter, Renewing, Scope, Transport, User, V3Auth,
//! };
//! # use tower_keystone::fixture::Cloud;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let auth_url = cloud.keystone().auth_url();
//! # let client = cloud.clone();
//! let alice = User::new().username("alice").user_domain_name("Default");
//! let demo = Scope::new().project_name("demo").project_domain_name("Default");
//! let credentials = V3Auth::new(auth_url, AuthMethod::password(alice, "wonderland")).scope(demo);
//!
//! let plugin = Renewing::new(credentials, Transport::new(client.clone()));
//! let layer = AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute"));
//! # let _ = layer;
//! # assert_eq!(plugin.force().await?.auth_ref().and_then(|info| info.project_name()), Some("demo"));
//! # Ok(())
//! # }
//! ```
//!
//! An application credential has its scope in itself, and two methods in one call are multi-factor authentication:
//!
//! ```
//! use tower_keystone::{AuthMethod, User, V3Auth};
//!
//! let auth_url = "https://keystone.example.com/v3";
//! let credential = AuthMethod::application_credential("21dced0fd20347869b93710d2b98aae0", "secret");
//! let app = V3Auth::new(auth_url, credential);
//!
//! let alice = User::new().username("alice").user_domain_name("Default");
//! let both = V3Auth::new(auth_url, AuthMethod::password(alice.clone(), "wonderland"))
//!     .and(AuthMethod::totp(alice, "123456"));
//! # assert!(app.request().is_ok() && both.request().is_ok());
//! ```
//!
//! # With a token of somebody else's
//!
//! [`AccessInfoPlugin`] takes an access info that somebody else obtained:
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
//! A service that acts for such a user vouches for the user's token by one of its own, with
//! [`ServiceTokenAuthWrapper`]:
//!
//! ```
//! use tower_keystone::{
//!     AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter, IdentityPlugin, Renewing, ServiceTokenAuthWrapper,
//!     V3Auth,
//! };
//!
//! fn for_caller(caller: AccessInfo, service: &Renewing<V3Auth>) -> AuthLayer<impl IdentityPlugin> {
//!     let plugin = ServiceTokenAuthWrapper::new(AccessInfoPlugin::new(caller), service.clone());
//!     AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute"))
//! }
//! ```
//!
//! # Without Keystone
//!
//! [`FixedEndpointPlugin`] is for a service at a known place, here one that wants no authentication:
//!
//! ```
//! use http::Uri;
//! use tower_keystone::{AuthLayer, FixedEndpointPlugin};
//!
//! let ironic = FixedEndpointPlugin::no_auth(Uri::from_static("http://ironic.example.com:6385"))?;
//! let layer = AuthLayer::new(ironic); // no EndpointFilter: there is one endpoint
//! # let _ = layer;
//! # Ok::<(), tower_keystone::Error>(())
//! ```

mod access_info;
mod answer;
mod attempt;
mod auth_url;
mod cache_id;
mod credentials;
mod error_document;
mod fixed;
mod generic;
#[cfg(feature = "hyper")]
mod hyper;
mod json;
mod login;
mod method;
mod parameters;
mod pool;
mod read_body;
mod service_token;
mod spare;
mod told;
mod transport;
mod v2;
mod v3;

pub use access_info::AccessInfoPlugin;
pub use auth_url::AuthUrl;
pub use credentials::{AuthRefFuture, Credentials};
pub use fixed::FixedEndpointPlugin;
pub use generic::GenericAuth;
#[cfg(feature = "hyper")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
pub use hyper::HyperTransport;
pub use method::AuthMethod;
pub use parameters::{Scope, User};
pub use pool::PluginPool;
pub use service_token::ServiceTokenAuthWrapper;
pub use transport::Transport;
pub use v2::V2Auth;
pub use v3::V3Auth;

pub(crate) use told::Told;
pub(crate) use transport::Obtains;
