use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{
    ServiceDefaults,
    services::{DefaultService, Services},
};
use crate::{CloudConfig, Error};

/// A layer that applies the settings of single services to requests.
///
/// [`CloudConfig::service_layer`] creates it. Place it outside of all other layers of this crate. It caches the
/// settings of up to 64 OpenStack services and filters. All clones of the layer and of its middleware share the cache.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct ServiceDefaultsLayer {
    services: Arc<Services>,
    default: Option<DefaultService>,
}

impl CloudConfig {
    /// Returns a layer that applies the settings of single services to requests.
    ///
    /// See [`service_defaults`](super) for an example.
    pub fn service_layer(&self) -> ServiceDefaultsLayer {
        ServiceDefaultsLayer { services: Arc::new(Services::new(self.clone())), default: None }
    }
}

impl ServiceDefaultsLayer {
    /// Sets the service of requests that name none: they have no filter, or one without a service type.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Config`] if a setting of the service is wrong.
    pub fn service(mut self, service_type: &str) -> Result<Self, Error> {
        self.default = self.services.default_service(service_type)?;
        Ok(self)
    }
}

impl<S> Layer<S> for ServiceDefaultsLayer {
    type Service = ServiceDefaults<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServiceDefaults::new(inner, Arc::clone(&self.services), self.default.clone())
    }
}

impl fmt::Debug for ServiceDefaultsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceDefaultsLayer").finish_non_exhaustive()
    }
}
