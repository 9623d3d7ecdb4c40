//! Reads the arguments of a case as the types of the API.

use serde_json::{Map, Value};

use crate::Unanswered;

/// Arguments by name; there may be none.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a>(Option<&'a Map<String, Value>>);

impl<'a> Args<'a> {
    /// The members of an object; `null` has none.
    pub(crate) fn new(given: &'a Value) -> Result<Self, Unanswered> {
        match given {
            Value::Null => Ok(Self(None)),
            Value::Object(members) => Ok(Self(Some(members))),
            other => Err(Unanswered::Malformed(format!("arguments that are no object: {other}"))),
        }
    }

    pub(crate) fn names(self) -> impl Iterator<Item = &'a str> {
        self.0.into_iter().flat_map(Map::keys).map(String::as_str)
    }

    pub(crate) fn members(self) -> impl Iterator<Item = (String, Value)> {
        self.0.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone()))
    }

    /// An argument, also one that is null.
    pub(crate) fn given(self, name: &str) -> Option<&'a Value> {
        self.0?.get(name)
    }

    /// An argument; one that is null counts as not given.
    pub(crate) fn get(self, name: &str) -> Option<&'a Value> {
        self.given(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, Unanswered> {
        self.read(name, "text", Value::as_str)
    }

    pub(crate) fn flag(self, name: &str) -> Result<Option<bool>, Unanswered> {
        self.read(name, "flag", Value::as_bool)
    }

    /// A number that is not below zero, whole or not.
    pub(crate) fn seconds(self, name: &str) -> Result<Option<f64>, Unanswered> {
        let seconds = |value: &Value| value.as_f64().filter(|seconds| (0.0..1e9).contains(seconds));
        self.read(name, "time in seconds", seconds)
    }

    pub(crate) fn count(self, name: &str) -> Result<Option<u32>, Unanswered> {
        self.read(name, "count", |value| value.as_u64()?.try_into().ok())
    }

    pub(crate) fn object(self, name: &str) -> Result<Args<'a>, Unanswered> {
        self.read(name, "object", Value::as_object).map(Self)
    }

    pub(crate) fn read<T>(
        self,
        name: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Unanswered> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(Unanswered::NotExpressible(format!("`{name}` that is no {kind}"))),
        }
    }
}

/// The text that an input has to have.
pub(crate) fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str, Unanswered> {
    value.as_str().ok_or_else(|| Unanswered::Malformed(format!("{what} is no text: {value}")))
}
