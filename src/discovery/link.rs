//! Links in version documents and redirects.
//!
//! The host of a link in a document is not trusted. Behind a proxy, services list their internal host, and a token must
//! not be sent to another origin because of a link. The target of a redirect is returned with its host: the caller
//! decides whether to follow it.

use http::{HeaderMap, Uri, header::LOCATION};
use iri_string::types::{UriAbsoluteStr, UriReferenceStr};

/// Replaces an invalid host in a link. No document has this host, so the link counts as one to another host.
const OTHER_HOST: &str = "http://elsewhere.invalid";

/// The parts of an absolute URL, unchanged.
#[derive(Clone, Copy)]
pub(super) struct UrlParts<'a> {
    /// The scheme, host and port.
    pub(super) origin: &'a str,
    pub(super) path: &'a str,
    /// The query and the fragment.
    pub(super) rest: &'a str,
}

impl<'a> UrlParts<'a> {
    /// Splits a URL, or returns `None` if it is not absolute.
    pub(super) fn parse(url: &'a str) -> Option<Self> {
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

/// Resolves a link of the version document at `document_url`. The result always has the origin of the document.
///
/// - A relative link, or one to the same host and port, is resolved as in RFC 3986.
/// - If the link names another host or port, only the last segment of its path is used, which is the version. It is
///   appended to the URL of the document (a rule of keystoneauth).
/// - An invalid host, such as `$(host)s`, counts as another host.
///
/// Returns `None` if the link is malformed in another way.
pub(super) fn resolve_link(document_url: &str, link: &str) -> Option<Box<str>> {
    let base = UrlParts::parse(document_url)?;
    let directory = format!("{}{}/", base.origin, base.path.trim_end_matches('/'));
    let resolved = resolve(&directory, link).or_else(|| resolve(OTHER_HOST, path_after_host(link)?))?;
    let path_and_rest = match UrlParts::parse(&resolved) {
        Some(resolved) if resolved.authority() == base.authority() => {
            format!("{}{}", resolved.path, resolved.rest)
        }
        Some(resolved) => append_version(base, resolved.path, resolved.rest),
        None => return None,
    };
    Some(format!("{}{path_and_rest}", base.origin).into())
}

/// Returns what follows the host in a link with a host.
fn path_after_host(link: &str) -> Option<&str> {
    let (scheme, after) = link.split_once("//")?;
    let has_host = scheme.is_empty() || scheme.strip_suffix(':')?.chars().all(|c| c.is_ascii_alphanumeric());
    after.get(after.find(['/', '?', '#'])?..).filter(|_| has_host)
}

/// Appends the last segment of `path` to the path of the document, unless the document's path already ends in it.
fn append_version(document: UrlParts<'_>, path: &str, rest: &str) -> String {
    let directory = document.path.trim_end_matches('/');
    let version = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if directory.ends_with(version) {
        return format!("{}{rest}", document.path);
    }
    let slash = if path.ends_with('/') { "/" } else { "" };
    format!("{directory}/{version}{slash}{rest}")
}

/// Returns the target of a `Location` header in a response from `url`.
pub(crate) fn location(url: &str, headers: &HeaderMap) -> Option<Uri> {
    resolve(url, headers.get(LOCATION)?.to_str().ok()?)?.parse().ok()
}

/// Resolves a URL reference against a base URL (RFC 3986).
fn resolve(base: &str, reference: &str) -> Option<String> {
    let base = base.split('#').next().unwrap_or(base);
    let reference = UriReferenceStr::new(reference).ok()?;
    Some(reference.resolve_against(UriAbsoluteStr::new(base).ok()?).to_string())
}
