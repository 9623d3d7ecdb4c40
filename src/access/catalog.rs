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

/// The services of a cloud and their endpoints, as the token document lists them.
///
/// It is indexed once, when its access info is made, and then only read: a lookup allocates nothing
/// and its cost does not grow with the number of services.
///
/// The order of the document decides wherever more than one endpoint matches. Entries that cannot be
/// what they should be (a service without a type, an endpoint without a URL) are passed over, the
/// others are used.
///
/// See the [module docs](super) for an example.
#[derive(Default)]
pub struct ServiceCatalog {
    services: Vec<CatalogService>,
    endpoints: Vec<CatalogEndpoint>,
    /// Services and endpoints by the type they are listed under, in the order of first appearance.
    types: Vec<ServiceType>,
    /// Indexes into `types`, by official type; by the listed type itself where there is no official one.
    by_official_type: HashMap<Box<str>, Vec<usize>>,
    origins: OnceLock<Arc<KnownOrigins>>,
    /// The endpoints of the filters that were looked up first.
    looked_up: FilterCache<BaseUrl, 8>,
}

struct ServiceType {
    name: Box<str>,
    /// How early this name comes among all names of the service; see [`service_types::all_types`].
    rank: usize,
    services: Vec<usize>,
    endpoints: Vec<usize>,
}

impl ServiceCatalog {
    /// Enters a service and its endpoints, as far as they are what they should be. `texts` is room to put
    /// their texts together in.
    pub(super) fn add<'a>(
        &mut self,
        service: RawService<'a>,
        endpoints: impl Iterator<Item = RawEndpoint<'a>>,
        texts: &mut String,
    ) {
        let Some(service_type) = service.service_type else { return };
        let mut keep = |text: Option<&str>| {
            let start = texts.len();
            texts.push_str(text.unwrap_or_default());
            start..texts.len()
        };
        let (name, id) = (keep(service.name), keep(service.id));
        let (number, first) = (self.services.len(), self.endpoints.len());
        for RawEndpoint { interface, region_name, id, url } in endpoints {
            // What is around a URL is not part of it: catalogs are written by hand, and by templates.
            let url = url.map(str::trim_ascii).filter(|url| !url.is_empty());
            if url.is_none() {
                continue;
            }
            self.endpoints.push(CatalogEndpoint {
                service: number,
                interface: interface.cloned(),
                region_name: keep(region_name),
                id: keep(id),
                url: keep(url),
                base: OnceLock::new(),
            });
        }
        self.services.push(CatalogService { texts: (&**texts).into(), name, id });
        texts.clear();
        let listed = self.listed_type(service_type);
        let Some(of_type) = self.types.get_mut(listed) else { return };
        of_type.services.push(number);
        of_type.endpoints.extend(first..self.endpoints.len());
    }

    /// Makes room for so many endpoints at once, rather than for twice as many as there are.
    pub(super) fn reserve(&mut self, endpoints: usize) {
        self.endpoints.reserve(endpoints);
    }

    /// Puts the names of each type into the order of preference, once all services are entered.
    pub(super) fn complete(mut self) -> Self {
        for names in self.by_official_type.values_mut() {
            names.sort_by_key(|&index| self.types.get(index).map(|listed| listed.rank));
        }
        self.services.shrink_to_fit();
        self.endpoints.shrink_to_fit();
        self.types.shrink_to_fit();
        self
    }

    /// The index of this type in `types`, where it is entered if it is new.
    fn listed_type(&mut self, name: &str) -> usize {
        let (official, rank) = service_types::official_with_rank(name).unwrap_or((name, 0));
        let names = self.by_official_type.entry(official.into()).or_default();
        let is_same = |index: &usize| self.types.get(*index).is_some_and(|listed| *listed.name == *name);
        names.iter().copied().find(is_same).unwrap_or_else(|| {
            names.push(self.types.len());
            self.types.push(ServiceType {
                name: name.into(),
                rank,
                services: Vec::new(),
                endpoints: Vec::new(),
            });
            self.types.len() - 1
        })
    }

    /// Whether no service at all is listed.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The endpoint that a filter means: keystoneauth's `endpoint_data_for`.
    ///
    /// An exact service type goes before an alias, the aliases follow in the order of
    /// [`service_types::all_types`], then the preference of interfaces decides, then the order of the
    /// catalog. The filter's endpoint override is not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyCatalog`] if no service is listed, [`Error::EndpointNotFound`] if none matches.
    pub fn endpoint_data_for<'a>(&'a self, filter: &EndpointFilter) -> Result<EndpointData<'a>, Error> {
        self.best(filter).ok_or_else(|| self.not_found(filter, |_| None))
    }

    /// The URL of [`endpoint_data_for`](Self::endpoint_data_for): keystoneauth's `url_for`.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn url_for<'a>(&'a self, filter: &EndpointFilter) -> Result<&'a str, Error> {
        self.endpoint_data_for(filter).map(|found| found.url())
    }

    /// The URLs of all endpoints that match as well as the best: keystoneauth's `get_urls`.
    pub fn urls<'a>(&'a self, filter: &EndpointFilter) -> impl Iterator<Item = &'a str> {
        self.matching(filter).map(|found| found.url())
    }

    /// All endpoints that match as well as the best, by service type: keystoneauth's
    /// `get_endpoints_data`. A type that is listed, but has no such endpoint, has an empty list.
    ///
    /// Unlike for the other lookups, every interface will do if the filter names none.
    pub fn endpoints_data<'a>(&'a self, filter: &EndpointFilter) -> Vec<(&'a str, Vec<EndpointData<'a>>)> {
        let interfaces = match filter.wanted_interfaces() {
            WantedInterfaces::Default => &WantedInterfaces::Any,
            said => said,
        };
        let mut found: Vec<_> = self
            .listed_types(filter)
            .filter(|listed| self.has_service(listed, filter))
            .map(|listed| (listed, self.of_type(listed, filter, interfaces).collect::<Vec<_>>()))
            .collect();
        if filter.official_type().is_some() {
            let best = found.iter().position(|(_, endpoints)| !endpoints.is_empty());
            found = found.into_iter().skip(best.unwrap_or(0)).take(1).collect();
        }
        found.into_iter().map(|(listed, endpoints)| (&*listed.name, endpoints)).collect()
    }

    /// The URL that requests with this filter are joined to: that of the first match that is usable.
    #[inline(always)]
    pub(crate) fn base_url_for<'a>(&'a self, filter: &EndpointFilter) -> Result<&'a BaseUrl, Error> {
        match self.looked_up.get(filter, |known| known.selects_same_endpoint(filter)) {
            Some(url) => Ok(url),
            None => self.look_up(filter),
        }
    }

    fn look_up<'a>(&'a self, filter: &EndpointFilter) -> Result<&'a BaseUrl, Error> {
        // Whatever is first in a catalog is nobody's choice: a service has to be named.
        if filter.wanted_service_type().is_none() {
            return Err(Error::NoEndpointFilter);
        }
        let (_, url) = self.usable(filter)?;
        self.looked_up.insert(filter, url);
        Ok(url)
    }

    /// The first match that requests can be sent to.
    pub(crate) fn usable_endpoint_for<'a>(
        &'a self,
        filter: &EndpointFilter,
    ) -> Result<EndpointData<'a>, Error> {
        self.usable(filter).map(|(found, _)| found)
    }

    fn usable<'a>(&'a self, filter: &EndpointFilter) -> Result<(EndpointData<'a>, &'a BaseUrl), Error> {
        let usable = |found: EndpointData<'a>| match found.base_url() {
            Ok(url) => Some((found, url)),
            Err(unusable) => {
                self.warn(found, unusable);
                None
            }
        };
        self.best(filter)
            .and_then(usable)
            .or_else(|| self.matching(filter).find_map(usable))
            .ok_or_else(|| self.not_found(filter, |found| found.base_url().err()))
    }

    /// The origins of all endpoints.
    pub(crate) fn origins(&self) -> &Arc<KnownOrigins> {
        self.origins.get_or_init(|| {
            let urls = self.endpoints.iter().filter_map(|endpoint| {
                let service = self.services.get(endpoint.service)?;
                service.text(&endpoint.url)
            });
            KnownOrigins::from_urls(urls).into()
        })
    }

    /// Tells that an endpoint which was asked for cannot be used.
    fn warn(&self, found: EndpointData<'_>, InvalidBaseUrl(reason): InvalidBaseUrl) {
        if self.origins().start_report(&(
            found.service_type(),
            found.service_name(),
            found.interface(),
            reason,
        )) {
            warn!(
                service_type = truncate(found.service_type()),
                service = found.service_name().map(truncate),
                interface = found.interface().map(|interface| truncate(interface.as_str())),
                region = found.region_name().map(truncate),
                reason,
                "an endpoint of the service catalog is passed over"
            );
        }
    }

    /// The first of the [`matching`](Self::matching) endpoints.
    fn best<'a>(&'a self, filter: &EndpointFilter) -> Option<EndpointData<'a>> {
        let interfaces = filter.wanted_interfaces();
        self.listed_types(filter).find_map(|listed| self.of_type(listed, filter, interfaces).next())
    }

    /// The matching endpoints of the best matching type, the best first; if no known type is asked
    /// for, those of every type.
    fn matching<'a>(&'a self, filter: &EndpointFilter) -> impl Iterator<Item = EndpointData<'a>> {
        let known = filter.official_type().is_some();
        let best = self
            .listed_types(filter)
            .take_while(|_| known)
            .find(|listed| self.of_type(listed, filter, filter.wanted_interfaces()).next().is_some());
        self.listed_types(filter)
            .filter(move |listed| !known || best.is_some_and(|best| std::ptr::eq(best, *listed)))
            .flat_map(|listed| self.of_type(listed, filter, filter.wanted_interfaces()))
    }

    /// The listed types that answer the service type of a filter, the best first; all without one.
    fn listed_types<'a>(&'a self, filter: &EndpointFilter) -> impl Iterator<Item = &'a ServiceType> {
        let requested = filter.wanted_service_type();
        let names = filter.official_type().or(requested).and_then(|name| self.by_official_type.get(name));
        let aliases = names.into_iter().flatten().filter_map(|&index| self.types.get(index));
        let exact = aliases.clone().filter(move |listed| Some(&*listed.name) == requested);
        let others = aliases.filter(move |listed| {
            requested.is_some_and(|requested| {
                &*listed.name != requested && service_types::is_match(requested, &listed.name)
            })
        });
        let all = self.types.iter().filter(move |_| requested.is_none());
        exact.chain(others).chain(all)
    }

    fn has_service(&self, listed: &ServiceType, filter: &EndpointFilter) -> bool {
        listed
            .services
            .iter()
            .filter_map(|&index| self.services.get(index))
            .any(|service| service.mismatch(filter).is_none())
    }

    /// The matching endpoints of one type: those with the most wanted interface that any of them has.
    fn of_type<'a, 'f>(
        &'a self,
        listed: &'a ServiceType,
        filter: &'f EndpointFilter,
        interfaces: &'f WantedInterfaces,
    ) -> impl Iterator<Item = EndpointData<'a>> {
        let wanted = interfaces.by_preference();
        let is_there = |interface| self.with_interface(listed, filter, Some(interface)).next().is_some();
        let best = wanted.iter().find(|&interface| is_there(interface));
        self.with_interface(listed, filter, best).filter(move |_| wanted.is_empty() || best.is_some())
    }

    /// The matching endpoints of one type and this interface; of every one without.
    fn with_interface<'a, 'f>(
        &'a self,
        listed: &'a ServiceType,
        filter: &'f EndpointFilter,
        interface: Option<&'f Interface>,
    ) -> impl Iterator<Item = EndpointData<'a>> {
        listed.endpoints.iter().filter_map(move |&index| {
            let endpoint = self.endpoints.get(index)?;
            if interface.is_some() && endpoint.interface.as_ref() != interface {
                return None;
            }
            let found = EndpointData::new(&listed.name, self.services.get(endpoint.service)?, endpoint);
            found.mismatch(filter).is_none().then_some(found)
        })
    }

    /// The error that tells what was asked for, and of each endpoint that came close, why it is not it.
    fn not_found(
        &self,
        filter: &EndpointFilter,
        unusable: impl Fn(EndpointData<'_>) -> Option<InvalidBaseUrl>,
    ) -> Error {
        if self.is_empty() {
            return Error::EmptyCatalog;
        }
        let mut error = EndpointNotFound::new(filter.to_string());
        for listed in self.listed_types(filter) {
            for endpoint in listed.endpoints.iter().filter_map(|&index| self.endpoints.get(index)) {
                let Some(service) = self.services.get(endpoint.service) else { continue };
                let found = EndpointData::new(&listed.name, service, endpoint);
                let reason = match found.mismatch(filter).or_else(|| found.interface_mismatch(filter)) {
                    Some(mismatch) => Some(mismatch.to_string()),
                    None => unusable(found).map(|InvalidBaseUrl(reason)| reason.to_owned()),
                };
                if let Some(reason) = reason {
                    error.add_near_miss(found, reason);
                }
            }
        }
        if self.listed_types(filter).next().is_none() {
            self.types.iter().for_each(|listed| error.add_service_type(&listed.name));
        }
        Error::EndpointNotFound(error.into())
    }
}

/// The services by type and the number of their endpoints.
impl fmt::Debug for ServiceCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = self.types.iter().map(|listed| (truncate(&listed.name), listed.endpoints.len()));
        f.debug_map().entries(types).finish()
    }
}
