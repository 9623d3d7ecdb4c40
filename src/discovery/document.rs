//! What a service says of its versions.

use std::fmt;

use http::HeaderMap;
use serde_json::{Map, Value};

use super::{Version, VersionRange, link};
use crate::Error;

/// A version document: what a service answers at an unversioned or a versioned URL of its.
///
/// keystoneauth's `Discover`, without the request. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct VersionDocument {
    url: Box<str>,
    entries: Vec<Value>,
    /// The usable ones of the entries, the oldest version first.
    versions: Vec<VersionData>,
}

/// One version of an API, as a version document describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionData {
    /// The version. `None` only where it was inferred from a URL that names none.
    pub version: Option<Version>,
    /// Where it is: an absolute URL with the origin of the document's own.
    pub url: Box<str>,
    /// Where the document is that lists all versions, if there is a link to it.
    pub collection: Option<Box<str>>,
    /// The oldest microversion.
    pub min_microversion: Option<Version>,
    /// The newest microversion.
    pub max_microversion: Option<Version>,
    /// What the oldest microversion is going to be.
    pub next_min_version: Option<Version>,
    /// When that may become so at the earliest: a date, as the document has it.
    pub not_before: Option<Box<str>>,
    /// How far its support goes.
    pub status: Status,
    /// The status as the document has it.
    pub raw_status: Option<Box<str>>,
}

impl VersionData {
    /// What a URL says of its version by itself.
    pub(super) fn inferred(url: Box<str>, version: Option<Version>) -> Self {
        Self {
            version,
            url,
            collection: None,
            min_microversion: None,
            max_microversion: None,
            next_min_version: None,
            not_before: None,
            status: Status::Current,
            raw_status: None,
        }
    }
}

/// How far the support of a version goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// The newest one; some services say `stable`.
    Current,
    /// An older one.
    Supported,
    /// One that is going to be removed.
    Deprecated,
    /// One that may change at any time.
    Experimental,
    /// Anything else.
    Unknown,
}

impl From<&str> for Status {
    fn from(status: &str) -> Self {
        match status.to_ascii_uppercase().as_str() {
            "CURRENT" | "STABLE" => Self::Current,
            "SUPPORTED" => Self::Supported,
            "DEPRECATED" => Self::Deprecated,
            "EXPERIMENTAL" => Self::Experimental,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "CURRENT",
            Self::Supported => "SUPPORTED",
            Self::Deprecated => "DEPRECATED",
            Self::Experimental => "EXPERIMENTAL",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// Which versions count beside the current and the supported ones: keystoneauth's `allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Allow {
    /// Those that may change at any time; false.
    pub experimental: bool,
    /// Those that are going to be removed; true.
    pub deprecated: bool,
    /// Those with a status that nobody knows; false.
    pub unknown: bool,
}

impl Default for Allow {
    fn default() -> Self {
        Self { experimental: false, deprecated: true, unknown: false }
    }
}

impl Allow {
    fn admits(self, status: Status) -> bool {
        match status {
            Status::Current | Status::Supported => true,
            Status::Deprecated => self.deprecated,
            Status::Experimental => self.experimental,
            Status::Unknown => self.unknown,
        }
    }
}

/// The longest document that is read, in bytes: read into values, JSON can take a hundred times as much.
const MAX_DOCUMENT: usize = 256 * 1024;

impl VersionDocument {
    /// Reads a service's answer to a `GET` of `url`. Any status below 400 will do: a list of versions
    /// often comes with 300.
    ///
    /// An entry that is not whole (without a status, an id, a link to itself) costs that entry alone.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidResponse`] if the body is none of the four forms of a version document:
    /// `versions` with `values`, `versions`, `version`, or one version without anything around it.
    pub fn new(url: impl Into<Box<str>>, headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        let url = url.into();
        let no_document =
            |line, column| Error::InvalidResponse { reason: "it is not a version document", line, column };
        if body.len() > MAX_DOCUMENT {
            return Err(no_document(0, 0));
        }
        let body: Value =
            serde_json::from_slice(body).map_err(|error| no_document(error.line(), error.column()))?;
        let entries = entries(body, headers).ok_or(no_document(0, 0))?;
        let mut versions: Vec<_> = entries.iter().filter_map(|entry| version(&url, entry)).collect();
        versions.sort_by_key(|data| data.version);
        Ok(Self { url, entries, versions })
    }

    /// The URL that it was got from.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The entries as they came, those with a status that is allowed: keystoneauth's `raw_version_data`.
    pub fn raw_version_data(&self, allow: Allow) -> impl Iterator<Item = &Value> {
        self.entries.iter().filter(move |entry| status(entry).is_some_and(|(_, status)| allow.admits(status)))
    }

    /// The versions that are allowed, the oldest first: keystoneauth's `version_data`.
    pub fn version_data(&self, allow: Allow) -> impl DoubleEndedIterator<Item = &VersionData> {
        self.versions.iter().filter(move |data| allow.admits(data.status))
    }

    /// The newest version that serves whoever asks for this one: keystoneauth's `data_for`.
    pub fn data_for(&self, version: Version, allow: Allow) -> Option<&VersionData> {
        self.newest_first(allow).find(|data| {
            data.version.is_some_and(|found| version.is_latest_for(found) || version.is_match(found))
        })
    }

    /// The newest version of a range: keystoneauth's `versioned_data_for`.
    ///
    /// The version at the URL `at`, if one is given and there is such a version, goes before a newer one.
    pub fn versioned_data_for(
        &self,
        range: VersionRange,
        at: Option<&str>,
        allow: Allow,
    ) -> Option<&VersionData> {
        let mut newest_first = self.newest_first(allow);
        if range.is_any() && at.is_none() {
            return newest_first.next();
        }
        let is_at = |data: &VersionData| {
            at.is_some_and(|at| at.trim_end_matches('/') == data.url.trim_end_matches('/'))
        };
        let is_wanted = |found: Version| {
            range.min().is_some_and(|min| min.is_latest_for(found))
                || !range.is_any() && range.contains(found)
        };
        newest_first
            .find(|data| is_at(data) || data.version.is_some_and(is_wanted))
            .or_else(|| self.newest_first(allow).next().filter(|_| range.is_any()))
    }

    /// Equal versions stay in the order of the document.
    fn newest_first(&self, allow: Allow) -> impl Iterator<Item = &VersionData> {
        let mut versions: Vec<_> = self.version_data(allow).collect();
        versions.sort_by_key(|data| std::cmp::Reverse(data.version));
        versions.into_iter()
    }
}

/// The entries of a document in whichever form it is.
fn entries(body: Value, headers: &HeaderMap) -> Option<Vec<Value>> {
    let Value::Object(mut members) = body else { return None };
    match members.remove("versions") {
        Some(Value::Array(list)) => return Some(list),
        Some(Value::Object(mut versions)) => match versions.remove("values") {
            Some(Value::Array(list)) => return Some(list),
            Some(_) => return None,
            None => return Some(Vec::new()),
        },
        Some(_) => return None,
        None => {}
    }
    if members.get("version").is_some_and(Value::is_object) {
        return members.remove("version").map(|version| vec![version]);
    }
    members.contains_key("id").then(|| vec![bare(members, headers)])
}

/// A version without anything around it is current; its microversions may be in the headers.
fn bare(mut members: Map<String, Value>, headers: &HeaderMap) -> Value {
    members.insert("status".into(), "CURRENT".into());
    for (name, value) in headers {
        let Some(about) = name.as_str().strip_prefix("x-openstack") else { continue };
        let member = match about {
            about if about.ends_with("api-minimum-version") => "min_version",
            about if about.ends_with("api-maximum-version") => "version",
            _ => continue,
        };
        if let Ok(value) = value.to_str() {
            members.entry(member).or_insert_with(|| value.into());
        }
    }
    Value::Object(members)
}

fn status(entry: &Value) -> Option<(&str, Status)> {
    let status = entry.get("status")?.as_str()?;
    Some((status, status.into()))
}

/// One entry, if it has what it takes to go there.
fn version(document: &str, entry: &Value) -> Option<VersionData> {
    let (raw_status, status) = status(entry)?;
    let number = |name: &str| match entry.get(name)? {
        Value::String(text) if !text.is_empty() => text.parse::<Version>().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    };
    let (mut own, mut collection) = (None, None);
    for given in entry.get("links")?.as_array()? {
        let text = |name: &str| given.get(name)?.as_str();
        let (Some(rel), Some(href)) = (text("rel"), text("href")) else { continue };
        let place = match rel.to_ascii_lowercase().as_str() {
            "self" => &mut own,
            "collection" => &mut collection,
            _ => continue,
        };
        *place = link::on_origin_of(document, href).or(place.take());
    }
    Some(VersionData {
        version: Some(number("id")?),
        url: own?,
        collection,
        min_microversion: number("min_version"),
        max_microversion: number("max_version").or_else(|| number("version")),
        next_min_version: number("next_min_version"),
        not_before: entry
            .get("not_before")
            .and_then(Value::as_str)
            .filter(|date| !date.is_empty())
            .map(Into::into),
        status,
        raw_status: Some(raw_status.into()),
    })
}
