use std::fmt;

use http::Uri;

use super::oauth2_endpoint::OAuth2Endpoint;
use crate::{
    AuthUrl, Credentials, Transport,
    access::Bearer,
    identity::{AuthRefFuture, token_document},
};

/// A user who logs in with a TLS client certificate: keystoneauth's `v3oauth2mtlsclientcredential`.
///
/// Each login is two requests: one to the OAuth 2.0 endpoint for an access token, and one to the `auth_url` for its
/// document. Requests to services have the access token as `X-Auth-Token` and as `Authorization: Bearer`. Its scope is
/// the user's default project.
///
/// The HTTP client of the [`Transport`] presents the certificate. The access token is bound to it (RFC 8705):
/// [`AccessInfo::oauth2_credential_thumbprint`](crate::AccessInfo::oauth2_credential_thumbprint) is the hash of the
/// certificate, with which services compare the certificate of each request. So the client below the
/// [`AuthLayer`](crate::AuthLayer) must present it too. With the feature `rustls`, use one `HttpsClient` for both, to
/// which `HttpsClient::builder().client_certificate(certificate, Some(key))` gives the files of the certificate and its
/// key.
#[derive(Clone)]
pub struct OAuth2MtlsCredentials {
    auth_url: AuthUrl,
    endpoint: OAuth2Endpoint,
}

impl OAuth2MtlsCredentials {
    /// Makes credentials of the user with this id.
    ///
    /// The `oauth2_endpoint` of a Keystone is `{auth_url}/OS-OAUTH2/token`, if the `auth_url` ends in `/v3`.
    pub fn new(
        auth_url: impl Into<AuthUrl>,
        oauth2_endpoint: impl Into<AuthUrl>,
        client_id: impl Into<Box<str>>,
    ) -> Self {
        let endpoint = OAuth2Endpoint::new(oauth2_endpoint.into(), client_id.into(), None);
        Self { auth_url: auth_url.into(), endpoint }
    }

    /// Allows plain http to this host.
    ///
    /// Anybody on the network path can then read the access token. By default, plain http is used to loopback only.
    #[must_use]
    pub fn allow_http(self, host: impl Into<Box<str>>) -> Self {
        Self { endpoint: self.endpoint.allow_http(host.into()), ..self }
    }
}

impl Credentials for OAuth2MtlsCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let Self { auth_url, endpoint } = self.clone();
        Box::pin(async move {
            endpoint.check(&auth_url)?;
            let fields = [("grant_type", "client_credentials"), ("client_id", endpoint.client_id())];
            let access_token = endpoint.request_token(&transport, &fields).await?.bearer;
            let description = "the OAuth 2.0 access token of a client certificate";
            let access_info = token_document(&transport, &auth_url, &access_token, description).await?;
            access_info.with_bearer(Bearer::new(access_token.expose(), None)?)
        })
    }

    fn auth_url(&self) -> &Uri {
        self.auth_url.uri()
    }

    /// Returns false: a rejected certificate locks no account.
    fn can_lock_account(&self) -> bool {
        false
    }
}

impl fmt::Debug for OAuth2MtlsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2MtlsCredentials").finish_non_exhaustive()
    }
}
