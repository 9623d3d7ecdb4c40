//! JSON request bodies that contain secrets. They are serialized into memory that is wiped when they are dropped.

use bytes::Bytes;
use serde::ser::{Serialize, Serializer};
use zeroize::Zeroizing;

/// A JSON value that borrows its strings, so that no secret is copied into memory that is not wiped.
pub(crate) enum Json<'a> {
    True,
    Text(&'a str),
    List(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
}

impl Json<'_> {
    /// Serializes the value. The memory is wiped when the last clone of the result is dropped.
    pub(super) fn into_bytes(self) -> Result<Bytes, serde_json::Error> {
        let mut length = ByteCounter(0);
        serde_json::to_writer(&mut length, &self)?;
        // With capacity for the whole text, because growing would leave copies behind that are not wiped.
        let mut text = Zeroizing::new(Vec::with_capacity(length.0));
        serde_json::to_writer(&mut *text, &self)?;
        Ok(Bytes::from_owner(text))
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::True => serializer.serialize_bool(true),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => serializer.collect_seq(list),
            Self::Object(members) => {
                serializer.collect_map(members.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

/// Counts the bytes that are written.
struct ByteCounter(usize);

impl std::io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
