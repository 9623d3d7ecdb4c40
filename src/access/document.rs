//! Deserializes a v3 or v2.0 token document, except for its catalog.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    IdentityVersion,
    borrowed_value::BorrowedValue,
    lenient::{self, Lenient},
    members::{Members, take_token},
    memory_limits::{MEMORY_PER_BYTE, MIN_CATALOG_BUDGET, UNREADABLE_VALUE, count_objects},
};
use crate::{Error, Secret};

/// Maximum length of the document, in bytes. Positions in it are stored in 32 bits.
const MAX_LEN: usize = 1 << 31;

/// Maximum length of the document without its catalog, in bytes.
const MAX_MEMBERS_LEN: usize = 256 * 1024;

/// Memory that the members outside the catalog may take even if their text is short, in bytes.
const MIN_MEMBERS_BUDGET: usize = 256 * 1024;

/// Maximum memory that a service or an endpoint takes while a catalog is read, in bytes, without its strings.
const ENTRY_COST: usize = 600;

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

/// The parts of a token document that are used: the members of `token` (v3) or `access` (v2.0).
pub(super) struct Document<'a> {
    pub(super) version: IdentityVersion,
    /// The members in [`V3_MEMBERS`] or [`V2_MEMBERS`].
    pub(super) members: Members<'a>,
    /// The token of a v2.0 document. It is removed from `members` as soon as it is read.
    pub(super) token: Option<Secret>,
    /// The JSON text of the catalog.
    pub(super) catalog: Option<&'a str>,
    /// Why the document is rejected, if it is.
    fault: Option<&'static str>,
}

impl<'a> Document<'a> {
    /// Reads a document. The errors do not show any of it, because it may contain a token.
    pub(super) fn read(body: &'a str) -> Result<Self, Error> {
        if body.len() > MAX_LEN {
            return Err(Error::invalid_response("it is longer than 2 GiB", 0, 0));
        }
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
    type Value = Document<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `token` or `access`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
        let mut v3 = None;
        let mut v2 = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "token" => v3 = Some(map.next_value_seed(MembersVisitor(IdentityVersion::V3))?),
                "access" if v3.is_none() => v2 = lenient::next_value::<V2Document<'_>, _>(&mut map)?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        v3.or(v2).ok_or_else(|| serde::de::Error::missing_field("token"))
    }
}

/// The value of `access`, if it is an object. In a document with a `token`, `access` may be of any kind.
#[derive(Default)]
struct V2Document<'a>(Option<Document<'a>>);

impl<'de> Lenient<'de> for V2Document<'de> {
    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        MembersVisitor(IdentityVersion::V2).visit_map(map).map(|document| Self(Some(document)))
    }
}

/// Reads the value of `token` or `access`.
struct MembersVisitor(IdentityVersion);

impl<'de> DeserializeSeed<'de> for MembersVisitor {
    type Value = Document<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Document<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
        let MembersVisitor(version) = self;
        let (catalog_name, known_names) = match version {
            IdentityVersion::V3 => ("catalog", V3_MEMBERS.as_slice()),
            IdentityVersion::V2 => ("serviceCatalog", V2_MEMBERS.as_slice()),
        };
        let mut remaining_len = MAX_MEMBERS_LEN;
        let (mut known_len, mut known_cost) = (0, 0);
        let mut document =
            Document { version, members: Members::default(), token: None, catalog: None, fault: None };
        while let Some(key) = map.next_key::<String>()? {
            let text = map.next_value::<&RawValue>()?.get();
            if key == catalog_name {
                document.catalog = Some(text);
                continue;
            }
            let Some(remaining) = remaining_len.checked_sub(text.len()) else {
                document.fault = Some("it is longer than 256 KiB without its catalog");
                continue;
            };
            remaining_len = remaining;
            let Some(&name) = known_names.iter().find(|known| ***known == *key) else { continue };
            known_len += text.len();
            known_cost += estimate_memory(text);
            if known_cost > MIN_MEMBERS_BUDGET.max(MEMORY_PER_BYTE * known_len) {
                document.fault = Some("its values outside the catalog would take too much memory");
                continue;
            }
            let Ok(mut value) = serde_json::from_str(text) else {
                document.fault = Some(UNREADABLE_VALUE);
                continue;
            };
            if version == IdentityVersion::V2 && name == "token" {
                document.token = take_token(&mut value);
            }
            document.members.insert(name, text, value);
        }
        Ok(document)
    }
}

/// Returns the maximum memory that the values of a JSON text take, in bytes.
///
/// A list that grows has a capacity of up to twice its length, and at first of 4 elements.
fn estimate_memory(json: &str) -> usize {
    const VALUE: usize = size_of::<BorrowedValue<'_>>();
    const MEMBER: usize = size_of::<(Cow<'_, str>, BorrowedValue<'_>)>();
    let cost = |byte| match byte {
        b'{' => 4 * MEMBER,
        b'[' => 4 * VALUE,
        b',' => 2 * MEMBER,
        _ => 1,
    };
    json.bytes().map(cost).sum()
}
