use super::super::EntryName;

/// A key in memcached: at most 250 visible ASCII characters, which cannot end a command or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(Box<str>);

const MAX_LENGTH: usize = 250;

#[derive(Debug, thiserror::Error)]
#[error("the name of an entry is not at most {MAX_LENGTH} visible ASCII characters long with its prefix")]
pub(super) struct InvalidKey;

impl Key {
    pub(super) fn new(text: &str) -> Result<Self, InvalidKey> {
        let is_valid =
            !text.is_empty() && text.len() <= MAX_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_valid { Ok(Self(text.into())) } else { Err(InvalidKey) }
    }

    /// Returns the key of a record.
    pub(super) fn of_record(prefix: &str, name: &EntryName) -> Result<Self, InvalidKey> {
        Self::new(&format!("{prefix}{}", name.as_str()))
    }

    /// Returns the key of the lease of a record.
    pub(super) fn of_lease(prefix: &str, name: &EntryName) -> Result<Self, InvalidKey> {
        Self::new(&format!("{prefix}{}.lease", name.as_str()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_hold_a_command() {
        assert!(Key::new(&"k".repeat(250)).is_ok());
        assert!(Key::new(&"k".repeat(251)).is_err());
        assert!(Key::new("").is_err());
        for byte in (0..=b' ').chain([0x7f]) {
            assert!(Key::new(&format!("a{}b", char::from(byte))).is_err(), "{byte}");
        }
        assert!(Key::new("k\u{e9}").is_err());
        assert!(Key::new("a\r\nflush_all").is_err());
    }
}
