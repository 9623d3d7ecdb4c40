//! The server layer: validates the token of each incoming request.

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
