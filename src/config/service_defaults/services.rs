use std::sync::Arc;

use super::completed::Completed;
use crate::{CloudConfig, EndpointFilter, Error, config::ServiceConfig, endpoint::FilterCache};

/// The service of requests whose filter has no service type.
#[derive(Clone)]
pub(super) struct DefaultService {
    service_type: Arc<str>,
    completed: Completed,
}

impl DefaultService {
    /// Returns the completed filter for requests that have none.
    pub(super) fn completed(&self) -> &Completed {
        &self.completed
    }

    /// Sets this service in a filter without a service type.
    pub(super) fn typed(&self, filter: &EndpointFilter) -> EndpointFilter {
        filter.clone().service_type(&self.service_type)
    }
}

/// The settings of the services of a cloud. They are read when the first request to a service needs them.
pub(super) struct Services {
    config: CloudConfig,
    services: FilterCache<Arc<ServiceConfig>, 64>,
    completed: FilterCache<Completed, 64>,
}

impl Services {
    pub(super) fn new(config: CloudConfig) -> Self {
        Self { config, services: FilterCache::default(), completed: FilterCache::default() }
    }

    /// Returns the default service. `None` if the type is empty.
    pub(super) fn default_service(&self, service_type: &str) -> Result<Option<DefaultService>, Error> {
        let completed = self.complete(&EndpointFilter::new(service_type))?;
        Ok(completed.map(|completed| DefaultService { service_type: service_type.into(), completed }))
    }

    /// Completes the filter of a request. `None` if it has no service type.
    pub(super) fn complete(&self, filter: &EndpointFilter) -> Result<Option<Completed>, Error> {
        let Some(service_type) = filter.wanted_service_type() else { return Ok(None) };
        if let Some(completed) = self.completed.get(filter, |known| known == filter) {
            return Ok(Some(completed.clone()));
        }
        let completed = Completed::new(filter.clone(), &self.service(filter, service_type)?);
        self.completed.insert(filter, &completed);
        Ok(Some(completed))
    }

    fn service(&self, filter: &EndpointFilter, service_type: &str) -> Result<Arc<ServiceConfig>, Error> {
        let has_same_type = |known: &EndpointFilter| known.wanted_service_type() == Some(service_type);
        if let Some(service) = self.services.get(filter, has_same_type) {
            return Ok(Arc::clone(service));
        }
        let service = Arc::new(self.config.service(service_type)?);
        self.services.insert(filter, &service);
        Ok(service)
    }
}
