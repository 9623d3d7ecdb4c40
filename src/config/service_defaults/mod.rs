//! A layer that applies the settings of single services, such as `compute_endpoint_override`, to requests.
//!
//! A request for `compute` gets the settings whose names begin with `compute_`: the region and the interfaces, the name
//! and type of the service in the catalog, the endpoint override, the version and the microversion. The layer adds them
//! to the [`EndpointFilter`](crate::EndpointFilter) of the request. Values that the request sets itself take
//! precedence. [`ServiceRetryPolicy`] applies `compute_connect_retries`, `compute_status_code_retries` and their
//! delays.
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_keystone::{
//!     CloudConfig, EndpointFilter, ReauthPolicy, RetryPolicy, config::ServiceRetryPolicy,
//!     fixture::Cloud,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let config = CloudConfig::builder().load_files(false).environment([
//! #     ("OS_AUTH_URL", cloud.keystone().auth_url()),
//! #     ("OS_USERNAME", "alice".to_owned()),
//! #     ("OS_USER_DOMAIN_NAME", "Default".to_owned()),
//! #     ("OS_PASSWORD", "wonderland".to_owned()),
//! #     ("OS_PROJECT_NAME", "demo".to_owned()),
//! #     ("OS_PROJECT_DOMAIN_NAME", "Default".to_owned()),
//! #     ("OS_COMPUTE_DEFAULT_MICROVERSION", "2.79".to_owned()),
//! # ]).build()?;
//! // compute_default_microversion is 2.79
//! let client = ServiceBuilder::new()
//!     .layer(config.service_layer())
//!     .retry(ReauthPolicy::new())
//!     .retry(ServiceRetryPolicy::new(RetryPolicy::new()))
//!     .layer(config.layer(cloud.transport()))
//!     .service(cloud.clone()); // any HTTP client
//!
//! let request = Request::get("/servers").extension(EndpointFilter::new("compute")).body(Full::<Bytes>::default())?;
//! client.oneshot(request).await?;
//! assert_eq!(cloud.received_requests("compute")[0].headers()["openstack-api-version"], "compute 2.79");
//! # Ok(())
//! # }
//! ```

mod completed;
mod future;
mod layer;
mod retry_policy;
mod service;
mod services;

pub use future::ResponseFuture;
pub use layer::ServiceDefaultsLayer;
pub use retry_policy::ServiceRetryPolicy;
pub use service::ServiceDefaults;
