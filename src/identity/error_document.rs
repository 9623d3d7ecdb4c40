//! Reading Keystone's error documents and receipts, with memory for what is kept of them alone.

use serde_json::value::RawValue;

use crate::json;

/// How many entries of a list are read.
const MAX_ENTRIES: usize = 16;

/// Whether a body is an error document of Keystone: `{"error": {"code": 401, "message": "…", "title": "…"}}`.
pub(super) fn is_error_document(body: &str) -> bool {
    let Some(error) = member(body, "error") else { return false };
    let begins = |name, what: fn(char) -> bool| {
        member(error.get(), name).is_some_and(|value| value.get().starts_with(what))
    };
    begins("message", |first| first == '"') || begins("code", |first| first.is_ascii_digit())
}

/// A member of a JSON object as it is written; of several of that name the last. `None` for what is no such object.
pub(super) fn member<'a>(object: &'a str, name: &str) -> Option<&'a RawValue> {
    let mut found = None;
    let read = json::for_each_member(object, |known, value| {
        if known == name {
            found = Some(value);
        }
    });
    read.ok().and(found)
}

/// The first entries of a JSON list as they are written; `None` for what is no list.
pub(super) fn entries(list: &RawValue) -> Option<Vec<&RawValue>> {
    let mut entries = Vec::new();
    let read = json::for_each_element(list, |entry| {
        if entries.len() < MAX_ENTRIES {
            entries.push(entry);
        }
    });
    read.ok().map(|()| entries)
}
