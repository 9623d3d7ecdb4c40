//! How a token is got: the identity plugins of this crate.
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
//!     .auth_url(http::Uri::from_static("https://keystone.example.com/v3"));
//! let layer = AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute"));
//! # let _ = layer;
//! # Ok::<(), tower_keystone::Error>(())
//! ```

mod access_info;
mod answer;
mod cache_id;
mod credentials;
mod fixed;
mod generic;
#[cfg(feature = "hyper")]
mod hyper;
mod json;
mod login;
mod method;
mod parameters;
mod pool;
mod service_token;
mod transport;
mod v2;
mod v3;

pub use access_info::AccessInfoPlugin;
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

pub(crate) use transport::Obtains;
