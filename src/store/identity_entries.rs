use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    LeaseOwner, SharedTokens, StoreUser, Version,
    contact::StoreAway,
    record::{Kind, Miss},
    sealed_entries::{Found, NewRecord, SealedEntries},
    sealer::{Purpose, Times},
};
use crate::{AccessInfo, Credentials, Error, Secret};

/// The entries of one identity in a store.
#[derive(Clone)]
pub(crate) struct IdentityEntries {
    pub(super) tokens: Arc<SealedEntries>,
    pub(super) failures: Arc<SealedEntries>,
}

/// What is in the token entry of an identity.
#[derive(Clone)]
pub(crate) enum TokenEntry {
    /// Nothing, or something that cannot be read. The version is what a publisher has to compare with.
    NoToken(Option<Version>),
    /// A tombstone: the token that was here, which was issued at this time, has been refused by a service.
    Tombstone {
        version: Version,
        issued_at: SystemTime,
    },
    Token(StoredToken),
}

/// A token in a store.
#[derive(Clone)]
pub(crate) struct StoredToken {
    pub(crate) version: Version,
    /// When Keystone issued the token, by Keystone's clock. The resolution is that of Keystone: seconds, or less.
    pub(crate) issued_at: SystemTime,
    pub(crate) access_info: AccessInfo,
}

const TOKEN: &str = "token";

/// How long a tombstone keeps a late publisher from putting back what was removed.
const TOMBSTONE_LIFETIME: Duration = Duration::from_secs(180);

impl SharedTokens {
    /// Returns the stored access info of these credentials, for example for an
    /// [`AccessInfoPlugin`](crate::AccessInfoPlugin). It does not log in.
    ///
    /// It is `None` if there is none, if the token has expired, or if the credentials have no id to be stored by
    /// ([`Credentials::cache_id`], or [`Credentials::public_id`] if the store is not sealed).
    ///
    /// # Errors
    ///
    /// [`Error::StoreUnavailable`] if the store cannot be asked.
    pub async fn access_info(&self, credentials: &impl Credentials) -> Result<Option<AccessInfo>, Error> {
        let Some(identity) = self.identity_of(credentials) else { return Ok(None) };
        let entries = self.identity(&identity);
        match entries.token().await {
            Err(StoreAway) => Err(entries.tokens.unavailable_error(TOKEN)),
            Ok(TokenEntry::NoToken(_) | TokenEntry::Tombstone { .. }) => Ok(None),
            Ok(TokenEntry::Token(token)) => {
                let expires = token.access_info.expires()?;
                let is_valid = expires.is_none_or(|expires| SystemTime::now() < expires);
                Ok(is_valid.then_some(token.access_info))
            }
        }
    }

    /// Returns the entries of an identity. `identity` is the cache id of its credentials, or the id without secrets if
    /// the store is not sealed.
    pub(crate) fn identity(&self, identity: &Secret) -> IdentityEntries {
        let entries = self.sealed_entries(identity);
        IdentityEntries { tokens: Arc::clone(&entries), failures: entries }
    }

    fn sealed_entries(&self, identity: &Secret) -> Arc<SealedEntries> {
        Arc::new(SealedEntries::new(self.clone(), Purpose::Tokens, identity.clone()))
    }
}

impl IdentityEntries {
    /// Keeps the failed logins in the entries of another identity.
    ///
    /// Credentials with different secrets may share a token by a name. If one secret is wrong, the others may log in.
    pub(crate) fn with_failures_of(self, identity: &Secret) -> Self {
        let failures = self.tokens.shared().sealed_entries(identity);
        Self { failures, ..self }
    }

    /// Returns the start of the names of the entries, by which a log shows which plugins share a token.
    pub(crate) fn short_name(&self) -> &str {
        self.tokens.short_name()
    }

    /// Returns a guard for a renewal that uses the store, or `None` if the store is closed.
    pub(crate) fn add_user(&self) -> Option<StoreUser> {
        self.tokens.shared().add_user()
    }

    pub(crate) async fn token(&self) -> Result<TokenEntry, StoreAway> {
        let found = self.tokens.get(TOKEN, &[Kind::Token, Kind::Tombstone]).await?;
        if found.record.is_some() {
            return Ok(self.token_entry(found));
        }
        for key in 1..self.tokens.keys() {
            let older = self.tokens.get_with(key, TOKEN, &[Kind::Token, Kind::Tombstone]).await?;
            let left = older
                .record
                .as_ref()
                .and_then(|record| record.header.expires_at.duration_since(SystemTime::now()).ok());
            let (Some(left), TokenEntry::Token(token)) = (left, self.token_entry(older)) else { continue };
            // Sealed with the first key, it can be replaced and removed like any other.
            return Ok(match self.publish_token(found.version.as_ref(), &token.access_info, left).await? {
                Some(version) => TokenEntry::Token(StoredToken { version, ..token }),
                None => self.token_entry(self.tokens.get(TOKEN, &[Kind::Token, Kind::Tombstone]).await?),
            });
        }
        Ok(TokenEntry::NoToken(found.version))
    }

    /// Publishes a token, if the entry still has the version that was seen. Returns the version of the new record, or
    /// `None` if another one is there. `time_to_live` is what is left of the token's life.
    pub(crate) async fn publish_token(
        &self,
        seen: Option<&Version>,
        access_info: &AccessInfo,
        time_to_live: Duration,
    ) -> Result<Option<Version>, StoreAway> {
        let default = Times::from_now(time_to_live);
        let times = Times {
            issued_at: access_info.issued().ok().flatten().unwrap_or(default.issued_at),
            expires_at: access_info.expires().ok().flatten().unwrap_or(default.expires_at),
        };
        let state = access_info.auth_state();
        let content = state.expose().as_bytes();
        self.tokens.publish(TOKEN, seen, NewRecord { kind: Kind::Token, times, content, time_to_live }).await
    }

    /// Replaces a token that a service has refused by a tombstone, if the entry still has this version. Returns whether
    /// it did.
    pub(crate) async fn bury_token(
        &self,
        version: &Version,
        issued_at: SystemTime,
    ) -> Result<bool, StoreAway> {
        let times = Times { issued_at, ..Times::from_now(TOMBSTONE_LIFETIME) };
        let tombstone =
            NewRecord { kind: Kind::Tombstone, times, content: &[], time_to_live: TOMBSTONE_LIFETIME };
        Ok(self.tokens.publish(TOKEN, Some(version), tombstone).await?.is_some())
    }

    /// Takes one of the `max` refusals that the whole fleet has in each `window`. Returns false if there is none left.
    pub(crate) async fn take_refusal(&self, max: usize, window: Duration) -> Result<bool, StoreAway> {
        for slot in 0..max {
            let part = format!("refusal-{slot}");
            let found = self.tokens.get(&part, &[Kind::Refusal]).await?;
            if found.record.is_some_and(|record| !self.tokens.has_ended(&part, &record)) {
                continue;
            }
            if self.tokens.replace(&part, found.version.as_ref(), Kind::Refusal, window, &[]).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) async fn lease(&self, owner: &LeaseOwner, term: Duration) -> Result<bool, StoreAway> {
        self.tokens.lease(owner, term).await
    }

    pub(crate) async fn extend(&self, owner: &LeaseOwner, term: Duration) -> Result<bool, StoreAway> {
        self.tokens.extend(owner, term).await
    }

    pub(crate) async fn release(&self, owner: &LeaseOwner) -> Result<(), StoreAway> {
        self.tokens.release(owner).await
    }

    /// Reads what was found in the token entry.
    fn token_entry(&self, found: Found) -> TokenEntry {
        let Found { version: Some(version), record: Some(record) } = found else {
            return TokenEntry::NoToken(found.version);
        };
        let issued_at = record.header.issued_at;
        if record.header.kind == Kind::Tombstone {
            return TokenEntry::Tombstone { version, issued_at };
        }
        match access_info(&record.content) {
            Some(access_info) => TokenEntry::Token(StoredToken { version, issued_at, access_info }),
            None => {
                self.tokens.log(TOKEN, Miss::Content);
                TokenEntry::NoToken(Some(version))
            }
        }
    }
}

/// Reads an auth state.
pub(super) fn access_info(content: &[u8]) -> Option<AccessInfo> {
    // A second copy, which is wiped as the first one.
    let state = Secret::new(std::str::from_utf8(content).ok()?);
    AccessInfo::from_auth_state(&state).ok()
}
