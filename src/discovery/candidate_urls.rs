//! Where the version documents of an endpoint can be, guessed from its URL.

use super::{Endpoint, Version, VersionRange, link::Parts};

/// The URLs to ask, the most promising first, and what the endpoint's own URL says.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Each of them once.
    pub(super) urls: Vec<String>,
    /// The version in the URL lies in the range.
    pub(super) matches: bool,
    /// It does, and there is no need to look further.
    pub(super) matches_exactly: bool,
    /// The project id at the end of the URL, which no version document has in its links.
    pub(super) project_suffix: Option<Box<str>>,
}

/// Where the version document of a kind of endpoint is, though its URL does not say so.
#[derive(Clone, Debug)]
pub(super) struct Hack {
    pub(super) service_type: Box<str>,
    /// How the endpoint's URL ends, without a slash.
    pub(super) ending: Box<str>,
    /// What is to be there instead.
    pub(super) instead: Box<str>,
}

impl Hack {
    /// Catalogs have Keystone with its v2.0 API, which had no version document that lists the others.
    pub(super) fn of_keystone() -> Self {
        Self { service_type: "identity".into(), ending: "/v2.0".into(), instead: "/".into() }
    }

    fn apply(&self, endpoint: &Endpoint) -> Option<String> {
        let url = endpoint.url();
        let above = url.strip_suffix('/').unwrap_or(url).strip_suffix(&*self.ending)?;
        let is_meant = endpoint.service_type.as_ref() == Some(&self.service_type);
        is_meant.then(|| format!("{above}{}", self.instead))
    }
}

impl Candidates {
    /// The candidates of an endpoint whose version is to be in `range`.
    ///
    /// With `hacks`, the unversioned URL above the endpoint is among them, so that versions can be found
    /// which the catalog does not list, and the URL that the first fitting hack makes of the endpoint's.
    pub(super) fn of(
        endpoint: &Endpoint,
        project_id: Option<&str>,
        range: VersionRange,
        hacks: Option<&[Hack]>,
    ) -> Self {
        let mut found = Self::default();
        let url = endpoint.url().trim_end_matches('/');
        let Some(Parts { origin, path, rest }) = Parts::of(url) else { return found };
        let with_path = |segments: &[&str]| format!("{origin}{}{rest}", segments.join("/"));
        let mut segments: Vec<_> = path.split('/').collect();

        let project_suffix = match (project_id, segments.as_slice()) {
            (Some(project_id), [.., last]) if *last == project_id => Some(*last),
            (None, [.., version, last]) if Version::from_segment(version).is_some() => Some(*last),
            _ => None,
        };
        if project_suffix.is_some() {
            segments.pop();
            found.project_suffix = project_suffix.map(Into::into);
        }

        let mut versioned = None;
        let mut catalog_version = None;
        if let Some(version) = segments.last().and_then(|last| Version::from_segment(last)) {
            found.matches = !range.is_any() && range.contains(version);
            let same_major = range.max().is_some_and(|max| max.major == version.major);
            found.matches_exactly = found.matches && same_major;
            versioned = Some(with_path(&segments));
            if found.matches {
                let url = format!("{}/", with_path(&segments).trim_end_matches('/'));
                if found.matches_exactly {
                    found.add(url);
                } else {
                    catalog_version = Some(url);
                }
            }
            segments.pop();
        }

        if let Some(hacks) = hacks {
            let mut unversioned = with_path(&segments);
            if endpoint.catalog_url.as_deref() != Some(&unversioned) {
                unversioned = format!("{}/", unversioned.trim_end_matches('/'));
            }
            found.add(unversioned);
            if let Some(url) = catalog_version {
                found.add(url);
            }
            let hacked = hacks.iter().find_map(|hack| hack.apply(endpoint));
            found.add(hacked.unwrap_or_else(|| endpoint.url().to_owned()));
        } else if let (Some(versioned), Some(_)) = (versioned, &found.project_suffix) {
            found.add(versioned);
        }
        if let Some(url) = &endpoint.catalog_url {
            found.add(url.to_string());
        }
        found
    }

    fn add(&mut self, url: String) {
        if !self.urls.contains(&url) {
            self.urls.push(url);
        }
    }
}
