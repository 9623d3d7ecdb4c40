//! The configuration of an [`AuthLayer`](super::AuthLayer).

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    EndpointFilter,
    discovery::Discovery,
    endpoint::{BaseUrl, FilterCache, Origin},
};

/// The plugin that a request is sent with, and the settings of the layer.
///
/// The layer and all services that it creates share one plugin, `Arc<P>`.
#[derive(Clone)]
pub(super) struct Shared<Src> {
    pub(super) plugin: Src,
    pub(super) settings: Arc<Settings>,
}

/// The settings of the layer, the same for all requests.
#[derive(Clone, Default)]
pub(super) struct Settings {
    pub(super) endpoint: Option<EndpointFilter>,
    /// Caches the result of [`apply_defaults`](Self::apply_defaults) for each request filter.
    with_defaults: Arc<FilterCache<EndpointFilter, 32>>,
    /// The parsed `auth_url` of a plugin, set by the first request that goes there.
    pub(super) auth_base_url: OnceLock<BaseUrl>,
    pub(super) discovery: Option<Discovery>,
    pub(super) allowed_origins: Vec<Origin>,
    pub(super) require_https: bool,
    pub(super) overwrite_token: bool,
    /// Whether requests with an [`Identity`](super::Identity) carry the token of the layer's plugin as
    /// `X-Service-Token`.
    pub(super) send_service_token: bool,
    /// Whether requests that need a token must have an [`Identity`](super::Identity).
    pub(super) require_identity: bool,
}

impl<Src> Shared<Src> {
    pub(super) fn update(&mut self, change: impl FnOnce(&mut Settings)) {
        change(Arc::make_mut(&mut self.settings));
    }
}

impl Settings {
    pub(super) fn set_endpoint(&mut self, filter: EndpointFilter) {
        self.endpoint = Some(filter);
        self.with_defaults = Arc::default();
    }

    /// Fills in the unset values of a request's filter from the filter of the layer.
    #[inline(always)]
    pub(super) fn apply_defaults(&self, filter: EndpointFilter) -> EndpointFilter {
        match &self.endpoint {
            Some(default) if filter.needs_defaults(default) => self.cached_with_defaults(filter, default),
            _ => filter,
        }
    }

    fn cached_with_defaults(&self, filter: EndpointFilter, default: &EndpointFilter) -> EndpointFilter {
        if let Some(with_defaults) = self.with_defaults.get(&filter, |cached| *cached == filter) {
            return with_defaults.clone();
        }
        let with_defaults = filter.clone().with_defaults(default);
        self.with_defaults.insert(&filter, &with_defaults);
        with_defaults
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
            .field("send_service_token", &self.send_service_token)
            .field("require_identity", &self.require_identity)
            .finish_non_exhaustive()
    }
}
