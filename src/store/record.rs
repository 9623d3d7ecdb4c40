//! The layout of a record.
//!
//! | bytes | content |
//! |---|---|
//! | 0..2 | `tk` |
//! | 2 | the format, 1 |
//! | 3..7 | the id of the key |
//! | 7 | the [`Kind`] |
//! | 8..16 | when Keystone issued the token, in ms since 1970, big-endian |
//! | 16..24 | when it expires, likewise |
//! | 24..48 | the nonce |
//! | 48.. | what is sealed, and the tag of 16 bytes |
//!
//! All bytes before the nonce are authenticated. The first 48 bytes are the version of the record.

use std::time::{Duration, SystemTime};

use super::Version;

/// The format of the records of this version of the crate.
pub(super) const FORMAT: u8 = 1;

/// The length of the id of a key, in bytes.
pub(super) const KEY_ID_LENGTH: usize = 4;

/// The length of the bytes before the nonce.
pub(super) const HEADER_LENGTH: usize = 24;

/// The length of the nonce of XChaCha20-Poly1305, in bytes.
pub(super) const NONCE_LENGTH: usize = 24;

/// The length of the tag of XChaCha20-Poly1305, in bytes.
pub(super) const TAG_LENGTH: usize = 16;

/// Where the sealed bytes start.
pub(super) const SEALED_START: usize = HEADER_LENGTH + NONCE_LENGTH;

const _: () = assert!(SEALED_START == Version::MAX_LENGTH);

const MAGIC: [u8; 2] = *b"tk";

/// What is in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A token and its document.
    Token = 1,
    /// Nothing: it replaces a record that was removed.
    Tombstone = 2,
    /// A failed login.
    Failure = 3,
    /// Numbers of failed logins.
    FailureCounts = 4,
    /// A refused token was removed.
    Refusal = 5,
    /// The document of a token that Keystone has validated.
    Validation = 6,
    /// Keystone does not know the token.
    UnknownToken = 7,
    /// An unscoped token, and the URL of the Keystone that issued it.
    UnscopedToken = 8,
    /// A refresh token of an identity provider.
    RefreshToken = 9,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Token,
        Self::Tombstone,
        Self::Failure,
        Self::FailureCounts,
        Self::Refusal,
        Self::Validation,
        Self::UnknownToken,
        Self::UnscopedToken,
        Self::RefreshToken,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What is not sealed in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) key_id: [u8; KEY_ID_LENGTH],
    pub(super) kind: Kind,
    /// When Keystone issued the token. Of other records, when they were made.
    pub(super) issued_at: SystemTime,
    /// When the token expires. Of other records, when their effect ends.
    pub(super) expires_at: SystemTime,
}

/// Why the bytes of a store are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Miss {
    /// It is shorter than any record, or does not start like one.
    NoRecord,
    /// Another version of the crate has made it.
    Format,
    /// The key with this id is not known.
    Key,
    /// It has been changed, or was sealed for another identity, or with another key.
    Seal,
    /// It is none of the kinds that are expected under its name.
    Kind,
    /// Its content cannot be read.
    Content,
    /// Its effect has ended long ago.
    Ended,
    /// It is too long to be stored.
    TooLong,
}

impl Miss {
    /// Returns the reason as a part of a sentence about the record.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NoRecord => "it is not a record of this crate",
            Self::Format => "another version of this crate has made it",
            Self::Key => "it was made with another key",
            Self::Seal => "it was changed, or made for another identity",
            Self::Kind => "it is of another kind",
            Self::Content => "its content cannot be read",
            Self::Ended => "it ended long ago",
            Self::TooLong => "it is longer than 1,000,000 bytes",
        }
    }
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        let parts = MAGIC
            .into_iter()
            .chain([FORMAT])
            .chain(self.key_id)
            .chain([self.kind as u8])
            .chain(to_millis(self.issued_at).to_be_bytes())
            .chain(to_millis(self.expires_at).to_be_bytes());
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = part;
        }
        bytes
    }

    /// Reads the header of a record that is long enough for a nonce and a tag.
    pub(super) fn read(record: &[u8]) -> Result<Self, Miss> {
        let (magic, rest) = record.split_first_chunk().ok_or(Miss::NoRecord)?;
        let (format, rest) = rest.split_first().ok_or(Miss::NoRecord)?;
        if *magic != MAGIC || record.len() < SEALED_START + TAG_LENGTH {
            return Err(Miss::NoRecord);
        }
        if *format != FORMAT {
            return Err(Miss::Format);
        }
        let (key_id, rest) = rest.split_first_chunk().ok_or(Miss::NoRecord)?;
        let (kind, rest) = rest.split_first().ok_or(Miss::NoRecord)?;
        let (issued_at, rest) = rest.split_first_chunk().ok_or(Miss::NoRecord)?;
        let (expires_at, _) = rest.split_first_chunk().ok_or(Miss::NoRecord)?;
        Ok(Self {
            key_id: *key_id,
            kind: Kind::from_byte(*kind).ok_or(Miss::Kind)?,
            issued_at: from_millis(u64::from_be_bytes(*issued_at)).ok_or(Miss::Content)?,
            expires_at: from_millis(u64::from_be_bytes(*expires_at)).ok_or(Miss::Content)?,
        })
    }
}

/// Returns the milliseconds since 1970. A time before 1970 counts as 1970.
pub(super) fn to_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn from_millis(millis: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            key_id: [9, 8, 7, 6],
            kind: Kind::Tombstone,
            issued_at: from_millis(0x0102_0304_0506).unwrap(),
            expires_at: from_millis(0x0a0b_0c0d).unwrap(),
        }
    }

    fn record() -> Vec<u8> {
        [header().to_bytes().as_slice(), &[0; NONCE_LENGTH + TAG_LENGTH]].concat()
    }

    #[test]
    fn the_layout_is_fixed() {
        let expected =
            [b't', b'k', 1, 9, 8, 7, 6, 2, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0x0a, 0x0b, 0x0c, 0x0d];
        assert_eq!(header().to_bytes(), expected);
        assert_eq!(Header::read(&record()), Ok(header()));
        for kind in Kind::ALL {
            assert_eq!(Kind::from_byte(kind as u8), Some(kind));
        }
    }

    #[test]
    fn a_malformed_header_is_a_miss() {
        for length in 0..record().len() {
            assert_eq!(Header::read(&record()[..length]), Err(Miss::NoRecord), "{length}");
        }
        for (at, byte, miss) in
            [(0, b'T', Miss::NoRecord), (2, 2, Miss::Format), (7, 0, Miss::Kind), (7, 10, Miss::Kind)]
        {
            let mut changed = record();
            changed[at] = byte;
            assert_eq!(Header::read(&changed), Err(miss), "{at}");
        }
        let mut far = record();
        far[8..24].fill(0xff);
        // Depends on the range of the system's time.
        assert!(matches!(Header::read(&far), Ok(_) | Err(Miss::Content)));
    }

    #[test]
    fn times_outside_of_the_range_are_limited() {
        assert_eq!(to_millis(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(to_millis(SystemTime::UNIX_EPOCH + Duration::from_millis(1_001)), 1_001);
    }
}
