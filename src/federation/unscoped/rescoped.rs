use std::{future::ready, sync::Arc};

use http::StatusCode;

#[cfg(feature = "store")]
use super::tokens::Obtained;
use super::{UnscopedLogin, UnscopedToken, seen::Seen, tokens::UnscopedTokens};
use crate::{
    AccessInfo, AuthMethod, AuthUrl, Credentials, Error, Scope, Secret, Transport, V3Credentials,
    error::HttpError,
    identity::{AuthRefFuture, PrepareFuture, public_id},
};
#[cfg(feature = "store")]
use crate::{SharedTokens, federation::stored_login::StoredLogin};

/// One scope of a login.
///
/// Clones share the unscoped tokens of the login. With the same scope, they also share what was seen of them.
#[derive(Clone)]
pub(in crate::federation) struct Rescoped {
    unscoped: Arc<UnscopedTokens>,
    scope: Scope,
    seen: Arc<Seen>,
}

impl Rescoped {
    /// Creates a login without a scope.
    pub(in crate::federation) fn new(login: Box<dyn UnscopedLogin>) -> Self {
        Self { unscoped: Arc::new(UnscopedTokens::new(login)), scope: Scope::new(), seen: Arc::default() }
    }

    /// Sets the first unscoped token, which a person has obtained just now.
    pub(in crate::federation) fn with_token_of_person(self, token: UnscopedToken) -> Self {
        self.unscoped.keep_token_of_person(token);
        self
    }

    /// Sets the first unscoped token, which a person has obtained, and where their login is stored.
    #[cfg(feature = "store")]
    pub(in crate::federation) fn with_stored_login(self, token: UnscopedToken, stored: StoredLogin) -> Self {
        self.unscoped.keep_stored_login(token, stored);
        self
    }

    /// Sets the scope.
    pub(in crate::federation) fn scope(self, scope: Scope) -> Self {
        Self { unscoped: self.unscoped, scope, seen: Arc::default() }
    }

    pub(in crate::federation) fn login(&self) -> &dyn UnscopedLogin {
        self.unscoped.login()
    }

    /// Shares the unscoped token by a store.
    #[cfg(feature = "store")]
    pub(in crate::federation) fn set_store(&self, tokens: SharedTokens) {
        self.unscoped.set_store(tokens);
    }

    /// Obtains the unscoped token before a token for the scope is obtained under a lease of the store.
    pub(in crate::federation) fn prepare(&self, transport: Transport) -> PrepareFuture {
        #[cfg(feature = "store")]
        if self.unscoped.has_store() && self.scope.is_scoped() {
            let this = self.clone();
            return Box::pin(async move { this.obtain_unscoped(transport).await });
        }
        if !self.scope.is_scoped() {
            self.unscoped.set_shared_by_plugin();
        }
        let _ = transport;
        Box::pin(ready(Ok(())))
    }

    /// Obtains an unscoped token for the scope, unless there is one.
    #[cfg(feature = "store")]
    pub(in crate::federation) async fn obtain_unscoped(&self, transport: Transport) -> Result<(), Error> {
        let obtained = self.unscoped.obtain(transport, &self.seen, true, true).await?;
        self.seen.set_prepared(&obtained.kept, obtained.is_new);
        Ok(())
    }

    /// Removes the login from the store.
    #[cfg(all(feature = "store", feature = "config"))]
    pub(in crate::federation) async fn forget_stored_login(&self) -> Result<(), Error> {
        match self.unscoped.stored_login() {
            Some(stored) => stored.forget().await,
            None => Ok(()),
        }
    }

    /// Returns the id of the unscoped token and the scope, with the secrets of the login.
    pub(in crate::federation) fn cache_id(&self) -> Option<String> {
        self.with_scope(self.login().stored_id().or_else(|| self.unscoped.id_of_user())?)
    }

    /// Returns the id of the unscoped token and the scope, without secrets.
    pub(in crate::federation) fn public_id(&self) -> Option<String> {
        self.with_scope(self.login().public_id().or_else(|| self.unscoped.id_of_user())?)
    }

    fn with_scope(&self, unscoped: String) -> Option<String> {
        let mut elements = vec![("unscoped_id".to_owned(), Some(&*unscoped))];
        elements.extend(self.scope.cache_id_elements());
        Some(public_id("federated", elements))
    }

    /// Obtains a token for the scope, or the unscoped token if there is no scope.
    pub(in crate::federation) fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let this = self.clone();
        Box::pin(async move { this.obtain(transport).await })
    }

    async fn obtain(&self, transport: Transport) -> Result<AccessInfo, Error> {
        let has_scope = self.scope.is_scoped();
        if has_scope {
            // An unusable scope is an error before anybody logs in.
            self.rescope_credentials("https://keystone.invalid".into(), "-").request()?;
        }
        let (mut rejections, mut short_lived) = (0, None);
        let (obtained, result) = loop {
            let takes_stored = rejections < MAX_REJECTIONS;
            let obtained = self.unscoped.obtain(transport.clone(), &self.seen, has_scope, takes_stored).await;
            let obtained = match obtained {
                Ok(obtained) => obtained,
                Err(error) => return short_lived.ok_or(error),
            };
            #[cfg(feature = "store")]
            let obtained = Obtained {
                // A login is not repeated because the scope rejects the token that was obtained for it.
                is_new: self.seen.take_prepared(&obtained.kept) || obtained.is_new,
                ..obtained
            };
            let result = self.rescope(&obtained.kept.token, &transport).await;
            let is_rejected = result.as_ref().is_err_and(is_rejected);
            let is_old = result.as_ref().is_ok_and(|scoped| obtained.kept.was_old(scoped));
            if !(is_rejected || is_old) || obtained.is_new || !self.login().can_log_in() || !takes_stored {
                break (obtained, result);
            }
            // The token may have been revoked, or its user has got the role after it was issued.
            self.unscoped.set_rejected(&obtained.kept);
            self.seen.set_token(&obtained.kept);
            short_lived = result.ok().or(short_lived);
            rejections += 1;
        };
        let has_ended = !obtained.kept.is_valid() || result.as_ref().is_err_and(is_revoked);
        if result.as_ref().is_err_and(is_rejected) && !self.login().can_log_in() && has_ended {
            #[cfg(feature = "store")]
            self.unscoped.end_stored_login().await;
            return Err(Error::LoginEnded);
        }
        if result.is_ok() {
            self.seen.set_token(&obtained.kept);
        }
        result
    }

    /// Obtains a token for the scope with an unscoped token.
    async fn rescope(&self, token: &UnscopedToken, transport: &Transport) -> Result<AccessInfo, Error> {
        if !self.scope.is_scoped() {
            return Ok(token.access_info.clone());
        }
        let unscoped = token.access_info.auth_token().ok_or(Error::NoToken)?;
        let rescoped =
            self.rescope_credentials(token.auth_url.clone(), unscoped).get_auth_ref(transport.clone());
        rescoped.await.map_err(describe)
    }

    fn rescope_credentials(&self, auth_url: AuthUrl, unscoped: &str) -> V3Credentials {
        V3Credentials::new(auth_url, AuthMethod::token(Secret::new(unscoped))).scope(self.scope.clone())
    }
}

/// How many tokens that were shared may be rejected before one is obtained by a login of this process: that of this
/// process, and that of another one in the store.
const MAX_REJECTIONS: u32 = 2;

/// Returns whether Keystone rejected the unscoped token, or the scope.
///
/// Keystone returns 404 for a token that was revoked, and 401 for one that has expired, for a scope that does not exist
/// and for one in which the user has no role.
fn is_rejected(error: &Error) -> bool {
    let Error::Keystone(error) = error else { return false };
    matches!(error.status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND)
}

/// Returns whether Keystone rejected the unscoped token, because it was revoked.
fn is_revoked(error: &Error) -> bool {
    matches!(error, Error::Keystone(error) if error.status == StatusCode::NOT_FOUND)
}

/// Describes the unscoped token and what to check in the error of a rescope.
fn describe(error: Error) -> Error {
    let Error::Keystone(error) = error else { return error };
    let mut error = HttpError::clone(&error);
    if let Some(login) = &mut error.login {
        login.identity = "the unscoped token of a federated login".into();
        login.hint = match error.status {
            StatusCode::UNAUTHORIZED => {
                "check that the scope exists, and that the user has a role in it: directly, or by a group of the mapping \
                 of the identity provider"
            }
            StatusCode::NOT_FOUND => "check the auth_url, and that the unscoped token has not been revoked",
            _ => login.hint,
        };
    }
    Error::Keystone(Arc::new(error))
}
