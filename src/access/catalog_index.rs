use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, OnceLock},
};

use zeroize::Zeroizing;

use super::{
    catalog_entry::{CatalogEndpoint, CatalogService, LazyBaseUrl, RawEndpoint, RawService},
    known_origins::KnownOrigins,
    project_urls::{ProjectIds, ProjectUrls},
    text::{Slice, TextBuilder},
};
use crate::endpoint::{BaseUrl, FilterCache, service_types};

/// A service catalog as it is parsed from a document. Access infos with equal catalogs can share it.
pub(super) struct CatalogIndex {
    /// The JSON text of the catalog, and after it the strings that are not slices of it.
    text: Zeroizing<Box<str>>,
    json_len: usize,
    pub(super) services: Vec<CatalogService>,
    pub(super) endpoints: Vec<CatalogEndpoint>,
    /// The service types in the order of their first appearance in the document.
    pub(super) types: Vec<ServiceType>,
    /// Indexes into `types` by official type. A type that [`service_types`] does not list is its own key.
    pub(super) by_official_type: HashMap<Box<str>, Vec<usize>>,
    origins: OnceLock<Arc<KnownOrigins>>,
    /// The base URLs of the first 8 filters that were looked up.
    pub(super) base_urls: FilterCache<CachedUrl, 8>,
    /// Where the id of the project occurs, if projects share the catalog.
    project_ids: Option<ProjectIds>,
    /// The number of endpoints whose URLs contain the id.
    project_urls: u32,
}

/// The services and endpoints that the document lists under one service type.
pub(super) struct ServiceType {
    pub(super) name: Slice,
    /// The rank among the names of the same official type. The lowest is preferred. It is 0 for an official type, and
    /// for a type that [`service_types`] does not list. See [`service_types::official_with_rank`].
    pub(super) rank: usize,
    /// Indexes into the services and endpoints of the catalog.
    pub(super) services: Vec<usize>,
    pub(super) endpoints: Vec<usize>,
}

/// The result of a lookup.
#[derive(Clone)]
pub(super) enum CachedUrl {
    /// The URL is the same for all projects.
    Common(BaseUrl),
    /// The URL of this endpoint contains the id of the project.
    OfProject(usize),
}

impl CatalogIndex {
    /// Returns a catalog that lists no service. All access infos without a catalog share it.
    pub(super) fn empty() -> Arc<Self> {
        static EMPTY: LazyLock<Arc<CatalogIndex>> = LazyLock::new(|| CatalogBuilder::new("").build().into());
        Arc::clone(&EMPTY)
    }

    #[inline]
    pub(super) fn text(&self, slice: Slice) -> Option<&str> {
        slice.get(&self.text)
    }

    /// Returns the origins of all endpoints. They are collected at the first call.
    pub(super) fn origins(&self) -> &Arc<KnownOrigins> {
        self.origins.get_or_init(|| {
            let urls = self.endpoints.iter().filter_map(|endpoint| self.text(endpoint.url));
            KnownOrigins::from_urls(urls).into()
        })
    }

    /// Lets other projects share the catalog, if the id of this one occurs only in the paths of URLs.
    #[cfg(feature = "validate")]
    pub(super) fn share_between_projects(&mut self, project_id: &str) {
        let json = self.text.get(..self.json_len).unwrap_or_default();
        let urls = self.endpoints.iter().map(|endpoint| endpoint.url.range());
        self.project_ids = ProjectIds::find(json, project_id, urls);
        let Some(project_ids) = &self.project_ids else { return };
        for endpoint in &mut self.endpoints {
            if project_ids.occur_in(endpoint.url.range()) {
                endpoint.project_url = Some(self.project_urls);
                self.project_urls += 1;
            }
        }
    }

    /// Returns whether the URLs of some endpoints contain the id of the project.
    pub(super) fn has_project_urls(&self) -> bool {
        self.project_ids.is_some()
    }

    /// Returns the URL of an endpoint, and its base URL.
    pub(super) fn url<'a>(
        &'a self,
        endpoint: &'a CatalogEndpoint,
        project: Option<&'a ProjectUrls>,
    ) -> (&'a str, &'a LazyBaseUrl) {
        let project_url = || {
            let ids = self.project_ids.as_ref()?;
            let project = project?;
            let make =
                |url: &mut String| ids.replace(&self.text, endpoint.url.range(), project.project_id(), url);
            project.get(endpoint.project_url? as usize, self.project_urls as usize, make)
        };
        match project_url() {
            Some(project_url) => (&project_url.url, &project_url.base_url),
            None => (self.text(endpoint.url).unwrap_or_default(), &endpoint.base_url),
        }
    }

    /// Returns the length of the JSON text.
    pub(super) fn json_len(&self) -> usize {
        self.json_len
    }

    /// Appends the JSON text of the catalog as it is in the document of this project.
    pub(super) fn push_json(&self, project: Option<&ProjectUrls>, result: &mut String) {
        match (&self.project_ids, project) {
            (Some(ids), Some(project)) => {
                ids.replace(&self.text, 0..self.json_len, project.project_id(), result)
            }
            _ => result.push_str(self.text.get(..self.json_len).unwrap_or_default()),
        }
    }

    /// Returns an estimate of the memory of the catalog, in bytes.
    #[cfg(feature = "validate")]
    pub(super) fn memory_size(&self) -> usize {
        let indexes = |list: &Vec<usize>| list.capacity() * size_of::<usize>();
        let types = self.types.iter().map(|it| indexes(&it.services) + indexes(&it.endpoints)).sum::<usize>();
        let entry = size_of::<(Box<str>, Vec<usize>)>() + 1;
        let by_type =
            self.by_official_type.iter().map(|(name, list)| name.len() + indexes(list)).sum::<usize>();
        size_of::<Self>()
            + self.text.len()
            + size_of_val(&*self.services)
            + size_of_val(&*self.endpoints)
            + size_of_val(&*self.types)
            + types
            + by_type
            + self.by_official_type.capacity() * entry * 8 / 7
            + self.origins.get().map_or(0, |origins| origins.memory_size())
            + self.project_ids.as_ref().map_or(0, ProjectIds::memory_size)
    }
}

/// Builds a catalog from the services of a document.
pub(super) struct CatalogBuilder<'a> {
    text: TextBuilder<'a>,
    /// The names of the types in `index`.
    type_names: Vec<Box<str>>,
    index: CatalogIndex,
}

impl<'a> CatalogBuilder<'a> {
    /// `json` is the text that the services are read from.
    pub(super) fn new(json: &'a str) -> Self {
        let index = CatalogIndex {
            text: Zeroizing::default(),
            json_len: json.len(),
            services: Vec::new(),
            endpoints: Vec::new(),
            types: Vec::new(),
            by_official_type: HashMap::new(),
            origins: OnceLock::new(),
            base_urls: FilterCache::default(),
            project_ids: None,
            project_urls: 0,
        };
        Self { text: TextBuilder::new(json, None), type_names: Vec::new(), index }
    }

    /// Adds a service and its endpoints. Skips a service without a type and endpoints without a URL.
    pub(super) fn add_service<'e>(
        &mut self,
        service: RawService<'_>,
        endpoints: impl Iterator<Item = RawEndpoint<'e>>,
    ) {
        let Self { text, index, .. } = self;
        let Some(service_type) = service.service_type else { return };
        let (service_index, first_endpoint) = (index.services.len(), index.endpoints.len());
        for RawEndpoint { interface, region_name, id, url } in endpoints {
            // Catalogs are written by hand and by templates, which leave spaces and line breaks around a URL.
            let url = url.map(str::trim_ascii).filter(|url| !url.is_empty());
            if url.is_none() {
                continue;
            }
            index.endpoints.push(CatalogEndpoint {
                service: u32::try_from(service_index).unwrap_or(u32::MAX),
                project_url: None,
                interface: interface.cloned(),
                region_name: text.insert(region_name),
                id: text.insert(id),
                url: text.insert(url),
                base_url: LazyBaseUrl::default(),
            });
        }
        let (name, id) = (text.insert(service.name), text.insert(service.id));
        index.services.push(CatalogService { name, id });
        let endpoints = first_endpoint..index.endpoints.len();
        let type_index = self.type_index(service_type);
        let Some(service_type) = self.index.types.get_mut(type_index) else { return };
        service_type.services.push(service_index);
        service_type.endpoints.extend(endpoints);
    }

    /// Reserves capacity for this many more endpoints.
    pub(super) fn reserve(&mut self, endpoints: usize) {
        self.index.endpoints.reserve(endpoints);
    }

    /// Returns the catalog. The aliases of each type are sorted by preference.
    pub(super) fn build(self) -> CatalogIndex {
        let Self { text, mut index, .. } = self;
        for indexes in index.by_official_type.values_mut() {
            indexes.sort_by_key(|&position| index.types.get(position).map(|service_type| service_type.rank));
        }
        index.services.shrink_to_fit();
        index.endpoints.shrink_to_fit();
        index.types.shrink_to_fit();
        index.text = text.build().into();
        index
    }

    /// Returns the index of a service type in `types`, and adds it if it is new.
    fn type_index(&mut self, name: &str) -> usize {
        let (official, rank) = service_types::official_with_rank(name).unwrap_or((name, 0));
        let Self { text, type_names, index } = self;
        let indexes = index.by_official_type.entry(official.into()).or_default();
        let is_same = |index: &usize| type_names.get(*index).is_some_and(|known| **known == *name);
        indexes.iter().copied().find(is_same).unwrap_or_else(|| {
            let type_index = index.types.len();
            indexes.push(type_index);
            type_names.push(name.into());
            let name = text.insert(Some(name));
            index.types.push(ServiceType { name, rank, services: Vec::new(), endpoints: Vec::new() });
            type_index
        })
    }
}
