use std::fmt;

use http::Uri;

#[cfg(feature = "saml")]
use super::SamlIdentityProvider;
use super::{AccessTokenSource, LoginHeader, OidcClient};
use crate::Secret;

/// How a login proves to the identity provider who logs in: an OAuth 2.0 grant, or another proof.
#[derive(Clone)]
pub struct Grant(pub(super) Kind);

#[derive(Clone)]
pub(super) enum Kind {
    ClientCredentials(OidcClient),
    Password {
        client: OidcClient,
        username: Box<str>,
        password: Secret,
        passcode: Option<Secret>,
    },
    AccessToken(AccessTokenSource),
    AuthorizationCode {
        client: OidcClient,
        code: Secret,
        redirect_uri: Option<Uri>,
        code_verifier: Option<Secret>,
    },
    RefreshToken {
        client: OidcClient,
        refresh_token: Secret,
    },
    Header(LoginHeader),
    #[cfg(feature = "saml")]
    Saml(SamlIdentityProvider),
}

impl Grant {
    /// The client itself logs in: keystoneauth's `v3oidcclientcredentials`.
    pub fn client_credentials(client: OidcClient) -> Self {
        Self(Kind::ClientCredentials(client))
    }

    /// A user logs in with the password at the identity provider: keystoneauth's `v3oidcpassword`.
    pub fn password(client: OidcClient, username: impl Into<Box<str>>, password: impl Into<Secret>) -> Self {
        Self(Kind::Password { client, username: username.into(), password: password.into(), passcode: None })
    }

    /// An access token that was obtained elsewhere: keystoneauth's `v3oidcaccesstoken`.
    pub fn access_token(source: impl Into<AccessTokenSource>) -> Self {
        Self(Kind::AccessToken(source.into()))
    }

    /// An authorization code that was obtained elsewhere: keystoneauth's `v3oidcauthcode`.
    pub fn authorization_code(client: OidcClient, code: impl Into<Secret>) -> Self {
        Self(Kind::AuthorizationCode { client, code: code.into(), redirect_uri: None, code_verifier: None })
    }

    /// A refresh token of an earlier login.
    pub fn refresh_token(client: OidcClient, refresh_token: impl Into<Secret>) -> Self {
        Self(Kind::RefreshToken { client, refresh_token: refresh_token.into() })
    }

    /// A header that a function makes for each login, such as `Negotiate` of Kerberos: keystoneauth's `v3fedkerb`.
    pub fn header(header: LoginHeader) -> Self {
        Self(Kind::Header(header))
    }

    /// A password at a SAML identity provider: keystoneauth's `v3samlpassword`.
    #[cfg(feature = "saml")]
    #[cfg_attr(docsrs, doc(cfg(feature = "saml")))]
    pub fn saml(identity_provider: SamlIdentityProvider) -> Self {
        Self(Kind::Saml(identity_provider))
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grant")
    }
}
