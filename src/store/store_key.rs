use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use chacha20poly1305::aead::{OsRng, rand_core::RngCore};
use zeroize::Zeroizing;

use crate::{Error, Secret};

/// The length of a key, in bytes.
pub(super) const KEY_LENGTH: usize = 32;

/// Base64 with or without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The key with which records are sealed and their names are made: 32 random bytes.
///
/// Its memory is wiped when it is dropped.
///
/// ```
/// use tower_keystone::store::StoreKey;
///
/// // As `openssl rand -base64 32` prints it.
/// let key = StoreKey::from_base64("MFf2h0NSkqm1MQNPXbvBlqfYfZbAFEe0s8ZhZWzCMTY=")?;
/// assert_eq!(format!("{key:?}"), "StoreKey");
/// # Ok::<(), tower_keystone::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKey(Zeroizing<[u8; KEY_LENGTH]>);

impl StoreKey {
    /// Creates a key from 32 random bytes. Do not make them of a passphrase: it can be guessed.
    pub fn new(bytes: [u8; KEY_LENGTH]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a key in base64, in the standard or the URL-safe alphabet, with or without padding.
    ///
    /// White space around it is ignored. `openssl rand -base64 32` makes a key.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStore`] if the text is not 32 bytes in base64.
    pub fn from_base64(text: impl Into<Secret>) -> Result<Self, Error> {
        let text = text.into();
        let text = text.expose().trim();
        let alphabet = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
        // The decoder wants room for a whole number of groups.
        let mut decoded = Zeroizing::new([0; KEY_LENGTH + 4]);
        let length = alphabet.decode_slice(text, &mut *decoded).unwrap_or_default();
        match decoded.first_chunk().filter(|_| length == KEY_LENGTH) {
            Some(bytes) => Ok(Self::new(*bytes)),
            None => Err(Error::InvalidStore {
                reason: "a key must be 32 random bytes in base64, as `openssl rand -base64 32` prints them"
                    .into(),
                source: None,
            }),
        }
    }

    /// Creates a key from random bytes of the operating system.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no random bytes.
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
        OsRng.fill_bytes(&mut *bytes);
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey")
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn a_key_is_read_from_both_alphabets() {
        let key = StoreKey::new(std::array::from_fn(|index| 255 - 3 * index as u8));
        let bytes = key.as_bytes();
        for text in [
            BASE64_STANDARD.encode(bytes),
            BASE64_STANDARD_NO_PAD.encode(bytes),
            BASE64_URL_SAFE.encode(bytes),
            BASE64_URL_SAFE_NO_PAD.encode(bytes),
            format!(" {}\n", BASE64_STANDARD.encode(bytes)),
        ] {
            assert_eq!(StoreKey::from_base64(text).unwrap(), key);
        }
    }

    #[test]
    fn what_is_not_32_bytes_is_refused_and_not_shown() {
        for text in [
            String::new(),
            "correct horse battery staple canary".into(),
            BASE64_STANDARD.encode([7; 31]),
            BASE64_STANDARD.encode([7; 33]),
            BASE64_STANDARD.encode([7; 64]),
            format!("{}!", BASE64_STANDARD.encode([7; 32])),
            "canary".repeat(1_000),
        ] {
            let error = StoreKey::from_base64(text.as_str()).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("openssl rand -base64 32"), "{shown}");
            assert!(text.is_empty() || !shown.contains(&text), "{shown}");
        }
    }

    #[test]
    fn random_keys_differ() {
        assert_ne!(StoreKey::random(), StoreKey::random());
    }
}
