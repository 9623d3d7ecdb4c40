//! Seals and opens records, and names entries.

use std::{fmt, time::SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{
    AeadInPlace, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{OsRng, rand_core::RngCore},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::{
    StoreKey,
    record::{FORMAT, Header, KEY_ID_LENGTH, Kind, Miss, NONCE_LENGTH, SEALED_START, TAG_LENGTH},
    store_key::KEY_LENGTH,
};
use crate::BoxError;

/// What a record is for. Each purpose has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Tokens of the program's own credentials.
    Tokens,
    /// Tokens of others that a service has validated.
    Validations,
}

impl Purpose {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Validations => "validations",
        }
    }
}

/// The keys that are derived from a [`StoreKey`] for one purpose.
pub(super) struct Sealer {
    purpose: Purpose,
    seal: Zeroizing<[u8; KEY_LENGTH]>,
    name: Zeroizing<[u8; KEY_LENGTH]>,
    id: [u8; KEY_ID_LENGTH],
}

/// What a record is bound to.
#[derive(Clone, Copy)]
pub(super) struct Binding<'a> {
    /// The name of the store.
    pub(super) store: &'a str,
    /// The cache id of the credentials, or the token that was validated.
    pub(super) identity: &'a str,
    /// What the entry is: the part of its name after the dot.
    pub(super) part: &'a str,
}

/// The times in the header of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) issued_at: SystemTime,
    pub(super) expires_at: SystemTime,
}

impl Sealer {
    pub(super) fn new(key: &StoreKey, purpose: Purpose) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, key.as_bytes());
        let derive = |label: &str, derived: &mut [u8]| {
            let info = [b"tower-keystone", &[FORMAT][..], purpose.name().as_bytes(), b"/", label.as_bytes()];
            // HKDF fails only if more than 8,160 bytes are wanted.
            let _ = hkdf.expand_multi_info(&info, derived);
        };
        let mut sealer =
            Self { purpose, seal: Zeroizing::default(), name: Zeroizing::default(), id: Default::default() };
        derive("seal", &mut *sealer.seal);
        derive("name", &mut *sealer.name);
        derive("id", &mut sealer.id);
        sealer
    }

    /// Returns the id of the key that is in each of its records, to compare the keys of two processes.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }

    /// Returns the part of the names of all entries of an identity that is the same.
    pub(super) fn identity_name(&self, store: &str, identity: &str) -> Box<str> {
        let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(&*self.name) else {
            return Box::default(); // A key of any length is valid.
        };
        mac.update(&[FORMAT]);
        for part in [store, self.purpose.name(), identity] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()).into()
    }

    /// Makes a record.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes.
    pub(super) fn seal(
        &self,
        binding: Binding<'_>,
        kind: Kind,
        times: Times,
        content: &[u8],
    ) -> Result<Vec<u8>, BoxError> {
        let header =
            Header { key_id: self.id, kind, issued_at: times.issued_at, expires_at: times.expires_at };
        let header = header.to_bytes();
        let mut nonce = [0; NONCE_LENGTH];
        OsRng.try_fill_bytes(&mut nonce).map_err(|_| "the operating system has no random bytes")?;
        // Allocated once: a buffer that grows leaves copies of the token in freed memory.
        let mut record = Zeroizing::new(Vec::with_capacity(SEALED_START + content.len() + TAG_LENGTH));
        record.extend_from_slice(&header);
        record.extend_from_slice(&nonce);
        record.extend_from_slice(content);
        let associated = self.associated_data(&header, binding);
        let (_, sealed) = record.split_at_mut_checked(SEALED_START).unwrap_or_default();
        let tag = self
            .cipher()
            .encrypt_in_place_detached(XNonce::from_slice(&nonce), &associated, sealed)
            .map_err(|_| "the record is too long to be sealed")?;
        record.extend_from_slice(&tag);
        Ok(std::mem::take(&mut *record))
    }

    /// Opens a record. Returns its header and what was sealed in it.
    ///
    /// The bytes of the record are used for the result, and are wiped with it.
    pub(super) fn open(
        &self,
        binding: Binding<'_>,
        record: Vec<u8>,
    ) -> Result<(Header, Zeroizing<Vec<u8>>), Miss> {
        let mut record = Zeroizing::new(record);
        let header = Header::read(&record)?;
        if header.key_id != self.id {
            return Err(Miss::Key);
        }
        let associated = self.associated_data(&header.to_bytes(), binding);
        let (start, sealed) = record.split_at_mut_checked(SEALED_START).ok_or(Miss::NoRecord)?;
        let (sealed, tag) = sealed.split_last_chunk_mut::<TAG_LENGTH>().ok_or(Miss::NoRecord)?;
        let nonce = start.last_chunk::<NONCE_LENGTH>().ok_or(Miss::NoRecord)?;
        let length = sealed.len();
        self.cipher()
            .decrypt_in_place_detached(XNonce::from_slice(nonce), &associated, sealed, (&*tag).into())
            .map_err(|_| Miss::Seal)?;
        record.copy_within(SEALED_START..SEALED_START + length, 0);
        record[length..].zeroize();
        record.truncate(length);
        Ok((header, record))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.seal).into())
    }

    /// Returns what is authenticated but not sealed. It contains the identity, so it is wiped.
    fn associated_data(&self, header: &[u8], binding: Binding<'_>) -> Zeroizing<Vec<u8>> {
        let parts = [self.purpose.name(), binding.store, binding.part, binding.identity];
        let length = header.len() + parts.iter().map(|part| 8 + part.len()).sum::<usize>();
        let mut data = Zeroizing::new(Vec::with_capacity(length));
        data.extend_from_slice(header);
        for part in parts {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
