//! The keys of cached tokens, which do not contain the token.

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

use sha2::{
    Digest, Sha256,
    digest::core_api::BlockSizeUser,
    digest::generic_array::{GenericArray, typenum::Unsigned},
};

/// A salted SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenKey([u8; 32]);

/// Makes the keys of tokens.
///
/// The salt is random, so that nobody outside this process can compute a key or find tokens whose keys collide.
pub(super) struct KeyMaker {
    /// The hash of the salt, which fills one block.
    salted: Sha256,
}

impl KeyMaker {
    /// Creates a maker with a new salt.
    pub(super) fn new() -> Self {
        let mut salt = [0; <Sha256 as BlockSizeUser>::BlockSize::USIZE];
        for (number, part) in salt.chunks_exact_mut(8).enumerate() {
            // The standard library seeds each state from the random source of the operating system.
            part.copy_from_slice(&RandomState::new().hash_one(number).to_ne_bytes());
        }
        Self { salted: Sha256::new_with_prefix(salt) }
    }

    /// Returns the key of a token.
    #[inline]
    pub(super) fn key(&self, token: &[u8]) -> TokenKey {
        let mut hash = self.salted.clone();
        hash.update(token);
        let mut key = TokenKey([0; 32]);
        hash.finalize_into(GenericArray::from_mut_slice(&mut key.0));
        key
    }
}

/// Writes only 8 bytes: they are random already.
impl Hash for TokenKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Hashes [`TokenKey`]s: returns the bytes that they write.
pub(super) type BuildKeyHasher = BuildHasherDefault<KeyHasher>;

#[derive(Clone, Copy, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_the_token_and_on_the_salt() {
        let (keys, other_keys) = (KeyMaker::new(), KeyMaker::new());
        assert!(keys.key(b"gAAAA") == keys.key(b"gAAAA"));
        assert!(keys.key(b"gAAAA") != keys.key(b"gAAAB"));
        assert!(keys.key(b"gAAAA") != other_keys.key(b"gAAAA"));
        assert!(keys.key(b"") != other_keys.key(b""));
    }

    #[test]
    fn a_hash_is_taken_from_the_key() {
        let build = BuildKeyHasher::default();
        let key = TokenKey([7; 32]);
        assert_eq!(build.hash_one(key), u64::from_ne_bytes([7; 8]));
    }
}
