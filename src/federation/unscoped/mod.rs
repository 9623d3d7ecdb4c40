//! The unscoped token of a login, and the tokens with a scope that are made of it.

use std::{future::Future, pin::Pin, sync::Arc};

use super::refresh_token::CurrentRefreshToken;
use crate::{AccessInfo, AuthUrl, Error, Transport};

mod exchange;
mod flight;
mod kept;
#[cfg(feature = "store")]
mod login_lease;
mod rescoped;
mod seen;
#[cfg(feature = "store")]
mod sharing;
#[cfg(test)]
mod tests;
mod tokens;

pub(super) use exchange::unscoped_token;
pub(super) use rescoped::Rescoped;

/// A way to obtain an unscoped token.
pub(super) trait UnscopedLogin: Send + Sync + 'static {
    /// Logs in anew.
    fn log_in(&self, transport: Transport) -> UnscopedFuture;

    /// Returns keystoneauth's `get_unscoped_cache_id`.
    fn cache_id(&self) -> Option<String>;

    /// Returns the id of the unscoped token in a store that is sealed. Logins of different users must have different
    /// ids.
    fn stored_id(&self) -> Option<String> {
        self.cache_id()
    }

    /// Returns an id of the unscoped token that is made of no secret.
    fn public_id(&self) -> Option<String>;

    /// Returns both ids of a login whose secrets change, given the id of the user who logged in last.
    fn id_of_user(&self, user_id: &str) -> Option<String> {
        let _ = user_id;
        None
    }

    /// Returns whether failed logins may lock an account.
    fn can_lock_account(&self) -> bool {
        false
    }

    /// Returns whether another login is possible. It is not after a login of a person that cannot be refreshed.
    fn can_log_in(&self) -> bool {
        true
    }

    /// Returns whether a login must not be cut off, because it uses up what it is made with.
    fn must_end(&self) -> bool {
        self.refresh_token().is_some()
    }

    /// Returns the refresh token, if the login has one. The provider may replace it at each login.
    fn refresh_token(&self) -> Option<&Arc<CurrentRefreshToken>> {
        None
    }
}

pub(super) type UnscopedFuture = Pin<Box<dyn Future<Output = Result<UnscopedToken, Error>> + Send>>;

/// An unscoped token that was obtained.
enum NewToken {
    /// It is of a login of this process.
    Own(UnscopedToken),
    /// Another process published it.
    #[cfg(feature = "store")]
    Stored(UnscopedToken),
}

/// An unscoped token, and the Keystone that issued it.
#[derive(Clone)]
pub(super) struct UnscopedToken {
    pub(super) access_info: AccessInfo,
    pub(super) auth_url: AuthUrl,
}
