//! The two forms of a token document, taken apart.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

use super::{
    IdentityVersion, ServiceCatalog,
    catalog_document::{Urls, V2Catalog, V3Catalog},
    lenient::{self, Lenient, Read},
};
use crate::{Error, Secret};

/// Maximum length of all that is not the catalog, in bytes.
const MAX_MEMBERS: usize = 256 * 1024;

/// How many bytes of memory its values may take, as a multiple of their text, or if they are few.
const MAX_TIMES: usize = 8;
const MAX_OF_FEW: usize = 256 * 1024;

/// How many bytes of memory a service or an endpoint takes at most while a catalog is read, beyond its texts.
const COST_OF_ENTRY: usize = 600;
const MAX_OF_SMALL_CATALOG: usize = 512 * 1024;

/// The same of a v2.0 endpoint without its URLs, and of each of them.
const COST_OF_URL: usize = 300;

/// The members that something is read of; see the properties of an [`AccessInfo`](super::AccessInfo).
const V3_MEMBERS: [&str; 16] = [
    "OS-OAUTH1",
    "OS-TRUST:trust",
    "application_credential",
    "audit_ids",
    "bind",
    "domain",
    "expires_at",
    "is_admin_project",
    "is_domain",
    "issued_at",
    "oauth2_credential",
    "project",
    "roles",
    "service_providers",
    "system",
    "user",
];
const V2_MEMBERS: [&str; 4] = ["metadata", "token", "trust", "user"];

/// What a token document says: the members of `token` (v3) or `access` (v2.0), the catalog apart.
pub(super) struct Document {
    pub(super) version: IdentityVersion,
    /// As far as something is read of them.
    pub(super) members: Map<String, Value>,
    /// The token that is in a v2.0 document; taken out as it is read, so that it is wiped whatever follows.
    pub(super) token: Option<Secret>,
    pub(super) catalog: Option<ServiceCatalog>,
    /// Why its members cannot be read.
    fault: Option<&'static str>,
}

impl Document {
    /// Reads a document. The errors show nothing of it: it may hold a token.
    pub(super) fn read(body: &str) -> Result<Self, Error> {
        let entries = count_of_entries(body);
        if entries.saturating_mul(COST_OF_ENTRY) > MAX_OF_SMALL_CATALOG.max(MAX_TIMES * body.len()) {
            let reason = "so many entries that say next to nothing would take too much memory";
            return Err(Error::invalid_response(reason, 0, 0));
        }
        let mut reader = serde_json::Deserializer::from_str(body);
        let document = reader
            .deserialize_map(Root)
            .and_then(|document| reader.end().map(|()| document))
            .map_err(|error| {
                let reason = match error.classify() {
                    serde_json::error::Category::Data => "it has neither a `token` nor an `access` object",
                    _ => "it is not JSON",
                };
                Error::invalid_response(reason, error.line(), error.column())
            })?;
        match document.fault {
            Some(reason) => Err(Error::invalid_response(reason, 0, 0)),
            None => Ok(document),
        }
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
                "access" if v3.is_none() => v2 = lenient::value::<V2Part, _>(&mut map)?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        v3.or(v2).ok_or_else(|| serde::de::Error::missing_field("token"))
    }
}

/// The value of `access`, if it is an object; beside a `token`, wherever that stands, it may be anything.
#[derive(Default)]
struct V2Part(Option<Document>);

impl<'de> Lenient<'de> for V2Part {
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
        let (name_of_catalog, known) = match version {
            IdentityVersion::V3 => ("catalog", V3_MEMBERS.as_slice()),
            IdentityVersion::V2 => ("serviceCatalog", V2_MEMBERS.as_slice()),
        };
        let mut room = MAX_MEMBERS;
        let (mut length, mut cost) = (0, 0);
        let mut document = Document { version, members: Map::new(), token: None, catalog: None, fault: None };
        while let Some(key) = map.next_key::<String>()? {
            if key == name_of_catalog {
                document.catalog = Some(match version {
                    IdentityVersion::V3 => lenient::value::<V3Catalog, _>(&mut map)?.0,
                    IdentityVersion::V2 => {
                        let text = map.next_value::<&RawValue>()?.get();
                        match v2_catalog(text) {
                            Ok(V2Catalog(catalog)) => catalog,
                            Err(reason) => {
                                document.fault = Some(reason);
                                continue;
                            }
                        }
                    }
                });
            } else {
                let text = map.next_value::<&RawValue>()?.get();
                let Some(left) = room.checked_sub(text.len()) else {
                    document.fault = Some("what is beside its catalog is longer than 256 KiB");
                    continue;
                };
                room = left;
                if !known.contains(&&*key) {
                    continue;
                }
                length += text.len();
                cost += cost_of_values(text);
                if cost > MAX_OF_FEW.max(MAX_TIMES * length) {
                    document.fault = Some("what is beside its catalog would take too much memory");
                    continue;
                }
                let Ok(mut value) = serde_json::from_str(text) else {
                    document.fault = Some("it is nested too deep");
                    continue;
                };
                if version == IdentityVersion::V2 && key == "token" {
                    document.token = take_token(&mut value);
                }
                document.members.insert(key, value);
            }
        }
        Ok(document)
    }
}

/// How many objects there are at most.
fn count_of_entries(json: &str) -> usize {
    // Sums that fit a byte, of which sixteen or more are made at once.
    let begun = |part: &[u8]| usize::from(part.iter().map(|&byte| u8::from(byte == b'{')).sum::<u8>());
    json.as_bytes().chunks(240).map(begun).sum()
}

/// Reads a v2.0 catalog, in which an endpoint has any number of URLs.
fn v2_catalog(text: &str) -> Result<V2Catalog, &'static str> {
    const NESTED: &str = "it is nested too deep";
    let Read(Urls(urls)) = serde_json::from_str(text).map_err(|_| NESTED)?;
    let entries = count_of_entries(text);
    if entries.saturating_add(urls).saturating_mul(COST_OF_URL)
        > MAX_OF_SMALL_CATALOG.max(MAX_TIMES * text.len())
    {
        return Err("so many URLs that say next to nothing would take too much memory");
    }
    let Read(catalog) = serde_json::from_str(text).map_err(|_| NESTED)?;
    Ok(catalog)
}

/// The memory that the values of a JSON text take at most, in bytes: those of an object are in nodes of eleven, half
/// full at least; a list that grows has up to twice the room that it needs.
fn cost_of_values(json: &str) -> usize {
    const NODE: usize = 640;
    let cost = |byte| match byte {
        b'{' => NODE,
        b'[' => 4 * size_of::<Value>(),
        b',' => NODE / 5,
        _ => 1,
    };
    json.bytes().map(cost).sum()
}

/// Takes `access.token.id` out of the `token` of a v2.0 document, so that it is not left there.
fn take_token(token: &mut Value) -> Option<Secret> {
    match token.as_object_mut()?.remove("id")? {
        Value::String(token) => Some(Secret::new(token)),
        _ => None,
    }
}
