//! Reads a JSON text part by part, without a [`serde_json::Value`] of the whole text.
//!
//! A `Value` can take a hundred times as much memory as its text. The functions here pass each part to the caller as
//! a [`RawValue`], which is a slice of the text.
//!
//! They are used for documents of which few members are needed: error documents, the receipts that Keystone returns
//! while a login still needs another authentication method, version documents and the auth state. Token documents are
//! read by `access::lenient` instead, because most of their members are needed and each may be malformed.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, value::RawValue};

/// Removes the byte order mark that some services write at the start. JSON does not allow it.
pub(crate) fn without_bom(json: &[u8]) -> &[u8] {
    json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json)
}

/// Calls `each` with the name and the value of each member of an object, in the order of the text.
///
/// # Errors
///
/// The text is not JSON, or not an object. `each` may have been called before the error was found.
pub(crate) fn for_each_member<'a>(
    json: &'a str,
    each: impl FnMut(&str, &'a RawValue),
) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(json);
    json.deserialize_map(Members(each))?;
    json.end()
}

/// Returns a member of a JSON object as raw JSON, or `None` if there is none or the text is not a JSON object.
///
/// If several members have that name, it returns the last one.
pub(crate) fn member<'a>(object: &'a str, name: &str) -> Option<&'a RawValue> {
    let mut found = None;
    let read = for_each_member(object, |other, value| {
        if other == name {
            found = Some(value);
        }
    });
    read.ok().and(found)
}

/// Calls `each` with each element of a list, in the order of the text.
///
/// # Errors
///
/// The value is not a list.
pub(crate) fn for_each_element<'a>(
    list: &'a RawValue,
    each: impl FnMut(&'a RawValue),
) -> Result<(), serde_json::Error> {
    serde_json::Deserializer::from_str(list.get()).deserialize_seq(Elements(each))
}

pub(crate) fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

pub(crate) fn is_list(value: &RawValue) -> bool {
    value.get().starts_with('[')
}

/// Returns the text of a value that is a string.
pub(crate) fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// Returns the text of a value that is a string or a number.
pub(crate) fn text_or_number(value: &RawValue) -> Option<String> {
    text(value).or_else(|| value.get().parse::<Number>().ok().map(|number| number.to_string()))
}

struct Members<F>(F);

impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Name(name), value)) = map.next_entry()? {
            (self.0)(&name, value);
        }
        Ok(())
    }
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}

/// The name of a member. It is a slice of the text unless the text has an escape sequence in it.
pub(crate) struct Name<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(name.into()))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(name.to_owned().into()))
    }
}
