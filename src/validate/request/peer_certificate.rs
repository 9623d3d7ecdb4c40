use std::sync::Arc;

/// The client certificate of the connection, in DER: a request extension that the TLS acceptor sets.
#[derive(Clone, Debug)]
pub struct PeerCertificate(Arc<[u8]>);

impl PeerCertificate {
    /// Creates the extension from a certificate in DER.
    pub fn from_der(der: impl Into<Arc<[u8]>>) -> Self {
        Self(der.into())
    }

    /// Returns the certificate in DER.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }
}
