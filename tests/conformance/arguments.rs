//! Converts the arguments of a case into the types of the API.

use serde_json::{Map, Value};

use crate::Incomplete;

/// Arguments by name, possibly none.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a>(Option<&'a Map<String, Value>>);

impl<'a> Args<'a> {
    /// Reads the members of an object. `null` has no members.
    pub(crate) fn new(given: &'a Value) -> Result<Self, Incomplete> {
        match given {
            Value::Null => Ok(Self(None)),
            Value::Object(members) => Ok(Self(Some(members))),
            other => Err(Incomplete::Malformed(format!("arguments that are not an object: {other}"))),
        }
    }

    pub(crate) fn names(self) -> impl Iterator<Item = &'a str> {
        self.0.into_iter().flat_map(Map::keys).map(String::as_str)
    }

    pub(crate) fn members(self) -> impl Iterator<Item = (String, Value)> {
        self.0.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone()))
    }

    /// Returns an argument, even if it is null.
    pub(crate) fn given(self, name: &str) -> Option<&'a Value> {
        self.0?.get(name)
    }

    /// Returns an argument, unless it is null.
    pub(crate) fn get(self, name: &str) -> Option<&'a Value> {
        self.given(name).filter(|value| !value.is_null())
    }

    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, Incomplete> {
        self.read(name, "text", Value::as_str)
    }

    pub(crate) fn flag(self, name: &str) -> Result<Option<bool>, Incomplete> {
        self.read(name, "flag", Value::as_bool)
    }

    /// Returns a non-negative number, possibly with a fraction.
    pub(crate) fn seconds(self, name: &str) -> Result<Option<f64>, Incomplete> {
        let seconds = |value: &Value| value.as_f64().filter(|seconds| (0.0..1e9).contains(seconds));
        self.read(name, "time in seconds", seconds)
    }

    pub(crate) fn count(self, name: &str) -> Result<Option<u32>, Incomplete> {
        self.read(name, "count", |value| value.as_u64()?.try_into().ok())
    }

    pub(crate) fn object(self, name: &str) -> Result<Args<'a>, Incomplete> {
        self.read(name, "object", Value::as_object).map(Self)
    }

    pub(crate) fn read<T>(
        self,
        name: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Incomplete> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(Incomplete::NotExpressible(format!("a value of `{name}` that is not a {kind}"))),
        }
    }
}

/// Returns the text of a required input.
pub(crate) fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str, Incomplete> {
    value.as_str().ok_or_else(|| Incomplete::Malformed(format!("{what} is not a text: {value}")))
}
