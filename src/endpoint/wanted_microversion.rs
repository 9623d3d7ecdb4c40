use std::fmt;

use super::microversion_headers::{Headers, MicroversionHeaders, invalid_microversion, parse};
use crate::{Error, version::Version};

/// The microversion that a filter requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum WantedMicroversion {
    Exact(MicroversionHeaders),
    /// The newest one in a range that the service supports.
    Newest(MicroversionRange),
}

impl WantedMicroversion {
    /// Returns an error if no service can satisfy the request.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Exact(microversion) => microversion.check(),
            Self::Newest(range) => range.check(),
        }
    }

    /// Sets the service type to that of the filter, unless the microversion has a service type of its own.
    pub(super) fn set_service_type(&mut self, service_type: Option<&str>) {
        match self {
            Self::Exact(microversion) => microversion.set_service_type(service_type),
            Self::Newest(range) => range.service_type = service_type.map(Into::into),
        }
    }
}

/// A range of microversions, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MicroversionRange {
    service_type: Option<Box<str>>,
    min: Box<str>,
    max: Box<str>,
}

impl MicroversionRange {
    pub(super) fn new(service_type: Option<&str>, min: &str, max: &str) -> Self {
        Self { service_type: service_type.map(Into::into), min: min.into(), max: max.into() }
    }

    /// Returns the newest microversion that is in this range and in that of the service.
    ///
    /// `supported` is the oldest and the newest microversion of the service, if its version document has them.
    pub(crate) fn newest_supported(
        &self,
        supported: (Option<Version>, Option<Version>),
    ) -> Result<MicroversionHeaders, Error> {
        let (min, max) = self.parse()?;
        let unsupported = || Error::UnsupportedMicroversion {
            service_type: self.service_type.as_deref().unwrap_or("the service").into(),
            requested: (min, max),
            supported: supported.0.zip(supported.1),
        };
        let newest = max.min(supported.1.ok_or_else(unsupported)?);
        if newest < min || supported.0.is_some_and(|oldest| newest < oldest) {
            return Err(unsupported());
        }
        Ok(MicroversionHeaders::new(self.service_type.as_deref(), &newest.to_string()))
    }

    fn check(&self) -> Result<(), Error> {
        let (min, max) = self.parse()?;
        let invalid = |reason| Err(invalid_microversion(&format!("{} to {}", self.min, self.max), reason));
        if max < min {
            return invalid("the maximum is below the minimum");
        }
        // This checks the service type. The microversion does not matter.
        Headers::new(self.service_type.as_deref(), "latest").map(drop).or_else(invalid)
    }

    fn parse(&self) -> Result<(Version, Version), Error> {
        let parse = |text: &str| parse(text).map_err(|reason| invalid_microversion(text, reason));
        Ok((parse(&self.min)?, parse(&self.max)?))
    }
}

/// Writes part of a sentence: `2.79`, `2.60 to latest`.
impl fmt::Display for WantedMicroversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(microversion) => write!(f, "{}", microversion.microversion().escape_debug()),
            Self::Newest(MicroversionRange { min, max, .. }) => {
                write!(f, "{} to {}", min.escape_debug(), max.escape_debug())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_microversion_that_both_support_is_used() {
        let version = |text: &str| text.parse::<Version>().ok();
        for (min, max, oldest, newest, expected) in [
            ("2.1", "2.60", "2.1", "2.90", Some("2.60")),
            ("2.60", "2.95", "2.1", "2.90", Some("2.90")),
            ("2.60", "latest", "2.1", "2.90", Some("2.90")),
            ("2.90", "2.90", "2.90", "2.90", Some("2.90")),
            ("2.91", "latest", "2.1", "2.90", None),
            ("2.1", "2.9", "2.10", "2.90", None),
            ("2.60", "2.50", "2.1", "2.90", None),
            ("2.1", "latest", "", "", None),
            ("2.1", "latest", "", "2.90", Some("2.90")),
        ] {
            let found = MicroversionRange::new(Some("compute"), min, max)
                .newest_supported((version(oldest), version(newest)));
            match (found, expected) {
                (Ok(found), Some(expected)) => assert_eq!(found.microversion(), expected),
                (Err(Error::UnsupportedMicroversion { .. }), None) => {}
                (found, _) => panic!("{min} to {max} of {oldest} to {newest}: {found:?}"),
            }
        }
        let error = MicroversionRange::new(None, "2.x", "latest").newest_supported((None, None)).unwrap_err();
        assert!(matches!(error, Error::InvalidMicroversion { .. }), "{error}");
    }
}
