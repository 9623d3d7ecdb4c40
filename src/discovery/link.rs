//! Links of version documents. What they say of a host is not believed: behind a proxy they name the
//! service's own one, and a token is not to follow them elsewhere.

use http::{HeaderMap, Uri, header::LOCATION};
use iri_string::types::{UriAbsoluteStr, UriReferenceStr};

/// Another host than that of any document.
const ELSEWHERE: &str = "http://elsewhere.invalid";

/// A URL in its parts, as it is written.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Scheme, host and port.
    pub(super) origin: &'a str,
    /// The path without what follows it.
    pub(super) path: &'a str,
    /// A query or a fragment.
    pub(super) rest: &'a str,
}

impl<'a> Parts<'a> {
    /// `None` for a URL that is not absolute.
    pub(super) fn of(url: &'a str) -> Option<Self> {
        let host = url.find("://")? + 3;
        let path = url.get(host..)?.find(['/', '?', '#']).map_or(url.len(), |end| host + end);
        let (origin, after) = url.split_at_checked(path)?;
        let (path, rest) = after.split_at_checked(after.find(['?', '#']).unwrap_or(after.len()))?;
        Some(Self { origin, path, rest })
    }

    fn authority(self) -> &'a str {
        self.origin.split_once("://").map_or("", |(_, authority)| authority)
    }
}

/// The URL that a link in the document at `document` stands for, always with the document's origin.
///
/// A link to the same host, or without one, counts as it is. Of a link to another host only the last
/// segment of its path does, which names the version, and the rest is where the document is
/// (a rule of keystoneauth). A host that is none, such as `$(host)s`, is another host. `None` for a link that
/// is no URL reference (RFC 3986) otherwise.
pub(super) fn on_origin_of(document: &str, link: &str) -> Option<Box<str>> {
    let base = Parts::of(document)?;
    let directory = format!("{}{}/", base.origin, base.path.trim_end_matches('/'));
    let resolved = resolve(&directory, link).or_else(|| resolve(ELSEWHERE, below_host(link)?))?;
    let path_and_rest = match Parts::of(&resolved) {
        Some(resolved) if resolved.authority() == base.authority() => {
            format!("{}{}", resolved.path, resolved.rest)
        }
        Some(resolved) => elsewhere(base, resolved.path, resolved.rest),
        None => return None,
    };
    Some(format!("{}{path_and_rest}", base.origin).into())
}

/// What a link that has a host has after it.
fn below_host(link: &str) -> Option<&str> {
    let (scheme, after) = link.split_once("//")?;
    let has_host = scheme.is_empty() || scheme.strip_suffix(':')?.chars().all(|c| c.is_ascii_alphanumeric());
    after.get(after.find(['/', '?', '#'])?..).filter(|_| has_host)
}

/// Where an answer from `url` leads, if its `Location` says so.
pub(crate) fn location(url: &str, headers: &HeaderMap) -> Option<Uri> {
    resolve(url, headers.get(LOCATION)?.to_str().ok()?)?.parse().ok()
}

/// The URL that a reference in something at `base` stands for (RFC 3986).
fn resolve(base: &str, reference: &str) -> Option<String> {
    let base = base.split('#').next().unwrap_or(base);
    let reference = UriReferenceStr::new(reference).ok()?;
    Some(reference.resolve_against(UriAbsoluteStr::new(base).ok()?).to_string())
}

/// The last segment of the path of a link to another host, below the document.
fn elsewhere(base: Parts<'_>, path: &str, rest: &str) -> String {
    let above = base.path.trim_end_matches('/');
    let version = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if above.ends_with(version) {
        return format!("{}{rest}", base.path);
    }
    let slash = if path.ends_with('/') { "/" } else { "" };
    format!("{above}/{version}{slash}{rest}")
}
