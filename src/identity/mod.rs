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

pub use access_info::AccessInfoPlugin;
