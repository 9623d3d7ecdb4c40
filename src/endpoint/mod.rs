//! Endpoint selection, joining of request URIs, and the origins that may receive a token.
//!
//! An [`EndpointFilter`] selects an endpoint of the service catalog. The layer can have a filter for all requests, and
//! each request can have its own filter in its extensions. What the filter of a request does not set is taken from the
//! filter of the layer: the region and the interfaces always, everything else only if both are for the same service.
//!
//! ```
//! use http::Request;
//! use tower_keystone::{EndpointFilter, Interface};
//!
//! let volumes = EndpointFilter::new("block-storage")
//!     .region("RegionOne")
//!     .interfaces([Interface::Internal, Interface::Public]);
//! let request = Request::get("/volumes/detail").extension(volumes).body(()).unwrap();
//! # let _ = request;
//! ```
//!
//! A relative request URI is appended to the URL of the endpoint, byte for byte: `https://h/volume/v3/p1` and
//! `/volumes/detail?limit=9` are joined to `https://h/volume/v3/p1/volumes/detail?limit=9`. Nothing is decoded or
//! normalized. A path that leads above the endpoint is refused (path traversal), even if only some servers would read
//! it so (`%2e%2e`, `..%00`).
//!
//! An absolute request URI is used as it is. The token is sent only if the origin of the URI (scheme, host and port) is
//! that of an endpoint of the catalog, of the plugin's `auth_url`, of the endpoint override, or one that
//! [`allow_origin`](crate::AuthLayer::allow_origin) allows.
//!
//! A filter can also request a microversion of the service's API. Its headers are built once, when the filter is built.
//! The [`Microversion`](crate::Microversion) extension requests one for a single request:
//!
//! ```
//! use tower_keystone::{EndpointFilter, Microversion};
//!
//! let nova = EndpointFilter::new("compute").microversion("2.79");
//! // This request uses another microversion.
//! let newest = http::Request::get("/servers").extension(Microversion::new("latest")).body(()).unwrap();
//! # let _ = (nova, newest);
//! ```

mod accepted_origins;
mod base_url;
mod endpoint_override;
mod filter;
mod filter_cache;
mod filter_defaults;
mod filter_display;
mod filter_getters;
mod filter_parts;
mod interface;
mod microversion_headers;
mod origin;
mod path_traversal;
pub mod service_types;
mod version_range;
mod version_status;
mod wanted_interfaces;
mod wanted_microversion;
mod wanted_versions;

pub use filter::EndpointFilter;
pub use interface::Interface;
pub use origin::Origin;
pub use version_range::VersionRange;
pub use version_status::{Allow, VersionStatus};

pub(crate) use accepted_origins::AcceptedOrigins;
pub(crate) use base_url::{BaseUrl, InvalidBaseUrl};
pub(crate) use endpoint_override::OverrideIds;
pub(crate) use filter_cache::FilterCache;
pub(crate) use microversion_headers::MicroversionHeaders;
pub(crate) use origin::OriginRef;
pub(crate) use wanted_interfaces::WantedInterfaces;
pub(crate) use wanted_versions::WantsDiscovery;
