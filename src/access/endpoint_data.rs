use std::fmt;

use super::{
    catalog_entry::{CatalogEndpoint, CatalogService},
    catalog_index::CatalogIndex,
    project_urls::ProjectUrls,
    text::Slice,
};
use crate::{
    EndpointFilter, Interface,
    endpoint::{BaseUrl, InvalidBaseUrl},
    error::escaped,
    version::Version,
};

/// An endpoint of a [`ServiceCatalog`](super::ServiceCatalog), with its service.
#[derive(Clone, Copy)]
pub struct EndpointData<'a> {
    index: &'a CatalogIndex,
    project: Option<&'a ProjectUrls>,
    service_type: &'a str,
    service: &'a CatalogService,
    endpoint: &'a CatalogEndpoint,
}

impl<'a> EndpointData<'a> {
    pub(super) fn new(
        index: &'a CatalogIndex,
        project: Option<&'a ProjectUrls>,
        service_type: &'a str,
        service: &'a CatalogService,
        endpoint: &'a CatalogEndpoint,
    ) -> Self {
        Self { index, project, service_type, service, endpoint }
    }

    /// Returns the URL as written in the catalog.
    pub fn url(&self) -> &'a str {
        let (url, _) = self.index.url(self.endpoint, self.project);
        url
    }

    /// Returns the service type that the catalog lists the endpoint under. It can be an alias of the requested one.
    pub fn service_type(&self) -> &'a str {
        self.service_type
    }

    /// Returns the name of the service, if the catalog contains it.
    pub fn service_name(&self) -> Option<&'a str> {
        self.text(self.service.name)
    }

    /// Returns the id of the service. v2.0 catalogs have none.
    pub fn service_id(&self) -> Option<&'a str> {
        self.text(self.service.id)
    }

    /// Returns the interface of the endpoint.
    pub fn interface(&self) -> Option<&'a Interface> {
        self.endpoint.interface.as_ref()
    }

    /// Returns the region: the `region_id` in the document or, if that is missing, the `region`.
    pub fn region_name(&self) -> Option<&'a str> {
        self.text(self.endpoint.region_name)
    }

    /// Returns the id of the endpoint.
    pub fn endpoint_id(&self) -> Option<&'a str> {
        self.text(self.endpoint.id)
    }

    /// Returns the API version in the path of the URL, if there is one. See [`Version::from_url`].
    pub fn api_version(&self) -> Option<Version> {
        Version::from_url(self.url())
    }

    fn text(&self, slice: Slice) -> Option<&'a str> {
        self.index.text(slice)
    }

    pub(super) fn base_url(&self) -> Result<&'a BaseUrl, InvalidBaseUrl> {
        let (url, base_url) = self.index.url(self.endpoint, self.project);
        base_url.get(url)
    }

    /// Returns the endpoint if its URL contains the id of the project, and other projects share the catalog.
    pub(super) fn project_endpoint(&self) -> Option<&'a CatalogEndpoint> {
        self.endpoint.project_url.map(|_| self.endpoint)
    }

    /// Returns the first property that does not match the filter, if any. The interface is not compared.
    pub(super) fn mismatch(&self, filter: &EndpointFilter) -> Option<Mismatch<'a>> {
        let compare = |name, requested: Option<&str>, actual: Option<&'a str>| {
            (requested.is_some() && requested != actual).then_some(Mismatch { name, actual })
        };
        self.service
            .mismatch(self.index, filter)
            .or_else(|| compare("region", filter.wanted_region(), self.region_name()))
            .or_else(|| compare("endpoint id", filter.wanted_endpoint_id(), self.endpoint_id()))
    }

    /// Returns the interface as a mismatch if the filter does not accept it.
    pub(super) fn interface_mismatch(&self, filter: &EndpointFilter) -> Option<Mismatch<'a>> {
        let actual = self.interface();
        let wanted = filter.wanted_interfaces().by_preference();
        let is_match = wanted.is_empty() || actual.is_some_and(|actual| wanted.contains(actual));
        (!is_match).then_some(Mismatch { name: "interface", actual: actual.map(Interface::as_str) })
    }
}

/// Writes the endpoint for an error text, as in `compute (nova) public in RegionOne`.
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
    /// Returns the first property that does not match the filter, if any. A name or id that is missing in the catalog
    /// always matches.
    pub(super) fn mismatch<'a>(
        &self,
        index: &'a CatalogIndex,
        filter: &EndpointFilter,
    ) -> Option<Mismatch<'a>> {
        let compare = |name, requested: Option<&str>, actual: Option<&'a str>| {
            (requested.is_some() && actual.is_some() && requested != actual)
                .then_some(Mismatch { name, actual })
        };
        compare("service name", filter.wanted_service_name(), index.text(self.name))
            .or_else(|| compare("service id", filter.wanted_service_id(), index.text(self.id)))
    }
}

/// A property in which an endpoint differs from the filter.
pub(super) struct Mismatch<'a> {
    name: &'static str,
    actual: Option<&'a str>,
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.actual {
            Some(actual) => write!(f, "its {} is {}", self.name, escaped(actual)),
            None => write!(f, "it has no {}", self.name),
        }
    }
}
