use std::{fmt, sync::Arc};

use http::Uri;

use super::{Clock, RenewalPolicy, SystemClock, shared::Shared, state::State};
#[cfg(feature = "store")]
use crate::store::SharedTokens;
use crate::{
    AccessFuture, AccessInfo, Credentials, Error, IdentityPlugin, Secret, ServiceAccess, Transport,
    endpoint::Origin,
};

/// An identity plugin that logs in with credentials and renews their token.
///
/// Clones share the token, the renewal in flight and the last failure. The first request causes the first login.
///
/// See the [module docs](super) for an example and for when the token is renewed.
pub struct RenewingPlugin<C>(Arc<Shared<C>>);

impl<C: Credentials> RenewingPlugin<C> {
    /// Creates a plugin that logs in with `credentials` over `transport`.
    pub fn new(credentials: C, transport: Transport) -> Self {
        let state = State::new(RenewalPolicy::default(), fastrand::Rng::new());
        Self(Arc::new(Shared::new(credentials, transport, Box::new(SystemClock), state)))
    }

    /// Sets when to renew the token, how long requests wait, and when to retry. Applies to all clones of the plugin.
    #[must_use]
    pub fn policy(self, policy: RenewalPolicy) -> Self {
        self.0.lock().state.set_policy(policy);
        self
    }

    /// Shares the token with other plugins and processes, by a store. Applies to all clones of the plugin.
    ///
    /// The id of the credentials is [`Credentials::cache_id`] or, if the store is not sealed with a key,
    /// [`Credentials::public_id`]. Plugins whose credentials have the same id share one token. Without an id and without
    /// a [name](Self::stored_as), the token is not stored.
    ///
    /// See the [module docs](super#shared-tokens).
    #[cfg(feature = "store")]
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    #[must_use]
    pub fn store(self, tokens: SharedTokens) -> Self {
        self.0.lock().state.set_store(tokens);
        self
    }

    /// Sets the name under which the token is stored, in place of an id of the credentials.
    ///
    /// Set one if the secret of the credentials changes often, such as a token file or a refresh token: each new secret
    /// is a new id. All plugins with the same name and the same `auth_url` use the same token, so the name must tell
    /// apart the users and the scopes. Secrets are not compared: a plugin with a wrong password gets the token, too.
    ///
    /// The docs of [`Credentials`] have an example.
    #[cfg(feature = "store")]
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    #[must_use]
    pub fn stored_as(self, name: impl Into<String>) -> Self {
        self.0.lock().state.set_stored_name(Secret::new(name.into()));
        self
    }

    /// Sets the clock, for tests.
    ///
    /// # Panics
    ///
    /// Panics if the plugin has been cloned or is renewing its token, because the clock is shared then.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        let shared = Arc::get_mut(&mut self.0).expect("set the clock before the plugin is cloned or used");
        shared.clock = Box::new(clock);
        self
    }

    /// Sets the seed of the jitter, to make it repeatable.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.0.lock().state.seed(seed);
        self
    }

    /// Returns the credentials.
    pub fn credentials(&self) -> &C {
        &self.0.credentials
    }

    /// Obtains a new token now, even if the current one is fresh.
    ///
    /// If a renewal is in flight already, waits for that one. Otherwise it logs in at once, without the delay after a
    /// failure. With a store, a token that another process obtains meanwhile is used too. The other plugins that share
    /// the token keep the old one until they renew it: Keystone does not revoke it.
    ///
    /// # Errors
    ///
    /// The errors of Keystone, the transport or the credentials. The current token is kept then.
    ///
    /// [`Error::NoRuntime`] outside of a tokio runtime, [`Error::Recursion`] if the credentials of this plugin call it,
    /// and [`Error::Abandoned`] if several renewals ended without a usable result.
    pub async fn renew(&self) -> Result<Arc<ServiceAccess>, Error> {
        Arc::clone(&self.0).renew().await
    }

    /// Forgets the token and all failures, so that the next request logs in at once.
    ///
    /// Call it when you have fixed the cause of failed logins. With a store, the next request uses the token of the store
    /// if there is one, and otherwise logs in even if the login of another process has failed just now.
    pub fn reset(&self) {
        let mut locked = self.0.lock();
        locked.state.reset();
        #[cfg(feature = "store")]
        locked.state.ignore_shared_failure();
    }

    /// Returns whether the token is due for renewal, has expired or does not exist.
    pub fn needs_renewal(&self) -> bool {
        let now = self.0.clock.now();
        self.0.lock().state.needs_renewal(now)
    }

    /// Returns a cache key for the token of these credentials: keystoneauth's `get_cache_id`.
    ///
    /// Returns `None` if the token must not be shared. See [`Credentials::cache_id`].
    pub fn cache_id(&self) -> Option<String> {
        self.0.credentials.cache_id()
    }

    /// Returns the current token and its document, for storage: keystoneauth's `get_auth_state`.
    ///
    /// Returns `None` if there is no token; it does not log in.
    pub fn auth_state(&self) -> Option<Secret> {
        let access = self.0.lock().state.current_access().cloned();
        Some(access?.auth_ref()?.auth_state())
    }

    /// Restores a token from [`auth_state`](Self::auth_state): keystoneauth's `set_auth_state`.
    ///
    /// With `None` or an empty state, it forgets the token and all failures, as [`reset`](Self::reset) does. With a
    /// store, the next request still gets the error if the login of another process has failed just now.
    ///
    /// # Errors
    ///
    /// The errors of [`AccessInfo::from_auth_state`], [`Error::NoToken`] if the state has no token, and
    /// [`Error::InvalidTimestamp`] if its expiry is malformed. The current token is kept then.
    pub fn set_auth_state(&self, state: Option<&Secret>) -> Result<(), Error> {
        let Some(state) = state.filter(|state| !state.expose().trim().is_empty()) else {
            self.0.lock().state.reset();
            return Ok(());
        };
        let auth_ref = AccessInfo::from_auth_state(state)?;
        // Collects the origins now, rather than later while the state is locked.
        auth_ref.service_catalog().origins();
        let now = self.0.clock.now();
        self.0.lock().state.restore(auth_ref, now)
    }
}

impl<C: Credentials> IdentityPlugin for RenewingPlugin<C> {
    /// Returns the current access, or a future that waits for a renewal.
    #[inline(always)]
    fn access(&self) -> AccessFuture {
        self.0.access()
    }

    /// Returns true: the request can be sent once more, with the access that is current then.
    ///
    /// If `access` is the current access, it is dropped, so that the next request logs in. It is not dropped if
    /// `origin` has rejected so many new tokens that another one would not help ([`RenewalPolicy::max_rejections`]).
    fn invalidate(&self, access: &Arc<ServiceAccess>, origin: &Origin) -> bool {
        let now = self.0.clock.now();
        let was_accepted = access.accepted().remove(origin);
        self.0.lock().state.record_rejection(access, origin, was_accepted, now);
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
        // The error is formatted after the state is unlocked, because it may be from outside this crate.
        let (access, failure, is_renewing) = self.0.lock().state.debug_fields();
        f.debug_struct("RenewingPlugin")
            .field("credentials", &self.0.credentials)
            .field("access", &access)
            .field("failure", &failure)
            .field("is_renewing", &is_renewing)
            .finish_non_exhaustive()
    }
}
