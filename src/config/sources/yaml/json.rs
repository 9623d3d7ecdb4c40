use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

use super::{
    budget::{Budget, MAX_DEPTH, Size},
    reason,
    source::{Position, Source, warn_duplicate},
};
use crate::{
    Secret,
    config::value::{Data, Mapping, Value},
    error::ConfigError,
};

/// Reads a JSON text. An empty file is null, as in YAML.
pub(super) fn read(source: &Source<'_>) -> Result<Value, ConfigError> {
    let mut reader = Reader { source, position: Position::START, budget: Budget::new() };
    if source.text.trim_ascii().is_empty() {
        return Ok(Value { data: Data::Null, location: source.location_at(Position::START) });
    }
    let json: &RawValue =
        serde_json::from_str(source.text).map_err(|error| reader.error(0, source.text, &error))?;
    let offset = reader.offset(json.get());
    reader.value(json, offset, 0)
}

/// Builds values from slices of the text. The offset of a slice in the text gives the location of its value.
struct Reader<'a> {
    source: &'a Source<'a>,
    /// The last location, from which the next one is counted.
    position: Position,
    budget: Budget,
}

impl Reader<'_> {
    /// Reads a value, whose location is at `offset`. It recurses at most [`MAX_DEPTH`] times.
    fn value(&mut self, json: &RawValue, offset: usize, depth: usize) -> Result<Value, ConfigError> {
        self.position = self.position.advance(self.source.text, offset);
        let location = self.source.location_at(self.position);
        let json = json.get();
        let data = match json.as_bytes().first() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => {
                return Err(self.source.error_at(self.position, reason::TOO_DEEP));
            }
            Some(b'{') => {
                self.take(Size { nodes: 1, ..Size::default() })?;
                Data::Mapping(self.mapping(json, depth)?)
            }
            Some(b'[') => {
                self.take(Size { nodes: 1, ..Size::default() })?;
                let items: Vec<&RawValue> = self.parse(json)?;
                Data::Sequence(
                    items
                        .into_iter()
                        .map(|item| self.value(item, self.offset(item.get()), depth + 1))
                        .collect::<Result<_, _>>()?,
                )
            }
            Some(b'"') => {
                let text = Secret::new(self.parse::<String>(json)?);
                self.take(Size::of_text(text.expose()))?;
                Data::Scalar(text)
            }
            _ => {
                self.take(Size::of_text(json))?;
                match json {
                    "null" => Data::Null,
                    literal => Data::Scalar(literal.into()),
                }
            }
        };
        Ok(Value { data, location })
    }

    fn mapping(&mut self, json: &str, depth: usize) -> Result<Mapping, ConfigError> {
        let Members(members) = self.parse(json)?;
        let mut mapping = Mapping::default();
        for (name, value) in members {
            let offset = self.offset(name.get());
            let name: String = self.parse(name.get())?;
            self.take(Size::of_text(&name))?;
            let value = self.value(value, offset, depth + 1)?;
            let location = value.location.clone();
            if mapping.insert(&name, value).is_some() {
                warn_duplicate(&location, &name);
            }
        }
        Ok(mapping)
    }

    /// Reads a slice of the text.
    fn parse<'de, T: Deserialize<'de>>(&self, json: &'de str) -> Result<T, ConfigError> {
        serde_json::from_str(json).map_err(|error| self.error(self.offset(json), json, &error))
    }

    fn take(&mut self, size: Size) -> Result<(), ConfigError> {
        self.budget.take(size).map_err(|reason| self.source.error_at(self.position, reason))
    }

    /// Returns where in the text a slice of it begins.
    fn offset(&self, slice: &str) -> usize {
        slice.as_ptr().addr().saturating_sub(self.source.text.as_ptr().addr())
    }

    /// Creates an error about a slice of the text, which begins at `offset`.
    fn error(&self, offset: usize, slice: &str, error: &serde_json::Error) -> ConfigError {
        // Lines and columns of serde_json are counted in the slice, columns in bytes.
        let before =
            slice.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
        let at = before + error.column().saturating_sub(1);
        let position = self.position.advance(self.source.text, (offset + at).min(self.source.text.len()));
        let reason = match error.classify() {
            Category::Eof => "the JSON text ends too early".into(),
            // Messages about the syntax are fixed texts, without text of the file.
            Category::Syntax => {
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                format!("this is not valid JSON: {message}")
            }
            Category::Data | Category::Io => "this is not valid JSON".into(),
        };
        self.source.error_at(position, &reason)
    }
}

/// The members of an object, as slices of the text.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
