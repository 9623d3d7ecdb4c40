use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    LeaseOwner, SharedTokens, StoreUser, Version,
    contact::StoreAway,
    record::{Kind, Miss},
    sealed_entries::{Found, NewRecord, Record, SealedEntries},
    sealer::{Purpose, Times},
};
use crate::{AccessInfo, Credentials, Error, Secret};

/// The entries of one identity in a store.
#[derive(Clone)]
pub(crate) struct IdentityEntries {
    tokens: Arc<SealedEntries>,
    failures: Arc<SealedEntries>,
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

/// A login that failed in some process of the fleet. The entry ends when the next login may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedFailure {
    /// The error, without secrets.
    pub(crate) message: Box<str>,
    pub(crate) is_transient: bool,
    /// The delay after the failure before the next login.
    pub(crate) delay: Duration,
}

/// Numbers of failed logins in a row of the whole fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailureCounts {
    pub(crate) transient: u32,
    pub(crate) permanent: u32,
}

const TOKEN: &str = "token";
const FAILURE: &str = "failure";
const FAILURE_COUNTS: &str = "failures";

/// How long a tombstone keeps a late publisher from putting back what was removed.
const TOMBSTONE_LIFETIME: Duration = Duration::from_secs(180);

/// How long the numbers of failed logins are remembered after the last one.
const FAILURE_COUNTS_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// The lifetime of what replaces a record that is removed. The smallest unit of some stores is a second.
const REMOVED_LIFETIME: Duration = Duration::from_secs(1);

/// How much the clocks of two machines may differ. A record that ended longer ago was put back by somebody.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Maximum length of the text of a failure, in characters. What to do about it is at its end.
const MAX_MESSAGE: usize = 512;

/// How often a record is written again if another process has changed it meanwhile.
const MAX_ATTEMPTS: usize = 3;

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

    /// Forgets the failed logins of these credentials, for example when a disabled user is enabled again. The next
    /// plugin that needs a token logs in without a delay.
    ///
    /// They are found by [`Credentials::cache_id`], or by [`Credentials::public_id`] if the store is not sealed.
    /// Without an id, or with a [name](crate::RenewingPlugin::stored_as) in a store that is not sealed, call
    /// [`RenewingPlugin::reset`](crate::RenewingPlugin::reset) instead. A plugin that has met the failure already keeps
    /// to its delay, unless it is reset.
    ///
    /// # Errors
    ///
    /// [`Error::StoreUnavailable`] if the store cannot be asked.
    pub async fn forget_failures(&self, credentials: &impl Credentials) -> Result<(), Error> {
        let Some(identity) = self.identity_of(credentials) else { return Ok(()) };
        let entries = self.identity(&identity);
        entries.clear_failures().await.map_err(|StoreAway| entries.failures.unavailable_error(FAILURE))
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

    /// Returns the failure after which no process of the fleet may log in yet.
    pub(crate) async fn failure(&self) -> Result<Option<SharedFailure>, StoreAway> {
        let found = self.failures.get(FAILURE, &[Kind::Failure, Kind::Tombstone]).await?;
        let Some(record) = found.record.filter(|record| record.header.kind == Kind::Failure) else {
            return Ok(None);
        };
        if self.failures.has_ended(FAILURE, &record) {
            return Ok(None);
        }
        let failure = SharedFailure::from_bytes(&record.content);
        if failure.is_none() {
            self.failures.log(FAILURE, Miss::Content);
        }
        Ok(failure)
    }

    /// Publishes a failure. Its entry ends after its delay.
    pub(crate) async fn publish_failure(&self, failure: &SharedFailure) -> Result<(), StoreAway> {
        self.failures.overwrite(FAILURE, Kind::Failure, failure.delay, &failure.to_bytes()).await
    }

    /// Removes the failure and the counts, after a login that succeeded or when the program asks for it.
    pub(crate) async fn clear_failures(&self) -> Result<(), StoreAway> {
        for (part, kind) in [(FAILURE, Kind::Failure), (FAILURE_COUNTS, Kind::FailureCounts)] {
            for _ in 0..MAX_ATTEMPTS {
                let found = self.failures.get(part, &[kind, Kind::Tombstone]).await?;
                let is_removed = found.record.is_some_and(|record| record.header.kind == Kind::Tombstone);
                if found.version.is_none() || is_removed {
                    break;
                }
                if self
                    .failures
                    .replace(part, found.version.as_ref(), Kind::Tombstone, REMOVED_LIFETIME, &[])
                    .await?
                {
                    break;
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn failure_counts(&self) -> Result<FailureCounts, StoreAway> {
        let found = self.failures.get(FAILURE_COUNTS, &[Kind::FailureCounts, Kind::Tombstone]).await?;
        let Some(record) = found.record.filter(|record| record.header.kind == Kind::FailureCounts) else {
            return Ok(FailureCounts::default());
        };
        if self.failures.has_ended(FAILURE_COUNTS, &record) {
            return Ok(FailureCounts::default());
        }
        let counts = FailureCounts::from_bytes(&record.content);
        if counts.is_none() {
            self.failures.log(FAILURE_COUNTS, Miss::Content);
        }
        Ok(counts.unwrap_or_default())
    }

    pub(crate) async fn publish_failure_counts(&self, counts: FailureCounts) -> Result<(), StoreAway> {
        self.failures
            .overwrite(FAILURE_COUNTS, Kind::FailureCounts, FAILURE_COUNTS_LIFETIME, &counts.to_bytes())
            .await
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

impl SealedEntries {
    /// Returns whether a record ended so long ago that a difference of the clocks cannot be the reason. Somebody who
    /// can write to the store has put it back, or prevents its end.
    fn has_ended(&self, part: &str, record: &Record) -> bool {
        let age = SystemTime::now().duration_since(record.header.expires_at).unwrap_or_default();
        let has_ended = age > MAX_CLOCK_SKEW;
        if has_ended {
            self.log(part, Miss::Ended);
        }
        has_ended
    }

    /// Replaces the record of an entry, whatever is there.
    async fn overwrite(
        &self,
        part: &str,
        kind: Kind,
        lifetime: Duration,
        content: &[u8],
    ) -> Result<(), StoreAway> {
        for _ in 0..MAX_ATTEMPTS {
            let found = self.get(part, &[kind, Kind::Tombstone]).await?;
            if self.replace(part, found.version.as_ref(), kind, lifetime, content).await? {
                break;
            }
        }
        Ok(())
    }

    async fn replace(
        &self,
        part: &str,
        seen: Option<&Version>,
        kind: Kind,
        lifetime: Duration,
        content: &[u8],
    ) -> Result<bool, StoreAway> {
        let times = Times::from_now(lifetime);
        let new = NewRecord { kind, times, content, time_to_live: lifetime };
        Ok(self.publish(part, seen, new).await?.is_some())
    }
}

/// Reads an auth state.
fn access_info(content: &[u8]) -> Option<AccessInfo> {
    // A second copy, which is wiped as the first one.
    let state = Secret::new(std::str::from_utf8(content).ok()?);
    AccessInfo::from_auth_state(&state).ok()
}

impl SharedFailure {
    fn to_bytes(&self) -> Vec<u8> {
        let delay = u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX);
        let message = truncated(&self.message);
        [&[u8::from(self.is_transient)], delay.to_be_bytes().as_slice(), message.as_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (is_transient, rest) = bytes.split_first()?;
        let (delay, message) = rest.split_first_chunk()?;
        Some(Self {
            message: truncated(std::str::from_utf8(message).ok()?),
            is_transient: *is_transient != 0,
            delay: Duration::from_millis(u64::from_be_bytes(*delay)),
        })
    }
}

/// Returns the text of an error, with an ellipsis in place of what is too long.
fn truncated(message: &str) -> Box<str> {
    let end = message.char_indices().nth(MAX_MESSAGE).map(|(end, _)| end);
    match end.and_then(|end| message.get(..end)) {
        Some(start) => format!("{start}…").into(),
        None => message.into(),
    }
}

impl FailureCounts {
    fn to_bytes(self) -> [u8; 8] {
        ((u64::from(self.transient) << 32) | u64::from(self.permanent)).to_be_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let both = u64::from_be_bytes(bytes.try_into().ok()?);
        Some(Self { transient: (both >> 32) as u32, permanent: both as u32 })
    }
}
