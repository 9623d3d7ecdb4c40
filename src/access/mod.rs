//! Access info: a token, its user, scope and expiry, and its service catalog.
//!
//! An [`AccessInfo`] is read from a response of Keystone (v3 or v2.0), or from a stored token and its document, the
//! JSON body of that response:
//!
//! ```
//! use tower_keystone::{AccessInfo, EndpointFilter};
//!
//! let body = r#"{"token": {
//!     "user": {"id": "u1", "name": "alice", "domain": {"id": "default", "name": "Default"}},
//!     "project": {"id": "p1", "name": "demo", "domain": {"id": "default", "name": "Default"}},
//!     "expires_at": "2026-01-15T13:00:00.000000Z",
//!     "catalog": [{"type": "volumev3", "name": "cinder", "endpoints": [{
//!         "interface": "public", "region_id": "RegionOne", "url": "https://cinder.example.com/v3/p1"
//!     }]}]
//! }}"#;
//! let access_info = AccessInfo::new("gAAAA", body)?;
//!
//! assert_eq!(access_info.username(), Some("alice"));
//! assert_eq!(access_info.project_id(), Some("p1"));
//!
//! // The catalog lists the service under `volumev3`, which is an alias of the official type `block-storage`.
//! let block_storage = EndpointFilter::new("block-storage").region("RegionOne");
//! let url = access_info.service_catalog().url_for(&block_storage)?;
//! assert_eq!(url, "https://cinder.example.com/v3/p1");
//! # Ok::<(), tower_keystone::Error>(())
//! ```

#[cfg(feature = "federation")]
mod bearer;
mod borrowed_value;
mod catalog;
mod catalog_document;
mod catalog_entry;
mod catalog_index;
mod document;
mod endpoint_data;
mod identity_version;
mod info;
mod known_origins;
mod lenient;
mod members;
mod memory_limits;
#[cfg_attr(not(feature = "validate"), allow(dead_code, reason = "only that feature shares catalogs"))]
mod project_urls;
mod properties;
mod property_slices;
#[cfg(feature = "validate")]
mod shared_catalogs;
mod text;
mod timestamp;
mod token_header;

pub use catalog::ServiceCatalog;
pub use endpoint_data::EndpointData;
pub use identity_version::IdentityVersion;
pub use info::AccessInfo;
#[cfg(any(feature = "federation", feature = "validate"))]
pub(crate) use info::X_SUBJECT_TOKEN;
pub use properties::{AccessRule, ServiceProvider};

#[cfg(feature = "federation")]
pub(crate) use bearer::Bearer;
pub(crate) use known_origins::KnownOrigins;
#[cfg(feature = "validate")]
pub(crate) use shared_catalogs::SharedCatalogs;
pub(crate) use timestamp::parse as parse_time;
pub(crate) use token_header::header_value as token_header;
#[cfg(feature = "federation")]
pub(crate) use token_header::{basic_value, bearer_value};
