//! What a service says of its versions.

use http::HeaderMap;
use serde_json::{Value, value::RawValue};

use super::{Allow, Version, VersionRange, VersionStatus, link};
use crate::{Error, error::DiscoveryFailure, json};

/// A version document: what a service answers at an unversioned or a versioned URL of its.
///
/// keystoneauth's `Discover`, without the request. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct VersionDocument {
    url: Box<str>,
    /// Those that have a status, as they are written.
    entries: Vec<(VersionStatus, Box<RawValue>)>,
    /// The usable ones of the entries.
    versions: Vec<VersionData>,
    /// Where the versions are, the oldest first.
    order: Vec<usize>,
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
    pub status: VersionStatus,
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
            status: VersionStatus::Current,
            raw_status: None,
        }
    }

    /// What it takes in a document, in bytes.
    fn weight(&self) -> usize {
        let texts =
            [Some(&self.url), self.collection.as_ref(), self.not_before.as_ref(), self.raw_status.as_ref()];
        size_of::<Self>()
            + size_of::<usize>()
            + texts.into_iter().flatten().map(|text| text.len() + ALLOCATION).sum::<usize>()
    }
}

/// The longest document that is read, in bytes.
const MAX_DOCUMENT: usize = 256 * 1024;

/// How many times its text a document may keep in memory; while it is read, it takes twice as much at most.
const MOST_TIMES: usize = 4;

/// What a short document may keep, in bytes: its URL is in it once or twice for each version.
const LEAST_ROOM: usize = 16 * 1024;

/// About what the allocator adds to a text of its own, in bytes.
const ALLOCATION: usize = 16;

impl VersionDocument {
    /// Returns the error that this document does not list what was requested.
    pub(crate) fn not_listed(&self, requested: impl Into<String>) -> DiscoveryFailure {
        let all = Allow { experimental: true, deprecated: true, unknown: true };
        let versions = self.version_data(all).map(|data| match data.version {
            Some(version) => format!("{version} ({})", data.status),
            None => data.status.to_string(),
        });
        DiscoveryFailure::not_listed(&self.url, versions.collect(), requested)
    }

    /// Reads a service's answer to a `GET` of `url`. Any status below 400 will do: a list of versions
    /// often comes with 300.
    ///
    /// An entry that is not whole (without a status, an id, a link to itself) costs that entry alone.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidResponse`] if the body is none of the four forms of a version document:
    /// `versions` with `values`, `versions`, `version`, or one version without anything around it; or if it is longer
    /// than 256 KiB, or would keep more than four times as much memory as its text.
    pub fn new(url: impl Into<Box<str>>, headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        let mut document =
            Self { url: url.into(), entries: Vec::new(), versions: Vec::new(), order: Vec::new() };
        let body = json::without_bom(body);
        if body.len() > MAX_DOCUMENT {
            return Err(no_document(0, 0));
        }
        let text = str::from_utf8(body).map_err(|_| no_document(0, 0))?;
        let room = LEAST_ROOM.max(MOST_TIMES * text.len());
        let mut weight = 0;
        each_entry(text, headers, |entry| {
            if weight <= room {
                weight += document.add(entry);
            }
        })?;
        if weight > room {
            return Err(no_document(0, 0));
        }
        document.entries.shrink_to_fit();
        document.versions.shrink_to_fit();
        document.order.extend(0..document.versions.len());
        let Self { versions, order, .. } = &mut document;
        order.sort_by_key(|index| versions.get(*index).map(|data| data.version));
        Ok(document)
    }

    /// Adds an entry, if it has a status, and says what it takes, in bytes.
    fn add(&mut self, entry: &RawValue) -> usize {
        let entry = Entry::read(entry);
        let Some(raw_status) = entry.status.and_then(json::text) else { return 0 };
        self.entries.push((VersionStatus::from(&*raw_status), entry.raw.to_owned()));
        let mut weight = weight(entry.raw);
        if let Some(data) = entry.version(&self.url, raw_status) {
            weight += data.weight();
            self.versions.push(data);
        }
        weight
    }

    /// What it keeps in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.url.len()
            + self.entries.iter().map(|(_, entry)| weight(entry)).sum::<usize>()
            + self.versions.iter().map(VersionData::weight).sum::<usize>()
    }

    /// The URL that it was got from.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The entries as they came, those with a status that is allowed: keystoneauth's `raw_version_data`.
    ///
    /// A version without anything around it has got its status, and microversions from the headers.
    pub fn raw_version_data(&self, allow: Allow) -> impl Iterator<Item = &RawValue> {
        self.entries.iter().filter(move |(status, _)| allow.admits(*status)).map(|(_, raw)| &**raw)
    }

    /// The versions that are allowed, the oldest first: keystoneauth's `version_data`.
    pub fn version_data(&self, allow: Allow) -> impl DoubleEndedIterator<Item = &VersionData> {
        let in_order = self.order.iter().filter_map(|index| self.versions.get(*index));
        in_order.filter(move |data| allow.admits(data.status))
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

/// What an entry takes, in bytes.
fn weight(entry: &RawValue) -> usize {
    size_of::<(VersionStatus, Box<RawValue>)>() + entry.get().len() + ALLOCATION
}

fn no_document(line: usize, column: usize) -> Error {
    Error::invalid_response("it is not a version document", line, column)
}

/// Calls `each` with each entry of a document in whichever form. Of two members of one name the later one counts.
fn each_entry(text: &str, headers: &HeaderMap, mut each: impl FnMut(&RawValue)) -> Result<(), Error> {
    let (mut versions, mut version, mut has_id, mut has_min_version) = (None, None, false, false);
    let read = json::for_each_member(text, |name, value| match name {
        "versions" => versions = Some(value),
        "version" => version = Some(value),
        "min_version" => has_min_version = true,
        "id" => has_id = true,
        _ => {}
    });
    read.map_err(|error| no_document(error.line(), error.column()))?;
    let no_list = |_| no_document(0, 0);
    match (versions, version) {
        (Some(list), _) if json::is_list(list) => json::for_each_element(list, each).map_err(no_list),
        (Some(around), _) => {
            let mut values = None;
            let read = json::for_each_member(around.get(), |name, value| {
                if name == "values" {
                    values = Some(value);
                }
            });
            read.map_err(no_list)?;
            values.map_or(Ok(()), |list| json::for_each_element(list, each)).map_err(no_list)
        }
        (None, Some(version)) if json::is_object(version) => {
            each(version);
            Ok(())
        }
        (None, version) if has_id => {
            each(&bare(text, headers, has_min_version, version.is_some()).ok_or(no_document(0, 0))?);
            Ok(())
        }
        _ => Err(no_document(0, 0)),
    }
}

/// A version without anything around it is current; its microversions may be in the headers.
fn bare(
    object: &str,
    headers: &HeaderMap,
    mut has_min_version: bool,
    mut has_version: bool,
) -> Option<Box<RawValue>> {
    let mut object = object.trim_end().strip_suffix('}')?.to_owned();
    object.push_str(r#","status":"CURRENT""#);
    for (name, value) in headers {
        let Some(about) = name.as_str().strip_prefix("x-openstack") else { continue };
        let (member, is_there) = match about {
            about if about.ends_with("api-minimum-version") => ("min_version", &mut has_min_version),
            about if about.ends_with("api-maximum-version") => ("version", &mut has_version),
            _ => continue,
        };
        if let Ok(value) = value.to_str()
            && !std::mem::replace(is_there, true)
        {
            object.push_str(&format!(r#","{member}":{}"#, Value::from(value)));
        }
    }
    object.push('}');
    RawValue::from_string(object).ok()
}

/// One entry of a document: the members that mean something, as they are written.
struct Entry<'a> {
    raw: &'a RawValue,
    status: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    links: Option<&'a RawValue>,
    min_version: Option<&'a RawValue>,
    max_version: Option<&'a RawValue>,
    version: Option<&'a RawValue>,
    next_min_version: Option<&'a RawValue>,
    not_before: Option<&'a RawValue>,
}

impl<'a> Entry<'a> {
    /// What is no object has no members.
    fn read(raw: &'a RawValue) -> Self {
        let mut entry = Self {
            raw,
            status: None,
            id: None,
            links: None,
            min_version: None,
            max_version: None,
            version: None,
            next_min_version: None,
            not_before: None,
        };
        let _ = json::for_each_member(raw.get(), |name, value| {
            let member = match name {
                "status" => &mut entry.status,
                "id" => &mut entry.id,
                "links" => &mut entry.links,
                "min_version" => &mut entry.min_version,
                "max_version" => &mut entry.max_version,
                "version" => &mut entry.version,
                "next_min_version" => &mut entry.next_min_version,
                "not_before" => &mut entry.not_before,
                _ => return,
            };
            *member = Some(value);
        });
        entry
    }

    /// The version, if the entry has what it takes to go there.
    fn version(&self, document: &str, raw_status: String) -> Option<VersionData> {
        let number = |value: Option<&RawValue>| json::text_or_number(value?)?.parse::<Version>().ok();
        let (mut own, mut collection) = (None, None);
        let read = json::for_each_element(self.links?, |given| {
            let (mut rel, mut href) = (None, None);
            let _ = json::for_each_member(given.get(), |name, value| match name {
                "rel" => rel = json::text(value),
                "href" => href = json::text(value),
                _ => {}
            });
            let (Some(rel), Some(href)) = (rel, href) else { return };
            let place = match rel.to_ascii_lowercase().as_str() {
                "self" => &mut own,
                "collection" => &mut collection,
                _ => return,
            };
            *place = link::on_origin_of(document, &href).or(place.take());
        });
        read.ok()?;
        Some(VersionData {
            version: Some(number(self.id)?),
            url: own?,
            collection,
            min_microversion: number(self.min_version),
            max_microversion: number(self.max_version).or_else(|| number(self.version)),
            next_min_version: number(self.next_min_version),
            not_before: self.not_before.and_then(json::text).filter(|date| !date.is_empty()).map(Into::into),
            status: VersionStatus::from(&*raw_status),
            raw_status: Some(raw_status.into()),
        })
    }
}
