//! The bearer that each grant of OAuth 2.0 yields.

use super::{OidcClient, OneTime, TokenResponse, token_request::REFRESH_TOKEN};
use crate::{Error, Secret, Transport, federation::grant::Kind};

impl Kind {
    /// Requests the token that is sent to Keystone. `None` if this grant is not one of OAuth 2.0.
    pub(in crate::federation) async fn request_bearer(
        &self,
        transport: &Transport,
    ) -> Result<Option<TokenResponse>, Error> {
        if let Some(bearer) = self.one_time().and_then(OneTime::bearer) {
            return Ok(Some(TokenResponse { bearer, refresh_token: None, lifetime: None }));
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
                let response = client.request_token(transport, "password", &fields).await?;
                if let Some((_, code)) = passcode {
                    code.set_used(&response.bearer);
                }
                response
            }
            Self::AccessToken(source) => {
                TokenResponse { bearer: source.read().await?, refresh_token: None, lifetime: None }
            }
            Self::AuthorizationCode { client, code, redirect_uri, code_verifier } => {
                let redirect_uri = redirect_uri.as_deref().map(|url| ("redirect_uri", url));
                let verifier = code_verifier.as_ref().map(|verifier| ("code_verifier", verifier.expose()));
                let fields: Vec<_> =
                    redirect_uri.into_iter().chain([("code", code.get()?)]).chain(verifier).collect();
                let response = client.request_token(transport, "authorization_code", &fields).await?;
                code.set_used(&response.bearer);
                response
            }
            Self::RefreshToken { client, refresh_token } => client.refresh(transport, refresh_token).await?,
            _ => return Ok(None),
        };
        Ok(Some(response))
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

    /// Returns whether another login can succeed, which a code that was used rules out.
    pub(in crate::federation) fn can_be_repeated(&self) -> bool {
        self.one_time().is_none_or(OneTime::can_log_in)
    }
}

impl OidcClient {
    /// Requests a token with a refresh token. The response can have another one, which replaces it.
    pub(in crate::federation) async fn refresh(
        &self,
        transport: &Transport,
        refresh_token: &Secret,
    ) -> Result<TokenResponse, Error> {
        self.request_token(transport, REFRESH_TOKEN, &[("refresh_token", refresh_token.expose())]).await
    }
}
