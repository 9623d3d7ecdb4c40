use http::{
    Uri,
    uri::{Parts, PathAndQuery},
};

use super::{Origin, climbs::climbs};
use crate::Error;

/// A URL that paths can be appended to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct BaseUrl {
    url: Uri,
    /// How long its path is without the slashes at the end, in bytes.
    above: usize,
}

/// Why paths cannot be appended to a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unusable(pub(crate) &'static str);

impl From<Unusable> for Error {
    fn from(Unusable(reason): Unusable) -> Self {
        Self::InvalidEndpoint { reason }
    }
}

impl BaseUrl {
    /// Reads such a URL.
    pub(crate) fn parse(url: &str) -> Result<Self, Unusable> {
        if url.contains("$(") || url.contains("%(") {
            return Err(Unusable("its URL has a placeholder that nobody filled in"));
        }
        if url.contains('#') {
            return Err(Unusable("its URL has a fragment"));
        }
        Self::new(url.parse().map_err(|_| Unusable("its URL is not valid"))?)
    }

    /// The URL, if it is such a one.
    pub(crate) fn new(url: Uri) -> Result<Self, Unusable> {
        Self::check(&url)?;
        let above = url.path().trim_end_matches('/').len();
        Ok(Self { url, above })
    }

    /// Whether it is such a URL.
    pub(crate) fn check(url: &Uri) -> Result<(), Unusable> {
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(Unusable("its URL is neither http nor https"));
        }
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(Unusable("its URL carries a user name"));
        }
        if Origin::of(url).is_none() {
            return Err(Unusable("its URL has no clear host and port"));
        }
        if url.query().is_some() {
            return Err(Unusable("its URL has a query"));
        }
        Ok(())
    }

    /// The URL as it came.
    pub(crate) fn url(&self) -> &Uri {
        &self.url
    }

    /// Puts this URL in front of the path and query that are `uri`, with one slash between them.
    ///
    /// This is keystoneauth's joining (`base.rstrip('/') + '/' + path.lstrip('/')`), with one
    /// allocation. A path that climbs above this URL is refused ([`Error::PathAboveEndpoint`]).
    pub(crate) fn join(&self, uri: &mut Uri) -> Result<(), Error> {
        let Some(path) = uri.path_and_query() else { return Err(Error::NotAPath) };
        let mut below = path.as_str().as_bytes();
        if !matches!(below, [b'/' | b'?', ..]) {
            return Err(Error::NotAPath);
        }
        if climbs(path.path()) {
            return Err(Error::PathAboveEndpoint);
        }

        while let [b'/', shorter @ ..] = below {
            below = shorter;
        }
        let above = self.url.path_and_query().map_or("", PathAndQuery::as_str);
        let above = above.as_bytes().get(..self.above).unwrap_or_default();
        let mut joined = Vec::with_capacity(above.len() + 1 + below.len());
        joined.extend_from_slice(above);
        joined.push(b'/');
        joined.extend_from_slice(below);

        let mut parts = Parts::default();
        parts.scheme = self.url.scheme().cloned();
        parts.authority = self.url.authority().cloned();
        // It fails if the two are too long together, and then there is no path to make a URI of.
        parts.path_and_query = PathAndQuery::try_from(joined).ok();
        let Ok(joined) = Uri::from_parts(parts) else { return Err(Error::NotAPath) };
        *uri = joined;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, relative: &str) -> Result<String, Error> {
        let mut uri = relative.parse().unwrap();
        BaseUrl::parse(base).unwrap().join(&mut uri).map(|()| uri.to_string())
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
            ("https://h/v1", "/c/..%20", "https://h/v1/c/..%20"),
            ("https://h/v1", "/c/%c0%ae%c0%ae", "https://h/v1/c/%c0%ae%c0%ae"),
            ("https://h/v1", "/..%20x/%c0%ae%u002ex/a..%00", "https://h/v1/..%20x/%c0%ae%u002ex/a..%00"),
            ("https://h/v1", "/%e3%81%82%e3%80%82/100%/%zz", "https://h/v1/%e3%81%82%e3%80%82/100%/%zz"),
            ("https://h", "/v2.0/networks/a.b..c", "https://h/v2.0/networks/a.b..c"),
            ("https://h", "/あ．い/…/x．．", "https://h/あ．い/…/x．．"),
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
            "/a%2fb/../../admin",
            "/a%2Fb%2Fc/../../../admin",
            "/a%5cb/../../admin",
            "/a%5Cb%2fc/../../../admin",
            "/a\\b/../../admin",
            "/..%3b/admin",
            "/..%3Bx=y/admin",
            "/%252e%252e/admin",
            "/a/%25252e%252e%252f%252e%252e%252fx",
            // Encoded digits of an encoding.
            "/%2%65%2%65/admin",
            "/%%32%65%%32e/admin",
            // UTF-8 that is longer than it has to be, and what is dropped for it is no UTF-8.
            "/%c0%ae%c0%ae/admin",
            "/.%e0%80%ae/admin",
            "/%f0%80%80%ae./admin",
            "/a%c0%af..%c0%af../admin",
            "/a/..%c1%9c../admin",
            "/%25c0%25ae%25c0%25ae/admin",
            "/..%ff/admin",
            "/.%c0./admin",
            "/%80..",
            // UTF-16.
            "/%u002e%u002E/admin",
            "/%U002e./admin",
            "/a%u002f..%u005c../admin",
            "/%uff0e%uff0e/admin",
            "/%25u002e./admin",
            // What some take for the end, or cut off.
            "/..%00",
            "/..%00.html",
            "/..%00/x",
            "/..%2500",
            "/a/..%00/../..",
            "/..%20",
            "/..%20/admin",
            "/%20../admin",
            "/..%09%0d%0a/admin",
            "/.%00./admin",
            "/..%7f/admin",
            "/..%c2%a0/admin",
            "/..%e2%80%8b/admin",
            "/..%/admin",
            "/%20/..",
            // What is folded to dots and slashes.
            "/%ef%bc%8e%ef%bc%8e/admin",
            "/．．/admin",
            "/%e2%80%a5/admin",
            "/a%ef%bc%8f..%e2%88%95../admin",
            "/..%ef%bc%9bx/admin",
            // Slashes that are read in one place and not in the other.
            "/a%2fb%2f..%2f../../admin",
            "/a%2fb/..%5c../admin",
        ] {
            assert!(matches!(joined("https://h/v3/x", path), Err(Error::PathAboveEndpoint)), "{path}");
        }
    }

    #[test]
    fn no_path_climbs_wherever_its_dots_are() {
        for length in 0..20 {
            let name = "x".repeat(length);
            for path in
                [format!("/../{name}"), format!("/{name}/../.."), format!("/{name}/%2e%2E/%2e./{name}")]
            {
                assert!(matches!(joined("https://h/v3", &path), Err(Error::PathAboveEndpoint)), "{path}");
            }
        }
    }

    /// No input of any length takes more than a moment, or the stack.
    #[test]
    fn long_paths_of_escapes_are_read_in_one_go() {
        for piece in ["%", "%25", "%2", "25", "%%32", "%u", "%c0", "%fc%80", "..%2f", "%2e", "a%2f"] {
            let path = format!("/%{}", piece.repeat(60_000 / piece.len()));
            let _ = joined("https://h/v3", &path);
            let _ = joined("https://h/v3", &format!("/a{path}/../../.."));
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
            let Err(Unusable(reason)) = BaseUrl::parse(url) else { panic!("{url}") };
            assert!(!reason.contains("canary"));
        }
    }
}
