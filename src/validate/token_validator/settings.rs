//! The settings that concern the cache and the requests to Keystone.

use std::{sync::Arc, time::Duration};

#[cfg(feature = "store")]
use crate::SharedTokens;
use crate::{AuthUrl, IdentityPlugin, Interface, SystemClock, Transport, renewal::Clock};

/// With which token Keystone is asked.
#[derive(Clone)]
pub(in crate::validate) enum Asker {
    /// The token of the service's own account.
    Plugin(Arc<dyn IdentityPlugin>),
    /// The token that is validated, at this URL.
    TokenItself(AuthUrl),
}

#[derive(Clone)]
pub(in crate::validate) struct ValidatorSettings {
    pub(in crate::validate) asker: Asker,
    pub(in crate::validate) transport: Transport,
    pub(in crate::validate) interface: Interface,
    pub(in crate::validate) region_name: Option<Box<str>>,
    pub(in crate::validate) include_service_catalog: bool,
    pub(in crate::validate) token_cache_time: Duration,
    pub(in crate::validate) unknown_token_cache_time: Duration,
    pub(in crate::validate) outage_grace: Duration,
    pub(in crate::validate) max_cached_tokens: usize,
    pub(in crate::validate) max_cached_bytes: usize,
    pub(in crate::validate) max_in_flight: usize,
    pub(in crate::validate) max_waiting: usize,
    pub(in crate::validate) validation_timeout: Duration,
    pub(in crate::validate) connect_retries: u32,
    pub(in crate::validate) clock: Arc<dyn Clock>,
    #[cfg(feature = "store")]
    pub(in crate::validate) store: Option<SharedTokens>,
}

impl ValidatorSettings {
    pub(in crate::validate) fn new(asker: Asker, transport: Transport) -> Self {
        Self {
            asker,
            transport,
            interface: Interface::Internal,
            region_name: None,
            include_service_catalog: true,
            token_cache_time: Duration::from_secs(300),
            unknown_token_cache_time: Duration::from_secs(10),
            outage_grace: Duration::ZERO,
            max_cached_tokens: 20_000,
            max_cached_bytes: 128 * 1024 * 1024,
            max_in_flight: 64,
            max_waiting: 1_024,
            validation_timeout: Duration::from_secs(10),
            connect_retries: 3,
            clock: Arc::new(SystemClock),
            #[cfg(feature = "store")]
            store: None,
        }
    }
}
