//! SAML 2.0 with the profile for enhanced clients (ECP): a password at the identity provider, without a browser.

use std::fmt;

use crate::{AuthUrl, Secret, federation::plain_http::PlainHttpHosts};

/// A SAML identity provider with ECP, and a user there.
#[derive(Clone)]
pub struct SamlIdentityProvider {
    url: AuthUrl,
    username: Box<str>,
    password: Secret,
    plain_http: PlainHttpHosts,
}

impl SamlIdentityProvider {
    /// Names the ECP endpoint of the identity provider (`identity_provider_url`), and a user there.
    pub fn new(url: impl Into<AuthUrl>, username: impl Into<Box<str>>, password: impl Into<Secret>) -> Self {
        let plain_http = PlainHttpHosts::default();
        Self { url: url.into(), username: username.into(), password: password.into(), plain_http }
    }

    /// Allows plain http to this host, which everybody on the way can read.
    #[must_use]
    pub fn allow_http(mut self, host: impl Into<Box<str>>) -> Self {
        self.plain_http.allow(&host.into());
        self
    }
}

impl fmt::Debug for SamlIdentityProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamlIdentityProvider").finish_non_exhaustive()
    }
}
