use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri};
use zeroize::Zeroizing;

use crate::{
    AuthUrl, Error, Secret,
    access::basic_value,
    federation::{
        oauth::{basic, valid_url},
        plain_http::PlainHttpHosts,
    },
};

/// A SAML identity provider with the profile for enhanced clients (ECP), and a user there.
///
/// The password is sent to the identity provider only, by HTTP basic authentication.
#[derive(Clone)]
pub struct SamlIdentityProvider {
    url: AuthUrl,
    username: Box<str>,
    password: Secret,
    pub(super) plain_http: PlainHttpHosts,
}

impl SamlIdentityProvider {
    /// Names the ECP endpoint of the identity provider (`identity_provider_url`), and a user there.
    pub fn new(url: impl Into<AuthUrl>, username: impl Into<Box<str>>, password: impl Into<Secret>) -> Self {
        let plain_http = PlainHttpHosts::default();
        Self { url: url.into(), username: username.into(), password: password.into(), plain_http }
    }

    /// Allows plain http to this host. Anybody on the network path can then read the password.
    #[must_use]
    pub fn allow_http(mut self, host: impl Into<Box<str>>) -> Self {
        self.plain_http.allow(&host.into());
        self
    }

    /// Returns the value of `Authorization`, and what it contains in base64.
    ///
    /// The name and the password are written in Latin-1, as keystoneauth does, or in UTF-8 if they have other
    /// characters. `None` if the name contains a colon, which separates it from the password, or if they are too long
    /// for a header.
    pub(super) fn authorization(&self) -> Option<(HeaderValue, Secret)> {
        if self.username.contains(':') {
            return None;
        }
        let password = self.password.expose();
        let encoded = basic(&self.username, password).unwrap_or_else(|| {
            let mut pair = Zeroizing::new(String::with_capacity(self.username.len() + 1 + password.len()));
            for part in [&*self.username, ":", password] {
                pair.push_str(part);
            }
            Secret::new(BASE64_STANDARD.encode(&*pair))
        });
        Some((basic_value(encoded.expose()).ok()?, encoded))
    }

    /// Returns the URL, which may be invalid.
    pub(in crate::federation) fn url(&self) -> &Uri {
        self.url.uri()
    }

    /// Returns the URL if it is valid, or [`Error::InvalidEndpoint`].
    pub(in crate::federation) fn valid_url(&self) -> Result<Uri, Error> {
        valid_url(&self.url, "the URL of the SAML identity provider")
    }

    pub(in crate::federation) fn username(&self) -> &str {
        &self.username
    }

    pub(in crate::federation) fn password(&self) -> &Secret {
        &self.password
    }
}

impl fmt::Debug for SamlIdentityProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamlIdentityProvider").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_written_in_latin_1_if_possible() {
        for (username, password, expected) in [
            ("erin", "erin-pass", &b"erin:erin-pass"[..]),
            ("erin", "a:b", b"erin:a:b"),
            ("erin", "\u{e9}", b"erin:\xe9"),
            ("\u{e9}rin", "\u{20ac}", "\u{e9}rin:\u{20ac}".as_bytes()),
        ] {
            let provider = SamlIdentityProvider::new("https://idp.example.com/ecp", username, password);
            let (value, encoded) = provider.authorization().unwrap();
            assert!(value.is_sensitive());
            assert_eq!(value.to_str().unwrap(), format!("Basic {}", encoded.expose()));
            assert_eq!(BASE64_STANDARD.decode(encoded.expose()).unwrap(), expected);
        }
        assert!(SamlIdentityProvider::new("https://idp", "a:b", "c").authorization().is_none());
    }
}
