use std::{fmt, time::SystemTime};

use http::Uri;

use super::oauth2_endpoint::OAuth2Endpoint;
use crate::{
    AuthMethod, AuthUrl, Credentials, Scope, Secret, Transport, V3Credentials, access::Bearer,
    identity::AuthRefFuture,
};

/// An application credential that also gets OAuth 2.0 access tokens: keystoneauth's `v3oauth2clientcredential`.
///
/// Each login is two requests: one for a token, and one to the OAuth 2.0 endpoint for an access token. Requests to
/// services have the first as `X-Auth-Token` and the second as `Authorization: Bearer`. Both are used until one of
/// them expires, and then renewed together. An [`AccessInfo::auth_state`](crate::AccessInfo::auth_state), and so
/// a store, has both. A state of keystoneauth has no access token: requests with it have none until the next renewal.
#[derive(Clone)]
pub struct OAuth2ClientCredentials {
    auth_url: AuthUrl,
    login: V3Credentials,
    client_secret: Secret,
    endpoint: OAuth2Endpoint,
}

impl OAuth2ClientCredentials {
    /// Makes credentials of the id and the secret of an application credential.
    ///
    /// The `oauth2_endpoint` of a Keystone is `{auth_url}/OS-OAUTH2/token`, if the `auth_url` ends in `/v3`. Keystone
    /// takes the id and the secret as they are, not form-encoded (RFC 6749, section 2.3.1).
    pub fn new(
        auth_url: impl Into<AuthUrl>,
        oauth2_endpoint: impl Into<AuthUrl>,
        client_id: impl Into<Box<str>>,
        client_secret: impl Into<Secret>,
    ) -> Self {
        let (auth_url, client_id, client_secret) = (auth_url.into(), client_id.into(), client_secret.into());
        let method = AuthMethod::application_credential(client_id.clone(), client_secret.clone());
        let endpoint = OAuth2Endpoint::new(oauth2_endpoint.into(), client_id, Some(client_secret.clone()));
        let login = V3Credentials::new(auth_url.clone(), method);
        Self { auth_url, login, client_secret, endpoint }
    }

    /// Sets the scope of the token. Keystone accepts only the scope that the application credential has anyway.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        Self { login: self.login.scope(scope), ..self }
    }

    /// Requests a token without the service catalog (`?nocatalog`).
    #[must_use]
    pub fn without_catalog(self) -> Self {
        Self { login: self.login.without_catalog(), ..self }
    }

    /// Allows plain http to this host.
    ///
    /// Anybody on the network path can then read the secret and the tokens. By default, plain http is used to loopback
    /// only.
    #[must_use]
    pub fn allow_http(self, host: impl Into<Box<str>>) -> Self {
        Self { endpoint: self.endpoint.allow_http(host.into()), ..self }
    }

    /// Returns the elements of the ids that are not secret.
    fn id_elements<'a>(&'a self, endpoint: &'a str) -> [(String, &'a str); 2] {
        [("oauth2_endpoint", endpoint), ("oauth2_client_id", self.endpoint.client_id())].map(id_element)
    }
}

fn id_element<'a>((name, value): (&str, &'a str)) -> (String, &'a str) {
    (format!("oauth2_client_credential_{name}"), value)
}

impl Credentials for OAuth2ClientCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        let (auth_url, endpoint) = (self.auth_url.clone(), self.endpoint.clone());
        let login = self.login.get_auth_ref(transport.clone());
        Box::pin(async move {
            endpoint.check(&auth_url)?;
            let access_info = login.await?;
            let response =
                endpoint.request_token(&transport, &[("grant_type", "client_credentials")]).await?;
            // The earlier the time from which the lifetime is counted, the earlier is the renewal.
            let issued = access_info.date().or_else(|| access_info.issued().ok().flatten());
            let issued = issued.unwrap_or_else(SystemTime::now);
            let expires = response.lifetime.and_then(|lifetime| issued.checked_add(lifetime));
            access_info.with_bearer(Bearer::new(response.bearer.expose(), expires)?)
        })
    }

    fn auth_url(&self) -> &Uri {
        self.login.auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        let endpoint = self.endpoint.url().uri().to_string();
        let secret = id_element(("oauth2_client_secret", self.client_secret.expose()));
        Some(self.login.cache_id_with(self.id_elements(&endpoint).into_iter().chain([secret])))
    }

    fn public_id(&self) -> Option<String> {
        let endpoint = self.endpoint.url().uri().to_string();
        self.login.public_id_with("oauth2_client", self.id_elements(&endpoint))
    }

    fn can_lock_account(&self) -> bool {
        false
    }
}

/// Shows the scope, never the secret.
impl fmt::Debug for OAuth2ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2ClientCredentials").field("login", &self.login).finish_non_exhaustive()
    }
}
