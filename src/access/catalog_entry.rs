use std::{ops::Range, sync::OnceLock};

use crate::{
    Interface,
    endpoint::{BaseUrl, InvalidBaseUrl},
};

/// A service as it is read from a document, without its endpoints.
pub(super) struct RawService<'a> {
    pub(super) service_type: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) id: Option<&'a str>,
}

/// An endpoint as it is read from a document. It has one interface, as in v3.
pub(super) struct RawEndpoint<'a> {
    pub(super) interface: Option<&'a Interface>,
    pub(super) region_name: Option<&'a str>,
    pub(super) id: Option<&'a str>,
    pub(super) url: Option<&'a str>,
}

/// A service of the catalog, with the strings of its endpoints.
pub(super) struct CatalogService {
    /// All strings of the service and its endpoints, one after the other. The ranges below are slices of it.
    pub(super) text: Box<str>,
    pub(super) name: Range<usize>,
    pub(super) id: Range<usize>,
}

/// An endpoint of the catalog.
pub(super) struct CatalogEndpoint {
    /// The index of its service in the catalog.
    pub(super) service: usize,
    pub(super) interface: Option<Interface>,
    /// Ranges of the text of the service. The range of a missing string is empty.
    pub(super) region_name: Range<usize>,
    pub(super) id: Range<usize>,
    pub(super) url: Range<usize>,
    /// Parsed when a request first needs it. It is boxed because most endpoints never need it.
    pub(super) base_url: OnceLock<Box<Result<BaseUrl, InvalidBaseUrl>>>,
}

impl CatalogService {
    /// Returns one of the strings, unless it is missing.
    pub(super) fn text(&self, range: &Range<usize>) -> Option<&str> {
        self.text.get(range.clone()).filter(|text| !text.is_empty())
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.text(&self.name)
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.text(&self.id)
    }
}

impl CatalogEndpoint {
    pub(super) fn base_url(&self, service: &CatalogService) -> Result<&BaseUrl, InvalidBaseUrl> {
        let parse = || Box::new(BaseUrl::parse(service.text(&self.url).unwrap_or_default()));
        Result::as_ref(self.base_url.get_or_init(parse)).map_err(|unusable| *unusable)
    }
}
