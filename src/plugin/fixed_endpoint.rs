use std::sync::Arc;

use crate::{
    EndpointFilter, Error,
    endpoint::{BaseUrl, Origin},
};

/// The endpoint of an access without a catalog.
#[derive(Clone)]
pub(super) struct FixedEndpoint {
    url: BaseUrl,
    is_for_keystone_only: bool,
}

impl FixedEndpoint {
    /// Creates an endpoint of all requests, whatever their filter is.
    pub(super) fn for_all(url: BaseUrl) -> Self {
        Self { url, is_for_keystone_only: false }
    }

    /// Creates an endpoint of requests to Keystone. Other requests have none.
    #[cfg(feature = "federation")]
    pub(super) fn for_keystone(url: BaseUrl) -> Self {
        Self { url, is_for_keystone_only: true }
    }

    /// Returns the URL that relative request URIs with this filter are joined to.
    #[inline]
    pub(super) fn base_url_for(&self, filter: Option<&EndpointFilter>) -> Result<&BaseUrl, Error> {
        if !self.is_for_keystone_only {
            return Ok(&self.url);
        }
        match filter.and_then(EndpointFilter::wanted_service_type) {
            None => Err(Error::NoEndpointFilter),
            Some(service_type) if service_type.eq_ignore_ascii_case("identity") => Ok(&self.url),
            Some(_) => Err(Error::NoEndpoint),
        }
    }

    pub(super) fn origin(&self) -> &Arc<Origin> {
        self.url.origin()
    }
}
