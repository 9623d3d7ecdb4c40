use std::{fmt, sync::Arc};

use http::Uri;

#[cfg(feature = "saml")]
use super::logins::SamlLogin;
use super::{
    Grant, IdentityProvider,
    grant::Kind,
    logins::{BearerLogin, HeaderLogin, RefreshLogin},
    unscoped::{Rescoped, UnscopedLogin},
};
#[cfg(feature = "store")]
use crate::SharedTokens;
use crate::{
    Credentials, Scope, Secret, Transport,
    identity::{AuthRefFuture, PrepareFuture},
};

/// Credentials of a federated user: an identity provider vouches for the user, and Keystone issues the token.
///
/// Keystone first issues an unscoped token, and then one for the [scope](Self::scope). Clones share the unscoped token
/// of a login, even if their scopes differ: the first token of each scope is requested with it while it has more than
/// half of its life left. A token is renewed by a new login, because a token with a scope expires at the same time as
/// the unscoped token that it was requested with.
///
/// If Keystone rejects an unscoped token that was shared, the credentials log in anew, once.
///
/// Logins run in tasks of the tokio runtime. A login is cancelled if nobody waits for it any more, except one with a
/// refresh token or a code: the provider may have replaced or used that already.
///
/// See the [module docs](super) for an example.
#[derive(Clone)]
pub struct FederatedCredentials {
    identity_provider: IdentityProvider,
    rescoped: Rescoped,
}

impl FederatedCredentials {
    /// Makes credentials for this identity provider, without a scope.
    pub fn new(identity_provider: IdentityProvider, grant: Grant) -> Self {
        let provider = identity_provider.clone();
        let login: Box<dyn UnscopedLogin> = match grant.0 {
            Kind::Bearer(grant) => {
                Box::new(BearerLogin { identity_provider: provider, grant: Arc::new(grant) })
            }
            Kind::RefreshToken { client, refresh_token } => {
                Box::new(RefreshLogin::new(provider, client, refresh_token))
            }
            Kind::Header(header) => Box::new(HeaderLogin { identity_provider: provider, header }),
            #[cfg(feature = "saml")]
            Kind::Saml(saml) => Box::new(SamlLogin { identity_provider: provider, saml }),
        };
        Self::from_rescoped(identity_provider, Rescoped::new(login))
    }

    pub(super) fn from_rescoped(identity_provider: IdentityProvider, rescoped: Rescoped) -> Self {
        Self { identity_provider, rescoped }
    }

    /// Sets the scope of the token. Without one, the token is unscoped, and each renewal is a login.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        Self { rescoped: self.rescoped.scope(scope), ..self }
    }

    /// Shares the unscoped token, and refresh tokens, with other processes. Applies to all clones.
    ///
    /// Pass the same `tokens` to [`RenewingPlugin::store`](crate::RenewingPlugin::store), which shares the token of the
    /// scope. Then one process logs in at the provider, and the others rescope its unscoped token while that has more
    /// than half of its life left.
    ///
    /// A refresh token is stored only if the store is sealed with a key. Then it is used only under a lease, because a
    /// provider that replaces it takes a second use for theft: while the store cannot be used, the login fails with a
    /// transient error. Of the login of a person, all processes use the newest refresh token of that user and client.
    /// With a [`Grant::refresh_token`], give all processes the same first token, which names the entry. The store has
    /// to keep its entries when it is restarted: if the newest refresh token is lost, the login can end.
    ///
    /// After a login that failed permanently, no process with the same credentials logs in for 30 s, and for up to
    /// 300 s after further ones, if the store is sealed. A corrected secret is tried at once.
    #[cfg(feature = "store")]
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    #[must_use]
    pub fn store(self, tokens: SharedTokens) -> Self {
        self.rescoped.set_store(tokens);
        self
    }

    /// Calls this function with each refresh token that the provider issues in place of an older one.
    ///
    /// Applies to all clones. These are credentials of a [`Grant::refresh_token`], and of a
    /// [`CompletedLogin`](super::CompletedLogin::into_credentials) with a refresh token. Others have none.
    ///
    /// Save the token, in place of the older one, for a [`Grant::refresh_token`] in the next run of the program. The
    /// function is called in the task of the login, so it should not block for long. If it panics, the login goes on
    /// with the new token.
    #[must_use]
    pub fn on_refresh_token(self, store: impl Fn(&Secret) + Send + Sync + 'static) -> Self {
        if let Some(token) = self.rescoped.login().refresh_token() {
            token.on_rotation(Arc::new(store));
        }
        self
    }

    /// Obtains an unscoped token, unless there is one.
    #[cfg(all(feature = "store", feature = "config"))]
    pub(crate) async fn obtain_unscoped(&self, transport: Transport) -> Result<(), crate::Error> {
        self.rescoped.obtain_unscoped(transport).await
    }

    /// Removes the login of a person from the store.
    #[cfg(all(feature = "store", feature = "config"))]
    pub(crate) async fn forget_stored_login(&self) -> Result<(), crate::Error> {
        self.rescoped.forget_stored_login().await
    }

    /// Returns the key of the unscoped token in a cache: keystoneauth's `get_unscoped_cache_id`.
    ///
    /// Persons who log in with the same client have the same id. `None` means that the token must not be cached.
    pub fn unscoped_cache_id(&self) -> Option<String> {
        self.rescoped.login().cache_id()
    }
}

impl Credentials for FederatedCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.rescoped.get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        self.identity_provider.auth_url().uri()
    }

    /// Returns an id of the unscoped token and the scope. keystoneauth has none.
    fn cache_id(&self) -> Option<String> {
        self.rescoped.cache_id()
    }

    fn public_id(&self) -> Option<String> {
        self.rescoped.public_id()
    }

    fn prepare(&self, transport: Transport) -> PrepareFuture {
        self.rescoped.prepare(transport)
    }

    /// Returns true for passwords.
    fn can_lock_account(&self) -> bool {
        self.rescoped.login().can_lock_account()
    }
}

/// Shows the identity provider, never a secret.
impl fmt::Debug for FederatedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FederatedCredentials")
            .field("identity_provider", &self.identity_provider)
            .finish_non_exhaustive()
    }
}
