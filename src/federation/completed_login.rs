use std::fmt;

use super::{
    FederatedCredentials, IdentityProvider, OidcClient,
    logins::{EndedLogin, RefreshLogin},
    unscoped::{Rescoped, UnscopedLogin},
};
use crate::{AccessInfo, Secret};

/// The result of a login by a person: an unscoped token and, if the provider gives one, a refresh token.
pub struct CompletedLogin {
    pub(super) identity_provider: IdentityProvider,
    pub(super) access_info: AccessInfo,
    /// The client and its refresh token.
    pub(super) refresh: Option<(OidcClient, Secret)>,
}

impl CompletedLogin {
    /// Returns the unscoped token and its document, which names the user.
    pub fn access_info(&self) -> &AccessInfo {
        &self.access_info
    }

    /// Returns the refresh token. It is a secret of the user.
    ///
    /// A provider may give one only if the scope of the [`OidcClient`] contains `offline_access`.
    pub fn refresh_token(&self) -> Option<&Secret> {
        self.refresh.as_ref().map(|(_, token)| token)
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
        let Self { identity_provider, access_info, refresh } = self;
        let user_id = access_info.user_id().filter(|id| !id.is_empty()).map(Into::into);
        let token = identity_provider.unscoped_token(access_info);
        let provider = identity_provider.clone();
        let login: Box<dyn UnscopedLogin> = match refresh {
            Some((client, refresh_token)) => {
                Box::new(RefreshLogin::for_person(provider, client, refresh_token, user_id))
            }
            None => Box::new(EndedLogin { identity_provider: provider, user_id }),
        };
        let rescoped = Rescoped::with_token_of_person(login, token);
        FederatedCredentials::from_rescoped(identity_provider, rescoped)
    }
}

/// Shows the user, never the tokens.
impl fmt::Debug for CompletedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletedLogin").field("access_info", &self.access_info).finish_non_exhaustive()
    }
}
