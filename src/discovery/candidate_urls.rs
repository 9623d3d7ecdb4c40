//! URLs at which the version document of an endpoint can be, derived from the URL of the endpoint.

use super::{Endpoint, Version, VersionRange, link::UrlParts};

/// The URLs where a version document can be, and what the URL of the endpoint says about its version.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// The URLs in the order to try, without duplicates.
    pub(super) urls: Vec<String>,
    /// Whether the version in the endpoint's URL is in the requested range.
    pub(super) url_matches: bool,
    /// Whether the range includes that version and no newer major version, so that no document is needed.
    pub(super) url_matches_exactly: bool,
    /// The project id at the end of the endpoint's URL. Version documents list URLs without it.
    pub(super) project_suffix: Option<Box<str>>,
}

/// A rule that derives the URL of a service's version document from the endpoint's URL.
#[derive(Clone, Debug)]
pub(super) struct VersionHack {
    pub(super) service_type: Box<str>,
    /// The end of the endpoint's URL, without a trailing slash.
    pub(super) suffix: Box<str>,
    /// Replaces the suffix.
    pub(super) replacement: Box<str>,
}

impl VersionHack {
    /// Returns the hack for Keystone.
    ///
    /// Catalogs can contain its v2.0 API, whose version document does not list the other versions.
    pub(super) fn for_keystone() -> Self {
        Self { service_type: "identity".into(), suffix: "/v2.0".into(), replacement: "/".into() }
    }

    fn apply(&self, endpoint: &Endpoint) -> Option<String> {
        let url = endpoint.url();
        let base = url.strip_suffix('/').unwrap_or(url).strip_suffix(&*self.suffix)?;
        let is_for_service = endpoint.service_type.as_ref() == Some(&self.service_type);
        is_for_service.then(|| format!("{base}{}", self.replacement))
    }
}

impl Candidates {
    /// Returns the candidates for a version in `range`.
    ///
    /// With `hacks`, the candidates include the endpoint's URL without its version and project id, because the document
    /// there can list versions that are not in the catalog. They also include the URL of the first matching hack, or
    /// the endpoint's URL if no hack matches.
    pub(super) fn new(
        endpoint: &Endpoint,
        project_id: Option<&str>,
        range: VersionRange,
        hacks: Option<&[VersionHack]>,
    ) -> Self {
        let mut candidates = Self::default();
        let url = endpoint.url().trim_end_matches('/');
        let Some(UrlParts { origin, path, rest }) = UrlParts::parse(url) else { return candidates };
        let with_path = |segments: &[&str]| format!("{origin}{}{rest}", segments.join("/"));
        let mut segments: Vec<_> = path.split('/').collect();

        let project_suffix = match (project_id, segments.as_slice()) {
            (Some(project_id), [.., last]) if *last == project_id => Some(*last),
            (None, [.., version, last]) if Version::from_segment(version).is_some() => Some(*last),
            _ => None,
        };
        if project_suffix.is_some() {
            segments.pop();
            candidates.project_suffix = project_suffix.map(Into::into);
        }

        let mut versioned = None;
        let mut matching = None;
        if let Some(version) = segments.last().and_then(|last| Version::from_segment(last)) {
            candidates.url_matches = !range.is_any() && range.contains(version);
            let same_major = range.max().is_some_and(|max| max.major == version.major);
            candidates.url_matches_exactly = candidates.url_matches && same_major;
            versioned = Some(with_path(&segments));
            if candidates.url_matches {
                let url = format!("{}/", with_path(&segments).trim_end_matches('/'));
                if candidates.url_matches_exactly {
                    candidates.add(url);
                } else {
                    matching = Some(url);
                }
            }
            segments.pop();
        }

        if let Some(hacks) = hacks {
            let mut unversioned = with_path(&segments);
            if endpoint.catalog_url.as_deref() != Some(&unversioned) {
                unversioned = format!("{}/", unversioned.trim_end_matches('/'));
            }
            candidates.add(unversioned);
            if let Some(url) = matching {
                candidates.add(url);
            }
            let hacked = hacks.iter().find_map(|hack| hack.apply(endpoint));
            candidates.add(hacked.unwrap_or_else(|| endpoint.url().to_owned()));
        } else if let (Some(versioned), Some(_)) = (versioned, &candidates.project_suffix) {
            candidates.add(versioned);
        }
        if let Some(url) = &endpoint.catalog_url {
            candidates.add(url.to_string());
        }
        candidates
    }

    fn add(&mut self, url: String) {
        if !self.urls.contains(&url) {
            self.urls.push(url);
        }
    }
}
