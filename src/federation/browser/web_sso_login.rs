use std::{fmt, time::Duration};

use crate::{
    Error, Transport,
    federation::{CompletedLogin, IdentityProvider},
};

/// A login in the browser of this machine by Keystone's web single sign-on: keystoneauth's `v3websso`.
pub struct WebSsoLogin {
    url: Box<str>,
}

impl WebSsoLogin {
    /// Listens on port 9990 of `127.0.0.1` and `[::1]`, and makes the URL for the browser.
    pub async fn start(identity_provider: IdentityProvider, transport: Transport) -> Result<Self, Error> {
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

impl fmt::Debug for WebSsoLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSsoLogin").finish_non_exhaustive()
    }
}
