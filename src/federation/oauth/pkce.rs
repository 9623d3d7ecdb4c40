//! Proof Key for Code Exchange (RFC 7636).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{Error, Secret, federation::random::random_text};

/// The only method that is used: the challenge is a hash of the verifier.
pub(in crate::federation) const CODE_CHALLENGE_METHOD: &str = "S256";

/// Returns a new code verifier: 42 random bytes, as in keystoneauth.
pub(in crate::federation) fn code_verifier() -> Result<Secret, Error> {
    random_text(42)
}

/// Returns the code challenge of a verifier, which is not secret.
pub(in crate::federation) fn code_challenge(verifier: &Secret) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    #[test]
    fn a_challenge_is_the_hash_of_its_verifier() {
        let challenge = code_challenge(&"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into());
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    /// RFC 7636, section 4.1: 43 to 128 characters.
    #[test]
    fn a_verifier_has_an_allowed_length() {
        assert_eq!(code_verifier().unwrap().expose().len(), 56);
    }
}
