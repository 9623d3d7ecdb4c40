use std::{fmt, time::Duration};

use super::{CompletedLogin, IdentityProvider, OidcClient};
use crate::{Error, Transport};

/// A login in the browser of any device (RFC 8628): the user types a short code there.
pub struct DeviceLogin {
    user_code: Box<str>,
    verification_uri: Box<str>,
    verification_uri_complete: Option<Box<str>>,
}

impl DeviceLogin {
    /// Asks the provider for a code.
    pub async fn start(
        identity_provider: IdentityProvider,
        client: OidcClient,
        transport: Transport,
    ) -> Result<Self, Error> {
        todo!()
    }

    /// Returns the code that the user types.
    pub fn user_code(&self) -> &str {
        &self.user_code
    }

    /// Returns the URL that the user opens.
    pub fn verification_uri(&self) -> &str {
        &self.verification_uri
    }

    /// Returns a URL with the code in it, if the provider has one, for a link or a QR code.
    pub fn verification_uri_complete(&self) -> Option<&str> {
        self.verification_uri_complete.as_deref()
    }

    /// Returns how long the code is valid from now on.
    pub fn expires_in(&self) -> Duration {
        todo!()
    }

    /// Waits until the user has logged in. If the future is dropped, another call goes on.
    pub async fn complete(&mut self) -> Result<CompletedLogin, Error> {
        todo!()
    }
}

impl fmt::Debug for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceLogin").finish_non_exhaustive()
    }
}
