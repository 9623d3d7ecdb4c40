use std::fmt;

use super::{FederatedCredentials, IdentityProvider, OidcClient};
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
    pub fn refresh_token(&self) -> Option<&Secret> {
        self.refresh.as_ref().map(|(_, token)| token)
    }

    /// Makes credentials of the login, which last as long as the unscoped token or the refresh token.
    pub fn into_credentials(self) -> FederatedCredentials {
        todo!()
    }
}

impl fmt::Debug for CompletedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletedLogin").field("access_info", &self.access_info).finish_non_exhaustive()
    }
}
