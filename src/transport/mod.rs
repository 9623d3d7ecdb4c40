//! The HTTP client that sends login and version discovery requests.
//!
//! A [`Transport`] wraps any HTTP client that is a tower service:
//!
//! ```
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower_keystone::Transport;
//!
//! let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
//! let transport = Transport::new(client.clone());
//! # let _ = transport;
//! ```

mod client;
mod clone_source;
#[cfg(feature = "rustls")]
mod https;
#[cfg(feature = "hyper")]
mod hyper;
mod log_throttle;
mod read_body;

pub use client::Transport;
#[cfg(feature = "rustls")]
#[cfg_attr(docsrs, doc(cfg(feature = "rustls")))]
pub use https::{HttpsBody, HttpsClient, HttpsClientBuilder, HttpsResponseFuture};
#[cfg(feature = "hyper")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
pub use hyper::HyperTransport;

pub(crate) use client::ObtainsToken;
pub(crate) use log_throttle::LogThrottle;
pub(crate) use read_body::MAX_ERROR_BODY;
