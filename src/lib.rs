//! TODO docs
#![forbid(unsafe_code)]
#![warn(missing_docs, missing_debug_implementations, unreachable_pub, clippy::await_holding_lock)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod access;
pub mod discovery;
pub mod endpoint;
pub mod error;
#[cfg(feature = "fixture")]
pub mod fixture;
pub mod future;
pub mod identity;
mod layer;
mod outgoing;
pub mod plugin;
mod refusal;
pub mod secret;
mod service;

pub use access::{AccessInfo, EndpointData, ServiceCatalog, service_types};
pub use endpoint::{EndpointFilter, Interface};
pub use error::{BoxError, Error};
pub use identity::AccessInfoPlugin;
pub use layer::AuthLayer;
pub use outgoing::Unauthenticated;
pub use plugin::{Access, AccessFuture, IdentityPlugin};
pub use refusal::Refusal;
pub use secret::Secret;
pub use service::Auth;
