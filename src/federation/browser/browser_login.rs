use std::{fmt, time::Duration};

use crate::{
    Error, Transport,
    federation::{CompletedLogin, IdentityProvider, OidcClient},
};

/// A login in the browser of this machine, by authorization code with PKCE (RFC 7636, RFC 8252).
pub struct BrowserLogin {
    url: Box<str>,
}

impl BrowserLogin {
    /// Listens on a free port of `127.0.0.1` and `[::1]`, and makes the URL for the browser.
    pub async fn start(
        identity_provider: IdentityProvider,
        client: OidcClient,
        transport: Transport,
    ) -> Result<Self, Error> {
        todo!()
    }

    /// Returns the URL to open in the browser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the browser comes back. The login ends after `timeout`.
    pub async fn complete(self, timeout: Duration) -> Result<CompletedLogin, Error> {
        todo!()
    }
}

impl fmt::Debug for BrowserLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserLogin").finish_non_exhaustive()
    }
}
