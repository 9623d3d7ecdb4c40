//! Stores the login of a person for the next run of the program.

use std::time::SystemTime;

use super::CompletedLogin;
use crate::{
    Error, SharedTokens,
    federation::{IdentityProvider, OidcClient, stored_login::StoredLogin},
    renewal::lifetime,
    store::{IdentityEntries, REFRESH_TOKEN_LIFETIME, StoreAway, StoredUnscopedToken},
};

impl CompletedLogin {
    /// Stores the login for the next run of the program, in place of an older one. A store without a key stores nothing.
    ///
    /// The next run finds it with [`stored`](Self::stored). It contains the unscoped token and, for up to 29 days, the
    /// refresh token. The store then has the newest refresh token, and the credentials of this login use it only under a
    /// lease, as those of [`FederatedCredentials::store`](crate::federation::FederatedCredentials::store).
    ///
    /// The login is stored by the identity provider and the client, because no user is known before a login. So everybody
    /// who has the store and its key goes on with the login of this person: use a store that only they have, such as the
    /// files of the user (`FileStore`).
    ///
    /// # Errors
    ///
    /// [`Error::StoreUnavailable`] if the store cannot be used. The login can be used nevertheless.
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    pub async fn store(&mut self, tokens: &SharedTokens) -> Result<(), Error> {
        if !tokens.is_sealed() || self.stored.is_some() {
            return Ok(());
        }
        let last_login = tokens.last_login(&id(&self.identity_provider, self.client.as_ref()));
        let result = self.write(tokens, &last_login).await;
        result.map_err(|StoreAway| last_login.unavailable_error())
    }

    /// Returns the login that an earlier run of the program has [stored](Self::store). `None` if there is none, or if it
    /// has ended.
    ///
    /// `client` is that of the login. A `WebSsoLogin` has none. A login with another client, or with other endpoints of
    /// it, is not found, and neither is one that was stored with another key.
    ///
    /// Nothing is sent to the provider or to Keystone. If they do not accept the login any more, requests fail with
    /// [`Error::LoginEnded`], and the login is removed from the store.
    ///
    /// # Errors
    ///
    /// [`Error::StoreUnavailable`] if the store cannot be used. The person can log in nevertheless.
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    pub async fn stored(
        identity_provider: &IdentityProvider,
        client: Option<&OidcClient>,
        tokens: &SharedTokens,
    ) -> Result<Option<Self>, Error> {
        if !tokens.is_sealed() {
            return Ok(None);
        }
        let last_login = tokens.last_login(&id(identity_provider, client));
        let result = Self::read(identity_provider, client, tokens, &last_login).await;
        result.map_err(|StoreAway| last_login.unavailable_error())
    }

    /// Removes the login from the store, so that the next run asks a person. Nothing happens if it is not stored.
    ///
    /// Credentials of the login that are in use go on. The provider and Keystone are not told, and tokens with a scope
    /// that are in the store stay there until they expire.
    ///
    /// # Errors
    ///
    /// [`Error::StoreUnavailable`] if the store cannot be used.
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    pub async fn forget(self) -> Result<(), Error> {
        match &self.stored {
            Some(stored) => stored.forget().await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, tokens: &SharedTokens, last_login: &IdentityEntries) -> Result<(), StoreAway> {
        let refresh = self.refresh_entries(tokens);
        let mut time_to_live = lifetime::of_new_token(&self.access_info).unwrap_or_default();
        if let (Some(entries), Some(token)) = (&refresh, &self.refresh_token) {
            if !entries.replace_refresh_token(token).await? {
                return Ok(());
            }
            time_to_live = REFRESH_TOKEN_LIFETIME;
        }
        // From now on, others may replace the refresh token.
        let stored = self.stored.insert(StoredLogin {
            tokens: tokens.clone(),
            is_of_earlier_run: false,
            last_login: last_login.clone(),
            version: None,
            refresh,
        });
        if !time_to_live.is_zero() {
            let auth_url = self.identity_provider.auth_url().uri().to_string();
            stored.version = last_login.set_last_login(&auth_url, &self.access_info, time_to_live).await?;
        }
        Ok(())
    }

    async fn read(
        identity_provider: &IdentityProvider,
        client: Option<&OidcClient>,
        tokens: &SharedTokens,
        last_login: &IdentityEntries,
    ) -> Result<Option<Self>, StoreAway> {
        let (version, Some(token)) = last_login.unscoped_token().await? else { return Ok(None) };
        let StoredUnscopedToken { access_info, .. } = token;
        let mut login = Self::new(identity_provider.clone(), client.cloned(), access_info, None);
        let refresh = login.refresh_entries(tokens);
        if let Some(entries) = &refresh {
            (_, login.refresh_token) = entries.refresh_token().await?;
        }
        login.stored = Some(StoredLogin {
            tokens: tokens.clone(),
            is_of_earlier_run: true,
            last_login: last_login.clone(),
            version,
            refresh,
        });
        let expires_at = login.access_info.expires().ok().flatten();
        let is_valid = expires_at.is_some_and(|expires_at| SystemTime::now() < expires_at);
        Ok((is_valid || login.refresh_token.is_some()).then_some(login))
    }

    /// Returns the entries of the refresh tokens of this user and client.
    fn refresh_entries(&self, tokens: &SharedTokens) -> Option<IdentityEntries> {
        let user_id = ("user_id", Some(self.user_id()?));
        let id = self.identity_provider.refresh_login_id(self.client.as_ref()?, user_id);
        Some(tokens.federated_login(&id))
    }
}

/// Returns the id of the logins with a client.
fn id(identity_provider: &IdentityProvider, client: Option<&OidcClient>) -> String {
    let endpoints = client.map(OidcClient::endpoints).unwrap_or_default();
    let endpoints = endpoints.iter().map(|(name, url)| (*name, Some(&**url)));
    let client_id = ("client_id", client.map(OidcClient::client_id));
    identity_provider.cache_id(endpoints.chain([client_id]))
}
