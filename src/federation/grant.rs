use std::fmt;

#[cfg(feature = "saml")]
use super::SamlIdentityProvider;
use super::{
    AccessTokenSource, LoginHeader, OidcClient,
    oauth::{BearerGrant, OneTime},
};
use crate::Secret;

/// How a login proves to the identity provider who logs in: an OAuth 2.0 grant, or another proof.
#[derive(Clone)]
pub struct Grant(pub(super) Kind);

#[derive(Clone)]
pub(super) enum Kind {
    Bearer(BearerGrant),
    RefreshToken {
        client: OidcClient,
        refresh_token: Secret,
    },
    Header(LoginHeader),
    #[cfg(feature = "saml")]
    Saml(SamlIdentityProvider),
}

impl Grant {
    /// The secret of the client itself: keystoneauth's `v3oidcclientcredentials` (RFC 6749, section 4.4).
    pub fn client_credentials(client: OidcClient) -> Self {
        Self(Kind::Bearer(BearerGrant::ClientCredentials(client)))
    }

    /// A user's password at the identity provider: keystoneauth's `v3oidcpassword` (RFC 6749, section 4.3).
    pub fn password(client: OidcClient, username: impl Into<Box<str>>, password: impl Into<Secret>) -> Self {
        let (username, password) = (username.into(), password.into());
        Self(Kind::Bearer(BearerGrant::Password { client, username, password, passcode: None }))
    }

    /// An access token that was obtained elsewhere, such as that of a CI job: keystoneauth's `v3oidcaccesstoken`.
    ///
    /// Each login sends the token of that moment. A fixed token cannot be renewed.
    pub fn access_token(source: impl Into<AccessTokenSource>) -> Self {
        Self(Kind::Bearer(BearerGrant::AccessToken(source.into())))
    }

    /// An authorization code that was obtained elsewhere: keystoneauth's `v3oidcauthcode` (RFC 6749, section 4.1).
    ///
    /// The code is for one login. Its unscoped token is used for renewals as long as it has more than half of its life
    /// left, and for the first token of another scope until it expires. After that, renewals fail with
    /// [`Error::LoginEnded`](crate::Error::LoginEnded).
    pub fn authorization_code(client: OidcClient, code: impl Into<Secret>) -> Self {
        let code = OneTime::new(code.into());
        Self(Kind::Bearer(BearerGrant::AuthorizationCode {
            client,
            code,
            redirect_uri: None,
            code_verifier: None,
        }))
    }

    /// Adds a one-time password to the [`password`](Self::password).
    ///
    /// `field` is the name of its form field at the provider: keystoneauth's `idp_otp_key`. The code is for one login,
    /// so renewals are those of an [`authorization_code`](Self::authorization_code). Other grants ignore it.
    #[must_use]
    pub fn passcode(mut self, field: impl Into<Box<str>>, code: impl Into<Secret>) -> Self {
        if let Kind::Bearer(BearerGrant::Password { passcode, .. }) = &mut self.0 {
            *passcode = Some((field.into(), OneTime::new(code.into())));
        }
        self
    }

    /// Sets the redirect URI of the [`authorization_code`](Self::authorization_code).
    ///
    /// It must be the one that the code was requested with. Other grants ignore it.
    #[must_use]
    pub fn redirect_uri(mut self, url: impl Into<Box<str>>) -> Self {
        if let Kind::Bearer(BearerGrant::AuthorizationCode { redirect_uri, .. }) = &mut self.0 {
            *redirect_uri = Some(url.into());
        }
        self
    }

    /// Sets the code verifier of the [`authorization_code`](Self::authorization_code) (RFC 7636).
    ///
    /// It is needed if the code was requested with a code challenge. Other grants ignore it.
    #[must_use]
    pub fn code_verifier(mut self, verifier: impl Into<Secret>) -> Self {
        if let Kind::Bearer(BearerGrant::AuthorizationCode { code_verifier, .. }) = &mut self.0 {
            *code_verifier = Some(verifier.into());
        }
        self
    }

    /// A refresh token of an earlier login (RFC 6749, section 6).
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
