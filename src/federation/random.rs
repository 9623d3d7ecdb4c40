//! Random values of the operating system, for secrets.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::{Error, Secret};

/// Returns `bytes` random bytes of the operating system, in base64url without padding.
pub(super) fn random_text(bytes: usize) -> Result<Secret, Error> {
    let mut random = Zeroizing::new(vec![0; bytes]);
    getrandom::getrandom(&mut random)
        .map_err(|_| Error::AuthorizationFailure { reason: "the operating system has no random numbers" })?;
    Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(&*random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_different_and_fit_for_urls() {
        let (one, other) = (random_text(42).unwrap(), random_text(42).unwrap());
        assert_ne!(one, other);
        for text in [one, other] {
            let text = text.expose();
            assert_eq!(text.len(), 56);
            assert!(
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
                "{text}"
            );
        }
    }
}
