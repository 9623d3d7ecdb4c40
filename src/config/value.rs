use std::fmt;

use crate::{Secret, error::ConfigLocation};

/// A value of a configuration, and where it was written.
///
/// A scalar keeps the characters that were written: the setting that reads it decides whether it is a text, a number or
/// a boolean.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) data: Data,
    pub(super) location: ConfigLocation,
}

/// The data of a [`Value`].
#[derive(Clone)]
pub(super) enum Data {
    /// A plain `null`, `~` or empty scalar.
    Null,
    /// A text. `plain` says that it was written without quotes, so that `yes` may be a boolean.
    Scalar { text: Secret, plain: bool },
    /// A list.
    Sequence(Vec<Value>),
    /// A mapping.
    Mapping(Mapping),
}

/// The members of a mapping, in the order in which they were written. No name occurs twice.
#[derive(Clone, Default)]
pub(super) struct Mapping(Vec<(Box<str>, Value)>);

impl Mapping {
    /// Returns the value of a member.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(member, _)| **member == *name).map(|(_, value)| value)
    }

    /// Sets a member. An existing one keeps its place in the order, and its value is returned.
    pub(super) fn insert(&mut self, name: &str, value: Value) -> Option<Value> {
        match self.0.iter_mut().find(|(member, _)| **member == *name) {
            Some((_, existing)) => Some(std::mem::replace(existing, value)),
            None => {
                self.0.push((name.into(), value));
                None
            }
        }
    }

    /// Removes a member, and returns its value.
    pub(super) fn remove(&mut self, name: &str) -> Option<Value> {
        let index = self.0.iter().position(|(member, _)| **member == *name)?;
        Some(self.0.remove(index).1)
    }

    /// Returns the names and values in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

/// Shows the names of the members, never a value.
impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Shows the kind of the value and where it was written, never the value.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data {
            Data::Null => write!(f, "null at {}", self.location),
            Data::Scalar { .. } => write!(f, "text at {}", self.location),
            Data::Sequence(_) => write!(f, "list at {}", self.location),
            Data::Mapping(mapping) => mapping.fmt(f),
        }
    }
}
