use std::fmt;

use http::Uri;

use crate::{AuthUrl, Credentials, Transport, identity::AuthRefFuture};

/// A user who is proved by a TLS client certificate: keystoneauth's `v3oauth2mtlsclientcredential`.
#[derive(Clone)]
pub struct OAuth2MtlsCredentials {
    auth_url: AuthUrl,
    oauth2_endpoint: AuthUrl,
    client_id: Box<str>,
}

impl OAuth2MtlsCredentials {
    /// Makes credentials of the user with this id. The `Transport` presents the certificate.
    pub fn new(
        auth_url: impl Into<AuthUrl>,
        oauth2_endpoint: impl Into<AuthUrl>,
        client_id: impl Into<Box<str>>,
    ) -> Self {
        let (auth_url, oauth2_endpoint) = (auth_url.into(), oauth2_endpoint.into());
        Self { auth_url, oauth2_endpoint, client_id: client_id.into() }
    }
}

impl Credentials for OAuth2MtlsCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        todo!()
    }

    fn auth_url(&self) -> &Uri {
        todo!()
    }
}

impl fmt::Debug for OAuth2MtlsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2MtlsCredentials").finish_non_exhaustive()
    }
}
