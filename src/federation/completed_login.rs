#[cfg(feature = "store")]
mod store;

use std::fmt;

#[cfg(feature = "store")]
use super::stored_login::StoredLogin;
use super::{
    FederatedCredentials, IdentityProvider, OidcClient,
    logins::{EndedLogin, RefreshLogin},
    refresh_token::CurrentRefreshToken,
    unscoped::{Rescoped, UnscopedLogin},
};
use crate::{AccessInfo, Secret};

/// The result of a login by a person: an unscoped token and, if the provider gives one, a refresh token.
pub struct CompletedLogin {
    pub(super) identity_provider: IdentityProvider,
    pub(super) access_info: AccessInfo,
    /// The client of the provider, if there is one.
    pub(super) client: Option<OidcClient>,
    pub(super) refresh_token: Option<Secret>,
    /// Where the login is stored.
    #[cfg(feature = "store")]
    pub(super) stored: Option<StoredLogin>,
}

impl CompletedLogin {
    pub(super) fn new(
        identity_provider: IdentityProvider,
        client: Option<OidcClient>,
        access_info: AccessInfo,
        refresh_token: Option<Secret>,
    ) -> Self {
        Self {
            identity_provider,
            access_info,
            client,
            refresh_token,
            #[cfg(feature = "store")]
            stored: None,
        }
    }

    /// Returns the unscoped token and its document, which names the user.
    ///
    /// A login that was stored may have another unscoped token by now.
    pub fn access_info(&self) -> &AccessInfo {
        &self.access_info
    }

    /// Returns the refresh token. It is a secret of the user.
    ///
    /// A provider may give one only if the scope of the [`OidcClient`] contains `offline_access`.
    pub fn refresh_token(&self) -> Option<&Secret> {
        self.refresh_token.as_ref()
    }

    /// Makes credentials of the login, which last as long as the refresh token or the unscoped token.
    ///
    /// They begin with the unscoped token of the login. With a refresh token, they log in again with it. Without one,
    /// the unscoped token is used for the first token of each scope until it expires, and for renewals while it has
    /// more than half of its life left.
    ///
    /// After that, the error is [`Error::LoginEnded`](crate::Error::LoginEnded), and the person has to log in again.
    /// Nothing ever asks a person in the background.
    pub fn into_credentials(self) -> FederatedCredentials {
        let user_id = self.user_id().map(Into::into);
        let token = self.identity_provider.unscoped_token(self.access_info);
        let identity_provider = self.identity_provider.clone();
        #[cfg(feature = "store")]
        let is_newest = self.stored.is_none();
        #[cfg(not(feature = "store"))]
        let is_newest = true;
        let login: Box<dyn UnscopedLogin> = match (self.client, self.refresh_token) {
            (Some(client), Some(refresh_token)) => {
                let refresh_token = CurrentRefreshToken::new(refresh_token, is_newest);
                Box::new(RefreshLogin::for_person(identity_provider, client, refresh_token, user_id))
            }
            _ => Box::new(EndedLogin { identity_provider, user_id }),
        };
        let rescoped = Rescoped::new(login);
        #[cfg(feature = "store")]
        let rescoped = match self.stored {
            Some(stored) => rescoped.with_stored_login(token, stored),
            None => rescoped.with_token_of_person(token),
        };
        #[cfg(not(feature = "store"))]
        let rescoped = rescoped.with_token_of_person(token);
        FederatedCredentials::from_rescoped(self.identity_provider, rescoped)
    }

    pub(super) fn user_id(&self) -> Option<&str> {
        self.access_info.user_id().filter(|id| !id.is_empty())
    }
}

/// Shows the user, never the tokens.
impl fmt::Debug for CompletedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletedLogin").field("access_info", &self.access_info).finish_non_exhaustive()
    }
}
