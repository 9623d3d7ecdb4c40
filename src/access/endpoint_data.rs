use std::{fmt, ops::Range};

use super::catalog_entry::{CatalogEndpoint, CatalogService};
use crate::{
    EndpointFilter, Interface,
    endpoint::{BaseUrl, InvalidBaseUrl},
    error::escaped,
    version::Version,
};

/// One endpoint found in a [`ServiceCatalog`](super::ServiceCatalog), with the service it belongs to.
#[derive(Clone, Copy)]
pub struct EndpointData<'a> {
    service_type: &'a str,
    service: &'a CatalogService,
    endpoint: &'a CatalogEndpoint,
}

impl<'a> EndpointData<'a> {
    pub(super) fn new(
        service_type: &'a str,
        service: &'a CatalogService,
        endpoint: &'a CatalogEndpoint,
    ) -> Self {
        Self { service_type, service, endpoint }
    }

    fn text(&self, place: &Range<usize>) -> Option<&'a str> {
        self.service.text(place)
    }

    /// The URL as the catalog has it.
    pub fn url(&self) -> &'a str {
        self.text(&self.endpoint.url).unwrap_or_default()
    }

    /// The service type that the endpoint is listed under, which may be an alias of the one asked for.
    pub fn service_type(&self) -> &'a str {
        self.service_type
    }

    /// The name of the service, where the catalog has names.
    pub fn service_name(&self) -> Option<&'a str> {
        self.service.name()
    }

    /// The id of the service; none in v2.0 catalogs.
    pub fn service_id(&self) -> Option<&'a str> {
        self.service.id()
    }

    /// The interface of the endpoint.
    pub fn interface(&self) -> Option<&'a Interface> {
        self.endpoint.interface.as_ref()
    }

    /// The region: `region_id` of the document or, where that is missing, `region`.
    pub fn region_name(&self) -> Option<&'a str> {
        self.text(&self.endpoint.region_name)
    }

    /// The id of the endpoint.
    pub fn endpoint_id(&self) -> Option<&'a str> {
        self.text(&self.endpoint.id)
    }

    /// The API version that the URL names, if it names one; see [`Version::from_url`].
    pub fn api_version(&self) -> Option<Version> {
        Version::from_url(self.url())
    }

    pub(super) fn base_url(&self) -> Result<&'a BaseUrl, InvalidBaseUrl> {
        self.endpoint.base_url(self.service)
    }

    /// Why this is not the endpoint meant, the interface aside.
    pub(super) fn mismatch(&self, filter: &EndpointFilter) -> Option<Mismatch<'a>> {
        let differs = |what, asked: Option<&str>, is: Option<&'a str>| {
            (asked.is_some() && asked != is).then_some(Mismatch { what, is })
        };
        self.service
            .mismatch(filter)
            .or_else(|| differs("region", filter.wanted_region(), self.region_name()))
            .or_else(|| differs("endpoint id", filter.wanted_endpoint_id(), self.endpoint_id()))
    }

    pub(super) fn interface_mismatch(&self, filter: &EndpointFilter) -> Option<Mismatch<'a>> {
        let is = self.interface();
        let wanted = filter.wanted_interfaces().by_preference();
        let fits = wanted.is_empty() || is.is_some_and(|is| wanted.contains(is));
        (!fits).then_some(Mismatch { what: "interface", is: is.map(Interface::as_str) })
    }
}

/// As a sentence part: `compute (nova) public in RegionOne`.
impl fmt::Display for EndpointData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(self.service_type))?;
        if let Some(name) = self.service_name() {
            write!(f, " ({})", escaped(name))?;
        }
        if let Some(interface) = self.interface() {
            write!(f, " {}", escaped(interface.as_str()))?;
        }
        if let Some(region_name) = self.region_name() {
            write!(f, " in {}", escaped(region_name))?;
        }
        Ok(())
    }
}

impl fmt::Debug for EndpointData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointData({self})")
    }
}

impl CatalogService {
    /// Why this service is not the one meant. What the catalog does not say cannot exclude.
    pub(super) fn mismatch<'a>(&'a self, filter: &EndpointFilter) -> Option<Mismatch<'a>> {
        let differs = |what, asked: Option<&str>, is: Option<&'a str>| {
            (asked.is_some() && is.is_some() && asked != is).then_some(Mismatch { what, is })
        };
        differs("service name", filter.wanted_service_name(), self.name())
            .or_else(|| differs("service id", filter.wanted_service_id(), self.id()))
    }
}

/// What of an endpoint is not as it was asked for.
pub(super) struct Mismatch<'a> {
    what: &'static str,
    is: Option<&'a str>,
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is {
            Some(is) => write!(f, "its {} is {}", self.what, escaped(is)),
            None => write!(f, "it has no {}", self.what),
        }
    }
}
