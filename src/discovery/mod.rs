//! Version discovery: finds the versions of a service's API, and their URLs.
//!
//! An [`EndpointFilter`](crate::EndpointFilter) can request a range of versions, or imply one by a service type such as
//! `volumev3`. If the URL in the catalog names a version in the range (`/v2.1`), and the range includes no newer major
//! version, that URL is used. Otherwise, the version document of the service is fetched. A filter with
//! [`newest_microversion`](crate::EndpointFilter::newest_microversion) needs that document, too: it lists the
//! microversions (revisions of an API, which a request header selects) that the service supports. Other filters need
//! no discovery.
//!
//! This example looks up the version of a service, and then sends a request to a version that the filter requests:
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
//! // Which version does the service have, and where?
//! let compute = EndpointFilter::new("compute");
//! let endpoint = discovery.endpoint_data(&plugin, &compute).await?;
//! println!("{:?} at {}", endpoint.api_version(), endpoint.url());
//!
//! // Sends requests to version 2.1 or a newer one, at the URL that discovery finds.
//! let nova = ServiceBuilder::new()
//!     .layer(AuthLayer::new(plugin).discovery(discovery).endpoint(compute.min_version(2, 1)))
//!     .service(client);
//! let response = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! A [`VersionDocument`] reads a document that you fetched yourself, and finds a [`Version`] or the newest one in a
//! [`VersionRange`]:
//!
//! ```
//! use http::HeaderMap;
//! use tower_keystone::discovery::{Allow, Version, VersionDocument, VersionRange};
//!
//! let body = br#"{"versions": [
//!     {"id": "v2.0", "status": "SUPPORTED", "links": [{"rel": "self", "href": "https://nova.example.com/v2/"}]},
//!     {"id": "v2.1", "status": "CURRENT", "links": [{"rel": "self", "href": "https://nova.example.com/v2.1/"}],
//!      "min_version": "2.1", "version": "2.96"}
//! ]}"#;
//! let document = VersionDocument::new("https://nova.example.com/", &HeaderMap::new(), body)?;
//!
//! let current = document.data_for("2.1".parse()?, Allow::default()).ok_or("no v2.1")?;
//! assert_eq!(&*current.url, "https://nova.example.com/v2.1/");
//! assert!(current.max_microversion >= Some(Version::new(2, 79)));
//!
//! let at_most_2_0 = VersionRange::new(None, None, Some(Version::new(2, 0)))?;
//! let old = document.versioned_data_for(at_most_2_0, None, Allow::default()).ok_or("no v2.0")?;
//! assert_eq!(old.version, Some(Version::new(2, 0)));
//! # Ok::<(), tower_keystone::BoxError>(())
//! ```
//!
//! # Requests
//!
//! The first request for a version document carries no token. If the service responds with 401, a second request
//! carries the token. Its result is cached for that token only. Redirects are followed within an origin, and from http
//! to https on the same host. After such a redirect, the token is sent only if the https origin is in the service
//! catalog.
//!
//! If a requested version cannot be found because the document cannot be fetched for now (no connection, no response in
//! time, or status 429 or 5xx), requests fail with a transient [`DiscoveryFailure`](crate::error::DiscoveryFailure), and
//! a [`RetryPolicy`](crate::RetryPolicy) repeats them. They go to the URL in the catalog only if that contains the
//! version, or if the service has no version document.
//!
//! Documents are cached by URL for one hour, failures for ten seconds, and transient failures for one second. Callers that want the same document at the
//! same time share one request. The endpoints that discovery finds for requests are cached, too. The caches hold at
//! most 64 MiB of documents and 96 MiB of endpoints.

mod all_versions;
mod candidate_urls;
mod client;
mod document;
mod document_auth;
mod document_cache;
mod endpoint;
mod endpoint_cache;
mod fetch;
mod link;
mod no_document;
mod outcome;
mod request_endpoint;
mod search;
mod weighted_cache;

pub use all_versions::VersionsByRegion;
pub use client::Discovery;
pub use document::{VersionData, VersionDocument};
pub use endpoint::Endpoint;

#[doc(inline)]
pub use crate::{
    endpoint::{Allow, VersionRange, VersionStatus},
    version::{LATEST, ParseVersionError, Version},
};

pub(crate) use endpoint_cache::DiscoveredEndpoint;
pub(crate) use fetch::FetchedDocument;
pub(crate) use link::location;
