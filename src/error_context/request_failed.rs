use std::{error::Error as StdError, fmt};

use crate::BoxError;

/// How much of a service type is shown, in characters.
const SHOWN: usize = 64;

/// A request failed: which one, and under it as the source, why.
///
/// It has neither the path nor the query of the request.
#[derive(Debug)]
#[non_exhaustive]
pub struct RequestFailed {
    /// The service type that the request was for. `None` if it had an absolute URI.
    pub service_type: Option<Box<str>>,
    /// Scheme, host and port that the request was for.
    pub origin: Box<str>,
    source: BoxError,
}

impl RequestFailed {
    pub(super) fn new(service_type: Option<&str>, origin: String, source: BoxError) -> Self {
        let service_type = service_type.map(|text| text.chars().take(SHOWN).collect());
        Self { service_type, origin: origin.into(), source }
    }
}

impl fmt::Display for RequestFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request to ")?;
        if let Some(service_type) = &self.service_type {
            write!(f, "{} at ", service_type.escape_debug())?;
        }
        write!(f, "{} failed", self.origin)
    }
}

impl StdError for RequestFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
