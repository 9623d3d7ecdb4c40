//! A ready-made client for all services of a configured cloud. Requires the feature `rustls`.
//!
//! ```
//! use http::Request;
//! use http_body_util::Full;
//! use tower::ServiceExt;
//! use tower_keystone::CloudConfig;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = tower_keystone::fixture::Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let _served = cloud.serve().await?;
//! # let config = CloudConfig::builder().load_files(false).environment([
//! #     ("OS_AUTH_URL", cloud.keystone().auth_url()),
//! #     ("OS_USERNAME", "alice".to_owned()),
//! #     ("OS_USER_DOMAIN_NAME", "Default".to_owned()),
//! #     ("OS_PASSWORD", "wonderland".to_owned()),
//! #     ("OS_PROJECT_NAME", "demo".to_owned()),
//! #     ("OS_PROJECT_DOMAIN_NAME", "Default".to_owned()),
//! # ]).build()?;
//! # if false {
//! let config = CloudConfig::from_env()?;
//! # }
//! let nova = config.client()?.service("compute")?;
//! let response = nova.oneshot(Request::get("/servers").body(Full::default())?).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! [`CloudClient`] is a tower service and can be cloned: all clones share one token and the connections. It consists of
//! these layers, from the outermost to the innermost:
//!
//! - [`ServiceDefaults`](super::ServiceDefaults), with the settings of the single services;
//! - [`ErrorContext`](crate::ErrorContext);
//! - `Retry` with [`ReauthPolicy`](crate::ReauthPolicy);
//! - `Retry` with [`ServiceRetryPolicy`](super::ServiceRetryPolicy), with the retries that the configuration sets for
//!   the service;
//! - [`AuthLayer`](crate::AuthLayer), with version discovery;
//! - `Timeout`, if `api_timeout` is set. It limits each attempt until the head of the response arrives, so it cancels
//!   an upload that takes longer. It also limits each request to Keystone;
//! - [`HttpsClient`](crate::HttpsClient), with the TLS settings of the cloud.
//!
//! A client can also send the requests of [many users](crate#many-users), with an [`Identity`](crate::Identity) in each
//! request. See [`CloudClient::send_service_token`] and [`CloudClient::require_identity`].
//!
//! Request paths are relative to the endpoint of the service.
//! [`ServiceConfig::endpoint`](super::ServiceConfig::endpoint) describes which of them begin with a version.
//!
//! To send streams, see [`CloudConfig::client_with`](crate::CloudConfig::client_with). For other layers, build the
//! stack yourself from [`CloudConfig::https`](crate::CloudConfig::https),
//! [`CloudConfig::layer`](crate::CloudConfig::layer) and
//! [`CloudConfig::service_layer`](crate::CloudConfig::service_layer).

mod cloud_client;
mod future;
mod stack;

pub use cloud_client::CloudClient;
pub use future::ResponseFuture;
