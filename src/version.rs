//! API versions and microversions.

use std::{error::Error, fmt, str::FromStr};

/// The number that means "the newest" in a [`Version`]: keystoneauth's `LATEST`.
///
/// For example, [`EndpointFilter::min_version(2, LATEST)`](crate::EndpointFilter::min_version) requests the newest
/// version 2, and `min_version(LATEST, LATEST)` the newest version of all.
pub const LATEST: u32 = u32::MAX;

/// A version of an API, such as `v2.1`, or a microversion.
///
/// Versions are compared part by part, and [`LATEST`] is greater than every other number.
///
/// The text of a version has one to three parts with dots between them, such as `2`, `v2.1`, `2.latest`, `latest` or
/// `2.1.5`. Each part is `latest` or a number that can be parsed as a `u32`. Whitespace around the text is ignored, and
/// so is every `v` at its start. `2` is the same as `2.0`, and `latest` the same as `latest.latest`.
///
/// See the [docs of discovery](crate::discovery) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Version {
    /// The part before the dot.
    pub major: u32,
    /// The part after the dot, or 0 if there is none. The version `latest` has [`LATEST`] here.
    pub minor: u32,
    /// The third part, which only old version documents have.
    micro: Option<u32>,
}

impl Version {
    /// Creates a version from its two parts.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor, micro: None }
    }

    /// Returns the newest version: `latest`.
    pub const fn latest() -> Self {
        Self::new(LATEST, LATEST)
    }

    /// Returns the newest version with this major part, such as `2.latest`.
    pub const fn latest_minor(major: u32) -> Self {
        Self::new(major, LATEST)
    }

    /// Returns whether `candidate` satisfies a request for this version: keystoneauth's `version_match`.
    ///
    /// The candidate must have the same major part, and must not be older.
    pub fn is_match(self, candidate: Self) -> bool {
        self.major == candidate.major && candidate >= self
    }

    /// Returns whether this asks for the newest version, and `candidate` can be that version.
    ///
    /// `latest` accepts every candidate, and `2.latest` accepts every candidate with the major part 2.
    pub(crate) fn is_latest_for(self, candidate: Self) -> bool {
        self == Self::latest() || self.minor == LATEST && self.major == candidate.major
    }

    /// Returns the version in the path of a URL: its last segment that is a version with a `v`, such as `v2` or `v2.1`.
    ///
    /// Returns `None` if there is no such segment. As in keystoneauth, a segment without the `v` is not a version,
    /// because a project id may consist of digits only.
    pub fn from_url(url: &str) -> Option<Self> {
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (_, path) = after_scheme.split(['?', '#']).next()?.split_once('/')?;
        path.rsplit('/').find_map(|segment| Self::from_segment(segment.split(';').next()?))
    }

    /// Parses a path segment that is a version with a `v`, such as `v2` or `v2.1`.
    pub(crate) fn from_segment(segment: &str) -> Option<Self> {
        segment.starts_with('v').then(|| segment.parse().ok()).flatten()
    }
}

/// The error when a text is not a [`Version`].
///
/// It converts to [`Error::InvalidVersion`](crate::Error::InvalidVersion).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseVersionError {
    /// The first 40 characters of the text.
    text: Box<str>,
}

impl fmt::Display for ParseVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.escape_debug();
        write!(f, "`{text}` is not a version; write a version as `2`, `v2.1`, `2.latest` or `latest`")
    }
}

impl Error for ParseVersionError {}

impl FromStr for Version {
    type Err = ParseVersionError;

    /// # Errors
    ///
    /// [`ParseVersionError`] if the text does not have the form that the docs of [`Version`] describe.
    fn from_str(text: &str) -> Result<Self, ParseVersionError> {
        let invalid = || ParseVersionError { text: text.chars().take(40).collect() };
        let part = |part: &str| match part {
            "latest" => Ok(LATEST),
            number => number.parse().map_err(|_| invalid()),
        };
        let mut parts = text.trim().trim_start_matches('v').split('.');
        let major = parts.next().map_or_else(|| Err(invalid()), part)?;
        let minor = match parts.next() {
            Some(minor) => part(minor)?,
            None if major == LATEST => LATEST,
            None => 0,
        };
        let micro = parts.next().map(part).transpose()?;
        match parts.next() {
            None => Ok(Self { major, minor, micro }),
            Some(_) => Err(invalid()),
        }
    }
}

impl From<(u32, u32)> for Version {
    fn from((major, minor): (u32, u32)) -> Self {
        Self::new(major, minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::latest() {
            return f.write_str("latest");
        }
        let parts = [Some(self.major), Some(self.minor), self.micro];
        for (index, part) in parts.into_iter().flatten().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            match part {
                LATEST => f.write_str("latest")?,
                number => write!(f, "{number}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_version_in_the_path_is_used() {
        for (url, expected) in [
            ("https://h/v2.1/p", Some((2, 1))),
            ("https://h/v2/", Some((2, 0))),
            ("https://h:8776/volume/v1/v3/AUTH_x", Some((3, 0))),
            ("https://h/x/v2.1;p", Some((2, 1))),
            ("https://h/v2.latest", Some((2, LATEST))),
            ("https://v2.example.com", None),
            ("https://v2.example.com/x", None),
            ("https://h/123456", None),
            ("https://h/vendor/v", None),
            ("https://h/v99999999999", None),
            ("https://h/x?y=/v2", None),
            ("https://h?y=/v2", None),
            ("https://h#/v2", None),
            ("", None),
        ] {
            let version = Version::from_url(url).map(|version| (version.major, version.minor));
            assert_eq!(version, expected, "{url}");
        }
    }

    #[test]
    fn versions_are_compared_part_by_part_and_latest_is_above_all() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let sorted = ["1", "2.9", "2.10", "2.10.1", "2.latest", "3.0", "latest"].map(version);
        assert!(sorted.is_sorted_by(|a, b| a < b));
        assert_eq!(version("latest"), Version::latest());
        assert!(version("2.1").is_match(version("2.90")) && !version("2.1").is_match(version("3.0")));
    }

    #[test]
    fn a_version_can_be_written_in_several_forms() {
        for (text, expected) in [
            ("2", "2.0"),
            ("latest", "latest.latest"),
            ("v2.1", "2.1"),
            (" vv2.1\n", "2.1"),
            ("latest.1", "latest.1"),
            ("2.1.5", "v2.1.5"),
        ] {
            assert_eq!(text.parse::<Version>(), expected.parse(), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_a_version_is_an_error_that_shows_its_start() {
        for text in ["", "v", ".", "1.", ".1", "1..2", "abc", "V2", "1.2.3.4", "-1", "99999999999"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        let ParseVersionError { text } = "x".repeat(1000).parse::<Version>().unwrap_err();
        assert_eq!(text.len(), 40);
    }
}
