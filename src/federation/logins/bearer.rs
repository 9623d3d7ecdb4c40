use std::sync::Arc;

use super::ids::client_elements;
use crate::{
    Error, Transport,
    federation::{
        IdentityProvider,
        oauth::BearerGrant,
        unscoped::{UnscopedFuture, UnscopedLogin},
    },
};

/// A login with a bearer of the provider.
pub(in crate::federation) struct BearerLogin {
    pub(in crate::federation) identity_provider: IdentityProvider,
    pub(in crate::federation) grant: Arc<BearerGrant>,
}

impl UnscopedLogin for BearerLogin {
    fn log_in(&self, transport: Transport) -> UnscopedFuture {
        let (provider, grant) = (self.identity_provider.clone(), Arc::clone(&self.grant));
        Box::pin(async move {
            // An unusable URL of Keystone is an error before anything is sent to the provider.
            provider.federated_url()?;
            let bearer = grant.request_bearer(&transport).await?;
            let exchanged = provider.exchange(&transport, &bearer).await;
            let is_over = exchanged.as_ref().err().is_none_or(|error: &Error| !error.is_transient());
            if let Some(code) = grant.one_time().filter(|_| is_over) {
                code.forget_bearer();
            }
            Ok(provider.unscoped_token(exchanged?))
        })
    }

    fn cache_id(&self) -> Option<String> {
        let provider = &self.identity_provider;
        Some(match &*self.grant {
            BearerGrant::ClientCredentials(client) | BearerGrant::AuthorizationCode { client, .. } => {
                provider.cache_id(client_elements(client))
            }
            BearerGrant::Password { client, username, password, .. } => {
                let user = [("username", Some(&**username)), ("password", Some(password.expose()))];
                provider.cache_id(client_elements(client).into_iter().chain(user))
            }
            BearerGrant::AccessToken(source) => {
                let token = ("access_token", Some(source.fixed()?.expose()));
                // keystoneauth's plugin has a client, with an empty id and an empty secret.
                provider.cache_id([("client_id", Some("")), ("client_secret", Some("")), token])
            }
        })
    }

    fn stored_id(&self) -> Option<String> {
        match &*self.grant {
            BearerGrant::AuthorizationCode { client, code, .. } => {
                let code = [("code", Some(code.expose()))];
                Some(self.identity_provider.cache_id(client_elements(client).into_iter().chain(code)))
            }
            _ => self.cache_id(),
        }
    }

    fn public_id(&self) -> Option<String> {
        let provider = &self.identity_provider;
        match &*self.grant {
            BearerGrant::ClientCredentials(client) => {
                provider.public_id("federated client", [("client_id", Some(client.client_id()))])
            }
            BearerGrant::Password { client, username, .. } => {
                let client_id = ("client_id", Some(client.client_id()));
                provider.public_id("federated password", [client_id, ("username", Some(&**username))])
            }
            BearerGrant::AccessToken(_) | BearerGrant::AuthorizationCode { .. } => None,
        }
    }

    fn id_of_user(&self, user_id: &str) -> Option<String> {
        match &*self.grant {
            BearerGrant::AccessToken(source) if source.fixed().is_none() => {
                self.identity_provider.public_id("federated token source", [("user_id", Some(user_id))])
            }
            _ => None,
        }
    }

    fn can_lock_account(&self) -> bool {
        matches!(*self.grant, BearerGrant::Password { .. })
    }

    fn can_log_in(&self) -> bool {
        self.grant.can_log_in()
    }

    fn must_end(&self) -> bool {
        self.grant.one_time().is_some()
    }
}
