//! Turns responses with a status of 400 or above into errors: keystoneauth's `raise_exc`.
//!
//! Without it, a response is returned as it is, whatever its status. [`RaiseForStatusLayer`] returns
//! [`Error::Service`](crate::Error::Service) instead, with the message from the error body:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, StatusCode};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_keystone::{
//!     AccessInfoPlugin, AuthLayer, EndpointFilter, Error, RaiseForStatusLayer, ReauthPolicy, fixture::Cloud,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let info = cloud.keystone().issue("alice", Some("demo")).ok_or("no such user")?;
//! # cloud.keystone().revoke(info.auth_token().unwrap_or_default());
//! # let plugin = AccessInfoPlugin::new(info);
//! let nova = ServiceBuilder::new()
//!     .layer(RaiseForStatusLayer::new())
//!     .retry(ReauthPolicy::new())
//!     .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
//!     .service(cloud); // the token is revoked there
//!
//! let error = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await.unwrap_err();
//! match Error::find(&*error) {
//!     Some(Error::Service(error)) => {
//!         assert_eq!(error.status, StatusCode::UNAUTHORIZED);
//!         assert_eq!(error.token_renewable, Some(false));
//!     }
//!     other => panic!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Place it **outside of all retry layers**. [`ReauthPolicy`](crate::ReauthPolicy) and
//! [`RetryPolicy`](crate::RetryPolicy) decide by the status of a response. They do not retry an [`Error::Service`].
//!
//! [`Error::Service`]: crate::Error::Service

mod future;
mod layer;
mod service;

pub use future::ResponseFuture;
pub use layer::RaiseForStatusLayer;
pub use service::RaiseForStatus;

#[cfg(feature = "fixture")]
pub(crate) use service::is_secret_header;
