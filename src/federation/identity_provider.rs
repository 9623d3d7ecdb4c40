use http::Uri;

use super::plain_http::PlainHttpHosts;
use crate::{AuthUrl, Error};

/// An identity provider and a protocol, as they are registered in a Keystone.
#[derive(Clone, Debug)]
pub struct IdentityProvider {
    auth_url: AuthUrl,
    id: Box<str>,
    protocol: Box<str>,
    plain_http: PlainHttpHosts,
}

impl IdentityProvider {
    /// Names the identity provider with this id and this protocol (`openid`, often) of the Keystone at this URL.
    pub fn new(auth_url: impl Into<AuthUrl>, id: impl Into<Box<str>>, protocol: impl Into<Box<str>>) -> Self {
        let plain_http = PlainHttpHosts::default();
        Self { auth_url: auth_url.into(), id: id.into(), protocol: protocol.into(), plain_http }
    }

    /// Allows plain http to this host of Keystone, which reads the bearer then, as everybody on the way can.
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

    /// Returns the URL that yields unscoped tokens: `{V3}/OS-FEDERATION/identity_providers/{id}/protocols/{protocol}/auth`.
    pub(super) fn federated_url(&self) -> Result<Uri, Error> {
        todo!()
    }
}
