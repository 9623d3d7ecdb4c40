//! Statuses of 400 and above as errors: keystoneauth's `raise_exc`.
//!
//! An answer of a service is a response, whatever its status. [`RaiseForStatusLayer`] is for those who
//! would rather have an error with what the service says in it:
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
//!     .service(cloud); // where the token was revoked
//!
//! let error = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await.unwrap_err();
//! match Error::find(&*error) {
//!     Some(Error::Service(answer)) => {
//!         assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
//!         assert_eq!(answer.token_renewable, Some(false));
//!     }
//!     other => panic!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It stands **outside of what retries**, since policies look at responses: an error of a status is not
//! tried again by [`ReauthPolicy`](crate::ReauthPolicy) or [`RetryPolicy`](crate::RetryPolicy).

mod future;
mod layer;
mod service;

pub use future::ResponseFuture;
pub use layer::RaiseForStatusLayer;
pub use service::RaiseForStatus;
