use bytes::Bytes;
use http::{Uri, uri::PathAndQuery};

use super::Origin;
use crate::Error;

/// Reads a URL that paths are to be appended to; if that cannot be done, why.
pub(crate) fn base_url(url: &str) -> Result<Uri, &'static str> {
    if url.contains("$(") || url.contains("%(") {
        return Err("its URL has a placeholder that nobody filled in");
    }
    if url.contains('#') {
        return Err("its URL has a fragment");
    }
    let url: Uri = url.parse().map_err(|_| "its URL is not valid")?;
    check_base(&url)?;
    Ok(url)
}

/// Whether paths can be appended to this URL; if not, why.
pub(crate) fn check_base(url: &Uri) -> Result<(), &'static str> {
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err("its URL is neither http nor https");
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("its URL carries a user name");
    }
    if Origin::of(url).is_none() {
        return Err("its URL has no clear host and port");
    }
    if url.query().is_some() {
        return Err("its URL has a query");
    }
    Ok(())
}

/// Appends the path and query of `relative` to the path of `base`, a URL that passed [`check_base`],
/// with one slash between them.
///
/// This is keystoneauth's joining (`base.rstrip('/') + '/' + path.lstrip('/')`), with one
/// allocation. A path that climbs above the base is refused ([`Error::PathAboveEndpoint`]).
pub(crate) fn join(base: &Uri, relative: &Uri) -> Result<Uri, Error> {
    let path = relative.path_and_query().map_or("/", PathAndQuery::as_str);
    if relative.authority().is_some() || !path.starts_with(['/', '?']) {
        return Err(Error::NotAPath);
    }
    if climbs(relative.path()) {
        return Err(Error::PathAboveEndpoint);
    }

    let above = base.path().trim_end_matches('/');
    let below = path.trim_start_matches('/');
    let mut joined = Vec::with_capacity(above.len() + 1 + below.len());
    joined.extend_from_slice(above.as_bytes());
    joined.push(b'/');
    joined.extend_from_slice(below.as_bytes());

    let mut parts = http::uri::Parts::default();
    parts.scheme = base.scheme().cloned();
    parts.authority = base.authority().cloned();
    parts.path_and_query = PathAndQuery::from_maybe_shared(Bytes::from(joined)).ok();
    Uri::from_parts(parts).map_err(|_| Error::NotAPath)
}

/// Whether the `..` segments of a path lead above its beginning.
///
/// What some server on the way might take for a dot or a slash (`%2e`, `%2f`, a backslash) counts as
/// one, empty segments count for nothing, and what follows a `;` in a segment is not looked at.
fn climbs(path: &str) -> bool {
    // Most paths end here: a climb takes dots.
    if !path.bytes().any(|byte| matches!(byte, b'.' | b'%')) {
        return false;
    }
    let mut depth = 0_usize;
    let mut segment = Segment::default();
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = match (first, after) {
            (b'%', [b'2', b'e' | b'E', after @ ..]) => (b'.', after),
            (b'%', [b'2', b'f' | b'F', after @ ..]) => (b'/', after),
            (b'%', [b'5', b'c' | b'C', after @ ..]) => (b'/', after),
            (b'\\', after) => (b'/', after),
            other => other,
        };
        rest = after;
        if byte != b'/' {
            segment.push(byte);
            continue;
        }
        match segment.close(depth) {
            Some(deeper) => depth = deeper,
            None => return true,
        }
    }
    segment.close(depth).is_none()
}

/// The segment being read: how long it is, and whether it is all dots, up to its parameters.
#[derive(Default)]
struct Segment {
    length: usize,
    named: bool,
    parameters: bool,
}

impl Segment {
    fn push(&mut self, byte: u8) {
        self.parameters |= byte == b';';
        if !self.parameters {
            self.length += 1;
            self.named |= byte != b'.';
        }
    }

    /// The depth after this segment, which starts anew; `None` above the beginning.
    fn close(&mut self, depth: usize) -> Option<usize> {
        let Self { length, named, .. } = std::mem::take(self);
        match (named, length) {
            (false, 0 | 1) => Some(depth),
            (false, 2) => depth.checked_sub(1),
            _ => Some(depth + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, relative: &str) -> Result<String, Error> {
        join(&base.parse().unwrap(), &relative.parse().unwrap()).map(|uri| uri.to_string())
    }

    #[test]
    fn one_slash_between_and_every_byte_kept() {
        for (base, relative, expected) in [
            ("https://h", "/servers", "https://h/servers"),
            ("https://h/", "/servers", "https://h/servers"),
            ("https://h/v2.1", "/servers/detail?limit=9", "https://h/v2.1/servers/detail?limit=9"),
            ("https://h/v2.1//", "//servers", "https://h/v2.1/servers"),
            (
                "https://h:8774/v1/AUTH_x",
                "/a%2Fb/%e3%81%82%20c",
                "https://h:8774/v1/AUTH_x/a%2Fb/%e3%81%82%20c",
            ),
            ("https://h/v3", "/?q=%2E%2e/..", "https://h/v3/?q=%2E%2e/.."),
            ("http://[::1]:9292/v2", "/images//x/", "http://[::1]:9292/v2/images//x/"),
            ("https://h/a%20b", "/..x/.../x..", "https://h/a%20b/..x/.../x.."),
            ("https://h/v1", "/c/./../d", "https://h/v1/c/./../d"),
        ] {
            assert_eq!(joined(base, relative).unwrap(), expected);
        }
    }

    #[test]
    fn no_path_climbs_above_its_endpoint() {
        for path in [
            "/..",
            "/../admin",
            "/a/../../b",
            "/./../b",
            "//../b",
            "/a//../../b",
            "/%2e%2e/x",
            "/.%2E/x",
            "/a%2f..%2F..%2fb",
            "/a/..%5c../b",
            "/..;x=y/z",
            "/a/..;/..;",
            "/a\\..\\..\\b",
            "/a/../b/../..",
        ] {
            assert!(matches!(joined("https://h/v3/x", path), Err(Error::PathAboveEndpoint)), "{path}");
        }
    }

    #[test]
    fn only_a_path_can_be_joined() {
        for not_a_path in ["servers", "host:443", "*"] {
            assert!(matches!(joined("https://h", not_a_path), Err(Error::NotAPath)), "{not_a_path}");
        }
    }

    #[test]
    fn urls_that_nothing_can_be_appended_to() {
        for url in [
            "",
            "/v3",
            "h",
            "ftp://h/",
            "file:///etc",
            "https://user:canary@h/",
            "https://h/?x=1",
            "https://h/#x",
            "https://h/$(tenant_id)s",
            "https://h/%(tenant_id)s",
            "https://h:port/",
            "https://h h/",
        ] {
            let reason = base_url(url).unwrap_err();
            assert!(!reason.contains("canary"));
        }
    }
}
