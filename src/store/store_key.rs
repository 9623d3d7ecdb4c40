use std::fmt;

use zeroize::Zeroizing;

use crate::{Error, Secret};

/// The key with which records are sealed and their names are made: 32 random bytes.
///
/// Its memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKey(Zeroizing<[u8; 32]>);

impl StoreKey {
    /// Creates a key from 32 random bytes. A passphrase is no key.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a key in base64, with either alphabet: `openssl rand -base64 32` makes one.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if the text is not 32 bytes in base64.
    pub fn from_base64(text: &Secret) -> Result<Self, Error> {
        let _ = text;
        todo!()
    }

    /// Creates a key from random bytes of the operating system.
    pub fn random() -> Self {
        todo!()
    }

    #[allow(dead_code)]
    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey")
    }
}
