//! Reads members of Keystone's error documents and receipts, without parsing the whole document into memory.

use serde_json::value::RawValue;

use crate::json::{self, member};

/// Maximum number of entries to read from a list.
const MAX_ENTRIES: usize = 16;

/// Returns whether a body is an error document of Keystone, such as
/// `{"error": {"code": 401, "message": "…", "title": "…"}}`.
pub(crate) fn is_error_document(body: &str) -> bool {
    let Some(error) = member(body, "error") else { return false };
    let starts_with = |name, is_start: fn(char) -> bool| {
        member(error.get(), name).is_some_and(|value| value.get().starts_with(is_start))
    };
    starts_with("message", |first| first == '"') || starts_with("code", |first| first.is_ascii_digit())
}

/// Returns the first [`MAX_ENTRIES`] entries of a JSON list as raw JSON, or `None` if the value is not a list.
pub(super) fn entries(list: &RawValue) -> Option<Vec<&RawValue>> {
    let mut entries = Vec::new();
    let read = json::for_each_element(list, |entry| {
        if entries.len() < MAX_ENTRIES {
            entries.push(entry);
        }
    });
    read.ok().map(|()| entries)
}
