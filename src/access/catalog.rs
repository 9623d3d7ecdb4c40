use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use tracing::warn;

use super::{
    catalog_entry::{CatalogEndpoint, CatalogService, RawEndpoint, RawService},
    endpoint_data::EndpointData,
    known_origins::KnownOrigins,
};
use crate::{
    EndpointFilter, Error, Interface,
    endpoint::{BaseUrl, FilterCache, InvalidBaseUrl, WantedInterfaces, service_types},
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
#[derive(Default)]
pub struct ServiceCatalog {
    services: Vec<CatalogService>,
    endpoints: Vec<CatalogEndpoint>,
    /// The service types in the order of their first appearance in the document.
    types: Vec<ServiceType>,
    /// Indexes into `types` by official type. A type that [`service_types`] does not list is its own key.
    by_official_type: HashMap<Box<str>, Vec<usize>>,
    origins: OnceLock<Arc<KnownOrigins>>,
    /// The base URLs of the first 8 filters that were looked up.
    base_urls: FilterCache<BaseUrl, 8>,
}

/// The services and endpoints that the document lists under one service type.
struct ServiceType {
    name: Box<str>,
    /// The rank among the names of the same official type. The lowest is preferred. It is 0 for an official type, and
    /// for a type that [`service_types`] does not list. See [`service_types::official_with_rank`].
    rank: usize,
    /// Indexes into the services and endpoints of the catalog.
    services: Vec<usize>,
    endpoints: Vec<usize>,
}

impl ServiceCatalog {
    /// Returns whether the catalog lists no service.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Returns whether the catalog lists a service of exactly this type, with or without endpoints.
    #[cfg(feature = "validate")]
    pub(crate) fn has_service_type(&self, name: &str) -> bool {
        self.types.iter().any(|service_type| *service_type.name == *name)
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
        by_type.into_iter().map(|(service_type, endpoints)| (&*service_type.name, endpoints)).collect()
    }

    /// Returns the base URL of requests with this filter: the URL of the first match that requests can be sent to.
    #[inline(always)]
    pub(crate) fn base_url_for<'a>(&'a self, filter: &EndpointFilter) -> Result<&'a BaseUrl, Error> {
        match self.base_urls.get(filter, |cached| cached.selects_same_endpoint(filter)) {
            Some(url) => Ok(url),
            None => self.look_up_base_url(filter),
        }
    }

    fn look_up_base_url<'a>(&'a self, filter: &EndpointFilter) -> Result<&'a BaseUrl, Error> {
        // Without a service type the first endpoint of the catalog would match, which is never what was meant.
        if filter.wanted_service_type().is_none() {
            return Err(Error::NoEndpointFilter);
        }
        let (_, url) = self.first_usable(filter)?;
        self.base_urls.insert(filter, url);
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
        self.origins.get_or_init(|| {
            let urls = self.endpoints.iter().filter_map(|endpoint| {
                let service = self.services.get(endpoint.service)?;
                service.text(&endpoint.url)
            });
            KnownOrigins::from_urls(urls).into()
        })
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
        let indexes = filter.official_type().or(requested).and_then(|name| self.by_official_type.get(name));
        let same_service = indexes.into_iter().flatten().filter_map(|&index| self.types.get(index));
        let exact = same_service.clone().filter(move |service_type| Some(&*service_type.name) == requested);
        let others = same_service.filter(move |service_type| {
            requested.is_some_and(|requested| {
                &*service_type.name != requested && service_types::is_match(requested, &service_type.name)
            })
        });
        let all = self.types.iter().filter(move |_| requested.is_none());
        exact.chain(others).chain(all)
    }

    fn has_matching_service(&self, service_type: &ServiceType, filter: &EndpointFilter) -> bool {
        service_type
            .services
            .iter()
            .filter_map(|&index| self.services.get(index))
            .any(|service| service.mismatch(filter).is_none())
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
            let endpoint = self.endpoints.get(index)?;
            if interface.is_some() && endpoint.interface.as_ref() != interface {
                return None;
            }
            let service = self.services.get(endpoint.service)?;
            let data = EndpointData::new(&service_type.name, service, endpoint);
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
            self.types.iter().for_each(|service_type| error.add_service_type(&service_type.name));
        }
        Error::EndpointNotFound(error.into())
    }

    fn all_of_type<'a>(&'a self, service_type: &'a ServiceType) -> impl Iterator<Item = EndpointData<'a>> {
        service_type.endpoints.iter().filter_map(|&index| {
            let endpoint = self.endpoints.get(index)?;
            let service = self.services.get(endpoint.service)?;
            Some(EndpointData::new(&service_type.name, service, endpoint))
        })
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
    /// Adds a service and its endpoints. Skips a service without a type and endpoints without a URL.
    ///
    /// `text` is an empty buffer to concatenate the strings in. It is empty again on return.
    pub(super) fn add_service<'a>(
        &mut self,
        service: RawService<'a>,
        endpoints: impl Iterator<Item = RawEndpoint<'a>>,
        text: &mut String,
    ) {
        let Some(service_type) = service.service_type else { return };
        let mut append = |string: Option<&str>| {
            let start = text.len();
            text.push_str(string.unwrap_or_default());
            start..text.len()
        };
        let (name, id) = (append(service.name), append(service.id));
        let (service_index, first_endpoint) = (self.services.len(), self.endpoints.len());
        for RawEndpoint { interface, region_name, id, url } in endpoints {
            // Catalogs are written by hand and by templates, which leave spaces and line breaks around a URL.
            let url = url.map(str::trim_ascii).filter(|url| !url.is_empty());
            if url.is_none() {
                continue;
            }
            self.endpoints.push(CatalogEndpoint {
                service: service_index,
                interface: interface.cloned(),
                region_name: append(region_name),
                id: append(id),
                url: append(url),
                base_url: OnceLock::new(),
            });
        }
        self.services.push(CatalogService { text: (&**text).into(), name, id });
        text.clear();
        let type_index = self.type_index(service_type);
        let Some(service_type) = self.types.get_mut(type_index) else { return };
        service_type.services.push(service_index);
        service_type.endpoints.extend(first_endpoint..self.endpoints.len());
    }

    /// Reserves capacity for this many more endpoints.
    pub(super) fn reserve(&mut self, endpoints: usize) {
        self.endpoints.reserve(endpoints);
    }

    /// Sorts the aliases of each type by preference. Call it once, when all services are added.
    pub(super) fn finish(mut self) -> Self {
        for indexes in self.by_official_type.values_mut() {
            indexes.sort_by_key(|&index| self.types.get(index).map(|service_type| service_type.rank));
        }
        self.services.shrink_to_fit();
        self.endpoints.shrink_to_fit();
        self.types.shrink_to_fit();
        self
    }

    /// Returns the index of a service type in `types`, and adds it if it is new.
    fn type_index(&mut self, name: &str) -> usize {
        let (official, rank) = service_types::official_with_rank(name).unwrap_or((name, 0));
        let indexes = self.by_official_type.entry(official.into()).or_default();
        let is_same =
            |index: &usize| self.types.get(*index).is_some_and(|service_type| *service_type.name == *name);
        indexes.iter().copied().find(is_same).unwrap_or_else(|| {
            indexes.push(self.types.len());
            self.types.push(ServiceType {
                name: name.into(),
                rank,
                services: Vec::new(),
                endpoints: Vec::new(),
            });
            self.types.len() - 1
        })
    }
}

/// Shows each service type with the number of its endpoints.
impl fmt::Debug for ServiceCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = self
            .types
            .iter()
            .map(|service_type| (truncate(&service_type.name), service_type.endpoints.len()));
        f.debug_map().entries(types).finish()
    }
}
