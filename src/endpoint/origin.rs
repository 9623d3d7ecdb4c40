use std::{
    fmt,
    hash::{Hash, Hasher},
};

use http::{
    Uri,
    uri::{Authority, Scheme},
};

/// The scheme, host and port of a URL (RFC 6454).
///
/// The layer sends a token only to known origins. Host names are compared case-insensitively, and a missing port is the
/// default port of the scheme. Hosts are not normalized further: `h.` and `h` are different hosts, and so are two
/// notations of the same IP address.
///
/// ```
/// use http::Uri;
/// use tower_keystone::endpoint::Origin;
///
/// let nova = Origin::from_uri(&Uri::from_static("https://nova.example.com/v2.1")).unwrap();
/// assert_eq!(Some(nova.clone()), Origin::from_uri(&Uri::from_static("https://NOVA.example.com:443/servers")));
/// assert_eq!(nova.to_string(), "https://nova.example.com:443");
/// ```
#[derive(Clone)]
pub struct Origin {
    https: bool,
    authority: Authority,
    /// Length of the host, which is at the beginning of the authority, in bytes.
    host_len: usize,
    port: u16,
    /// A hash of host and port with one bit set, so that a `u64` can be a set of origins.
    bit: u64,
}

impl Origin {
    /// Returns the origin of an absolute http or https URL.
    ///
    /// Returns `None` for any other URL. Also returns `None` if HTTP clients may read the host or port differently:
    ///
    /// - The URL has a user name.
    /// - The host is neither an IPv6 address in brackets nor made of ASCII letters, digits, `-`, `.` and `_` only.
    /// - The port after a colon is missing, or is not a number up to 65535.
    pub fn from_uri(uri: &Uri) -> Option<Self> {
        let https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Self::from_authority(https, uri.authority()?)
    }

    pub(crate) fn from_authority(https: bool, authority: &Authority) -> Option<Self> {
        let OriginRef { host, port, .. } = OriginRef::from_authority(https, authority.as_str())?;
        let bit = bit(host, port);
        Some(Self { https, authority: authority.clone(), host_len: host.len(), port, bit })
    }

    #[inline]
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    #[inline]
    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    /// Returns whether `other` is http, and this is https on the same host, at port 443 or the port of `other`.
    pub(crate) fn is_upgrade_of(&self, other: &Self) -> bool {
        let same_host = self.as_origin_ref().host.eq_ignore_ascii_case(other.as_origin_ref().host);
        self.https && !other.https && same_host && (self.port == 443 || self.port == other.port)
    }

    /// Replaces the origin of a URL with this one, which is https.
    pub(crate) fn upgrade(&self, url: Uri) -> Option<Uri> {
        let mut parts = url.into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        Uri::from_parts(parts).ok()
    }

    #[inline]
    pub(super) fn bit(&self) -> u64 {
        self.bit
    }

    fn as_origin_ref(&self) -> OriginRef<'_> {
        let authority = self.authority.as_str();
        let host = authority.get(..self.host_len).unwrap_or_default();
        OriginRef { https: self.https, authority, host, port: self.port }
    }
}

/// An origin that borrows the text of a URL. The rest of the URL is not parsed.
#[derive(Clone, Copy)]
pub(crate) struct OriginRef<'a> {
    https: bool,
    authority: &'a str,
    host: &'a str,
    port: u16,
}

impl<'a> OriginRef<'a> {
    /// Returns the origin of a URL, by the rules of [`Origin::from_uri`]. White space around the URL is ignored.
    pub(crate) fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.trim_ascii().split_once("://")?;
        let https = scheme.eq_ignore_ascii_case("https");
        if !https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let authority = rest.split(['/', '?', '#']).next()?;
        Self::from_authority(https, authority)
    }

    fn from_authority(https: bool, authority: &'a str) -> Option<Self> {
        let (host, rest) = split_host(authority)?;
        let port = match rest.strip_prefix(':') {
            Some(digits) if digits.starts_with(|first: char| first.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            None if rest.is_empty() && https => 443,
            None if rest.is_empty() => 80,
            _ => return None,
        };
        Some(Self { https, authority, host, port })
    }

    pub(crate) fn to_origin(self) -> Option<Origin> {
        Origin::from_authority(self.https, &self.authority.parse().ok()?)
    }
}

/// Returns the bit of an origin: a hash of the host's first four bytes (ignoring case), its length, and the port.
///
/// The services of a cloud usually differ in one of these.
fn bit(host: &str, port: u16) -> u64 {
    let first = host.as_bytes().first_chunk().map_or(0, |first| u32::from_le_bytes(*first) | 0x2020_2020);
    let sum = first.wrapping_mul(31).wrapping_add(host.len() as u32 + (u32::from(port) << 8));
    // Fibonacci hashing: the upper bits of the product depend on all bits of the sum.
    1 << (sum.wrapping_mul(0x9e37_79b9) >> 26)
}

/// Splits an authority into its host and the rest, which is empty or a port if the authority is valid.
///
/// The host ends before the first character that cannot be part of a host, such as the `@` after a user name. The
/// caller rejects the authority if the rest begins with anything but a `:`.
fn split_host(authority: &str) -> Option<(&str, &str)> {
    let host = match authority.strip_prefix('[') {
        None => {
            prefix_len(authority, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))?
        }
        Some(address) => {
            let end = prefix_len(address, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))?;
            address.get(end..)?.starts_with(']').then_some(end + 2)?
        }
    };
    authority.split_at_checked(host)
}

/// Returns the length of the longest prefix whose bytes all satisfy `is_part`, or `None` if it is empty.
fn prefix_len(text: &str, is_part: impl Fn(u8) -> bool) -> Option<usize> {
    let end = text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len());
    (end > 0).then_some(end)
}

impl PartialEq for OriginRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.https, self.port) == (other.https, other.port) && self.host.eq_ignore_ascii_case(other.host)
    }
}

impl Eq for OriginRef<'_> {}

impl Hash for OriginRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.https, self.port).hash(state);
        for bytes in self.host.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(bytes).for_each(|(lower, byte)| *lower = byte.to_ascii_lowercase());
            state.write(&word);
        }
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.as_origin_ref() == other.as_origin_ref()
    }
}

impl Eq for Origin {}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_origin_ref().hash(state);
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.as_origin_ref().host, self.port)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use proptest::prelude::*;

    use super::*;

    fn origin(url: &str) -> Option<Origin> {
        let origin = url.parse().ok().and_then(|uri| Origin::from_uri(&uri));
        if origin.is_some() {
            let written = OriginRef::parse(url).and_then(OriginRef::to_origin);
            assert_eq!(written, origin, "{url}");
        }
        origin
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        /// `OriginRef::parse` and `Origin::from_uri` agree on every URL.
        #[test]
        fn a_text_and_its_uri_have_the_same_origin(
            url in r"(?i)(https?|ftp|)(://|:/|//)[a-z0-9.:@\[\]%_~\\;,&$-]{0,12}([/?#][a-z0-9/?#@:.]{0,8})?"
        ) {
            let written = OriginRef::parse(&url).and_then(OriginRef::to_origin);
            if let Ok(uri) = url.parse() {
                prop_assert_eq!(written, Origin::from_uri(&uri), "{}", url);
            }
        }
    }

    #[test]
    fn equal_origins() {
        let known = origin("https://nova.example.com/v2.1").unwrap();
        for url in ["https://nova.example.com:443/", "HTTPS://NOVA.example.com/x", "https://nova.example.com"]
        {
            assert_eq!(origin(url).unwrap(), known, "{url}");
        }
        assert_eq!(origin("http://[::1]:80/"), origin("http://[::1]/x"));
        assert_eq!(known.to_string(), "https://nova.example.com:443");
        assert_eq!(format!("{known:?}"), "Origin(https://nova.example.com:443)");
    }

    #[test]
    fn equal_origins_have_equal_hashes_and_different_ones_differ() {
        let state = RandomState::new();
        let hash = |url| state.hash_one(origin(url).unwrap());
        let known = hash("https://nova.example.com/");
        assert_eq!(known, hash("HTTPS://NOVA.Example.com:443/v2.1"));
        for other in ["http://nova.example.com/", "https://nova.example.com:1/", "https://nova.example.org/"]
        {
            assert_ne!(known, hash(other), "{other}");
        }
    }

    #[test]
    fn different_origins() {
        let known = origin("https://nova.example.com/v2.1").unwrap();
        for url in [
            "http://nova.example.com/",
            "https://nova.example.com:8774/",
            "https://nova.example.com./",
            "https://nova.example.com.evil.org/",
            "https://evil.org/nova.example.com",
            "http://nova.example.com:443/",
            "https://nova.example.co/",
            "https://nova-example.com/",
        ] {
            assert_ne!(origin(url).unwrap(), known, "{url}");
        }
        assert_ne!(origin("http://127.0.0.1/"), origin("http://0x7f.1/"));
    }

    #[test]
    fn an_ambiguous_url_has_no_origin() {
        for url in [
            "/servers",
            "nova.example.com:443",
            "ftp://nova.example.com/",
            "https://user@nova.example.com/",
            "https://nova.example.com@evil.org/",
            "https://nova.example.com%2F@evil.org/",
            "https://evil.org%2F.nova.example.com/",
            "https://nova.example.com:99999/",
            "https://nova.example.com:/",
            "https://nova.example.com:+443/",
            "https://[::1%25eth0]/",
            "https://[::1",
            "https://[]/",
            "https://[]:443/",
            "https://:443/",
            "https://nova.example.com\\@evil.org/",
            "https://nova.example.com;evil.org/",
            "https://nova.example.com,evil.org/",
            "https://nova.example.com&evil.org/",
            "https://~nova.example.com/",
        ] {
            assert!(origin(url).is_none(), "{url}");
            assert!(OriginRef::parse(url).is_none(), "{url}");
        }
    }
}
