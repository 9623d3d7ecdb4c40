use std::{fmt, sync::Arc};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use sha2::{Digest, Sha256};

/// The client certificate of the connection: a request extension that the TLS acceptor of the server sets.
///
/// The layer compares it with the certificate that a token is bound to. It is never read from a header, because a
/// client can send any header.
///
/// ```
/// use http::Request;
/// use tower_keystone::PeerCertificate;
///
/// /// Called for each request of a connection, with the `peer_certificates()` of its TLS session.
/// fn with_certificate<B>(mut request: Request<B>, peer_certificates: Option<&[Vec<u8>]>) -> Request<B> {
///     if let Some([certificate, ..]) = peer_certificates {
///         request.extensions_mut().insert(PeerCertificate::from_der(certificate.as_slice()));
///     }
///     request
/// }
/// # with_certificate(Request::new(()), None);
/// ```
#[derive(Clone, PartialEq, Eq)]
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

    /// Returns whether this is the certificate with a thumbprint (`x5t#S256`).
    ///
    /// The thumbprint of RFC 8705 is the SHA-256 of the DER in base64url without padding. Keystone issues the SHA-256
    /// of the PEM text, with padding.
    pub(in crate::validate) fn has_thumbprint(&self, thumbprint: &str) -> bool {
        thumbprint == URL_SAFE_NO_PAD.encode(Sha256::digest(&self.0))
            || thumbprint == URL_SAFE.encode(Sha256::digest(self.to_pem()))
    }

    fn to_pem(&self) -> String {
        let base64 = STANDARD.encode(&self.0);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        let mut rest = base64.as_str();
        while let Some((line, after)) = rest.split_at_checked(64) {
            pem.extend([line, "\n"]);
            rest = after;
        }
        if !rest.is_empty() {
            pem.extend([rest, "\n"]);
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

/// Shows the length of the certificate, which may name a person.
impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCertificate({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_of_the_der_or_of_the_pem_text() {
        let der = STANDARD.decode(
            "cSH5t3zwdIMuPnpIblY4u/6uWMSuRQtbfMu2DmsXPiwbj1XoTYrb0C4sc1FZVUQ7L9frPmWoCK3jJP2n\
+3f/WL920qhpB+rsIWaDRu+mtTOZUpckz5vyA4w9",
        );
        let certificate = PeerCertificate::from_der(der.unwrap());
        assert!(certificate.has_thumbprint("isjty5hrb9NSIeRdbM8ToqJqk7YaOC9w6SBazD1joaA="));
        assert!(certificate.has_thumbprint("O6K1Jd_G4cw4blxOLH6Bx6PBceaMrIEKAdCEmLeciHE"));
        for other in [
            "isjty5hrb9NSIeRdbM8ToqJqk7YaOC9w6SBazD1joaA",
            "O6K1Jd_G4cw4blxOLH6Bx6PBceaMrIEKAdCEmLeciHE=",
            "O6K1Jd/G4cw4blxOLH6Bx6PBceaMrIEKAdCEmLeciHE",
            "",
            "no",
        ] {
            assert!(!certificate.has_thumbprint(other), "{other}");
        }
    }

    #[test]
    fn a_pem_text_has_lines_of_64_characters() {
        for (length, lines) in [(0, 0), (1, 1), (48, 1), (49, 2), (96, 2), (97, 3)] {
            let pem = PeerCertificate::from_der(vec![7; length]).to_pem();
            assert_eq!(pem.lines().count(), lines + 2, "{pem}");
            assert!(
                pem.ends_with("\n-----END CERTIFICATE-----\n") && pem.lines().all(|line| line.len() <= 64)
            );
        }
    }
}
