use std::{ops::Range, sync::OnceLock};

use crate::{
    Interface,
    endpoint::{BaseUrl, InvalidBaseUrl},
};

/// A service without its endpoints.
pub(super) struct RawService<'a> {
    pub(super) service_type: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) id: Option<&'a str>,
}

/// An endpoint as v3 has it, of one interface.
pub(super) struct RawEndpoint<'a> {
    pub(super) interface: Option<&'a Interface>,
    pub(super) region_name: Option<&'a str>,
    pub(super) id: Option<&'a str>,
    pub(super) url: Option<&'a str>,
}

/// A service, and all that it and its endpoints say, one text after the other.
pub(super) struct CatalogService {
    pub(super) texts: Box<str>,
    pub(super) name: Range<usize>,
    pub(super) id: Range<usize>,
}

pub(super) struct CatalogEndpoint {
    pub(super) service: usize,
    pub(super) interface: Option<Interface>,
    /// Places in the texts of the service; empty for what is not there.
    pub(super) region_name: Range<usize>,
    pub(super) id: Range<usize>,
    pub(super) url: Range<usize>,
    /// Read when a request first goes there, which most endpoints never see; so they have no room for it.
    pub(super) base: OnceLock<Box<Result<BaseUrl, InvalidBaseUrl>>>,
}

impl CatalogService {
    /// One of its texts, or of those of its endpoints.
    pub(super) fn text(&self, place: &Range<usize>) -> Option<&str> {
        self.texts.get(place.clone()).filter(|text| !text.is_empty())
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
        let read = || Box::new(BaseUrl::parse(service.text(&self.url).unwrap_or_default()));
        Result::as_ref(self.base.get_or_init(read)).map_err(|unusable| *unusable)
    }
}
