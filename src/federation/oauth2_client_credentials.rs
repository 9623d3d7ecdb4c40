use std::fmt;

use http::Uri;

use crate::{AuthUrl, Credentials, Secret, Transport, identity::AuthRefFuture};

/// An application credential that also obtains an OAuth 2.0 bearer of Keystone: keystoneauth's
/// `v3oauth2clientcredential`.
#[derive(Clone)]
pub struct OAuth2ClientCredentials {
    auth_url: AuthUrl,
    oauth2_endpoint: AuthUrl,
    client_id: Box<str>,
    client_secret: Secret,
}

impl OAuth2ClientCredentials {
    /// Makes credentials of the id and the secret of an application credential.
    pub fn new(
        auth_url: impl Into<AuthUrl>,
        oauth2_endpoint: impl Into<AuthUrl>,
        client_id: impl Into<Box<str>>,
        client_secret: impl Into<Secret>,
    ) -> Self {
        let (auth_url, oauth2_endpoint) = (auth_url.into(), oauth2_endpoint.into());
        Self { auth_url, oauth2_endpoint, client_id: client_id.into(), client_secret: client_secret.into() }
    }
}

impl Credentials for OAuth2ClientCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        todo!()
    }

    fn auth_url(&self) -> &Uri {
        todo!()
    }
}

impl fmt::Debug for OAuth2ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2ClientCredentials").finish_non_exhaustive()
    }
}
