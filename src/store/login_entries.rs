//! The entries of a federated login: its unscoped token, its refresh token, and its last failure. And the entry that says
//! which person has logged in last.

use std::time::Duration;

use zeroize::Zeroizing;

use super::{
    IdentityEntries, SharedTokens, StoreAway, Version,
    failure_entries::SharedFailure,
    identity_entries::access_info,
    record::{Kind, Miss},
    sealed_entries::{Found, MAX_ATTEMPTS, NewRecord, REMOVED_LIFETIME},
    sealer::Times,
};
use crate::{AccessInfo, Error, Secret};

/// An unscoped token in a store.
#[derive(Clone)]
pub(crate) struct StoredUnscopedToken {
    /// The Keystone that issued it.
    pub(crate) auth_url: String,
    pub(crate) access_info: AccessInfo,
}

const UNSCOPED: &str = "unscoped";
const REFRESH_TOKEN: &str = "refresh";

/// How long a refresh token is stored after it was issued. Providers do not say how long it is valid.
pub(crate) const REFRESH_TOKEN_LIFETIME: Duration = Duration::from_secs(29 * 24 * 60 * 60);

impl SharedTokens {
    /// Returns the entries of a federated login. They are apart from those of tokens with a scope: a lease of one is
    /// taken while the other is held.
    pub(crate) fn federated_login(&self, id: &str) -> IdentityEntries {
        self.identity(&Secret::new(format!("federated login\n{id}")))
    }

    /// Returns the entries of the last login of a person with a client. Its unscoped token is the one with which the login
    /// began.
    pub(crate) fn last_login(&self, id: &str) -> IdentityEntries {
        self.identity(&Secret::new(format!("last login\n{id}")))
    }
}

impl IdentityEntries {
    /// Returns the version of the unscoped token's record, and what is in it.
    pub(crate) async fn unscoped_token(
        &self,
    ) -> Result<(Option<Version>, Option<StoredUnscopedToken>), StoreAway> {
        let kinds = [Kind::UnscopedToken, Kind::Tombstone];
        let Found { version, record } = self.tokens.get(UNSCOPED, &kinds).await?;
        let record = record.filter(|record| record.header.kind == Kind::UnscopedToken);
        let Some(record) = record else { return Ok((version, None)) };
        let token = unscoped_token(&record.content);
        if token.is_none() {
            self.tokens.log(UNSCOPED, Miss::Content);
        }
        Ok((version, token))
    }

    /// Publishes an unscoped token, if the entry still has the version that was seen. Returns the version of the new
    /// record, or `None` if another one is there.
    pub(crate) async fn publish_unscoped_token(
        &self,
        seen: Option<&Version>,
        auth_url: &str,
        access_info: &AccessInfo,
        time_to_live: Duration,
    ) -> Result<Option<Version>, StoreAway> {
        let default = Times::from_now(time_to_live);
        let times = Times {
            issued_at: access_info.issued().ok().flatten().unwrap_or(default.issued_at),
            expires_at: access_info.expires().ok().flatten().unwrap_or(default.expires_at),
        };
        let state = access_info.auth_state();
        // A URL has no line break, so this tells where it ends.
        let content = Zeroizing::new([auth_url, "\n", state.expose()].concat());
        let new = NewRecord { kind: Kind::UnscopedToken, times, content: content.as_bytes(), time_to_live };
        self.tokens.publish(UNSCOPED, seen, new).await
    }

    /// Replaces the last login by that of a person who has logged in now. Returns the version of the record, or `None` if
    /// others do the same again and again.
    pub(crate) async fn set_last_login(
        &self,
        auth_url: &str,
        access_info: &AccessInfo,
        time_to_live: Duration,
    ) -> Result<Option<Version>, StoreAway> {
        for _ in 0..MAX_ATTEMPTS {
            let (seen, _) = self.unscoped_token().await?;
            let version = self.publish_unscoped_token(seen.as_ref(), auth_url, access_info, time_to_live);
            if let Some(version) = version.await? {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// Returns the error of a method of the program that has found the store away.
    pub(crate) fn unavailable_error(&self) -> Error {
        self.tokens.unavailable_error(UNSCOPED)
    }

    /// Removes the last login, if it still has this version.
    pub(crate) async fn remove_last_login(&self, version: &Version) -> Result<(), StoreAway> {
        self.tokens.replace(UNSCOPED, Some(version), Kind::Tombstone, REMOVED_LIFETIME, &[]).await.map(drop)
    }

    /// Removes the unscoped token and the refresh token of a login.
    pub(crate) async fn remove_login(&self) -> Result<(), StoreAway> {
        // The tombstone stays while an older key may have sealed a refresh token, which has been used.
        self.tokens.remove(REFRESH_TOKEN, Kind::RefreshToken, REFRESH_TOKEN_LIFETIME).await?;
        self.tokens.remove(UNSCOPED, Kind::UnscopedToken, REMOVED_LIFETIME).await
    }

    /// Returns the version of the refresh token's record, and the refresh token.
    ///
    /// If it is not there, and has not been removed, that of an older key is returned.
    pub(crate) async fn refresh_token(&self) -> Result<(Option<Version>, Option<Secret>), StoreAway> {
        let found = self.tokens.get(REFRESH_TOKEN, &[Kind::RefreshToken, Kind::Tombstone]).await?;
        let version = found.version;
        if found.record.as_ref().is_some_and(|record| record.header.kind == Kind::Tombstone) {
            return Ok((version, None));
        }
        if let Some(token) = self.read_refresh_token(found) {
            return Ok((version, Some(token)));
        }
        for key in 1..self.tokens.keys() {
            let older = self.tokens.get_with(key, REFRESH_TOKEN, &[Kind::RefreshToken]).await?;
            if let Some(token) = self.read_refresh_token(older) {
                return Ok((version, Some(token)));
            }
        }
        Ok((version, None))
    }

    /// Publishes a refresh token, and returns true, if the entry still has the version that was seen.
    pub(crate) async fn publish_refresh_token(
        &self,
        seen: Option<&Version>,
        token: &Secret,
    ) -> Result<bool, StoreAway> {
        let content = token.expose().as_bytes();
        let (times, time_to_live) = (Times::from_now(REFRESH_TOKEN_LIFETIME), REFRESH_TOKEN_LIFETIME);
        let new = NewRecord { kind: Kind::RefreshToken, times, content, time_to_live };
        Ok(self.tokens.publish(REFRESH_TOKEN, seen, new).await?.is_some())
    }

    /// Replaces the refresh token by that of a person who has logged in now. Returns false if others do the same again and
    /// again.
    pub(crate) async fn replace_refresh_token(&self, token: &Secret) -> Result<bool, StoreAway> {
        for _ in 0..MAX_ATTEMPTS {
            let (seen, _) = self.refresh_token().await?;
            if self.publish_refresh_token(seen.as_ref(), token).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Publishes that a login has failed, so that no process of the fleet logs in during the delay.
    pub(crate) async fn publish_login_failure(
        &self,
        message: String,
        delay: Duration,
    ) -> Result<(), StoreAway> {
        self.publish_failure(&SharedFailure { message: message.into(), is_transient: false, delay }).await
    }

    fn read_refresh_token(&self, found: Found) -> Option<Secret> {
        let record = found.record.filter(|record| !self.tokens.has_ended(REFRESH_TOKEN, record))?;
        let token = std::str::from_utf8(&record.content).ok().filter(|token| !token.is_empty());
        if token.is_none() {
            self.tokens.log(REFRESH_TOKEN, Miss::Content);
        }
        token.map(Secret::new)
    }
}

fn unscoped_token(content: &[u8]) -> Option<StoredUnscopedToken> {
    let (auth_url, state) = std::str::from_utf8(content).ok()?.split_once('\n')?;
    let access_info = access_info(state.as_bytes())?;
    Some(StoredUnscopedToken { auth_url: auth_url.to_owned(), access_info })
}
