//! The two forms of a token document, taken apart.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{
    IdentityVersion, ServiceCatalog,
    catalog_document::{V2Catalog, V3Catalog},
    tolerant::{self, Tolerant},
};
use crate::Error;

/// What a token document says: the members of `token` (v3) or `access` (v2.0), the catalog apart.
pub(super) struct Document {
    pub(super) version: IdentityVersion,
    pub(super) members: Map<String, Value>,
    pub(super) catalog: Option<ServiceCatalog>,
}

impl Document {
    /// Reads a document. The errors show nothing of it: it may hold a token.
    pub(super) fn read(body: &str) -> Result<Self, Error> {
        let mut reader = serde_json::Deserializer::from_str(body);
        let document = reader
            .deserialize_map(Root)
            .and_then(|document| reader.end().map(|()| document))
            .map_err(|error| {
                let reason = match error.classify() {
                    serde_json::error::Category::Data => "it has neither a `token` nor an `access` object",
                    _ => "it is not JSON",
                };
                Error::InvalidResponse { reason, line: error.line(), column: error.column() }
            })?;
        Ok(document)
    }
}

/// Reads the outermost object.
struct Root;

impl<'de> Visitor<'de> for Root {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `token` or `access`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut v3 = None;
        let mut v2 = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "token" => v3 = Some(map.next_value_seed(Part(IdentityVersion::V3))?),
                "access" if v3.is_none() => v2 = tolerant::value::<V2Part, _>(&mut map)?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        v3.or(v2).ok_or_else(|| serde::de::Error::missing_field("token"))
    }
}

/// The value of `access`, if it is an object; beside a `token`, wherever that stands, it may be anything.
#[derive(Default)]
struct V2Part(Option<Document>);

impl<'de> Tolerant<'de> for V2Part {
    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        Part(IdentityVersion::V2).visit_map(map).map(|document| Self(Some(document)))
    }
}

/// Reads the value of `token` or `access`.
struct Part(IdentityVersion);

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let Part(version) = self;
        let name_of_catalog = match version {
            IdentityVersion::V3 => "catalog",
            IdentityVersion::V2 => "serviceCatalog",
        };
        let mut document = Document { version, members: Map::new(), catalog: None };
        while let Some(key) = map.next_key::<String>()? {
            if key == name_of_catalog {
                document.catalog = Some(match version {
                    IdentityVersion::V3 => tolerant::value::<V3Catalog, _>(&mut map)?.0,
                    IdentityVersion::V2 => tolerant::value::<V2Catalog, _>(&mut map)?.0,
                });
            } else {
                let value = map.next_value()?;
                document.members.insert(key, value);
            }
        }
        Ok(document)
    }
}
