//! JSON that holds secrets: written once, into memory that is wiped.

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use zeroize::Zeroizing;

/// A JSON value whose texts are borrowed, so that no secret is copied on the way.
pub(super) enum Json<'a> {
    True,
    Text(&'a str),
    List(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
}

impl Json<'_> {
    /// The text of this value; its memory is wiped with the last clone.
    pub(super) fn into_bytes(self) -> Result<Bytes, serde_json::Error> {
        let mut length = Counter(0);
        serde_json::to_writer(&mut length, &self)?;
        // Room for all of it at once: a buffer that grows leaves copies behind.
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
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// Counts what is written.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
