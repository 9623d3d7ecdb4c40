use std::fmt;

use super::service_types;
use crate::{
    Error,
    version::{LATEST, Version},
};

/// The versions of an API that will do: keystoneauth's `version`, `min_version` and `max_version`.
///
/// Both ends are included; an end that is not given is open. See the [docs of discovery](crate::discovery) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VersionRange {
    min: Option<Version>,
    /// `None` only where any version will do: above a minimum there is always the latest one.
    max: Option<Version>,
}

impl VersionRange {
    /// A range by keystoneauth's rules: a `version` means that one or a newer one with the same major
    /// part; a minimum without a maximum is open above.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidVersionRange`] if `version` is given beside an end, if the maximum is below the
    /// minimum, or if the newest version is the minimum and something else the maximum.
    pub fn new(version: Option<Version>, min: Option<Version>, max: Option<Version>) -> Result<Self, Error> {
        let refused = |reason| Err(Error::InvalidVersionRange { reason });
        match (version, min, max) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                refused("a version is asked for and a minimum or maximum too; ask for one or the other")
            }
            (Some(version), None, None) => {
                Ok(Self { min: Some(version), max: Some(Version::latest_minor(version.major)) })
            }
            (None, Some(min), Some(max)) if max < min => refused(if min == Version::latest() {
                "the minimum is the latest version, so that the maximum can be nothing else"
            } else {
                "the maximum is below the minimum"
            }),
            (None, Some(min), max) => Ok(Self { min: Some(min), max: max.or(Some(Version::latest())) }),
            (None, None, max) => Ok(Self { min: None, max }),
        }
    }

    /// The range within the major version that a service type such as `volumev2` stands for.
    ///
    /// # Errors
    ///
    /// [`Error::ImpliedVersionMismatch`] if the two have nothing in common.
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

    /// The oldest version that will do.
    pub fn min(self) -> Option<Version> {
        self.min
    }

    /// The newest version that will do.
    pub fn max(self) -> Option<Version> {
        self.max
    }

    /// Whether every version will do, and none in particular is wanted.
    pub fn is_any(self) -> bool {
        self.max.is_none()
    }

    /// Whether this version lies between the two ends: keystoneauth's `version_between`.
    pub fn contains(self, version: Version) -> bool {
        self.min.is_none_or(|min| min <= version) && self.max.is_none_or(|max| version <= max)
    }
}

/// The major version that an official alias of a service type ends in.
pub(super) fn implied_version(service_type: &str) -> Option<u32> {
    let [.., b'v', digit @ b'0'..=b'9'] = service_type.as_bytes() else { return None };
    service_types::official(service_type).map(|_| u32::from(digit - b'0'))
}

/// As a sentence part: `version 2.1 to 2.latest`.
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
    fn a_range_is_told_in_words() {
        let version = |major, minor| Some(Version::new(major, minor));
        for (version, min, max, words) in [
            (None, None, None, "any version"),
            (version(2, 1), None, None, "version 2.1 to 2.latest"),
            (None, version(2, 1), None, "version 2.1 to latest"),
            (None, version(2, 1), version(2, 1), "version 2.1"),
            (None, None, version(2, 1), "version 2.1 or older"),
        ] {
            assert_eq!(VersionRange::new(version, min, max).unwrap().to_string(), words);
        }
    }
}
