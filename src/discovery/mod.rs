//! Version discovery: what versions of its API a service has, and where.
//!
//! A filter that asks for versions is answered from the URL in the catalog where that says enough, and
//! else from the service's version document. One that asks for none never causes a request:
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_keystone::{AccessInfoPlugin, AuthLayer, EndpointFilter, Transport, discovery::Discovery};
//! # use tower_keystone::fixture::Cloud;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "pw").project("demo");
//! # let access_info = cloud.keystone().issue("alice", Some("demo")).ok_or("no such user")?;
//! # let client = cloud.clone();
//! let plugin = AccessInfoPlugin::new(access_info);
//! let discovery = Discovery::new(Transport::new(client.clone()));
//!
//! // What is there?
//! let compute = EndpointFilter::new("compute");
//! let endpoint = discovery.endpoint_data(&plugin, &compute).await?;
//! println!("{:?} at {}", endpoint.api_version(), endpoint.url());
//!
//! // Requests that go to a version of at least 2.1, wherever that is.
//! let nova = ServiceBuilder::new()
//!     .layer(AuthLayer::new(plugin).discovery(discovery).endpoint(compute.min_version(2, 1)))
//!     .service(client);
//! let response = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! A version document is asked for without a token first, and with one only if the service says 401 and
//! its origin is one that the token may go to. What is found is remembered, per URL and for an hour, and a
//! failure for ten seconds; all who want the same document wait for the same request.

mod cache;
mod candidates;
mod client;
mod document;
mod endpoint;
mod failure;
mod inventory;
mod link;
mod range;
mod requests;
mod search;
mod version;

pub use client::Discovery;
pub use document::{Allow, Status, VersionData, VersionDocument};
pub use endpoint::Endpoint;
pub use failure::{DiscoveryFailure, Miss};
pub use inventory::VersionsByRegion;
pub use range::VersionRange;
pub use version::{LATEST, Version};

pub(crate) use link::location;
pub(crate) use range::implied_version;
pub(crate) use requests::Discovered;
pub(crate) use search::Question;
