//! The grants of OAuth 2.0 that yield a bearer, and how each of them requests it.

use super::{OidcClient, OneTime};
use crate::{Error, Secret, Transport, federation::AccessTokenSource};

/// A grant of OAuth 2.0 that yields a bearer for Keystone.
#[derive(Clone)]
pub(in crate::federation) enum BearerGrant {
    ClientCredentials(OidcClient),
    Password {
        client: OidcClient,
        username: Box<str>,
        password: Secret,
        /// The name of its form field, and the code.
        passcode: Option<(Box<str>, OneTime)>,
    },
    /// A token that was obtained elsewhere.
    AccessToken(AccessTokenSource),
    AuthorizationCode {
        client: OidcClient,
        code: OneTime,
        redirect_uri: Option<Box<str>>,
        code_verifier: Option<Secret>,
    },
}

impl BearerGrant {
    /// Requests the bearer: the token that is sent to Keystone.
    pub(in crate::federation) async fn request_bearer(&self, transport: &Transport) -> Result<Secret, Error> {
        if let Some(bearer) = self.one_time().and_then(OneTime::bearer) {
            return Ok(bearer);
        }
        let response = match self {
            Self::ClientCredentials(client) => {
                let fields = [("scope", client.openid_scope())];
                client.request_token(transport, "client_credentials", &fields).await?
            }
            Self::Password { client, username, password, passcode } => {
                let mut fields = vec![
                    ("username", &**username),
                    ("password", password.expose()),
                    ("scope", client.openid_scope()),
                ];
                if let Some((field, code)) = passcode {
                    fields.push((field, code.get()?));
                }
                client.request_token(transport, "password", &fields).await?
            }
            Self::AccessToken(source) => return source.read().await,
            Self::AuthorizationCode { client, code, redirect_uri, code_verifier } => {
                let redirect_uri = redirect_uri.as_deref().map(|url| ("redirect_uri", url));
                let verifier = code_verifier.as_ref().map(|verifier| ("code_verifier", verifier.expose()));
                let fields: Vec<_> =
                    redirect_uri.into_iter().chain([("code", code.get()?)]).chain(verifier).collect();
                client.request_token(transport, "authorization_code", &fields).await?
            }
        };
        if let Some(code) = self.one_time() {
            code.set_used(&response.bearer);
        }
        Ok(response.bearer)
    }

    /// Returns the code that is valid for one login, if there is one.
    pub(in crate::federation) fn one_time(&self) -> Option<&OneTime> {
        match self {
            Self::Password { passcode: Some((_, code)), .. } | Self::AuthorizationCode { code, .. } => {
                Some(code)
            }
            _ => None,
        }
    }

    /// Returns whether another login can succeed. It cannot if its code was used.
    pub(in crate::federation) fn can_log_in(&self) -> bool {
        self.one_time().is_none_or(OneTime::can_log_in)
    }
}
