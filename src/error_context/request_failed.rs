use std::{error::Error as StdError, fmt};

use http::Uri;

use crate::{
    BoxError,
    error::{escaped, format_origin, truncate},
};

/// An error that names the service and the origin of a failed request. Its source is the cause.
///
/// It contains neither the path nor the query of the request.
#[derive(Debug)]
#[non_exhaustive]
pub struct RequestFailed {
    /// The service type in the endpoint filter of the request.
    ///
    /// `None` if the filter has none, if the request URI was absolute, or if `ErrorContext` is inside of `AuthLayer`.
    pub service_type: Option<Box<str>>,
    /// The scheme, host and port of the request URL. A user name in the URL is left out.
    pub origin: Box<str>,
    source: BoxError,
}

impl RequestFailed {
    pub(super) fn new(service_type: Option<&str>, url: &Uri, source: BoxError) -> Self {
        let service_type = service_type.map(|text| truncate(text).into());
        Self { service_type, origin: format_origin(url), source }
    }
}

impl fmt::Display for RequestFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request to ")?;
        if let Some(service_type) = &self.service_type {
            write!(f, "{} at ", escaped(service_type))?;
        }
        write!(f, "{} failed", self.origin)
    }
}

impl StdError for RequestFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
