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
//! # let client = tower::util::BoxCloneService::<http::Request<http_body_util::Full<bytes::Bytes>>, _, _>::new(cloud.clone());
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
//! A document that was got in another way is a [`VersionDocument`], which knows a [`Version`] or the newest of a
//! [`VersionRange`]:
//!
//! ```
//! use http::HeaderMap;
//! use tower_keystone::discovery::{Allow, Version, VersionDocument, VersionRange};
//!
//! let answer = br#"{"versions": [
//!     {"id": "v2.0", "status": "SUPPORTED", "links": [{"rel": "self", "href": "https://nova.example.com/v2/"}]},
//!     {"id": "v2.1", "status": "CURRENT", "links": [{"rel": "self", "href": "https://nova.example.com/v2.1/"}],
//!      "min_version": "2.1", "version": "2.96"}
//! ]}"#;
//! let document = VersionDocument::new("https://nova.example.com/", &HeaderMap::new(), answer)?;
//!
//! let current = document.data_for("2.1".parse()?, Allow::default()).ok_or("no v2.1")?;
//! assert_eq!(&*current.url, "https://nova.example.com/v2.1/");
//! assert!(current.max_microversion >= Some(Version::new(2, 79)));
//!
//! let at_most_2_0 = VersionRange::new(None, None, Some(Version::new(2, 0)))?;
//! let old = document.versioned_data_for(at_most_2_0, None, Allow::default()).ok_or("none so old")?;
//! assert_eq!(old.version, Some(Version::new(2, 0)));
//! # Ok::<(), tower_keystone::BoxError>(())
//! ```
//!
//! A version document is asked for without a token first, and with one only if the service says 401 and
//! its origin is one that the token may go to; what it says then is for that token alone. What is found is
//! remembered, per URL and for an hour, and a failure for ten seconds; all who want the same document wait for the
//! same request. 64 MiB of documents are remembered at most, and 96 MiB of the endpoints found in them. Redirects are
//! followed within an origin, and from http to https on the same host.

mod candidate_urls;
mod client;
mod document;
mod document_cache;
mod endpoint;
mod endpoint_cache;
mod fetch;
mod for_requests;
mod inventory;
mod link;
mod no_document;
mod search;
mod token;
mod weighted_cache;

pub use client::Discovery;
pub use document::{VersionData, VersionDocument};
pub use endpoint::Endpoint;
pub use inventory::VersionsByRegion;

#[doc(inline)]
pub use crate::{
    endpoint::{Allow, VersionRange, VersionStatus},
    version::{LATEST, ParseVersionError, Version},
};

pub(crate) use endpoint_cache::Discovered;
pub(crate) use fetch::Fetched;
pub(crate) use link::location;
