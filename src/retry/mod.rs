//! Retry policies for [`tower::retry`]: after a 401, after failures to connect, and after 429 and 503.
//!
//! # After a 401
//!
//! [`ReauthPolicy`] is used outside [`AuthLayer`](crate::AuthLayer). It reads the
//! [`TokenRejected`](crate::TokenRejected) that the layer inserts into the extensions of the response. If the plugin
//! can renew its token, the policy sends the original request once more:
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_keystone::{
//!     AuthLayer, AuthMethod, EndpointFilter, ReauthPolicy, RenewingPlugin, Scope, User, V3Credentials,
//!     fixture::Cloud,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let auth_url = cloud.keystone().auth_url();
//! # let alice = User::new().username("alice").user_domain_name("Default");
//! # let credentials = V3Credentials::new(auth_url, AuthMethod::password(alice, "wonderland"))
//! #     .scope(Scope::new().project_name("demo").project_domain_name("Default"));
//! let plugin = RenewingPlugin::new(credentials, cloud.transport());
//! let nova = ServiceBuilder::new()
//!     .retry(ReauthPolicy::new())
//!     .layer(AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute")))
//!     .service(cloud.clone());
//!
//! let token = plugin.renew().await?;
//! cloud.keystone().revoke(token.auth_ref().and_then(|info| info.auth_token()).unwrap_or_default());
//! let response = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(cloud.requests_to("compute"), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # After failures to connect, 429 and 503
//!
//! [`RetryPolicy`] retries requests for which there was no connection, and requests with a 429 or a 503 response. It
//! waits before each retry, at least as long as the server asks (`Retry-After`):
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_keystone::{AccessInfoPlugin, AuthLayer, EndpointFilter, ReauthPolicy, RetryPolicy, fixture::Cloud};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let plugin = AccessInfoPlugin::new(cloud.keystone().issue("alice", Some("demo")).ok_or("no such user")?);
//! # let busy = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
//! # let client = tower::service_fn(move |request: Request<Full<Bytes>>| {
//! #     let cloud = cloud.clone();
//! #     let mut response = Response::new(Bytes::new().into());
//! #     *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//! #     let busy = busy.swap(false, std::sync::atomic::Ordering::Relaxed);
//! #     async move { if busy { Ok(response) } else { cloud.oneshot(request).await } }
//! # });
//! let nova = ServiceBuilder::new()
//!     .retry(ReauthPolicy::new())
//!     .retry(RetryPolicy::new().connect_retries(5).status_code_retries(2))
//!     .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
//!     .service(client); // unavailable at first
//!
//! let response = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # Order of the two policies
//!
//! Use both outside [`AuthLayer`](crate::AuthLayer). Then each attempt gets the current token and endpoint. A
//! [`RetryPolicy`] inside the layer would send the same token each time, which may have expired meanwhile.
//!
//! As above, put [`ReauthPolicy`] outside [`RetryPolicy`]. Then a request is authenticated again at most once, and gets
//! all retries again afterwards, as in keystoneauth's session. In the other order, a request gets its retries only once,
//! and each attempt can be authenticated again. Neither policy reacts to responses that the other one handles.
//!
//! # Request bodies
//!
//! A policy never sends an empty or a truncated body in place of the original. If a body cannot be sent again, the
//! caller gets the response or the error of the first attempt. A 401 then still has
//! [`TokenRejected::Renewable`](crate::TokenRejected::Renewable) in its extensions, and the next request gets the new
//! token.
//!
//! There are policies for three kinds of bodies:
//!
//! - Bodies that are `Clone`, such as `Full<Bytes>`: [`ReauthPolicy::new`], [`RetryPolicy::new`].
//! - Streams that are usually short: wrap them in [`ReplayBody`], which buffers the sent data up to a cap, and use
//!   [`ReauthPolicy::replaying`], [`RetryPolicy::replaying`]. A `ReplayBody` is `Clone` too, but the policies for
//!   `Clone` do not check whether its beginning is still buffered.
//! - Streams that can be opened again, such as those of a file: [`ReauthPolicy::with_clone_body`],
//!   [`RetryPolicy::with_clone_body`], with a function that opens the stream.

mod backoff;
mod budget;
mod clone_request;
mod future;
mod policy;
mod reauth;
mod replay_body;

mod shared_stream;

pub use budget::RetryBudget;
pub use future::RetryDelay;
pub use policy::RetryPolicy;
pub use reauth::ReauthPolicy;
pub use replay_body::ReplayBody;
