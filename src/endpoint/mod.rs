//! Where a request goes: which endpoint is meant, how its URL is joined, and who may see the token.
//!
//! An [`EndpointFilter`] says which endpoint of the service catalog a request is for. The layer has one for all
//! requests. A request can have one in its extensions, and what that leaves open is taken from the layer's: the region
//! and the interfaces always, all else only if both are for the same service:
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
//! The path of a relative request URI is appended to the path of the endpoint byte for byte:
//! `https://h/volume/v3/p1` and `/volumes/detail?limit=9` make
//! `https://h/volume/v3/p1/volumes/detail?limit=9`. Nothing is decoded or normalized, and a path that
//! would climb above its endpoint is refused, also where only some servers would read it so (`%2e%2e`, `..%00`).
//!
//! An absolute request URI is used as it is, if its origin (scheme, host and port) is one that the
//! catalog, the plugin's `auth_url`, the endpoint override or
//! [`allow_origin`](crate::AuthLayer::allow_origin) names. The token goes nowhere else.
//!
//! A filter can ask for a microversion of the service's API too. The headers for it are made with the
//! filter, not for each request. For one request alone there is [`Microversion`](crate::Microversion):
//!
//! ```
//! use tower_keystone::{EndpointFilter, Microversion};
//!
//! let nova = EndpointFilter::new("compute").microversion("2.79");
//! // For one request, another one.
//! let newest = http::Request::get("/servers").extension(Microversion::new("latest")).body(()).unwrap();
//! # let _ = (nova, newest);
//! ```

mod accepted_origins;
mod base_url;
mod endpoint_override;
mod filter;
mod filter_cache;
mod interface;
mod microversion_headers;
mod origin;
mod path_traversal;
pub mod service_types;
mod version_range;
mod version_status;

pub use filter::EndpointFilter;
pub use interface::Interface;
pub use origin::Origin;
pub use version_range::VersionRange;
pub use version_status::{Allow, VersionStatus};

pub(crate) use accepted_origins::AcceptedOrigins;
pub(crate) use base_url::{BaseUrl, InvalidBaseUrl};
pub(crate) use endpoint_override::OverrideIds;
pub(crate) use filter::{WantedInterfaces, WantsDiscovery};
pub(crate) use filter_cache::FilterCache;
pub(crate) use microversion_headers::MicroversionHeaders;
pub(crate) use origin::OriginRef;
