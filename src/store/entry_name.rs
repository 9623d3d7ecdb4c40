use std::fmt;

/// The name of an entry in a store.
///
/// It begins with 43 characters of the URL-safe alphabet of base64, which are the same for all entries of an identity
/// and tell nothing about it without the key. Then follows a dot and what the entry is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntryName {
    text: Box<str>,
}

/// The length of the part of a name that is the same for all entries of an identity.
const IDENTITY_LENGTH: usize = 43;

impl EntryName {
    /// Creates the name of an entry of an identity.
    pub(super) fn new(identity: &str, entry: &str) -> Self {
        Self { text: format!("{identity}.{entry}").into() }
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
