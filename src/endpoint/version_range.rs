use std::fmt;

use super::service_types;
use crate::{
    Error,
    version::{LATEST, Version},
};

/// A range of API versions: keystoneauth's `version`, `min_version` and `max_version`.
///
/// The minimum and the maximum are part of the range. If one is not set, the range has no limit on that side. See the
/// [docs of discovery](crate::discovery) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VersionRange {
    min: Option<Version>,
    /// `None` only if the range contains every version. If only a minimum is set, this is [`Version::latest`].
    max: Option<Version>,
}

impl VersionRange {
    /// Creates a range by the rules of keystoneauth.
    ///
    /// `version` stands for that version and newer ones with the same major part. A minimum without a maximum has no
    /// upper limit.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidVersionRange`] if `version` is combined with `min` or `max`, or if the maximum is below the
    /// minimum.
    pub fn new(version: Option<Version>, min: Option<Version>, max: Option<Version>) -> Result<Self, Error> {
        let invalid = |reason| Err(Error::InvalidVersionRange { reason });
        match (version, min, max) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                invalid("a version is requested together with a minimum or maximum; request one or the other")
            }
            (Some(version), None, None) => {
                Ok(Self { min: Some(version), max: Some(Version::latest_minor(version.major)) })
            }
            (None, Some(min), Some(max)) if max < min => invalid(if min == Version::latest() {
                "the minimum is the latest version, so the maximum must be the latest too"
            } else {
                "the maximum is below the minimum"
            }),
            (None, Some(min), max) => Ok(Self { min: Some(min), max: max.or(Some(Version::latest())) }),
            (None, None, max) => Ok(Self { min: None, max }),
        }
    }

    /// Limits the range to the major version that a service type such as `volumev2` implies.
    ///
    /// # Errors
    ///
    /// [`Error::ImpliedVersionMismatch`] if the minimum or maximum has another major part.
    pub fn for_service_type(self, service_type: &str) -> Result<Self, Error> {
        let Some(implied) = implied_version(service_type) else { return Ok(self) };
        let mismatch = |bound, requested| Error::ImpliedVersionMismatch {
            service_type: service_type.into(),
            implied: Version::new(implied, 0),
            bound,
            requested,
        };
        if let Some(min) = self.min.filter(|min| min.major != implied) {
            return Err(mismatch("minimum", min));
        }
        if let Some(max) = self.max.filter(|max| max.major != LATEST && max.major != implied) {
            return Err(mismatch("maximum", max));
        }
        let max = self.max.filter(|max| max.major != LATEST);
        Ok(Self {
            min: self.min.or(Some(Version::new(implied, 0))),
            max: max.or(Some(Version::latest_minor(implied))),
        })
    }

    /// Returns the oldest version in the range, or `None` if there is no minimum.
    pub fn min(self) -> Option<Version> {
        self.min
    }

    /// Returns the newest version in the range, or `None` if the range contains every version.
    ///
    /// If the range has only a minimum, this is [`Version::latest`].
    pub fn max(self) -> Option<Version> {
        self.max
    }

    /// Returns whether the range contains every version.
    pub fn is_any(self) -> bool {
        self.max.is_none()
    }

    /// Returns whether the version is in the range: keystoneauth's `version_between`.
    pub fn contains(self, version: Version) -> bool {
        self.min.is_none_or(|min| min <= version) && self.max.is_none_or(|max| version <= max)
    }
}

/// Returns the major version at the end of a listed service type, such as 3 for `volumev3`.
pub(super) fn implied_version(service_type: &str) -> Option<u32> {
    let [.., b'v', digit @ b'0'..=b'9'] = service_type.as_bytes() else { return None };
    service_types::official(service_type).map(|_| u32::from(digit - b'0'))
}

/// Writes part of a sentence: `version 2.1 to 2.latest`.
impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (_, None) => f.write_str("any version"),
            (None, Some(max)) => write!(f, "version {max} or older"),
            (Some(min), Some(max)) if min == max => write!(f, "version {min}"),
            (Some(min), Some(max)) => write!(f, "version {min} to {max}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_displayed_in_words() {
        let version = |major, minor| Some(Version::new(major, minor));
        for (version, min, max, text) in [
            (None, None, None, "any version"),
            (version(2, 1), None, None, "version 2.1 to 2.latest"),
            (None, version(2, 1), None, "version 2.1 to latest"),
            (None, version(2, 1), version(2, 1), "version 2.1"),
            (None, None, version(2, 1), "version 2.1 or older"),
        ] {
            assert_eq!(VersionRange::new(version, min, max).unwrap().to_string(), text);
        }
    }
}
