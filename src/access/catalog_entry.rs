use std::sync::OnceLock;

use super::text::Slice;
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

/// A service of the catalog. The slices are slices of the text of the catalog.
pub(super) struct CatalogService {
    pub(super) name: Slice,
    pub(super) id: Slice,
}

/// An endpoint of the catalog. The slices are slices of the text of the catalog.
pub(super) struct CatalogEndpoint {
    /// The index of its service in the catalog.
    pub(super) service: u32,
    /// The index among the endpoints whose URL contains the id of the project, if it is one of these.
    pub(super) project_url: Option<u32>,
    pub(super) interface: Option<Interface>,
    pub(super) region_name: Slice,
    pub(super) id: Slice,
    pub(super) url: Slice,
    pub(super) base_url: LazyBaseUrl,
}

/// A base URL that is parsed when a request first needs it. It is boxed because most endpoints never need it.
#[derive(Default)]
pub(super) struct LazyBaseUrl(OnceLock<Box<Result<BaseUrl, InvalidBaseUrl>>>);

impl LazyBaseUrl {
    pub(super) fn get(&self, url: &str) -> Result<&BaseUrl, InvalidBaseUrl> {
        let parse = || Box::new(BaseUrl::parse(url));
        Result::as_ref(self.0.get_or_init(parse)).map_err(|unusable| *unusable)
    }
}
