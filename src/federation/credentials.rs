use std::{fmt, sync::Arc};

use http::Uri;

use super::{Grant, IdentityProvider, unscoped::Rescoped};
#[cfg(feature = "store")]
use crate::SharedTokens;
use crate::{
    Credentials, Scope, Secret, Transport,
    identity::{AuthRefFuture, PrepareFuture},
};

/// Credentials of a federated user: an identity provider vouches for the user, and Keystone issues the token.
///
/// Clones share the unscoped token of a login, also if their scopes differ.
#[derive(Clone)]
pub struct FederatedCredentials {
    identity_provider: IdentityProvider,
    rescoped: Rescoped,
}

impl FederatedCredentials {
    /// Makes credentials for this identity provider, without a scope.
    pub fn new(identity_provider: IdentityProvider, grant: Grant) -> Self {
        todo!()
    }

    /// Sets the scope of the token. Without one, the token is unscoped.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        todo!()
    }

    /// Shares the unscoped token, and refresh tokens, with other processes. Applies to all clones.
    #[cfg(feature = "store")]
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    #[must_use]
    pub fn store(self, tokens: SharedTokens) -> Self {
        todo!()
    }

    /// Calls this function with each new refresh token that replaces an older one. Applies to all clones.
    #[must_use]
    pub fn on_refresh_token(self, store: impl Fn(&Secret) + Send + Sync + 'static) -> Self {
        todo!()
    }

    /// Returns the key of the unscoped token in a cache: keystoneauth's `get_unscoped_cache_id`.
    pub fn unscoped_cache_id(&self) -> Option<String> {
        todo!()
    }
}

impl Credentials for FederatedCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        todo!()
    }

    fn auth_url(&self) -> &Uri {
        todo!()
    }

    fn cache_id(&self) -> Option<String> {
        todo!()
    }

    fn public_id(&self) -> Option<String> {
        todo!()
    }

    fn prepare(&self, transport: Transport) -> PrepareFuture {
        todo!()
    }

    fn can_lock_account(&self) -> bool {
        todo!()
    }
}

impl fmt::Debug for FederatedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FederatedCredentials").finish_non_exhaustive()
    }
}
