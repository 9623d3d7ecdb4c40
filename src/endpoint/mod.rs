//! Endpoints: which one a request goes to, its full URL, and the origins that may receive a token.
//!
//! An [`EndpointFilter`] selects an endpoint of the [service catalog](crate::ServiceCatalog), the list of services and
//! their URLs that Keystone returns with a token. The layer can have a filter for all requests, and each request can
//! have its own filter in its extensions. The filter of the layer supplies the region and the interfaces if the filter
//! of the request does not set them. It supplies other properties only if both filters are for the same service, or if
//! the filter of the request has no service type. The same applies to the interfaces of the layer's filter if
//! [`Interface::Auth`] is one of them.
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
//! A relative request URI is appended to the URL of the endpoint, byte for byte. For example, the endpoint
//! `https://h/volume/v3/p1` and the request URI `/volumes/detail?limit=9` give
//! `https://h/volume/v3/p1/volumes/detail?limit=9`. Nothing is decoded or normalized. If `..` segments lead above the
//! endpoint (`/../admin`), the request fails with [`Error::PathTraversal`](crate::Error::PathTraversal). Segments that
//! only some servers read as `..`, such as `%2e%2e` and `..%00`, count as `..` too.
//!
//! An absolute request URI is used as it is. A request with a token fails with
//! [`Error::OriginNotAllowed`](crate::Error::OriginNotAllowed) unless the origin (scheme, host and port) of the URI is
//! one of these:
//!
//! - the origins of the endpoints in the catalog; with [`RenewingPlugin`](crate::RenewingPlugin), those in the catalog
//!   of the previous token too;
//! - the origin of the plugin's `auth_url`;
//! - the origin of the [`endpoint_override`](EndpointFilter::endpoint_override), if the filter has one;
//! - the origins given to [`AuthLayer::allow_origin`](crate::AuthLayer::allow_origin).
//!
//! A filter can also request a microversion: a version of a service's API that is selected by a request header, not by
//! the URL. The [`Microversion`](crate::Microversion) extension requests one for a single request:
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
#[cfg(feature = "federation")]
pub(crate) use base_url::HAS_QUERY;
pub(crate) use base_url::{BaseUrl, InvalidBaseUrl};
pub(crate) use endpoint_override::OverrideIds;
pub(crate) use filter_cache::FilterCache;
pub(crate) use microversion_headers::MicroversionHeaders;
pub(crate) use origin::OriginRef;
#[cfg(feature = "validate")]
pub(crate) use path_traversal::has_path_traversal;
pub(crate) use wanted_interfaces::WantedInterfaces;
pub(crate) use wanted_versions::WantsDiscovery;
