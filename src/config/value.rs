use std::{collections::BTreeMap, fmt, mem};

use crate::{Secret, error::ConfigLocation};

/// A value of a configuration, and where it was written.
///
/// A scalar keeps the characters that were written: the setting that reads it decides whether it is a text, a number or
/// a boolean.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) data: Data,
    /// Where the value was written. For a member of a mapping, this is the location of its name.
    pub(super) location: ConfigLocation,
}

/// The data of a [`Value`].
#[derive(Clone)]
pub(super) enum Data {
    /// A plain `null`, `~` or empty scalar.
    Null,
    /// The characters of a text, a number or a boolean.
    Scalar(Secret),
    /// A list.
    Sequence(Vec<Value>),
    /// A mapping.
    Mapping(Mapping),
}

/// The members of a mapping, in the order in which they were written. No name occurs twice.
#[derive(Clone, Default)]
pub(super) struct Mapping {
    /// Each value with its index in the order.
    members: BTreeMap<Box<str>, (usize, Value)>,
    next_index: usize,
}

impl Mapping {
    /// Returns the value of a member.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name).map(|(_, value)| value)
    }

    /// Sets a member. An existing one keeps its index. Its old value is returned.
    pub(super) fn insert(&mut self, name: &str, value: Value) -> Option<Value> {
        if let Some((_, existing)) = self.members.get_mut(name) {
            return Some(mem::replace(existing, value));
        }
        self.members.insert(name.into(), (self.next_index, value));
        self.next_index += 1;
        None
    }

    /// Returns the value of a member, to change it.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.members.get_mut(name).map(|(_, value)| value)
    }

    /// Returns the values, to change them.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.members.values_mut().map(|(_, value)| value)
    }

    /// Sets the members of another mapping. They replace existing ones.
    pub(super) fn extend(&mut self, other: Self) {
        for (name, value) in other {
            self.insert(&name, value);
        }
    }

    /// Removes a member, and returns its value.
    pub(super) fn remove(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).map(|(_, value)| value)
    }

    /// Returns the names and values in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_unstable_by_key(|(_, (index, _))| *index);
        members.into_iter().map(|(name, (_, value))| (&**name, value))
    }
}

/// Iterates over the names and values in order.
impl IntoIterator for Mapping {
    type Item = (Box<str>, Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        let mut members: Vec<_> = self.members.into_iter().collect();
        members.sort_unstable_by_key(|(_, (index, _))| *index);
        members.into_iter().map(|(name, (_, value))| (name, value)).collect::<Vec<_>>().into_iter()
    }
}

/// Returns whether a plain scalar of these characters is null.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
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
            Data::Scalar(_) => write!(f, "text at {}", self.location),
            Data::Sequence(_) => write!(f, "list at {}", self.location),
            Data::Mapping(mapping) => mapping.fmt(f),
        }
    }
}
