//! The unscoped token of a login, and the tokens with a scope that are made of it.

use std::{future::Future, pin::Pin, sync::Arc};

use crate::{AccessInfo, AuthUrl, Error, Scope, Transport, identity::AuthRefFuture};

/// A way to obtain an unscoped token.
pub(super) trait UnscopedLogin: Send + Sync + 'static {
    /// Logs in anew.
    fn log_in(&self, transport: Transport) -> UnscopedFuture;

    /// Returns keystoneauth's `get_unscoped_cache_id`.
    fn cache_id(&self) -> Option<String>;

    /// Returns an id of the unscoped token that is made of no secret.
    fn public_id(&self) -> Option<String>;

    /// Returns whether failed logins may lock an account.
    fn can_lock_account(&self) -> bool;
}

pub(super) type UnscopedFuture = Pin<Box<dyn Future<Output = Result<UnscopedToken, Error>> + Send>>;

/// An unscoped token, and the Keystone that issued it.
#[derive(Clone)]
pub(super) struct UnscopedToken {
    pub(super) access_info: AccessInfo,
    pub(super) auth_url: AuthUrl,
}

/// The newest unscoped token of a login, which several scopes share.
pub(super) struct UnscopedTokens {
    login: Box<dyn UnscopedLogin>,
}

/// One scope of a login.
#[derive(Clone)]
pub(super) struct Rescoped {
    unscoped: Arc<UnscopedTokens>,
    scope: Scope,
}

impl Rescoped {
    pub(super) fn new(login: Box<dyn UnscopedLogin>) -> Self {
        todo!()
    }

    pub(super) fn scope(self, scope: Scope) -> Self {
        todo!()
    }

    /// Obtains a token for the scope, or the unscoped token if there is no scope.
    pub(super) fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        todo!()
    }
}
