//! The client layer: gives each request its token and the URL of its service.
//!
//! [`AuthLayer`] wraps a `Service<http::Request<B>>` in [`Auth`]:
//!
//! ```
//! use http::Request;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_keystone::{AuthLayer, EndpointFilter, TokenRejected};
//! # use tower_keystone::{AccessInfoPlugin, fixture::Cloud};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keystone::BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "pw").project("demo");
//! # let plugin = AccessInfoPlugin::new(cloud.keystone().issue("alice", Some("demo")).ok_or("no such user")?);
//! # let (client, body) = (cloud, http_body_util::Empty::<bytes::Bytes>::new());
//! let nova = ServiceBuilder::new()
//!     .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
//!     .service(client);
//!
//! let request = Request::get("/servers").body(body)?;
//! let response = nova.oneshot(request).await?;
//! if let Some(rejected) = response.extensions().get::<TokenRejected>() {
//!     println!("{}: {rejected}", response.status());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The source files of this module, in the order in which a request passes through them:
//!
//! 1. `service` receives the request. `layer` and `settings` hold the configuration, which all requests share.
//! 2. `request` reads the headers and the extensions of the request (`extensions`). If one is an `Identity`, it replaces
//!    the plugin of the layer (`source`).
//! 3. `resolve` gets the access and, if the filter asks for a version, the discovered endpoint.
//! 4. `pending_request` holds the request while the access or the endpoint is not available yet.
//! 5. `prepare` sets the URI (`request_url`), checks the origin (`origin_guard`) and inserts the headers.
//! 6. `future` waits for the response, and `response` reads its status: a 401 is reported to the plugin, and
//!    the response is marked with `TokenRejected`.

mod extensions;
mod future;
mod layer;
mod origin_guard;
mod pending_request;
mod prepare;
mod request;
mod request_access;
mod request_url;
mod resolve;
mod response;
mod service;
mod settings;
mod source;

pub use extensions::{Identity, Microversion, TokenRejected, Unauthenticated};
pub use future::ResponseFuture;
pub use layer::AuthLayer;
pub use service::Auth;

pub(crate) use response::SentWith;
