use std::fmt;

/// The version of an API, as in `v2.1`.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Version {
    /// The part before the dot.
    pub major: u32,
    /// The part after the dot, 0 where there is none.
    pub minor: u32,
}

impl Version {
    /// The version that the path of a URL names: its last segment of the form `v2` or `v2.1`.
    ///
    /// `None` where no segment has that form. A segment without the `v` is no version, since a
    /// project id can be all digits (a rule of keystoneauth).
    pub fn in_url(url: &str) -> Option<Self> {
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (_, path) = after_scheme.split_once('/')?;
        let path = path.split(['?', '#']).next()?;
        path.rsplit('/').find_map(Self::in_segment)
    }

    fn in_segment(segment: &str) -> Option<Self> {
        let number = segment.strip_prefix('v')?;
        let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
        let part =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        Some(Self { major: part(major)?, minor: part(minor)? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_versioned_segment_counts() {
        for (url, expected) in [
            ("https://h/v2.1/p", Some((2, 1))),
            ("https://h/v2/", Some((2, 0))),
            ("https://h:8776/volume/v1/v3/AUTH_x", Some((3, 0))),
            ("https://v2.example.com", None),
            ("https://v2.example.com/x", None),
            ("https://h/123456", None),
            ("https://h/vendor/v", None),
            ("https://h/v99999999999", None),
            ("https://h/x?y=/v2", None),
            ("", None),
        ] {
            let version = Version::in_url(url).map(|version| (version.major, version.minor));
            assert_eq!(version, expected, "{url}");
        }
    }
}
