//! Deserializes a v3 or v2.0 token document.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

use super::{
    IdentityVersion, ServiceCatalog,
    catalog_document::{UrlCount, V2Catalog, V3Catalog},
    lenient::{self, Lenient, OrDefault},
};
use crate::{Error, Secret};

/// Maximum length of the document without its catalog, in bytes.
const MAX_MEMBERS_LEN: usize = 256 * 1024;

/// Memory that the parsed document may take, in bytes for each byte of its text.
///
/// It limits documents of many tiny values, which take much more memory than their text. Small documents may take more:
/// see the minimum budgets below.
const MEMORY_PER_BYTE: usize = 8;

/// Memory that the members outside the catalog may take even if their text is short, in bytes.
const MIN_MEMBERS_BUDGET: usize = 256 * 1024;

/// Memory that the catalog may take even if its text is short, in bytes.
const MIN_CATALOG_BUDGET: usize = 512 * 1024;

/// Maximum memory that a service or an endpoint takes while a catalog is read, in bytes, without its strings.
const ENTRY_COST: usize = 600;

/// Maximum memory of one URL of a v2.0 endpoint, in bytes. The endpoint without its URLs also takes at most this much.
const URL_COST: usize = 300;

/// The members of `token` that the properties of an [`AccessInfo`](super::AccessInfo) are read from.
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

/// The members of `access` that these properties are read from.
const V2_MEMBERS: [&str; 4] = ["metadata", "token", "trust", "user"];

/// Why a document is rejected if serde_json reaches its recursion limit.
const NESTED_TOO_DEEPLY: &str = "it is nested too deeply";

/// The parts of a token document that are used: the members of `token` (v3) or `access` (v2.0), and the catalog.
pub(super) struct Document {
    pub(super) version: IdentityVersion,
    /// The members in [`V3_MEMBERS`] or [`V2_MEMBERS`].
    pub(super) members: Map<String, Value>,
    /// The token of a v2.0 document. It is removed from `members` as soon as it is read, so that it is always wiped.
    pub(super) token: Option<Secret>,
    pub(super) catalog: Option<ServiceCatalog>,
    /// Why the document is rejected, if it is.
    fault: Option<&'static str>,
}

impl Document {
    /// Reads a document. The errors do not show any of it, because it may contain a token.
    pub(super) fn read(body: &str) -> Result<Self, Error> {
        let entries = count_objects(body);
        if entries.saturating_mul(ENTRY_COST) > MIN_CATALOG_BUDGET.max(MEMORY_PER_BYTE * body.len()) {
            let reason = "it has too many objects for its length, which would take too much memory";
            return Err(Error::invalid_response(reason, 0, 0));
        }
        let mut reader = serde_json::Deserializer::from_str(body);
        let document = reader
            .deserialize_map(DocumentVisitor)
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
struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `token` or `access`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut v3 = None;
        let mut v2 = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "token" => v3 = Some(map.next_value_seed(MembersVisitor(IdentityVersion::V3))?),
                "access" if v3.is_none() => v2 = lenient::next_value::<V2Document, _>(&mut map)?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        v3.or(v2).ok_or_else(|| serde::de::Error::missing_field("token"))
    }
}

/// The value of `access`, if it is an object. In a document with a `token`, `access` may be of any kind.
#[derive(Default)]
struct V2Document(Option<Document>);

impl<'de> Lenient<'de> for V2Document {
    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        MembersVisitor(IdentityVersion::V2).visit_map(map).map(|document| Self(Some(document)))
    }
}

/// Reads the value of `token` or `access`.
struct MembersVisitor(IdentityVersion);

impl<'de> DeserializeSeed<'de> for MembersVisitor {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let MembersVisitor(version) = self;
        let (catalog_name, known_names) = match version {
            IdentityVersion::V3 => ("catalog", V3_MEMBERS.as_slice()),
            IdentityVersion::V2 => ("serviceCatalog", V2_MEMBERS.as_slice()),
        };
        let mut remaining_len = MAX_MEMBERS_LEN;
        let (mut known_len, mut known_cost) = (0, 0);
        let mut document = Document { version, members: Map::new(), token: None, catalog: None, fault: None };
        while let Some(key) = map.next_key::<String>()? {
            if key == catalog_name {
                document.catalog = Some(match version {
                    IdentityVersion::V3 => lenient::next_value::<V3Catalog, _>(&mut map)?.0,
                    IdentityVersion::V2 => {
                        let text = map.next_value::<&RawValue>()?.get();
                        match read_v2_catalog(text) {
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
                let Some(remaining) = remaining_len.checked_sub(text.len()) else {
                    document.fault = Some("it is longer than 256 KiB without its catalog");
                    continue;
                };
                remaining_len = remaining;
                if !known_names.contains(&&*key) {
                    continue;
                }
                known_len += text.len();
                known_cost += estimate_memory(text);
                if known_cost > MIN_MEMBERS_BUDGET.max(MEMORY_PER_BYTE * known_len) {
                    document.fault = Some("its values outside the catalog would take too much memory");
                    continue;
                }
                let Ok(mut value) = serde_json::from_str(text) else {
                    document.fault = Some(NESTED_TOO_DEEPLY);
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

/// Returns the number of `{` in a JSON text: it has at most this many objects.
fn count_objects(json: &str) -> usize {
    // The sum over a chunk fits in a byte, so the compiler can add 16 or more bytes in one instruction.
    let count = |chunk: &[u8]| usize::from(chunk.iter().map(|&byte| u8::from(byte == b'{')).sum::<u8>());
    json.as_bytes().chunks(240).map(count).sum()
}

/// Reads a v2.0 catalog. It counts the URLs first, because an endpoint can have any number of them.
fn read_v2_catalog(text: &str) -> Result<V2Catalog, &'static str> {
    let OrDefault(UrlCount(urls)) = serde_json::from_str(text).map_err(|_| NESTED_TOO_DEEPLY)?;
    let entries = count_objects(text);
    if entries.saturating_add(urls).saturating_mul(URL_COST)
        > MIN_CATALOG_BUDGET.max(MEMORY_PER_BYTE * text.len())
    {
        return Err("its catalog has too many URLs for its length, which would take too much memory");
    }
    let OrDefault(catalog) = serde_json::from_str(text).map_err(|_| NESTED_TOO_DEEPLY)?;
    Ok(catalog)
}

/// Returns the maximum memory that the values of a JSON text take, in bytes.
///
/// `serde_json` stores the members of an object in a B-tree. Each of its nodes has space for 11 members and is at least
/// half full. A list that grows has a capacity of up to twice its length.
fn estimate_memory(json: &str) -> usize {
    const NODE: usize = 640;
    let cost = |byte| match byte {
        b'{' => NODE,
        b'[' => 4 * size_of::<Value>(),
        b',' => NODE / 5,
        _ => 1,
    };
    json.bytes().map(cost).sum()
}

/// Removes and returns the `id` of the `token` in a v2.0 document, which is the token itself.
fn take_token(token: &mut Value) -> Option<Secret> {
    match token.as_object_mut()?.remove("id")? {
        Value::String(token) => Some(Secret::new(token)),
        _ => None,
    }
}
