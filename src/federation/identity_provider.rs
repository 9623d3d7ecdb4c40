use http::Uri;

use super::{plain_http::PlainHttpHosts, unscoped::UnscopedToken};
use crate::{AccessInfo, AuthUrl, Error, error::LoginStep, identity::v3_url};

/// An identity provider and a protocol, as they are registered in a Keystone.
#[derive(Clone, Debug)]
pub struct IdentityProvider {
    auth_url: AuthUrl,
    id: Box<str>,
    protocol: Box<str>,
    plain_http: PlainHttpHosts,
}

impl IdentityProvider {
    /// Names an identity provider and a protocol of the Keystone at this URL.
    ///
    /// The `auth_url` may end in `/v3`. `openstack identity provider list` and `openstack federation protocol list`
    /// show both ids. The protocol is often called `openid`, `saml2` or `mapped`.
    pub fn new(auth_url: impl Into<AuthUrl>, id: impl Into<Box<str>>, protocol: impl Into<Box<str>>) -> Self {
        let plain_http = PlainHttpHosts::default();
        Self { auth_url: auth_url.into(), id: id.into(), protocol: protocol.into(), plain_http }
    }

    /// Allows plain http to this host of Keystone.
    ///
    /// Anybody on the network path can then read the proof of the login and the token.
    #[must_use]
    pub fn allow_http(mut self, host: impl Into<Box<str>>) -> Self {
        self.plain_http.allow(&host.into());
        self
    }

    pub(super) fn auth_url(&self) -> &AuthUrl {
        &self.auth_url
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn protocol(&self) -> &str {
        &self.protocol
    }

    /// Returns an unscoped token that this Keystone has issued.
    pub(super) fn unscoped_token(&self, access_info: AccessInfo) -> UnscopedToken {
        UnscopedToken { access_info, auth_url: self.auth_url().clone() }
    }

    /// Returns the URL that yields unscoped tokens:
    /// `{V3}/OS-FEDERATION/identity_providers/{id}/protocols/{protocol}/auth`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEndpoint`] if the `auth_url` or one of the ids is invalid or the result is too long, and an error
    /// if the URL is plain http to a host that is not allowed.
    pub(super) fn federated_url(&self) -> Result<Uri, Error> {
        let (id, protocol) = (self.id_segment()?, self.protocol_segment()?);
        self.url(&format!("OS-FEDERATION/identity_providers/{id}/protocols/{protocol}/auth"))
    }

    /// Returns the id as a segment of a path.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEndpoint`] if it cannot be one.
    pub(super) fn id_segment(&self) -> Result<String, Error> {
        valid_segment("the id of the identity provider", &self.id)
    }

    /// Returns the protocol as a segment of a path.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEndpoint`] if it cannot be one.
    pub(super) fn protocol_segment(&self) -> Result<String, Error> {
        valid_segment("the protocol", &self.protocol)
    }

    /// Returns the URL of a path below `/v3`.
    ///
    /// # Errors
    ///
    /// Those of [`federated_url`](Self::federated_url).
    pub(super) fn url(&self, path: &str) -> Result<Uri, Error> {
        let url = v3_url(self.auth_url.valid_uri()?, path);
        let too_long = Error::InvalidEndpoint { what: "the auth_url", reason: "it is too long for a URL" };
        let url = url.parse().map_err(|_| too_long)?;
        self.plain_http.check(LoginStep::Federation, &url)?;
        Ok(url)
    }
}

/// Encodes an id as a segment of a path, unless servers would remove it and take another path (RFC 3986, section 5.2.4).
fn valid_segment(what: &'static str, id: &str) -> Result<String, Error> {
    match id {
        "" | "." | ".." => {
            let reason = "it is empty, `.` or `..`, which is no segment of a path; correct it";
            Err(Error::InvalidEndpoint { what, reason })
        }
        id => Ok(path_segment(id)),
    }
}

/// Percent-encodes what the segment of a path cannot contain (RFC 3986, section 3.3).
pub(super) fn path_segment(text: &str) -> String {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            byte if is_allowed(byte) => segment.push(char::from(byte)),
            byte => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(auth_url: &str, id: &str, protocol: &str) -> String {
        IdentityProvider::new(auth_url, id, protocol).federated_url().unwrap().to_string()
    }

    #[test]
    fn v3_is_added_unless_it_is_there() {
        let path = "/v3/OS-FEDERATION/identity_providers/op/protocols/openid/auth";
        for (auth_url, start) in [
            ("https://h:5000", "https://h:5000"),
            ("https://h:5000/", "https://h:5000"),
            ("https://h:5000/v3", "https://h:5000"),
            ("https://h:5000/v3//", "https://h:5000"),
            ("https://h/identity", "https://h/identity"),
            ("https://h/identity/v3/", "https://h/identity"),
        ] {
            assert_eq!(url(auth_url, "op", "openid"), format!("{start}{path}"), "{auth_url}");
        }
    }

    #[test]
    fn ids_stay_segments_of_the_path() {
        let segment =
            |id| url("https://h", id, "p").replace("https://h/v3/OS-FEDERATION/identity_providers/", "");
        assert_eq!(segment("my-idp_1.~"), "my-idp_1.~/protocols/p/auth");
        assert_eq!(segment("a b/../é?x#%"), "a%20b%2F..%2F%C3%A9%3Fx%23%25/protocols/p/auth");
        assert!(url("https://h", "op", "a/b").ends_with("/protocols/a%2Fb/auth"));
        assert_eq!(segment("%2e%2e"), "%252e%252e/protocols/p/auth");
        assert_eq!(segment("..."), ".../protocols/p/auth");
    }

    #[test]
    fn an_invalid_url_and_plain_http_to_another_host_are_errors() {
        let provider = IdentityProvider::new("keystone.example.com", "op", "openid");
        assert!(matches!(provider.federated_url(), Err(Error::InvalidEndpoint { .. })));
        let provider = IdentityProvider::new("http://keystone.example.com", "op", "openid");
        assert!(provider.federated_url().is_err());
        assert!(provider.allow_http("keystone.example.com").federated_url().is_ok());
        assert!(IdentityProvider::new("http://127.0.0.1:5000", "op", "openid").federated_url().is_ok());
        let long = IdentityProvider::new("https://h", "x".repeat(70_000), "openid");
        assert!(matches!(long.federated_url(), Err(Error::InvalidEndpoint { .. })));
    }
}
