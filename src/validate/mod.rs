//! The server layer: validates the token of each incoming request.
//!
//! [`ValidateTokenLayer`] wraps a `Service<http::Request<B>>` of any request body in [`ValidateToken`]. It asks
//! Keystone about the token of each request, caches the answer, and inserts a [`Validation`] into the extensions of the
//! request. The application reads the [`Caller`] from there:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_keystone::{
//!     AuthMethod, Caller, Rejection, RenewingPlugin, Scope, User, V3Credentials, ValidateTokenLayer,
//! };
//! # use tower_keystone::{BoxError, fixture::Cloud};
//!
//! async fn whoami(request: Request<Bytes>) -> Result<Response<Bytes>, BoxError> {
//!     let caller = match Caller::from_extensions(request.extensions()) {
//!         Ok(caller) => caller,
//!         Err(rejection) => return Ok(rejection.respond(|json| json)),
//!     };
//!     let name = caller.access_info().username().unwrap_or("someone");
//!     Ok(Response::new(format!("hello {name}").into()))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let cloud = Cloud::new([]).service_user("greeter", "hush").user("alice", "wonderland").project("demo");
//! # let (auth_url, transport) = (cloud.keystone().auth_url(), cloud.transport());
//! let account = User::new().username("greeter").user_domain_name("Default");
//! let credentials = V3Credentials::new(auth_url, AuthMethod::password(account, "hush"))
//!     .scope(Scope::new().project_name("service").project_domain_name("Default"));
//! let plugin = RenewingPlugin::new(credentials, transport.clone());
//!
//! let service = ServiceBuilder::new()
//!     .layer(
//!         ValidateTokenLayer::new(plugin, transport)
//!             .www_authenticate_uri("https://keystone.example.com/v3".parse()?),
//!     )
//!     .service(service_fn(whoami));
//!
//! # let alice = cloud.keystone().issue("alice", Some("demo")).ok_or("no such user")?;
//! # let token = alice.auth_token().ok_or("no token")?;
//! let request = Request::get("/").header("X-Auth-Token", token).body(Bytes::new())?;
//! let response = service.clone().oneshot(request).await?;
//! assert_eq!(response.body(), "hello alice");
//!
//! let response = service.oneshot(Request::get("/").body(Bytes::new())?).await?;
//! assert_eq!(response.status(), 401);
//! assert_eq!(response.headers()["www-authenticate"], r#"Keystone uri="https://keystone.example.com/v3""#);
//! # Ok(())
//! # }
//! ```
//!
//! # What is read from a request
//!
//! - The token of the user: `X-Auth-Token`, or `X-Storage-Token` if the request has no `X-Auth-Token`. With
//!   [`bearer_tokens`](ValidateTokenLayer::bearer_tokens), `Authorization: Bearer` comes before both.
//! - The token of a service that sends the request for the user: `X-Service-Token`. With one of the
//!   [service roles](ValidateTokenLayer::service_token_roles), the token of the user may have expired, and its access
//!   rules do not apply.
//! - An empty header is no token. Blanks around a token are ignored. A token that is too long, or a header with several
//!   different values, is a malformed token, about which Keystone is not asked.
//! - No method and no path is exempt. Add routes that need no token outside of the layer.
//!
//! The layer removes the identity headers that keystonemiddleware would set (`X-User-Id`, `X-Roles` and so on, also
//! with `_` in their names), because a client can send them. The extensions are the only source of identity.
//!
//! # Responses
//!
//! - **401** with `WWW-Authenticate` and Keystone's JSON document: no token, or one that is malformed, unknown,
//!   expired, or not allowed for this request. The reason is logged (level debug), but the client does not learn it.
//! - **503** with `Retry-After`: Keystone is unavailable, or does not accept the account of this service.
//! - A 401 of the application gets the same `WWW-Authenticate`, beside its own.
//!
//! With [`delay_auth_decision`](ValidateTokenLayer::delay_auth_decision) all requests are let through, and the
//! application decides. See [`Validation::status`].
//!
//! # Order of layers
//!
//! CORS and tracing go outside, so that a preflight needs no token and rejections are traced. If the span of the
//! request has the empty fields `user_id` and `project_id`, the layer records them. A `Timeout` outside must be longer
//! than the [`validation_timeout`](ValidateTokenLayer::validation_timeout); otherwise clients see its error instead of
//! a 503. The `Transport` must not share a concurrency limit with the inner service.
//!
//! The source files of this module, in the order in which a request passes through them:
//!
//! 1. `service` receives the request. `layer` and `settings` hold the configuration, and `shared` what is made from it.
//! 2. `request` removes the identity headers, and reads the tokens, the certificate and the URI of the request.
//! 3. `validating` asks `token_validator` about both tokens. `pending_request` holds the request while it waits.
//! 4. `decide` decides what the answers mean for the request, with `access_rules`. It does no I/O.
//! 5. `admit` inserts the `validation` with its `caller`, and the `identity_headers`, or makes a `rejection`.
//! 6. `future` waits for the response of the inner service.

#![allow(dead_code, unused_imports, reason = "in construction")]

mod access_rules;
mod admit;
mod caller;
mod decide;
#[cfg(feature = "axum")]
mod extract;
mod future;
mod identity_headers;
mod layer;
mod metrics;
mod pending_request;
mod percent_encoding;
mod rejection;
mod request;
pub mod require;
mod service;
mod settings;
mod shared;
mod token_validator;
mod validating;
mod validation;

pub use caller::Caller;
pub use future::ResponseFuture;
pub use layer::ValidateTokenLayer;
pub use metrics::{LatencySnapshot, MetricsSnapshot, RejectionCounts, ValidationMetrics};
pub use rejection::{JsonDocument, RawResponse, Rejection, Respond};
pub use request::{PeerCertificate, SentUri};
#[doc(inline)]
pub use require::{Require, RequireLayer};
pub use service::ValidateToken;
pub use validation::{IdentityStatus, Validation};
