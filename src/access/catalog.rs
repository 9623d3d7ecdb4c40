use std::{fmt, sync::Arc};

use tracing::warn;

use super::{
    IdentityVersion, catalog_document,
    catalog_entry::{CatalogEndpoint, CatalogService, LazyBaseUrl},
    catalog_index::{CachedUrl, CatalogIndex, ServiceType},
    endpoint_data::EndpointData,
    known_origins::KnownOrigins,
    project_urls::ProjectUrls,
    text::Slice,
};
use crate::{
    EndpointFilter, Error, Interface,
    endpoint::{BaseUrl, InvalidBaseUrl, WantedInterfaces, service_types},
    error::{EndpointNotFound, truncate},
};

/// The service catalog: the services of a cloud and their endpoints, as listed in the token document.
///
/// It is indexed once, when the access info is created, so the cost of a lookup by service type does not grow with the
/// number of other services. Only [`endpoints_data`](Self::endpoints_data) and failed lookups allocate.
///
/// If several endpoints match equally well, the first one in the document is used. Malformed entries (a service without
/// a type, an endpoint without a URL) are skipped, and the others are used.
///
/// See the [module docs](super) for an example.
pub struct ServiceCatalog {
    pub(super) index: Arc<CatalogIndex>,
    /// The URLs that contain the id of the project, if `index` is shared with other projects.
    project: Option<Box<ProjectUrls>>,
}

impl ServiceCatalog {
    /// Returns whether the catalog lists no service.
    pub fn is_empty(&self) -> bool {
        self.index.services.is_empty()
    }

    /// Returns whether the catalog lists a service of exactly this type, with or without endpoints.
    #[cfg(feature = "validate")]
    pub(crate) fn has_service_type(&self, name: &str) -> bool {
        self.index.types.iter().any(|service_type| self.type_name(service_type) == name)
    }

    /// Returns the endpoint that matches a filter best: keystoneauth's `endpoint_data_for`.
    ///
    /// The exact service type is preferred to its aliases, and the aliases are tried in the order of
    /// [`service_types::all_types`]. Among endpoints of the same type, the filter's order of interfaces decides, then
    /// the order of the catalog. The endpoint override of the filter is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyCatalog`] if the catalog lists no service, [`Error::EndpointNotFound`] if no endpoint matches.
    pub fn endpoint_data_for<'a>(&'a self, filter: &EndpointFilter) -> Result<EndpointData<'a>, Error> {
        self.best_match(filter).ok_or_else(|| self.not_found(filter, |_| None))
    }

    /// Returns the URL of the endpoint that matches a filter best: keystoneauth's `url_for`.
    ///
    /// # Errors
    ///
    /// Those of [`endpoint_data_for`](Self::endpoint_data_for).
    pub fn url_for<'a>(&'a self, filter: &EndpointFilter) -> Result<&'a str, Error> {
        self.endpoint_data_for(filter).map(|endpoint| endpoint.url())
    }

    /// Returns the URLs of all matching endpoints of the best service type: keystoneauth's `get_urls`.
    ///
    /// The first URL is that of [`url_for`](Self::url_for). If the filter has no service type, the matches of all types
    /// are returned. Of each type, only the first interface of the filter that has a match is used.
    pub fn urls<'a>(&'a self, filter: &EndpointFilter) -> impl Iterator<Item = &'a str> {
        self.best_matches(filter).map(|endpoint| endpoint.url())
    }

    /// Returns the endpoints of [`urls`](Self::urls), grouped by service type: keystoneauth's `get_endpoints_data`.
    ///
    /// If a service matches by its type, name and id, but none of its endpoints does, the list of its type is empty.
    /// If the filter names no interface, endpoints of every interface are returned. In this case the other lookups
    /// match only public endpoints.
    pub fn endpoints_data<'a>(&'a self, filter: &EndpointFilter) -> Vec<(&'a str, Vec<EndpointData<'a>>)> {
        let interfaces = match filter.wanted_interfaces() {
            WantedInterfaces::Default => &WantedInterfaces::Any,
            named => named,
        };
        let mut by_type: Vec<_> = self
            .matching_types(filter)
            .filter(|service_type| self.has_matching_service(service_type, filter))
            .map(|service_type| {
                (service_type, self.matching_in(service_type, filter, interfaces).collect::<Vec<_>>())
            })
            .collect();
        if filter.official_type().is_some() {
            let best = by_type.iter().position(|(_, endpoints)| !endpoints.is_empty());
            by_type = by_type.into_iter().skip(best.unwrap_or(0)).take(1).collect();
        }
        by_type
            .into_iter()
            .map(|(service_type, endpoints)| (self.type_name(service_type), endpoints))
            .collect()
    }

    /// Returns the base URL of requests with this filter: the URL of the first match that requests can be sent to.
    #[inline(always)]
    pub(crate) fn base_url_for<'a>(&'a self, filter: &EndpointFilter) -> Result<&'a BaseUrl, Error> {
        match self.index.base_urls.get(filter, |cached| cached.selects_same_endpoint(filter)) {
            Some(CachedUrl::Common(url)) => Ok(url),
            Some(CachedUrl::OfProject(endpoint)) => self.project_base_url(*endpoint, filter),
            None => self.look_up_base_url(filter),
        }
    }

    fn project_base_url<'a>(
        &'a self,
        endpoint: usize,
        filter: &EndpointFilter,
    ) -> Result<&'a BaseUrl, Error> {
        let endpoint = self.index.endpoints.get(endpoint);
        let url =
            endpoint.map(|endpoint| self.url(endpoint)).and_then(|(url, base_url)| base_url.get(url).ok());
        url.map_or_else(|| self.look_up_base_url(filter), Ok)
    }

    fn look_up_base_url<'a>(&'a self, filter: &EndpointFilter) -> Result<&'a BaseUrl, Error> {
        // Without a service type the first endpoint of the catalog would match, which is never what was meant.
        if filter.wanted_service_type().is_none() {
            return Err(Error::NoEndpointFilter);
        }
        let (endpoint, url) = self.first_usable(filter)?;
        let cached = match endpoint.project_endpoint() {
            None => CachedUrl::Common(url.clone()),
            Some(endpoint) => {
                let is_same = |other: &CatalogEndpoint| std::ptr::eq(endpoint, other);
                let index = self.index.endpoints.iter().position(is_same);
                CachedUrl::OfProject(index.unwrap_or(usize::MAX))
            }
        };
        self.index.base_urls.insert(filter, &cached);
        Ok(url)
    }

    /// Returns the first match that requests can be sent to.
    pub(crate) fn usable_endpoint_for<'a>(
        &'a self,
        filter: &EndpointFilter,
    ) -> Result<EndpointData<'a>, Error> {
        self.first_usable(filter).map(|(endpoint, _)| endpoint)
    }

    fn first_usable<'a>(&'a self, filter: &EndpointFilter) -> Result<(EndpointData<'a>, &'a BaseUrl), Error> {
        let usable = |endpoint: EndpointData<'a>| match endpoint.base_url() {
            Ok(url) => Some((endpoint, url)),
            Err(invalid) => {
                self.warn(endpoint, invalid);
                None
            }
        };
        self.best_match(filter)
            .and_then(usable)
            .or_else(|| self.best_matches(filter).find_map(usable))
            .ok_or_else(|| self.not_found(filter, |endpoint| endpoint.base_url().err()))
    }

    /// Returns the origins of all endpoints. They are collected at the first call.
    pub(crate) fn origins(&self) -> &Arc<KnownOrigins> {
        self.index.origins()
    }

    /// Logs that a requested endpoint cannot be used, unless it was logged before.
    fn warn(&self, endpoint: EndpointData<'_>, InvalidBaseUrl(reason): InvalidBaseUrl) {
        let report = (endpoint.service_type(), endpoint.service_name(), endpoint.interface(), reason);
        if self.origins().record_report(&report) {
            warn!(
                service_type = truncate(endpoint.service_type()),
                service = endpoint.service_name().map(truncate),
                interface = endpoint.interface().map(|interface| truncate(interface.as_str())),
                region = endpoint.region_name().map(truncate),
                reason,
                "skipping an endpoint of the service catalog that cannot be used"
            );
        }
    }

    /// Returns the first of the [`best_matches`](Self::best_matches).
    fn best_match<'a>(&'a self, filter: &EndpointFilter) -> Option<EndpointData<'a>> {
        let interfaces = filter.wanted_interfaces();
        self.matching_types(filter)
            .find_map(|service_type| self.matching_in(service_type, filter, interfaces).next())
    }

    /// Returns the matching endpoints of the best service type that has any, the best endpoint first. If the filter
    /// names no known service type, it returns those of all matching types.
    fn best_matches<'a>(&'a self, filter: &EndpointFilter) -> impl Iterator<Item = EndpointData<'a>> {
        let is_known = filter.official_type().is_some();
        let best = self.matching_types(filter).take_while(|_| is_known).find(|service_type| {
            self.matching_in(service_type, filter, filter.wanted_interfaces()).next().is_some()
        });
        self.matching_types(filter)
            .filter(move |service_type| {
                !is_known || best.is_some_and(|best| std::ptr::eq(best, *service_type))
            })
            .flat_map(|service_type| self.matching_in(service_type, filter, filter.wanted_interfaces()))
    }

    /// Returns the types that match the service type of a filter, the best first, or all types if the filter has none.
    fn matching_types<'a>(&'a self, filter: &EndpointFilter) -> impl Iterator<Item = &'a ServiceType> {
        let requested = filter.wanted_service_type();
        let indexes =
            filter.official_type().or(requested).and_then(|name| self.index.by_official_type.get(name));
        let same_service = indexes.into_iter().flatten().filter_map(|&index| self.index.types.get(index));
        let exact =
            same_service.clone().filter(move |service_type| Some(self.type_name(service_type)) == requested);
        let others = same_service.filter(move |service_type| {
            requested.is_some_and(|requested| {
                self.type_name(service_type) != requested
                    && service_types::is_match(requested, self.type_name(service_type))
            })
        });
        let all = self.index.types.iter().filter(move |_| requested.is_none());
        exact.chain(others).chain(all)
    }

    fn has_matching_service(&self, service_type: &ServiceType, filter: &EndpointFilter) -> bool {
        service_type
            .services
            .iter()
            .filter_map(|&index| self.index.services.get(index))
            .any(|service| service.mismatch(&self.index, filter).is_none())
    }

    /// Returns the matching endpoints of a type. Of the wanted interfaces, only the first that has a match is used.
    fn matching_in<'a, 'f>(
        &'a self,
        service_type: &'a ServiceType,
        filter: &'f EndpointFilter,
        interfaces: &'f WantedInterfaces,
    ) -> impl Iterator<Item = EndpointData<'a>> {
        let wanted = interfaces.by_preference();
        let has_match =
            |interface| self.with_interface(service_type, filter, Some(interface)).next().is_some();
        let best = wanted.iter().find(|&interface| has_match(interface));
        self.with_interface(service_type, filter, best).filter(move |_| wanted.is_empty() || best.is_some())
    }

    /// Returns the matching endpoints of a type that have this interface, or any interface if it is `None`.
    fn with_interface<'a, 'f>(
        &'a self,
        service_type: &'a ServiceType,
        filter: &'f EndpointFilter,
        interface: Option<&'f Interface>,
    ) -> impl Iterator<Item = EndpointData<'a>> {
        service_type.endpoints.iter().filter_map(move |&index| {
            let endpoint = self.index.endpoints.get(index)?;
            if interface.is_some() && endpoint.interface.as_ref() != interface {
                return None;
            }
            let service = self.index.services.get(endpoint.service as usize)?;
            let data = self.endpoint_data(service_type, service, endpoint);
            data.mismatch(filter).is_none().then_some(data)
        })
    }

    /// Returns the error for a filter that no endpoint matches, with the reason why each near miss does not match.
    fn not_found(
        &self,
        filter: &EndpointFilter,
        invalid_url: impl Fn(EndpointData<'_>) -> Option<InvalidBaseUrl>,
    ) -> Error {
        if self.is_empty() {
            return Error::EmptyCatalog;
        }
        let mut error = EndpointNotFound::new(filter.to_string());
        for service_type in self.matching_types(filter) {
            for data in self.all_of_type(service_type) {
                let reason = match data.mismatch(filter).or_else(|| data.interface_mismatch(filter)) {
                    Some(mismatch) => Some(mismatch.to_string()),
                    None => invalid_url(data).map(|InvalidBaseUrl(reason)| reason.to_owned()),
                };
                if let Some(reason) = reason {
                    error.add_near_miss(data, reason);
                }
            }
        }
        self.add_absent(filter, &mut error);
        if self.matching_types(filter).next().is_none() {
            self.index
                .types
                .iter()
                .for_each(|service_type| error.add_service_type(self.type_name(service_type)));
        }
        Error::EndpointNotFound(error.into())
    }

    fn all_of_type<'a>(&'a self, service_type: &'a ServiceType) -> impl Iterator<Item = EndpointData<'a>> {
        service_type.endpoints.iter().filter_map(|&index| {
            let endpoint = self.index.endpoints.get(index)?;
            let service = self.index.services.get(endpoint.service as usize)?;
            Some(self.endpoint_data(service_type, service, endpoint))
        })
    }

    fn endpoint_data<'a>(
        &'a self,
        service_type: &'a ServiceType,
        service: &'a CatalogService,
        endpoint: &'a CatalogEndpoint,
    ) -> EndpointData<'a> {
        let service_type = self.type_name(service_type);
        EndpointData::new(&self.index, self.project.as_deref(), service_type, service, endpoint)
    }

    /// Adds the interface and the region, if no endpoint of the service type has the requested one.
    fn add_absent(&self, filter: &EndpointFilter, error: &mut EndpointNotFound) {
        let endpoints: Vec<_> = self.matching_types(filter).flat_map(|it| self.all_of_type(it)).collect();
        let wanted = filter.wanted_interfaces().by_preference();
        let interfaces = || endpoints.iter().filter_map(EndpointData::interface);
        if !wanted.is_empty() && !interfaces().any(|interface| wanted.contains(interface)) {
            error.add_absent("interface", interfaces().map(Interface::as_str));
        }
        if let Some(wanted) = filter.wanted_region() {
            let regions = || endpoints.iter().filter_map(EndpointData::region_name);
            if !regions().any(|region| region == wanted) {
                error.add_absent("region", regions());
            }
        }
    }
}

// Construction from a token document.
impl ServiceCatalog {
    pub(super) fn new(index: Arc<CatalogIndex>, project_id: Option<&str>) -> Self {
        let project_id = project_id.filter(|_| index.has_project_urls());
        Self { project: project_id.map(|id| Box::new(ProjectUrls::new(id))), index }
    }

    /// Reads the JSON text of a catalog, without sharing it. The error is the reason why the document is rejected.
    pub(super) fn read(
        version: IdentityVersion,
        json: &str,
        _project_id: Option<&str>,
    ) -> Result<Self, &'static str> {
        Ok(Self::new(catalog_document::read(version, json)?.into(), None))
    }

    /// Returns the number of catalogs that share the parsed catalog, with this one.
    #[cfg(feature = "validate")]
    pub(super) fn sharers(&self) -> u32 {
        u32::try_from(Arc::strong_count(&self.index)).unwrap_or(u32::MAX)
    }

    /// Returns the length of the JSON text that the catalog was read from.
    pub(super) fn json_len(&self) -> usize {
        self.index.json_len()
    }

    /// Appends the JSON text that the catalog was read from.
    pub(super) fn push_json(&self, result: &mut String) {
        self.index.push_json(self.project.as_deref(), result);
    }

    /// Returns the URL of an endpoint, and its base URL.
    pub(super) fn url<'a>(&'a self, endpoint: &'a CatalogEndpoint) -> (&'a str, &'a LazyBaseUrl) {
        self.index.url(endpoint, self.project.as_deref())
    }

    /// Returns a string of the catalog.
    pub(super) fn text(&self, slice: Slice) -> Option<&str> {
        self.index.text(slice)
    }

    /// Returns an estimate of the memory of the catalog, in bytes: of what it shares, and of the rest.
    #[cfg(feature = "validate")]
    pub(super) fn memory_size(&self) -> (usize, usize) {
        (self.index.memory_size(), self.project.as_ref().map_or(0, |project| project.memory_size()))
    }

    fn type_name(&self, service_type: &ServiceType) -> &str {
        self.text(service_type.name).unwrap_or_default()
    }
}

impl Default for ServiceCatalog {
    fn default() -> Self {
        Self { index: CatalogIndex::empty(), project: None }
    }
}

/// Shows each service type with the number of its endpoints.
impl fmt::Debug for ServiceCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = self
            .index
            .types
            .iter()
            .map(|service_type| (truncate(self.type_name(service_type)), service_type.endpoints.len()));
        f.debug_map().entries(types).finish()
    }
}
