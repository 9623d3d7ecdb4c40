//! The OAuth 2.0 endpoint of Keystone, `{V3}/OS-OAUTH2/token`.

use super::{OidcClient, oauth::TokenResponse, plain_http::PlainHttpHosts};
use crate::{AuthUrl, Error, Secret, Transport, error::LoginStep};

/// A client of the OAuth 2.0 endpoint of Keystone.
#[derive(Clone)]
pub(super) struct OAuth2Endpoint {
    url: AuthUrl,
    client: OidcClient,
    plain_http: PlainHttpHosts,
}

impl OAuth2Endpoint {
    /// Creates a client that authenticates with a secret, or with its TLS certificate.
    pub(super) fn new(url: AuthUrl, client_id: Box<str>, secret: Option<Secret>) -> Self {
        let client = OidcClient::new(client_id).access_token_endpoint(url.clone());
        let client = match secret {
            Some(secret) => client.secret(secret),
            None => client,
        };
        Self { url, client, plain_http: PlainHttpHosts::default() }
    }

    pub(super) fn url(&self) -> &AuthUrl {
        &self.url
    }

    pub(super) fn client_id(&self) -> &str {
        self.client.client_id()
    }

    /// Allows plain http to a host.
    pub(super) fn allow_http(self, host: Box<str>) -> Self {
        let Self { url, client, mut plain_http } = self;
        plain_http.allow(&host);
        Self { url, client: client.allow_http(host), plain_http }
    }

    /// Requests an access token with these form fields.
    ///
    /// # Errors
    ///
    /// [`Error::FederatedLoginFailed`], before anything is sent if this URL or the `auth_url` must not get secrets.
    pub(super) async fn request_token(
        &self,
        transport: &Transport,
        fields: &[(&str, &str)],
    ) -> Result<TokenResponse, Error> {
        todo!()
    }

    /// Returns an error if secrets must not be sent to this endpoint or to the `auth_url`.
    pub(super) fn check_plain_http(&self, auth_url: &AuthUrl) -> Result<(), Error> {
        self.plain_http.check(LoginStep::OAuth2, auth_url.valid_uri()?)?;
        self.plain_http.check(LoginStep::OAuth2, self.url.uri())
    }
}
