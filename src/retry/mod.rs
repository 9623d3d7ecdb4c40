//! Sending a request once more after its token was refused.
//!
//! [`ReauthPolicy`] is a policy for `tower::retry`, outside of [`AuthLayer`](crate::AuthLayer). It reads
//! the [`Refusal`](crate::Refusal) that the layer leaves in the response, and sends the original request
//! again, once, if the plugin could renew:
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_keystone::{
//!     AuthLayer, AuthMethod, EndpointFilter, ReauthPolicy, Renewing, Scope, Transport, User, V3Auth,
//!     fixture::Cloud,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let auth_url: http::Uri = cloud.keystone().auth_url().parse()?;
//! # let alice = User::new().username("alice").user_domain_name("Default");
//! # let credentials = V3Auth::new(auth_url, AuthMethod::password(alice, "wonderland"))
//! #     .scope(Scope::new().project_name("demo").project_domain_name("Default"));
//! let plugin = Renewing::new(credentials, Transport::new(cloud.clone()));
//! let nova = ServiceBuilder::new()
//!     .retry(ReauthPolicy::new())
//!     .layer(AuthLayer::new(plugin.clone()).endpoint(EndpointFilter::new("compute")))
//!     .service(cloud.clone());
//!
//! let token = plugin.force().await?;
//! cloud.keystone().revoke(token.auth_ref().and_then(|info| info.auth_token()).unwrap_or_default());
//! let response = nova.oneshot(Request::get("/servers").body(Full::<Bytes>::default())?).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(cloud.requests_to("compute"), 2);
//! # Ok(())
//! # }
//! ```
//!
//! A body is never replaced by an empty or a broken one. Where it cannot be sent again, the 401 is
//! what the caller gets, with [`Refusal::Renewable`](crate::Refusal::Renewable) beside it, and the next
//! request has the new token. Three kinds of bodies:
//!
//! - `Clone`, such as `Full<Bytes>`: [`ReauthPolicy::new`].
//! - a stream that is short, as a rule: [`ReplayBody`] keeps what was sent of it, up to a cap, with
//!   [`ReauthPolicy::replaying`].
//! - a stream that can be made anew, such as a file's: [`ReauthPolicy::with_body`] takes a function for it.

mod policy;
mod replay;

pub use policy::ReauthPolicy;
pub use replay::ReplayBody;
