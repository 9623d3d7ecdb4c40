//! What an [`AuthLayer`](super::AuthLayer) was configured with.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    EndpointFilter,
    discovery::Discovery,
    endpoint::{BaseUrl, FilterCache, Origin},
};

/// What the layer and all services made of it have in common.
pub(super) struct Shared<P> {
    pub(super) plugin: Arc<P>,
    pub(super) settings: Arc<Settings>,
}

/// What the layer was told; the same for all its requests.
#[derive(Clone, Default)]
pub(super) struct Settings {
    pub(super) endpoint: Option<EndpointFilter>,
    /// Filters of requests, with what they leave open taken from `endpoint`.
    filled_in: Arc<FilterCache<EndpointFilter, 32>>,
    /// The `auth_url` of the plugin, once a request has gone there.
    pub(super) auth_base: OnceLock<BaseUrl>,
    pub(super) discovery: Option<Discovery>,
    pub(super) allowed_origins: Vec<Origin>,
    pub(super) require_https: bool,
    pub(super) overwrite_token: bool,
}

impl Settings {
    pub(super) fn set_endpoint(&mut self, filter: EndpointFilter) {
        self.endpoint = Some(filter);
        self.filled_in = Arc::default();
    }

    /// Takes what the filter of a request leaves open from the layer's.
    #[inline(always)]
    pub(super) fn fill_in(&self, filter: EndpointFilter) -> EndpointFilter {
        match &self.endpoint {
            Some(default) if filter.needs_defaults(default) => self.filled_in(filter, default),
            _ => filter,
        }
    }

    fn filled_in(&self, filter: EndpointFilter, default: &EndpointFilter) -> EndpointFilter {
        if let Some(filled_in) = self.filled_in.get(&filter, |known| *known == filter) {
            return filled_in.clone();
        }
        let filled_in = filter.clone().with_defaults(default);
        self.filled_in.insert(&filter, &filled_in);
        filled_in
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("discovery", &self.discovery)
            .field("allowed_origins", &self.allowed_origins)
            .field("require_https", &self.require_https)
            .field("overwrite_token", &self.overwrite_token)
            .finish_non_exhaustive()
    }
}

impl<P> Clone for Shared<P> {
    fn clone(&self) -> Self {
        Self { plugin: Arc::clone(&self.plugin), settings: Arc::clone(&self.settings) }
    }
}
