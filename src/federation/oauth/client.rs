use std::{fmt, sync::Arc};

use http::Uri;

use super::{
    ClientAuthentication, ProviderMetadata, discovery,
    endpoint::{Endpoint, valid_url},
    shared_metadata::SharedMetadata,
};
use crate::{AuthUrl, Error, Secret, Transport, error::LoginStep, federation::plain_http::PlainHttpHosts};

/// A client that is registered at an OpenID Connect or OAuth 2.0 provider, and the URLs of the provider.
///
/// The URLs come from the [discovery document](Self::discovery_endpoint) of the provider, or are set one by one. Unlike
/// an `auth_url`, they may have a query. Client secrets, passwords and tokens are sent over https, and over plain http
/// to loopback (`127.0.0.0/8`, `[::1]` and `localhost`) and [allowed hosts](Self::allow_http) only. Redirects are not
/// followed.
///
/// Clones share the discovery document.
#[derive(Clone)]
pub struct OidcClient {
    client_id: Box<str>,
    secret: Option<Secret>,
    discovery_endpoint: Option<AuthUrl>,
    access_token_endpoint: Option<AuthUrl>,
    device_authorization_endpoint: Option<AuthUrl>,
    authorization_endpoint: Option<AuthUrl>,
    scope: Box<str>,
    pub(super) access_token_type: AccessTokenType,
    pub(super) authentication: ClientAuthentication,
    plain_http: PlainHttpHosts,
    pub(super) metadata: Arc<SharedMetadata>,
    has_code_challenge: bool,
}

/// Which token of the provider is sent to Keystone: keystoneauth's `access_token_type`.
///
/// It depends on what the web server in front of Keystone expects for the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessTokenType {
    /// The access token.
    #[default]
    AccessToken,
    /// The ID token. Providers issue it for the scope `openid`, and for users only.
    IdToken,
}

impl OidcClient {
    /// Makes a client with this id, and no secret: a public client.
    pub fn new(client_id: impl Into<Box<str>>) -> Self {
        Self {
            client_id: client_id.into(),
            secret: None,
            discovery_endpoint: None,
            access_token_endpoint: None,
            device_authorization_endpoint: None,
            authorization_endpoint: None,
            scope: "openid profile".into(),
            access_token_type: AccessTokenType::default(),
            authentication: ClientAuthentication::default(),
            plain_http: PlainHttpHosts::default(),
            metadata: Arc::default(),
            has_code_challenge: true,
        }
    }

    /// Sets the secret of the client. An empty secret is the same as none.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<Secret>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Sets the URL of the discovery document, such as `https://op.example.com/.well-known/openid-configuration`.
    ///
    /// The document is fetched at the first login, also if the other URLs are set. It is fetched anew if one of its
    /// endpoints returns 404 or 405. A login fails, with a
    /// [`FederatedLoginFailed`](crate::error::FederatedLoginFailed), if the document
    ///
    /// - lists the supported grants (`grant_types_supported`) without that of the login,
    /// - has an `issuer` that is not the beginning of the URL (OpenID Connect Discovery 1.0, section 4.3; RFC 8414,
    ///   section 3.3),
    /// - was fetched over https and leads to plain http, or
    /// - is longer than 1 MiB.
    #[must_use]
    pub fn discovery_endpoint(mut self, url: impl Into<AuthUrl>) -> Self {
        self.discovery_endpoint = Some(url.into());
        self.metadata = Arc::default();
        self
    }

    /// Sets the URL of the token endpoint. It takes precedence over the discovery document.
    #[must_use]
    pub fn access_token_endpoint(mut self, url: impl Into<AuthUrl>) -> Self {
        self.access_token_endpoint = Some(url.into());
        self
    }

    /// Sets the URL for device logins. It takes precedence over the discovery document.
    #[must_use]
    pub fn device_authorization_endpoint(mut self, url: impl Into<AuthUrl>) -> Self {
        self.device_authorization_endpoint = Some(url.into());
        self
    }

    /// Sets the URL that a browser is sent to. It takes precedence over the discovery document.
    #[must_use]
    pub fn authorization_endpoint(mut self, url: impl Into<AuthUrl>) -> Self {
        self.authorization_endpoint = Some(url.into());
        self
    }

    /// Sets the scope of the tokens of the provider: keystoneauth's `openid_scope`. The default is `openid profile`.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<Box<str>>) -> Self {
        self.scope = scope.into();
        self
    }

    /// Sets which token of the provider is sent to Keystone. The default is the access token.
    #[must_use]
    pub fn access_token_type(mut self, kind: AccessTokenType) -> Self {
        self.access_token_type = kind;
        self
    }

    /// Sets how the client sends its secret. The default is [`ClientAuthentication::Basic`].
    #[must_use]
    pub fn authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// Allows plain http to this host.
    ///
    /// Anybody on the network path can then read the secrets and the tokens. The host is a name or an IP address,
    /// without a port. A discovery document that was fetched over https does not lead to plain http in any case.
    #[must_use]
    pub fn allow_http(mut self, host: impl Into<Box<str>>) -> Self {
        self.plain_http.allow(&host.into());
        self
    }

    /// Leaves the code challenge (RFC 7636) out of device logins.
    ///
    /// Some providers do not accept one. keystoneauth sends one only if its `code_challenge_method` is set. Browser
    /// logins always have a code challenge.
    #[must_use]
    pub fn without_code_challenge(mut self) -> Self {
        self.has_code_challenge = false;
        self
    }

    /// Returns whether device logins have a code challenge.
    pub(in crate::federation) fn has_code_challenge(&self) -> bool {
        self.has_code_challenge
    }

    /// Returns an error if secrets must not be sent to this URL.
    pub(in crate::federation) fn check_plain_http(&self, step: LoginStep, url: &Uri) -> Result<(), Error> {
        self.plain_http.check(step, url)
    }

    /// Returns the discovery document of the provider and its URL. `None` if no `discovery_endpoint` is set.
    pub(in crate::federation) async fn discover(
        &self,
        transport: &Transport,
    ) -> Result<Option<(Arc<ProviderMetadata>, Uri)>, Error> {
        let Some(url) = &self.discovery_endpoint else { return Ok(None) };
        let url = valid_url(url, "the discovery_endpoint")?;
        self.check_plain_http(LoginStep::Discovery, &url)?;
        let fetch = || discovery::fetch(transport.clone(), url.clone());
        let metadata = self.metadata.get_or_fetch(fetch).await?;
        Ok(Some((metadata, url)))
    }

    /// Returns the URL of an endpoint that was set.
    pub(super) fn configured_url(&self, endpoint: Endpoint) -> Result<Option<Uri>, Error> {
        let url = match endpoint {
            Endpoint::Token => &self.access_token_endpoint,
            Endpoint::DeviceAuthorization => &self.device_authorization_endpoint,
            Endpoint::Authorization => &self.authorization_endpoint,
        };
        url.as_ref().map(|url| valid_url(url, endpoint.name())).transpose()
    }

    /// Returns the names and the URLs that say where refresh tokens are sent.
    #[cfg(feature = "store")]
    pub(in crate::federation) fn endpoints(&self) -> Vec<(&'static str, String)> {
        let urls = [
            ("discovery_endpoint", &self.discovery_endpoint),
            ("access_token_endpoint", &self.access_token_endpoint),
        ];
        let endpoint = |(name, url): (_, &Option<AuthUrl>)| Some((name, url.as_ref()?.uri().to_string()));
        urls.into_iter().filter_map(endpoint).collect()
    }

    /// Returns the secret. An empty one is none.
    pub(in crate::federation) fn client_secret(&self) -> Option<&Secret> {
        self.secret.as_ref().filter(|secret| !secret.expose().is_empty())
    }

    /// Returns the secret as it was set, for cache ids: keystoneauth's have an empty secret too.
    pub(in crate::federation) fn secret_in_id(&self) -> Option<&str> {
        self.secret.as_ref().map(Secret::expose)
    }

    pub(in crate::federation) fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(in crate::federation) fn openid_scope(&self) -> &str {
        &self.scope
    }
}

impl fmt::Debug for OidcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcClient").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}
