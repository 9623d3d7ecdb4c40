//! Errors that say which service and origin a request was for.
//!
//! HTTP clients fail with errors such as `connection refused`, which do not say where. [`ErrorContextLayer`] puts an
//! error around them that names the service type and the origin (scheme, host and port), and has the client's error as
//! its [`source`](std::error::Error::source):
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_keystone::{AccessInfoPlugin, AuthLayer, EndpointFilter, ErrorContextLayer, fixture::Cloud};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let plugin = AccessInfoPlugin::new(cloud.keystone().issue("alice", Some("demo")).ok_or("no such user")?);
//! # let client = tower::service_fn(|_: Request<Full<Bytes>>| async {
//! #     Err::<Response<Full<Bytes>>, _>(std::io::Error::other("connection refused"))
//! # });
//! let nova = ServiceBuilder::new()
//!     .layer(ErrorContextLayer::new())
//!     .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
//!     .service(client); // whose server is down
//!
//! let error = nova.oneshot(Request::get("/servers?limit=9").body(Full::default())?).await.unwrap_err();
//! assert_eq!(error.to_string(), "the request to compute at http://cloud.test failed");
//! assert_eq!(error.source().ok_or("it has one")?.to_string(), "connection refused");
//! # Ok(())
//! # }
//! ```
//!
//! It stands **outside of the layer**, best as the outermost: then the errors of a `Timeout` and of
//! [`RaiseForStatus`](crate::RaiseForStatus) say where, too. Inside of the layer it does not know the service type.
//! Errors of this crate that say where already, such as those of a login, pass as they are.
//!
//! To get a [`RequestFailed`] back, look for it in the `BoxError`, before anyhow or eyre has wrapped that.

mod destination;
mod future;
mod layer;
mod request_failed;
mod service;

pub use future::ResponseFuture;
pub use layer::ErrorContextLayer;
pub use request_failed::RequestFailed;
pub use service::ErrorContext;

pub(crate) use destination::Destination;
