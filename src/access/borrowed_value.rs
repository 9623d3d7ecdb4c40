//! A JSON value whose strings are slices of its text.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::json;

/// The member that stands for a number if some crate of the program enables serde_json's `arbitrary_precision`.
const NUMBER: &str = "$serde_json::private::Number";

/// A JSON value. A string is a slice of the text unless it has an escape sequence.
#[derive(Debug)]
pub(super) enum BorrowedValue<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    List(Vec<BorrowedValue<'a>>),
    /// Of several members with the same name, the last one counts.
    Object(Vec<(Cow<'a, str>, BorrowedValue<'a>)>),
}

impl<'a> BorrowedValue<'a> {
    /// Returns a member of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Removes the members of an object that have this name, and returns the last one.
    pub(super) fn remove(&mut self, name: &str) -> Option<Self> {
        let Self::Object(members) = self else { return None };
        members.extract_if(.., |(known, _)| known == name).last().map(|(_, value)| value)
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        let Self::Text(text) = self else { return None };
        Some(text)
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        let Self::Bool(value) = self else { return None };
        Some(*value)
    }

    /// Returns the elements of a list. Any other value has none.
    pub(super) fn elements(&self) -> &[Self] {
        let Self::List(elements) = self else { return &[] };
        elements
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Returns whether Python counts the value as true, as keystoneauth does for some properties.
    pub(super) fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(elements) => !elements.is_empty(),
            Self::Object(members) => !members.is_empty(),
        }
    }
}

impl<'de> Deserialize<'de> for BorrowedValue<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = BorrowedValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Number(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(BorrowedValue::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((json::Name(name), value)) = object.next_entry()? {
            members.push((name, value));
        }
        Ok(match members.as_slice() {
            [(name, BorrowedValue::Text(number))] if name == NUMBER => {
                BorrowedValue::Number(number.parse().unwrap_or(f64::NAN))
            }
            _ => BorrowedValue::Object(members),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_precision_are_numbers() {
        fn read(json: &str) -> BorrowedValue<'_> {
            serde_json::from_str(json).unwrap()
        }
        for (number, is_truthy) in [("0", false), ("-0.0", false), ("1", true), ("1e999", true)] {
            let value = format!(r#"{{"{NUMBER}": "{number}"}}"#);
            assert!(matches!(read(&value), BorrowedValue::Number(_)), "{number}");
            assert_eq!(read(&value).is_truthy(), is_truthy, "{number}");
        }
        assert!(read(r#"{"id": "0"}"#).is_object());
    }
}
