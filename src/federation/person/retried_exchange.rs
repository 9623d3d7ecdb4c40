use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{background_request::BackgroundRequest, retries::Retries};
use crate::{
    AccessInfo, Error, Secret, Transport,
    error::LoginStep,
    federation::{
        CompletedLogin, IdentityProvider,
        oauth::{OidcClient, TokenResponse},
    },
    task::Timer,
};

/// The exchange of a bearer for an unscoped token, which is tried again after transient errors.
pub(in crate::federation) struct RetriedExchange {
    identity_provider: IdentityProvider,
    client: OidcClient,
    transport: Transport,
    bearer: Secret,
    bearer_ends_at: Option<Instant>,
    refresh_token: Option<Secret>,
    refresh: BackgroundRequest<Arc<TokenResponse>>,
    exchange: BackgroundRequest<AccessInfo>,
}

impl RetriedExchange {
    pub(in crate::federation) fn new(
        identity_provider: &IdentityProvider,
        client: &OidcClient,
        transport: &Transport,
        tokens: &TokenResponse,
    ) -> Self {
        Self {
            identity_provider: identity_provider.clone(),
            client: client.clone(),
            transport: transport.clone(),
            bearer: tokens.bearer.clone(),
            bearer_ends_at: end(tokens),
            refresh_token: tokens.refresh_token.clone(),
            refresh: BackgroundRequest::new(),
            exchange: BackgroundRequest::new(),
        }
    }

    /// Returns the login as soon as Keystone has issued an unscoped token.
    ///
    /// After a transient error it tries again, for 5 minutes at most and until the bearer ends, and then returns the
    /// error. Another call goes on.
    pub(in crate::federation) async fn login(&mut self) -> Result<CompletedLogin, Error> {
        let mut retries = Retries::new();
        loop {
            let error = match self.attempt().await {
                Ok(access_info) => return Ok(self.completed(access_info)),
                Err(error) => error,
            };
            match retries.delay_after(&error) {
                Some(delay) if !self.is_useless_after(delay) => Timer::new(delay).await?,
                _ => return Err(error),
            }
        }
    }

    /// Exchanges the bearer once. If it has ended, the refresh token yields another one first.
    async fn attempt(&mut self) -> Result<AccessInfo, Error> {
        let has_ended = self.bearer_ends_at.is_some_and(|end| end <= Instant::now());
        if has_ended
            && !self.exchange.is_in_flight()
            && let Some(refresh_token) = self.refresh_token.clone()
        {
            let (client, transport) = (self.client.clone(), self.transport.clone());
            let send = || async move { client.refresh(&transport, &refresh_token).await.map(Arc::new) };
            let tokens = self.refresh.response(LoginStep::Token, send).await?;
            self.bearer = tokens.bearer.clone();
            self.bearer_ends_at = end(&tokens);
            if let Some(refresh_token) = &tokens.refresh_token {
                self.refresh_token = Some(refresh_token.clone());
            }
        }
        let (keystone, transport) = (self.identity_provider.clone(), self.transport.clone());
        let bearer = self.bearer.clone();
        let send = || async move { keystone.exchange(&transport, &bearer).await };
        self.exchange.response(LoginStep::Federation, send).await
    }

    /// Returns whether the bearer has ended after this delay, and there is no other way to go on.
    fn is_useless_after(&self, delay: Duration) -> bool {
        let next = Instant::now().checked_add(delay);
        self.refresh_token.is_none()
            && self.bearer_ends_at.is_some_and(|end| next.is_none_or(|next| end <= next))
    }

    fn completed(&self, access_info: AccessInfo) -> CompletedLogin {
        let (provider, client) = (self.identity_provider.clone(), self.client.clone());
        CompletedLogin::new(provider, Some(client), access_info, self.refresh_token.clone())
    }
}

/// Returns when the bearer ends, if the provider says so.
fn end(tokens: &TokenResponse) -> Option<Instant> {
    Instant::now().checked_add(tokens.lifetime?)
}
