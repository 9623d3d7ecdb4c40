use std::{fmt, sync::Arc};

use http::Uri;

use super::{Clock, RenewalPolicy, SystemClock, shared::Shared, state::State};
use crate::{
    AccessFuture, AccessInfo, Credentials, Error, IdentityPlugin, Secret, ServiceAccess, Transport,
    endpoint::Origin,
};

/// The plugin that holds credentials and keeps their token fresh.
///
/// Clones share the token, the flight that renews it and the memory of failures. Nothing is asked of
/// Keystone before the first request.
///
/// See the [module docs](super) for an example and for when it renews.
pub struct RenewingPlugin<C>(Arc<Shared<C>>);

impl<C: Credentials> RenewingPlugin<C> {
    /// A plugin that obtains its tokens with these credentials, over this transport.
    pub fn new(credentials: C, transport: Transport) -> Self {
        let state = State::new(RenewalPolicy::default(), fastrand::Rng::new());
        Self(Arc::new(Shared::new(credentials, transport, Box::new(SystemClock), state)))
    }

    /// Sets when to renew, how long to wait and how often to try again; for all clones of the plugin.
    #[must_use]
    pub fn policy(self, policy: RenewalPolicy) -> Self {
        self.0.lock().state.set_policy(policy);
        self
    }

    /// Sets the clock, for tests.
    ///
    /// # Panics
    ///
    /// If the plugin has been cloned, or is renewing its token: they share the clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        let shared =
            Arc::get_mut(&mut self.0).expect("the clock is set before the plugin is cloned and used");
        shared.clock = Box::new(clock);
        self
    }

    /// Makes the jitter of this plugin repeatable.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.0.lock().state.seed(seed);
        self
    }

    /// The credentials.
    pub fn credentials(&self) -> &C {
        &self.0.credentials
    }

    /// Obtains a new token now, whatever the age of the current one, and forgets the last failure. A
    /// flight that is under way is waited for instead.
    ///
    /// # Errors
    ///
    /// What Keystone, the transport or the credentials say; the current token is kept then.
    pub async fn renew(&self) -> Result<Arc<ServiceAccess>, Error> {
        Arc::clone(&self.0).renew().await
    }

    /// Forgets the token and all failures, so that the next request logs in at once. To be called when
    /// what made the login fail was mended.
    pub fn reset(&self) {
        self.0.lock().state.reset();
    }

    /// Whether the next request would have a new token fetched.
    pub fn needs_renewal(&self) -> bool {
        let now = self.0.clock.now();
        self.0.lock().state.needs_renewal(now)
    }

    /// A name for these credentials in a cache of tokens: keystoneauth's `get_cache_id`.
    pub fn cache_id(&self) -> Option<String> {
        self.0.credentials.cache_id()
    }

    /// The current token and its document, to be stored: keystoneauth's `get_auth_state`. Nothing is
    /// fetched; `None` if there is no token.
    pub fn auth_state(&self) -> Option<Secret> {
        let access = self.0.lock().state.current().cloned();
        Some(access?.auth_ref()?.auth_state())
    }

    /// Takes over what [`auth_state`](Self::auth_state) stored, or forgets the token if there is no state or an empty one:
    /// keystoneauth's `set_auth_state`.
    ///
    /// # Errors
    ///
    /// Those of [`AccessInfo::from_auth_state`]; the current token is kept then.
    pub fn set_auth_state(&self, state: Option<&Secret>) -> Result<(), Error> {
        let Some(state) = state.filter(|state| !state.expose().trim().is_empty()) else {
            self.reset();
            return Ok(());
        };
        let auth_ref = AccessInfo::from_auth_state(state)?;
        // They are collected here rather than when the state is locked.
        auth_ref.service_catalog().origins();
        let now = self.0.clock.now();
        self.0.lock().state.restore(auth_ref, now)
    }
}

impl<C: Credentials> IdentityPlugin for RenewingPlugin<C> {
    /// The current access, or the one that the flight under way brings.
    #[inline(always)]
    fn access(&self) -> AccessFuture {
        self.0.access()
    }

    /// Returns true: the request is sent once more, with the access that is current then.
    ///
    /// Drops `used` if it is the current access, so that a new token is fetched. If `by` has refused so many new tokens
    /// that another one would not help ([`RenewalPolicy::max_rejections`]), `used` is kept for the other origins.
    fn invalidate(&self, used: &Arc<ServiceAccess>, by: &Origin) -> bool {
        let now = self.0.clock.now();
        let accepted = used.accepted().remove(by);
        self.0.lock().state.refused(used, by, accepted, now);
        true
    }

    fn auth_url(&self) -> Option<&Uri> {
        Some(self.0.credentials.auth_url())
    }
}

impl<C> Clone for RenewingPlugin<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Credentials + fmt::Debug> fmt::Debug for RenewingPlugin<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Errors of others are printed when the state is not locked.
        let (access, failure, is_renewing) = self.0.lock().state.shown();
        f.debug_struct("RenewingPlugin")
            .field("credentials", &self.0.credentials)
            .field("access", &access)
            .field("failure", &failure)
            .field("is_renewing", &is_renewing)
            .finish_non_exhaustive()
    }
}
