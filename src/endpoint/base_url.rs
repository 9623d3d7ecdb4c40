use std::sync::Arc;

use http::{
    Uri,
    uri::{Parts, PathAndQuery},
};

use super::{
    Origin,
    path_traversal::{has_path_traversal, may_have_dots},
};
use crate::{Error, error::AN_ENDPOINT};

/// Maximum length of the path and query of a URI, in bytes. It is the limit of the `http` crate.
const MAX_LENGTH: usize = u16::MAX as usize - 1;

/// Why a URL is invalid if its query is the only fault.
pub(crate) const HAS_QUERY: &str = "the URL has a query";

/// An absolute http or https URL that paths can be appended to.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct BaseUrl {
    url: Uri,
    origin: Arc<Origin>,
    /// The path of `url` with exactly one slash at the end.
    prefix: Box<str>,
}

/// The reason why paths cannot be appended to a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InvalidBaseUrl(pub(crate) &'static str);

impl From<InvalidBaseUrl> for Error {
    fn from(InvalidBaseUrl(reason): InvalidBaseUrl) -> Self {
        Self::InvalidEndpoint { what: AN_ENDPOINT, reason }
    }
}

impl BaseUrl {
    /// Parses a URL. White space around it is ignored.
    pub(crate) fn parse(url: &str) -> Result<Self, InvalidBaseUrl> {
        let url = url.trim_ascii();
        if has_placeholder(url) {
            return Err(InvalidBaseUrl("the URL has a placeholder that was not filled in"));
        }
        if url.contains('#') {
            return Err(InvalidBaseUrl("the URL has a fragment"));
        }
        if !authority(url).is_ascii() {
            return Err(InvalidBaseUrl(
                "the host of the URL is not ASCII; write it in its IDNA form (xn--...)",
            ));
        }
        Self::new(url.parse().map_err(|_| InvalidBaseUrl("the URL is not valid"))?)
    }

    /// Returns whether the text may be a valid base URL. This is cheaper than parsing it.
    pub(crate) fn is_plausible(url: &str) -> bool {
        let is_part = |byte| byte > b' ' && !matches!(byte, b'?' | b'#' | b'\x7f');
        url.bytes().all(is_part) && !has_placeholder(url)
    }

    /// Creates a base URL from a URI, if paths can be appended to it.
    pub(crate) fn new(url: Uri) -> Result<Self, InvalidBaseUrl> {
        let origin = Arc::new(Self::check(&url)?);
        let prefix = format!("{}/", url.path().trim_end_matches('/')).into();
        Ok(Self { url, origin, prefix })
    }

    /// Returns the origin of the URL, or the reason why it is not a valid base URL.
    pub(crate) fn check(url: &Uri) -> Result<Origin, InvalidBaseUrl> {
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(InvalidBaseUrl("the URL is neither http nor https"));
        }
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(InvalidBaseUrl("the URL has a user name"));
        }
        let origin =
            Origin::from_uri(url).ok_or(InvalidBaseUrl("the URL has no valid host, or an invalid port"))?;
        if url.query().is_some() {
            return Err(InvalidBaseUrl(HAS_QUERY));
        }
        Ok(origin)
    }

    /// Returns the URL as it was given.
    pub(crate) fn url(&self) -> &Uri {
        &self.url
    }

    #[inline]
    pub(crate) fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// Appends the relative `uri` to this URL, and stores the result in `uri`.
    ///
    /// There is one slash between the two, as in keystoneauth (`base.rstrip('/') + '/' + path.lstrip('/')`). This takes
    /// one allocation.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequestUri`] if `uri` does not begin with a slash or a `?`, [`Error::PathTraversal`] if its path
    /// leads above this URL, and [`Error::UriTooLong`] if the result is too long.
    #[inline(always)]
    pub(crate) fn join(&self, uri: &mut Uri) -> Result<(), Error> {
        let Some(path) = uri.path_and_query() else { return Err(Error::InvalidRequestUri) };
        let mut suffix = match path.as_str().as_bytes() {
            [b'/', suffix @ ..] => suffix,
            query @ [b'?', ..] => query,
            _ => return Err(Error::InvalidRequestUri),
        };
        if may_have_dots(path.path().as_bytes()) && has_path_traversal(path.path()) {
            return Err(Error::PathTraversal);
        }

        while let [b'/', shorter @ ..] = suffix {
            suffix = shorter;
        }
        let mut joined = Vec::with_capacity(self.prefix.len() + suffix.len());
        joined.extend_from_slice(self.prefix.as_bytes());
        joined.extend_from_slice(suffix);

        let length = joined.len();
        let Ok(path_and_query) = PathAndQuery::try_from(joined) else {
            return Err(if length > MAX_LENGTH {
                Error::UriTooLong { length }
            } else {
                Error::InvalidRequestUri
            });
        };
        let mut parts = Parts::default();
        parts.scheme = self.url.scheme().cloned();
        parts.authority = Some(self.origin.authority().clone());
        parts.path_and_query = Some(path_and_query);
        let Ok(joined) = Uri::from_parts(parts) else { return Err(Error::InvalidRequestUri) };
        *uri = joined;
        Ok(())
    }
}

/// Returns whether a URL has a part that should have been replaced by an id.
fn has_placeholder(url: &str) -> bool {
    url.contains("$(") || url.contains("%(")
}

/// Returns the part of a URL between the scheme and the path, or an empty text if there is none.
fn authority(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or("", |(_, after)| after);
    after_scheme.split(['/', '?']).next().unwrap_or_default()
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
            ("https://h/v1", "/c/..%3f%23", "https://h/v1/c/..%3f%23"),
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
    fn no_path_leads_above_its_endpoint() {
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
            // Escapes whose digits are escaped.
            "/%2%65%2%65/admin",
            "/%%32%65%%32e/admin",
            // Overlong UTF-8, and invalid UTF-8 that a server may drop.
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
            // Characters that some servers read as the end of the path, or strip.
            "/..%00",
            "/..%00.html",
            "/..%00/x",
            "/..%2500",
            "/a/..%00/../..",
            "/..%3f/admin",
            "/..%2523",
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
            // Characters that some servers normalize to dots and slashes.
            "/%ef%bc%8e%ef%bc%8e/admin",
            "/．．/admin",
            "/%e2%80%a5/admin",
            "/a%ef%bc%8f..%e2%88%95../admin",
            "/..%ef%bc%9bx/admin",
            // Escaped slashes that a server may decode in one place but not in another.
            "/a%2fb%2f..%2f../../admin",
            "/a%2fb/..%5c../admin",
        ] {
            assert!(matches!(joined("https://h/v3/x", path), Err(Error::PathTraversal)), "{path}");
        }
    }

    #[test]
    fn path_traversal_is_found_wherever_the_dots_are() {
        for length in 0..20 {
            let name = "x".repeat(length);
            for path in
                [format!("/../{name}"), format!("/{name}/../.."), format!("/{name}/%2e%2E/%2e./{name}")]
            {
                assert!(matches!(joined("https://h/v3", &path), Err(Error::PathTraversal)), "{path}");
            }
        }
    }

    /// Long input must not take quadratic time or overflow the stack.
    #[test]
    fn long_paths_of_escapes_take_linear_time() {
        for piece in ["%", "%25", "%2", "25", "%%32", "%u", "%c0", "%fc%80", "..%2f", "%2e", "a%2f"] {
            let path = format!("/%{}", piece.repeat(60_000 / piece.len()));
            let _ = joined("https://h/v3", &path);
            let _ = joined("https://h/v3", &format!("/a{path}/../../.."));
        }
    }

    #[test]
    fn a_joined_uri_that_is_too_long_is_an_error_with_its_length() {
        let base = format!("https://h/{}", "b".repeat(1_000));
        for (query, fits) in [(64_531, true), (64_532, false), (65_000, false)] {
            let relative = format!("/?{}", "q".repeat(query));
            let length = "/".len() + 1_000 + relative.len();
            match joined(&base, &relative) {
                Ok(_) => assert!(fits && length <= MAX_LENGTH, "{length}"),
                Err(Error::UriTooLong { length: reported }) => {
                    assert!(!fits && reported == length, "{length}")
                }
                Err(other) => panic!("{length}: {other}"),
            }
        }
    }

    #[test]
    fn only_a_path_can_be_joined() {
        for not_a_path in ["servers", "host:443", "*"] {
            assert!(matches!(joined("https://h", not_a_path), Err(Error::InvalidRequestUri)), "{not_a_path}");
        }
    }

    #[test]
    fn white_space_around_a_url_is_ignored() {
        for around in [" {} ", "{}\n", "\r\n\t{}\r\n"] {
            let url = around.replace("{}", "https://h:8774/v2.1/");
            assert_eq!(joined(&url, "/servers").unwrap(), "https://h:8774/v2.1/servers", "{url:?}");
        }
    }

    #[test]
    fn the_error_for_a_host_that_is_not_ascii_names_the_idna_form() {
        for url in ["https://b\u{fc}cher.example/v3", "https://\u{4f8b}\u{3048}.jp:5000", "https://a@\u{fc}/"]
        {
            let Err(InvalidBaseUrl(reason)) = BaseUrl::parse(url) else { panic!("{url}") };
            assert!(reason.contains("xn--"), "{reason}");
        }
        assert_eq!(
            joined("https://xn--bcher-kva.example/", "/x").unwrap(),
            "https://xn--bcher-kva.example/x"
        );
    }

    #[test]
    fn invalid_base_urls() {
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
            let Err(InvalidBaseUrl(reason)) = BaseUrl::parse(url) else { panic!("{url}") };
            assert!(!reason.contains("canary"));
        }
    }
}
