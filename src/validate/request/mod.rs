//! What the layer reads from a request, and what it removes.

mod forged_headers;
mod peer_certificate;
mod presented_token;
mod sent_uri;

pub use peer_certificate::PeerCertificate;
pub use sent_uri::SentUri;
