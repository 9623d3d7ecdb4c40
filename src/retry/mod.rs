//! Sending a request again: after its token was refused, or when no server had time for it.
//!
//! # After a 401
//!
//! [`ReauthPolicy`] is a policy for `tower::retry`, outside of [`AuthLayer`](crate::AuthLayer). It reads
//! the [`TokenRejected`](crate::TokenRejected) that the layer leaves in the response, and sends the original request
//! again, once, if the plugin could renew:
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
//! # When no server had time for it
//!
//! [`RetryPolicy`] sends requests again that found no connection, or that were answered by 429 or 503. It
//! waits in between, as long as the server asks to:
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
//! #     let mut response = Response::new(Full::default());
//! #     *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//! #     let busy = busy.swap(false, std::sync::atomic::Ordering::Relaxed);
//! #     async move { if busy { Ok(response) } else { cloud.oneshot(request).await } }
//! # });
//! let nova = ServiceBuilder::new()
//!     .retry(ReauthPolicy::new())
//!     .retry(RetryPolicy::new().connect_retries(5).status_code_retries(2))
//!     .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
//!     .service(client); // at first unavailable
//!
//! let response = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # The order of the two
//!
//! Both belong outside of the layer, so that each attempt has its token and its endpoint found anew. As
//! above, with [`ReauthPolicy`] outside of [`RetryPolicy`], a request is authenticated anew once at most,
//! and what is sent after that has all the retries again; keystoneauth's session does the same. The
//! other way round the retries are counted over the whole of a request, and each of its attempts may
//! be authenticated anew. Neither takes the other's answers for its own.
//!
//! Inside of the layer, [`RetryPolicy`] sends the same token each time, which may have expired
//! by then.
//!
//! # Bodies
//!
//! A body is never replaced by an empty or a broken one. Where it cannot be sent again, the answer or the
//! error is what the caller gets; for a 401, [`TokenRejected::Renewable`](crate::TokenRejected::Renewable) is beside it,
//! and the next request has the new token. Three kinds of bodies:
//!
//! - `Clone`, such as `Full<Bytes>`: [`ReauthPolicy::new`], [`RetryPolicy::new`].
//! - a stream that is short, as a rule: [`ReplayBody`] keeps what was sent of it, up to a cap, with
//!   [`ReauthPolicy::replaying`], [`RetryPolicy::replaying`]. It is `Clone` too, but the policies for that do not ask
//!   whether its beginning is still there.
//! - a stream that can be made anew, such as a file's: [`ReauthPolicy::with_clone_body`] and
//!   [`RetryPolicy::with_clone_body`] take a function for it.

mod backoff;
mod budget;
mod clone_request;
mod policy;
mod reauth;
mod replay_body;
mod retry_delay;
mod shared_stream;

pub use budget::RetryBudget;
pub use policy::RetryPolicy;
pub use reauth::ReauthPolicy;
pub use replay_body::ReplayBody;
pub use retry_delay::RetryDelay;
