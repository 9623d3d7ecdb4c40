use crate::{Error, Secret};

/// Returns `bytes` random bytes of the operating system, in base64url without padding.
pub(super) fn random_text(bytes: usize) -> Result<Secret, Error> {
    todo!()
}
