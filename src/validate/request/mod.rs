//! What the layer reads from a request, and what it removes.

mod forged_headers;
mod peer_certificate;
mod presented_token;
mod sent_uri;

pub use peer_certificate::PeerCertificate;
pub use sent_uri::SentUri;

pub(super) use forged_headers::{mark_credentials, remove_identity};
pub(super) use presented_token::{PresentedToken, PresentedTokens, has_bearer_token};
pub(super) use sent_uri::sent_uri;
