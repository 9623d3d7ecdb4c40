//! Adds the service and the origin of the request to errors.
//!
//! An HTTP client returns errors such as `connection refused`, which do not name the server. [`ErrorContextLayer`]
//! wraps them in a [`RequestFailed`], which names the service type and the origin (scheme, host and port). The error of
//! the client is its [`source`](std::error::Error::source):
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
//!     .service(client); // the server is down
//!
//! let error = nova.oneshot(Request::get("/servers?limit=9").body(Full::default())?).await.unwrap_err();
//! assert_eq!(error.to_string(), "the request to compute at https://cloud.test failed");
//! assert_eq!(error.source().ok_or("no source")?.to_string(), "connection refused");
//! # Ok(())
//! # }
//! ```
//!
//! Place it **outside of [`AuthLayer`](crate::AuthLayer)**, best as the outermost layer. It then also wraps the errors
//! of a `Timeout` and of [`RaiseForStatus`](crate::RaiseForStatus). Inside of `AuthLayer` it does not know the service
//! type. Other errors of this crate, such as those of a login, name their server already and are not wrapped. Neither is
//! the error of a `Timeout` that ends while a request with a relative URI still waits for its token: the request has no
//! origin yet.
//!
//! To get the [`RequestFailed`], downcast the `BoxError` before anyhow or eyre wraps it.

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
