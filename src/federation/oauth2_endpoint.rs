//! The OAuth 2.0 endpoint of Keystone, `{V3}/OS-OAUTH2/token`.

use std::sync::Arc;

use http::{StatusCode, Uri};

use super::{
    OidcClient,
    oauth::{TokenResponse, valid_url},
};
use crate::{
    AuthUrl, Error, Secret, Transport,
    error::{FederatedLoginFailed, LoginStep},
    identity::TOKENLESS_CERTIFICATE,
};

/// A client of the OAuth 2.0 endpoint of Keystone.
#[derive(Clone)]
pub(super) struct OAuth2Endpoint {
    url: AuthUrl,
    client: OidcClient,
}

impl OAuth2Endpoint {
    /// Creates a client that authenticates with a secret, or with its TLS certificate.
    pub(super) fn new(url: AuthUrl, client_id: Box<str>, secret: Option<Secret>) -> Self {
        let client = OidcClient::new(client_id);
        let client = match secret {
            Some(secret) => client.secret(secret),
            None => client,
        };
        Self { url, client }
    }

    pub(super) fn url(&self) -> &AuthUrl {
        &self.url
    }

    pub(super) fn client_id(&self) -> &str {
        self.client.client_id()
    }

    /// Allows plain http to a host.
    pub(super) fn allow_http(self, host: Box<str>) -> Self {
        Self { client: self.client.allow_http(host), ..self }
    }

    /// Returns an error if secrets must not be sent to this endpoint or to the `auth_url`.
    pub(super) fn check(&self, auth_url: &AuthUrl) -> Result<(), Error> {
        self.client.check_plain_http(LoginStep::OAuth2, auth_url.valid_uri()?)?;
        self.client.check_plain_http(LoginStep::OAuth2, &self.valid_url()?)
    }

    /// Requests an access token with these form fields.
    pub(super) async fn request_token(
        &self,
        transport: &Transport,
        fields: &[(&str, &str)],
    ) -> Result<TokenResponse, Error> {
        let response = self.client.request_keystone_token(transport, self.valid_url()?, fields).await;
        response.map_err(|error| match error {
            Error::FederatedLoginFailed(failed) => match self.hint(&failed) {
                Some(hint) => Arc::unwrap_or_clone(failed).with_hint(hint).into(),
                None => Error::FederatedLoginFailed(failed),
            },
            other => other,
        })
    }

    /// Returns what to do about an error response, if this endpoint decides it.
    fn hint(&self, failed: &FederatedLoginFailed) -> Option<&'static str> {
        match (failed.error.as_deref(), failed.status?) {
            (Some("invalid_client"), _) if self.client.client_secret().is_some() => {
                Some("check the id and the secret of the application credential, and that it has not expired")
            }
            (Some("invalid_client"), _) => Some(
                "check the user id, and that the client of the Transport presents the certificate of this user",
            ),
            (_, StatusCode::BAD_REQUEST) => {
                let description = failed.error_description.as_deref()?;
                description.contains("project or domain in scope").then_some(TOKENLESS_CERTIFICATE)
            }
            (_, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
                Some("check the oauth2_endpoint; that of a Keystone is {auth_url}/OS-OAUTH2/token")
            }
            _ => None,
        }
    }

    fn valid_url(&self) -> Result<Uri, Error> {
        valid_url(&self.url, "the oauth2_endpoint")
    }
}
