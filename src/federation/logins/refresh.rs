use std::sync::Arc;

use tracing::debug;

use super::ids::client_elements;
use crate::{
    Error, Secret, Transport,
    federation::{
        IdentityProvider, OidcClient,
        refresh_token::CurrentRefreshToken,
        unscoped::{UnscopedFuture, UnscopedLogin},
    },
    task::catch_panic,
};

/// A login with a refresh token.
pub(in crate::federation) struct RefreshLogin {
    identity_provider: IdentityProvider,
    client: OidcClient,
    token: Arc<CurrentRefreshToken>,
    id: LoginId,
}

/// What tells a login from others of the same client.
enum LoginId {
    /// The id of the user. `None` if the token document does not name the user. Such a login is not shared.
    User(Option<Box<str>>),
    FirstToken(Secret),
}

impl RefreshLogin {
    /// Creates the login of an earlier refresh token, whose user is not known.
    pub(in crate::federation) fn new(
        identity_provider: IdentityProvider,
        client: OidcClient,
        refresh_token: Secret,
    ) -> Self {
        let id = LoginId::FirstToken(refresh_token.clone());
        let token = Arc::new(CurrentRefreshToken::new(refresh_token, false));
        Self { identity_provider, client, token, id }
    }

    /// Creates the login of a person.
    pub(in crate::federation) fn for_person(
        identity_provider: IdentityProvider,
        client: OidcClient,
        refresh_token: CurrentRefreshToken,
        user_id: Option<Box<str>>,
    ) -> Self {
        let token = Arc::new(refresh_token);
        Self { identity_provider, client, token, id: LoginId::User(user_id) }
    }
}

impl UnscopedLogin for RefreshLogin {
    fn log_in(&self, transport: Transport) -> UnscopedFuture {
        let (provider, client, token) =
            (self.identity_provider.clone(), self.client.clone(), Arc::clone(&self.token));
        Box::pin(async move {
            provider.federated_url()?;
            // The lease may end while the discovery document is fetched.
            client.discover(&transport).await?;
            let refresh_token = token.get_to_use().await?;
            let response = client.refresh(&transport, &refresh_token).await.map_err(login_ended)?;
            token.set_used(response.refresh_token.as_ref()).await;
            Ok(provider.unscoped_token(provider.exchange(&transport, &response.bearer).await?))
        })
    }

    fn cache_id(&self) -> Option<String> {
        Some(self.identity_provider.cache_id(client_elements(&self.client)))
    }

    fn stored_id(&self) -> Option<String> {
        let id = match &self.id {
            LoginId::User(user_id) => ("user_id", Some(user_id.as_deref()?)),
            LoginId::FirstToken(token) => ("refresh_token", Some(token.expose())),
        };
        Some(self.identity_provider.refresh_login_id(&self.client, id))
    }

    fn public_id(&self) -> Option<String> {
        let LoginId::User(user_id) = &self.id else { return None };
        let client_id = ("client_id", Some(self.client.client_id()));
        let user_id = ("user_id", Some(user_id.as_deref()?));
        self.identity_provider.public_id("federated refresh token", [client_id, user_id])
    }

    fn refresh_token(&self) -> Option<&Arc<CurrentRefreshToken>> {
        Some(&self.token)
    }
}

/// Replaces the error of a refresh token that the provider does not take any more.
fn login_ended(error: Error) -> Error {
    match &error {
        Error::FederatedLoginFailed(failed) if failed.error.as_deref() == Some("invalid_grant") => {
            // A log subscriber that panics must not change the outcome.
            let _ = catch_panic(|| debug!(%error, "the refresh token has ended"));
            Error::LoginEnded
        }
        _ => error,
    }
}
