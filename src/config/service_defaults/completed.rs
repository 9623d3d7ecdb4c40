use std::sync::Arc;

use http::Extensions;

use crate::{EndpointFilter, config::ServiceConfig};

/// The filter of a request, with the settings of its service added.
#[derive(Clone)]
pub(super) struct Completed {
    filter: EndpointFilter,
    /// `None` if the configuration has no settings of retries for the service.
    retries: Option<ServiceRetries>,
}

/// A request extension with the settings of retries.
#[derive(Clone)]
pub(super) struct ServiceRetries(pub(super) Arc<ServiceConfig>);

impl Completed {
    pub(super) fn new(filter: EndpointFilter, service: &Arc<ServiceConfig>) -> Self {
        let defaults = service.defaults_for(&filter);
        let filter = filter.with_service_settings(defaults);
        let retries = service.has_retries().then(|| ServiceRetries(Arc::clone(service)));
        Self { filter, retries }
    }

    /// Sets the filter in the extensions of a request. This takes no allocation if the request has a filter.
    pub(super) fn insert_into(&self, extensions: &mut Extensions) {
        match extensions.get_mut::<EndpointFilter>() {
            Some(filter) => filter.clone_from(&self.filter),
            None => drop(extensions.insert(self.filter.clone())),
        }
        if let Some(retries) = &self.retries {
            extensions.insert(retries.clone());
        }
    }
}
