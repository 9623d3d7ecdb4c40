//! Reading documents in which a part may be of the wrong kind.
//!
//! A catalog comes from whoever administrates the cloud: a name that is a number or a URL that is
//! null must cost that one entry and nothing else. serde's derived readers give up on the whole
//! document; here the wrong kind of value is read over and leaves the part at its default.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A part that is made of one kind of JSON value and is empty for all others.
pub(super) trait Lenient<'de>: Default {
    /// Whether it is of no use in a list.
    fn is_nothing(&self) -> bool {
        false
    }

    fn from_text(_text: Cow<'de, str>) -> Self {
        Self::default()
    }

    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

/// Any JSON value, read as a `T`.
pub(super) struct Read<T>(pub(super) T);

impl<'de, T: Lenient<'de>> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData)).map(Self)
    }
}

/// The next value of an object, read as a `T`.
pub(super) fn value<'de, T: Lenient<'de>, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    map.next_value().map(|Read(value)| value)
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Lenient<'de>> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::from_text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::from_text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        T::from_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::from_map(map)
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }
}

/// A text that is there and not empty; keystoneauth treats an empty one as none. It is that of the
/// document itself, unless something in it was escaped.
#[derive(Default)]
pub(super) struct Text<'de>(Option<Cow<'de, str>>);

impl Text<'_> {
    pub(super) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<'de> Lenient<'de> for Text<'de> {
    fn from_text(text: Cow<'de, str>) -> Self {
        Self((!text.is_empty()).then_some(text))
    }
}

/// The entries of a list; nothing where there is no list.
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Lenient<'de>> Lenient<'de> for List<T> {
    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut entries = Vec::new();
        while let Some(Read(entry)) = seq.next_element()? {
            if !T::is_nothing(&entry) {
                entries.push(entry);
            }
        }
        Ok(Self(entries))
    }
}
