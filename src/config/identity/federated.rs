//! Builds federated logins, and those with OAuth 2.0 or a client certificate.

use std::sync::Arc;
#[cfg(feature = "browser")]
use std::time::Duration;

use http::Uri;
use tracing::warn;

use super::{
    auth_types::Federated,
    build::{Builder, Identity, SCOPE, invalid},
    members::Member,
    person::PersonalLogin,
};
#[cfg(feature = "saml")]
use crate::federation::SamlIdentityProvider;
use crate::{
    endpoint::Origin,
    error::ConfigError,
    federation::{
        AccessTokenType, FederatedCredentials, Grant, IdentityProvider, OAuth2ClientCredentials,
        OAuth2MtlsCredentials, OidcClient, TokenlessPlugin,
    },
};

impl Builder<'_> {
    pub(super) fn federated(&self, kind: Federated) -> Result<Identity, ConfigError> {
        let grant = match kind {
            Federated::ClientCredentials => Grant::client_credentials(self.client()?),
            Federated::Password => self.password_grant()?,
            Federated::AccessToken => Grant::access_token(self.secret("access_token")?),
            Federated::AuthorizationCode => self.code_grant()?,
            #[cfg(feature = "saml")]
            Federated::SamlPassword => Grant::saml(self.saml_provider()?),
            Federated::Device => return Ok(Identity::Person(self.device_login()?.into())),
            #[cfg(feature = "browser")]
            Federated::WebSso => return Ok(Identity::Person(self.web_sso_login()?.into())),
            Federated::OAuth2Client => return Ok(Identity::Credentials(Arc::new(self.oauth2_client()?))),
            Federated::OAuth2Mtls => return Ok(Identity::Credentials(Arc::new(self.oauth2_mtls()?))),
            Federated::Tokenless => return Ok(Identity::Fixed(Arc::new(self.tokenless()?))),
        };
        let credentials = FederatedCredentials::new(self.identity_provider()?, grant).scope(self.scope());
        Ok(Identity::Federated(credentials.into()))
    }

    fn identity_provider(&self) -> Result<IdentityProvider, ConfigError> {
        let (id, protocol) = (self.required("identity_provider")?, self.required("protocol")?);
        let provider = IdentityProvider::new(self.auth_url()?, id, protocol);
        Ok(self.allow_http(provider, IdentityProvider::allow_http))
    }

    fn client(&self) -> Result<OidcClient, ConfigError> {
        let mut client = OidcClient::new(self.required("client_id")?);
        if let Some(secret) = self.members.get("client_secret") {
            client = client.secret(secret.text.clone());
        }
        if let Some(scope) = self.text("openid_scope") {
            client = client.scope(scope);
        }
        if let Some(url) = self.url("discovery_endpoint")? {
            client = client.discovery_endpoint(url);
        }
        if let Some(url) = self.url("access_token_endpoint")? {
            client = client.access_token_endpoint(url);
        }
        if let Some(url) = self.url("device_authorization_endpoint")? {
            client = client.device_authorization_endpoint(url);
        }
        client = match self.members.get("access_token_type") {
            None => client,
            Some(member) => client.access_token_type(match member.text.expose() {
                "access_token" => AccessTokenType::AccessToken,
                "id_token" => AccessTokenType::IdToken,
                _ => return Err(invalid(member, "access_token or id_token")),
            }),
        };
        Ok(self.allow_http(client, OidcClient::allow_http))
    }

    fn password_grant(&self) -> Result<Grant, ConfigError> {
        let grant = Grant::password(self.client()?, self.required("username")?, self.secret("password")?);
        match (self.text("idp_otp_key"), self.members.get("passcode")) {
            (Some(field), Some(passcode)) => Ok(grant.passcode(field, passcode.text.clone())),
            (None, Some(passcode)) => {
                let Member { location, path, .. } = passcode;
                warn!("{location}: {path}: it is not sent; idp_otp_key sets the name of its form field");
                Ok(grant)
            }
            _ => Ok(grant),
        }
    }

    fn code_grant(&self) -> Result<Grant, ConfigError> {
        let grant = Grant::authorization_code(self.client()?, self.secret("code")?);
        Ok(match self.text("redirect_uri") {
            Some(url) => grant.redirect_uri(url),
            None => grant,
        })
    }

    #[cfg(feature = "saml")]
    fn saml_provider(&self) -> Result<SamlIdentityProvider, ConfigError> {
        let url = self.url("identity_provider_url")?.ok_or_else(|| self.missing("identity_provider_url"))?;
        let provider = SamlIdentityProvider::new(url, self.required("username")?, self.secret("password")?);
        Ok(self.allow_http(provider, SamlIdentityProvider::allow_http))
    }

    fn device_login(&self) -> Result<PersonalLogin, ConfigError> {
        let client = match self.members.get("code_challenge_method") {
            None => self.client()?,
            Some(member) => match member.text.expose() {
                "S256" => self.client()?,
                "none" => self.client()?.without_code_challenge(),
                _ => return Err(invalid(member, "S256, which is the default, or none")),
            },
        };
        Ok(PersonalLogin::device(self.auth_url()?, self.identity_provider()?, client, self.scope()))
    }

    #[cfg(feature = "browser")]
    fn web_sso_login(&self) -> Result<PersonalLogin, ConfigError> {
        let host = self.text("redirect_host").map(Box::from);
        let port = self.members.get("redirect_port").map(|member| {
            let port = member.text.expose().trim().parse::<u16>().ok();
            port.ok_or_else(|| invalid(member, "the number of a port"))
        });
        let timeout = self.members.get("login_timeout").map(|member| {
            let seconds = member.text.expose().trim().parse().ok();
            let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let timeout = timeout.filter(|timeout| !timeout.is_zero());
            timeout.ok_or_else(|| invalid(member, "a number of seconds above 0"))
        });
        let redirect = (host, port.transpose()?, timeout.transpose()?);
        Ok(PersonalLogin::web_sso(self.auth_url()?, self.identity_provider()?, redirect, self.scope()))
    }

    fn oauth2_client(&self) -> Result<OAuth2ClientCredentials, ConfigError> {
        let endpoint = self.url("oauth2_endpoint")?.ok_or_else(|| self.missing("oauth2_endpoint"))?;
        let (id, secret) = (self.required("oauth2_client_id")?, self.secret("oauth2_client_secret")?);
        let credentials =
            OAuth2ClientCredentials::new(self.auth_url()?, endpoint, id, secret).scope(self.scope());
        self.warn_about_scope();
        Ok(self.allow_http(credentials, OAuth2ClientCredentials::allow_http))
    }

    fn oauth2_mtls(&self) -> Result<OAuth2MtlsCredentials, ConfigError> {
        let endpoint = self.url("oauth2_endpoint")?.ok_or_else(|| self.missing("oauth2_endpoint"))?;
        if let Some(Member { location, path, .. }) = self.members.first(&SCOPE) {
            warn!("{location}: {path}: it has no effect: the token is for the default project of the user");
        }
        let id = self.required("oauth2_client_id")?;
        let credentials = OAuth2MtlsCredentials::new(self.auth_url()?, endpoint, id);
        Ok(self.allow_http(credentials, OAuth2MtlsCredentials::allow_http))
    }

    fn tokenless(&self) -> Result<TokenlessPlugin, ConfigError> {
        TokenlessPlugin::new(self.auth_url()?, self.scope()).map_err(|error| {
            let scope = ["project_id", "project_name", "domain_id", "domain_name"];
            let conflict = ConfigError::conflict(error.to_string());
            match self.members.first(&scope) {
                Some(Member { location, path, .. }) => conflict.at(location).member(path),
                None => conflict,
            }
        })
    }

    /// Allows plain http to the hosts that the program has named.
    fn allow_http<T>(&self, value: T, allow: impl Fn(T, Box<str>) -> T) -> T {
        self.http_hosts.iter().cloned().fold(value, allow)
    }

    fn required(&self, name: &'static str) -> Result<&str, ConfigError> {
        self.text(name).ok_or_else(|| self.missing(name))
    }

    /// Returns a URL of the provider. Unlike the `auth_url`, it may have a query.
    fn url(&self, name: &str) -> Result<Option<Uri>, ConfigError> {
        let Some(member) = self.members.get(name) else { return Ok(None) };
        let url = member.text.expose().trim().parse::<Uri>().ok();
        let url = url.filter(|url| Origin::from_uri(url).is_some());
        url.map(Some).ok_or_else(|| invalid(member, "an http or https URL"))
    }
}
