use std::fmt;

/// The name of an entry in a store.
///
/// It begins with 43 characters of the URL-safe alphabet of base64, which are the same for all entries of an identity
/// and tell nothing about it without the key. Then follow a dot and what the entry is: up to 16 lower-case letters,
/// digits and hyphens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName {
    text: Box<str>,
}

/// The length of the part of a name that is the same for all entries of an identity.
const IDENTITY_LENGTH: usize = 43;

/// Maximum length of the part of a name after the dot.
const MAX_PART_LENGTH: usize = 16;

impl EntryName {
    /// Creates the name of an entry of an identity.
    pub(super) fn new(identity: &str, part: &str) -> Self {
        Self { text: format!("{identity}.{part}").into() }
    }

    /// Reads a name, for example in a test of a store. Returns `None` if the text is not the name of an entry.
    pub fn parse(text: &str) -> Option<Self> {
        let (identity, part) = text.split_once('.')?;
        let is_in_identity = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_in_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = identity.len() == IDENTITY_LENGTH
            && identity.bytes().all(is_in_identity)
            && (1..=MAX_PART_LENGTH).contains(&part.len())
            && part.bytes().all(is_in_part);
        is_name.then(|| Self::new(identity, part))
    }

    /// Returns the whole name: at most 60 characters of the URL-safe alphabet of base64, and a dot.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the part that is the same for all entries of an identity, to keep them on one server.
    pub fn identity(&self) -> &str {
        self.text.get(..IDENTITY_LENGTH).unwrap_or(&self.text)
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back() {
        let identity = "A-z_0".repeat(9).get(..43).unwrap().to_owned();
        let name = EntryName::new(&identity, "refusal-0");
        assert_eq!(name.identity(), identity);
        assert_eq!(EntryName::parse(name.as_str()), Some(name.clone()));
        assert_eq!(format!("{name:?}"), name.as_str());
        for text in ["", ".", "token", &identity, &format!("{identity}."), &format!("{identity}.a b")] {
            assert_eq!(EntryName::parse(text), None, "{text}");
        }
        for text in [
            format!("{identity}A.token"),
            format!("{}.token", &identity[1..]),
            format!("{identity}.{}", "a".repeat(17)),
            format!("{}\n.token", &identity[1..]),
            format!("{identity}.token\r\n"),
            format!("{identity}.a.b"),
        ] {
            assert_eq!(EntryName::parse(&text), None, "{text}");
        }
    }
}
