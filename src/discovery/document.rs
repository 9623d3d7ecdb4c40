//! Version documents: the versions of an API that a service lists.

use http::HeaderMap;
use serde_json::{Value, value::RawValue};

use super::{Allow, Version, VersionRange, VersionStatus, link::resolve_link};
use crate::{Error, error::DiscoveryFailure, json};

/// A version document: the response of a service at its unversioned URL, or at the URL of a version.
///
/// This is keystoneauth's `Discover`, which also fetches the document. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct VersionDocument {
    url: Box<str>,
    /// All entries with a status, as the service wrote them.
    entries: Vec<(VersionStatus, Box<RawValue>)>,
    /// The versions of all well-formed entries.
    versions: Vec<VersionData>,
    /// Indices into `versions`, the oldest version first.
    order: Vec<usize>,
}

/// One version of an API, as a version document describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionData {
    /// The version number. It is `None` only in the result of
    /// [`all_version_data`](super::Discovery::all_version_data), for an endpoint without a document whose URL names no
    /// version.
    pub version: Option<Version>,
    /// The absolute URL of the version. Its origin is that of the document.
    pub url: Box<str>,
    /// The absolute URL of the document that lists all versions, if there is a link to it.
    pub collection: Option<Box<str>>,
    /// The oldest supported microversion.
    pub min_microversion: Option<Version>,
    /// The newest supported microversion.
    pub max_microversion: Option<Version>,
    /// The next value of `min_microversion`, if the service announces one.
    pub next_min_version: Option<Version>,
    /// The earliest date of that change, as written in the document.
    pub not_before: Option<Box<str>>,
    /// The support status.
    pub status: VersionStatus,
    /// The support status as written in the document.
    pub raw_status: Option<Box<str>>,
}

impl VersionData {
    /// Returns the data of a version that is known from its URL only.
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

    /// Returns the memory that this needs in a version document, in bytes.
    fn weight(&self) -> usize {
        let texts =
            [Some(&self.url), self.collection.as_ref(), self.not_before.as_ref(), self.raw_status.as_ref()];
        size_of::<Self>()
            + size_of::<usize>()
            + texts.into_iter().flatten().map(|text| text.len() + ALLOCATION_OVERHEAD).sum::<usize>()
    }
}

/// Maximum length of a document, in bytes.
const MAX_LENGTH: usize = 256 * 1024;

/// Maximum size of a document in memory, as a multiple of its length. While it is read, it can need twice as much.
const MAX_SIZE_FACTOR: usize = 4;

/// Lower bound of the limit on the size of a document in memory, in bytes. Short documents need it because the URL of
/// each version contains the document's URL.
const MIN_SIZE_LIMIT: usize = 16 * 1024;

/// Approximate memory that the allocator adds to a string, in bytes.
const ALLOCATION_OVERHEAD: usize = 16;

impl VersionDocument {
    /// Returns the error for a requested version that this document does not list.
    pub(crate) fn not_listed(&self, requested: impl Into<String>) -> DiscoveryFailure {
        let all = Allow { experimental: true, deprecated: true, unknown: true };
        let versions = self.version_data(all).map(|data| match data.version {
            Some(version) => format!("{version} ({})", data.status),
            None => data.status.to_string(),
        });
        DiscoveryFailure::not_listed(&self.url, versions.collect(), requested)
    }

    /// Reads the response of a service to a `GET` of `url`.
    ///
    /// The response may have any HTTP status below 400: services often send a list of versions with 300. An entry
    /// without a status is skipped. An entry without an id or a link to itself is in
    /// [`raw_version_data`](Self::raw_version_data) only.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidResponse`] in one of these cases:
    ///
    /// - The body has none of the four forms of a version document: a list `versions`, an object `versions` with a list
    ///   `values`, an object `version`, or the members of one version at the top level.
    /// - The body is longer than 256 KiB.
    /// - The document needs too much memory. The limit is four times the length of the body, or 16 KiB if that is more.
    pub fn new(url: impl Into<Box<str>>, headers: &HeaderMap, body: &[u8]) -> Result<Self, Error> {
        let mut document =
            Self { url: url.into(), entries: Vec::new(), versions: Vec::new(), order: Vec::new() };
        let body = json::without_bom(body);
        if body.len() > MAX_LENGTH {
            return Err(invalid_document(0, 0));
        }
        let text = str::from_utf8(body).map_err(|_| invalid_document(0, 0))?;
        let limit = MIN_SIZE_LIMIT.max(MAX_SIZE_FACTOR * text.len());
        let mut weight = 0;
        for_each_entry(text, headers, |entry| {
            if weight <= limit {
                weight += document.add(entry);
            }
        })?;
        if weight > limit {
            return Err(invalid_document(0, 0));
        }
        document.entries.shrink_to_fit();
        document.versions.shrink_to_fit();
        document.order.extend(0..document.versions.len());
        let Self { versions, order, .. } = &mut document;
        order.sort_by_key(|index| versions.get(*index).map(|data| data.version));
        Ok(document)
    }

    /// Adds an entry if it has a status, and returns the size of what was added, in bytes.
    fn add(&mut self, entry: &RawValue) -> usize {
        let entry = Entry::read(entry);
        let Some(raw_status) = entry.status.and_then(json::text) else { return 0 };
        self.entries.push((VersionStatus::from(&*raw_status), entry.raw.to_owned()));
        let mut weight = entry_weight(entry.raw);
        if let Some(data) = entry.version_data(&self.url, raw_status) {
            weight += data.weight();
            self.versions.push(data);
        }
        weight
    }

    /// Returns the size in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>()
            + self.url.len()
            + self.entries.iter().map(|(_, entry)| entry_weight(entry)).sum::<usize>()
            + self.versions.iter().map(VersionData::weight).sum::<usize>()
    }

    /// Returns the URL of the document.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the entries whose status is allowed, as the service wrote them: keystoneauth's `raw_version_data`.
    ///
    /// If the document is a single version at the top level, its entry has the status `CURRENT`. Microversions that it
    /// does not contain are added from the response headers.
    pub fn raw_version_data(&self, allow: Allow) -> impl Iterator<Item = &RawValue> {
        self.entries.iter().filter(move |(status, _)| allow.admits(*status)).map(|(_, raw)| &**raw)
    }

    /// Returns the versions whose status is allowed, the oldest first: keystoneauth's `version_data`.
    pub fn version_data(&self, allow: Allow) -> impl DoubleEndedIterator<Item = &VersionData> {
        let in_order = self.order.iter().filter_map(|index| self.versions.get(*index));
        in_order.filter(move |data| allow.admits(data.status))
    }

    /// Returns the newest version that matches the requested one: keystoneauth's `data_for`.
    ///
    /// A version matches if it has the same major part and is not older ([`Version::is_match`]). If `latest` is
    /// requested, every version matches. If `2.latest` is requested, every version with the major part 2 matches.
    pub fn data_for(&self, version: Version, allow: Allow) -> Option<&VersionData> {
        self.newest_first(allow).find(|data| {
            data.version.is_some_and(|listed| version.is_latest_for(listed) || version.is_match(listed))
        })
    }

    /// Returns the newest version in a range: keystoneauth's `versioned_data_for`.
    ///
    /// The version whose URL is `endpoint_url` counts as a version in the range. If the range includes all versions,
    /// that version is returned even if there are newer ones.
    pub fn versioned_data_for(
        &self,
        range: VersionRange,
        endpoint_url: Option<&str>,
        allow: Allow,
    ) -> Option<&VersionData> {
        let mut newest_first = self.newest_first(allow);
        if range.is_any() && endpoint_url.is_none() {
            return newest_first.next();
        }
        let is_at_endpoint = |data: &VersionData| {
            endpoint_url.is_some_and(|url| url.trim_end_matches('/') == data.url.trim_end_matches('/'))
        };
        let is_wanted = |version: Version| {
            range.min().is_some_and(|min| min.is_latest_for(version))
                || !range.is_any() && range.contains(version)
        };
        newest_first
            .find(|data| is_at_endpoint(data) || data.version.is_some_and(is_wanted))
            .or_else(|| self.newest_first(allow).next().filter(|_| range.is_any()))
    }

    /// Returns the allowed versions, the newest first. Equal versions stay in the order of the document.
    fn newest_first(&self, allow: Allow) -> impl Iterator<Item = &VersionData> {
        let mut versions: Vec<_> = self.version_data(allow).collect();
        versions.sort_by_key(|data| std::cmp::Reverse(data.version));
        versions.into_iter()
    }
}

/// Returns the memory that an entry needs in a version document, in bytes.
fn entry_weight(entry: &RawValue) -> usize {
    size_of::<(VersionStatus, Box<RawValue>)>() + entry.get().len() + ALLOCATION_OVERHEAD
}

fn invalid_document(line: usize, column: usize) -> Error {
    Error::invalid_response("it is not a version document", line, column)
}

/// Calls `f` for each entry of a document, which can have any of the four forms.
///
/// If a member occurs twice, the later one is used.
fn for_each_entry(text: &str, headers: &HeaderMap, mut f: impl FnMut(&RawValue)) -> Result<(), Error> {
    let (mut versions, mut version, mut has_id, mut has_min_version) = (None, None, false, false);
    let read = json::for_each_member(text, |name, value| match name {
        "versions" => versions = Some(value),
        "version" => version = Some(value),
        "min_version" => has_min_version = true,
        "id" => has_id = true,
        _ => {}
    });
    read.map_err(|error| invalid_document(error.line(), error.column()))?;
    let not_a_list = |_| invalid_document(0, 0);
    match (versions, version) {
        (Some(list), _) if json::is_list(list) => json::for_each_element(list, f).map_err(not_a_list),
        (Some(wrapper), _) => {
            let mut values = None;
            let read = json::for_each_member(wrapper.get(), |name, value| {
                if name == "values" {
                    values = Some(value);
                }
            });
            read.map_err(not_a_list)?;
            values.map_or(Ok(()), |list| json::for_each_element(list, f)).map_err(not_a_list)
        }
        (None, Some(version)) if json::is_object(version) => {
            f(version);
            Ok(())
        }
        (None, version) if has_id => {
            let entry = top_level_entry(text, headers, has_min_version, version.is_some());
            f(&entry.ok_or(invalid_document(0, 0))?);
            Ok(())
        }
        _ => Err(invalid_document(0, 0)),
    }
}

/// Returns the entry for a version at the top level of a document.
///
/// Its status is `CURRENT`. Microversions that it does not contain are taken from the headers.
fn top_level_entry(
    object: &str,
    headers: &HeaderMap,
    mut has_min_version: bool,
    mut has_version: bool,
) -> Option<Box<RawValue>> {
    let mut object = object.trim_end().strip_suffix('}')?.to_owned();
    object.push_str(r#","status":"CURRENT""#);
    for (name, value) in headers {
        let Some(suffix) = name.as_str().strip_prefix("x-openstack") else { continue };
        let (member, is_present) = match suffix {
            suffix if suffix.ends_with("api-minimum-version") => ("min_version", &mut has_min_version),
            suffix if suffix.ends_with("api-maximum-version") => ("version", &mut has_version),
            _ => continue,
        };
        if let Ok(value) = value.to_str()
            && !std::mem::replace(is_present, true)
        {
            object.push_str(&format!(r#","{member}":{}"#, Value::from(value)));
        }
    }
    object.push('}');
    RawValue::from_string(object).ok()
}

/// The members of an entry that are read, as the service wrote them.
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
    /// Reads the members. An entry that is not an object has none.
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

    /// Returns the version, unless its id or its link to itself is missing or malformed.
    fn version_data(&self, document_url: &str, raw_status: String) -> Option<VersionData> {
        let number = |value: Option<&RawValue>| json::text_or_number(value?)?.parse::<Version>().ok();
        let (mut self_url, mut collection) = (None, None);
        let read = json::for_each_element(self.links?, |link| {
            let (mut rel, mut href) = (None, None);
            let _ = json::for_each_member(link.get(), |name, value| match name {
                "rel" => rel = json::text(value),
                "href" => href = json::text(value),
                _ => {}
            });
            let (Some(rel), Some(href)) = (rel, href) else { return };
            let url = match rel.to_ascii_lowercase().as_str() {
                "self" => &mut self_url,
                "collection" => &mut collection,
                _ => return,
            };
            *url = resolve_link(document_url, &href).or(url.take());
        });
        read.ok()?;
        Some(VersionData {
            version: Some(number(self.id)?),
            url: self_url?,
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
