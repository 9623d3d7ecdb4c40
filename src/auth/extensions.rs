use super::settings::Settings;
use crate::EndpointFilter;

/// A request extension: send this request without a token.
///
/// Its endpoint is found as always, which may take an access for its catalog. The answer is never
/// read as a word about the token. An `X-Auth-Token` that the caller has put there is left alone.
/// keystoneauth's `authenticated=False`.
///
/// ```
/// use tower_keystone::Unauthenticated;
///
/// let versions = http::Request::get("/").extension(Unauthenticated).body(()).unwrap();
/// # let _ = versions;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unauthenticated;

/// A request extension: ask the service for this microversion of its API, such as `2.79` or `latest`.
///
/// It goes with the service of the request's [`EndpointFilter`], or else of the layer's, and replaces the microversion
/// that they ask for. keystoneauth's `microversion`.
///
/// ```
/// use tower_keystone::Microversion;
///
/// let servers = http::Request::get("/servers").extension(Microversion::new("2.79")).body(()).unwrap();
/// # let _ = servers;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Microversion {
    microversion: Box<str>,
    service_type: Option<Box<str>>,
}

impl Microversion {
    /// Asks for a microversion. See [`EndpointFilter::microversion`] for the headers and the errors.
    pub fn new(microversion: impl Into<Box<str>>) -> Self {
        Self { microversion: microversion.into(), service_type: None }
    }

    /// Names the service that the microversion is one of, where the filter does not: keystoneauth's
    /// `microversion_service_type`.
    #[must_use]
    pub fn service_type(mut self, service_type: impl Into<Box<str>>) -> Self {
        self.service_type = Some(service_type.into());
        self
    }

    #[inline(never)]
    pub(super) fn apply_to(&self, filter: Option<EndpointFilter>, settings: &Settings) -> EndpointFilter {
        let filter = filter.or_else(|| settings.endpoint.clone()).unwrap_or_default();
        match &self.service_type {
            Some(service_type) => filter.microversion_for(service_type, &self.microversion),
            None => filter.microversion(&self.microversion),
        }
    }
}
