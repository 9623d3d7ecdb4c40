//! The entries of one identity, as sealed records.

use std::time::{Duration, Instant, SystemTime};

use tracing::warn;
use zeroize::Zeroizing;

use super::{
    EntryName, LeaseOwner, MAX_RECORD, SharedTokens, StoreAway, Version,
    record::{Header, Kind, Miss},
    sealer::{Binding, Purpose, Times},
};
use crate::{Error, Secret, task::catch_panic};

/// The part of the name of the lease, which is the part of the entry that it is for.
const LEASE_PART: &str = "token";

/// Time in which a record that is not used is logged only once for each reason, whatever its name. Somebody who can
/// write to the store could fill the log otherwise.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How much the clocks of two machines may differ. A record that ended longer ago was put back by somebody.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);

/// How often a record is written again if another process has changed it meanwhile.
pub(super) const MAX_ATTEMPTS: usize = 3;

/// The lifetime of what replaces a record that is removed. The smallest unit of some stores is a second.
pub(super) const REMOVED_LIFETIME: Duration = Duration::from_secs(1);

/// The entries of one identity for one purpose.
pub(super) struct SealedEntries {
    shared: SharedTokens,
    purpose: Purpose,
    identity: Secret,
    /// The names of the identity: one for each key, in the order of the keys.
    names: Box<[Box<str>]>,
}

/// What was found under a name.
pub(super) struct Found {
    /// The version of the record, also if it cannot be read. `None` if there is no record.
    pub(super) version: Option<Version>,
    /// The record, if it can be read.
    pub(super) record: Option<Record>,
}

/// A record that was opened.
pub(super) struct Record {
    pub(super) header: Header,
    pub(super) content: Zeroizing<Vec<u8>>,
}

/// A record to publish.
#[derive(Clone, Copy)]
pub(super) struct NewRecord<'a> {
    pub(super) kind: Kind,
    pub(super) times: Times,
    pub(super) content: &'a [u8],
    pub(super) time_to_live: Duration,
}

impl SealedEntries {
    pub(super) fn new(shared: SharedTokens, purpose: Purpose, identity: Secret) -> Self {
        let store = shared.store_name();
        let sealers = shared.sealers(purpose);
        let names = sealers.map(|sealer| sealer.identity_name(store, identity.expose())).collect();
        Self { shared, purpose, identity, names }
    }

    pub(super) fn shared(&self) -> &SharedTokens {
        &self.shared
    }

    /// Returns the first 8 characters of the names.
    pub(super) fn short_name(&self) -> &str {
        self.names.first().and_then(|name| name.get(..8)).unwrap_or_default()
    }

    /// Returns the number of keys. All methods use the first key, except [`get_with`](Self::get_with).
    pub(super) fn keys(&self) -> usize {
        self.names.len()
    }

    /// Returns the record of an entry, if it is one of these kinds.
    pub(super) async fn get(&self, part: &str, kinds: &[Kind]) -> Result<Found, StoreAway> {
        self.get_with(0, part, kinds).await
    }

    /// Returns the record of an entry that the key with this index has named and sealed.
    pub(super) async fn get_with(&self, key: usize, part: &str, kinds: &[Kind]) -> Result<Found, StoreAway> {
        let nothing = Found { version: None, record: None };
        let Some(name) = self.entry_name(key, part) else { return Ok(nothing) };
        let Some(record) = self.shared.ask(&name, |store| store.get(&name)).await? else {
            return Ok(nothing);
        };
        let version = Some(Version::from_record(&record));
        let record = self.open(key, part, kinds, record);
        let record = record.inspect_err(|miss| self.log(part, *miss)).ok();
        Ok(Found { version, record })
    }

    /// Replaces the record of an entry, if it still has the version that was seen. Returns the version of the new one.
    pub(super) async fn publish(
        &self,
        part: &str,
        seen: Option<&Version>,
        new: NewRecord<'_>,
    ) -> Result<Option<Version>, StoreAway> {
        let (Some(name), Some(sealer)) = (self.entry_name(0, part), self.shared.sealers(self.purpose).next())
        else {
            return Ok(None);
        };
        // Without random bytes there is no record. The plugins then work as if the store were away.
        let record =
            sealer.seal(self.binding(part), new.kind, new.times, new.content).map_err(|_| StoreAway)?;
        if record.len() > MAX_RECORD {
            self.log(part, Miss::TooLong);
            return Ok(None);
        }
        let is_published =
            self.shared.ask(&name, |store| store.publish(&name, seen, &record, new.time_to_live)).await?;
        Ok(is_published.then(|| Version::from_record(&record)))
    }

    /// Returns the record of an entry that has an effect now, if it is of this kind.
    pub(super) async fn current(&self, part: &str, kind: Kind) -> Result<Option<Record>, StoreAway> {
        let record = self.get(part, &[kind, Kind::Tombstone]).await?.record;
        Ok(record.filter(|record| record.header.kind == kind && !self.has_ended(part, record)))
    }

    /// Returns whether a record ended so long ago that a difference of the clocks cannot be the reason. Somebody who
    /// can write to the store has put it back, or prevents its end.
    pub(super) fn has_ended(&self, part: &str, record: &Record) -> bool {
        let age = SystemTime::now().duration_since(record.header.expires_at).unwrap_or_default();
        let has_ended = age > MAX_CLOCK_SKEW;
        if has_ended {
            self.log(part, Miss::Ended);
        }
        has_ended
    }

    /// Replaces the record of an entry, whatever is there.
    pub(super) async fn overwrite(
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

    /// Removes the record of an entry, whatever is there. `kind` is what is expected, and `lifetime` that of the tombstone.
    pub(super) async fn remove(&self, part: &str, kind: Kind, lifetime: Duration) -> Result<(), StoreAway> {
        for _ in 0..MAX_ATTEMPTS {
            let found = self.get(part, &[kind, Kind::Tombstone]).await?;
            let is_removed = found.record.is_some_and(|record| record.header.kind == Kind::Tombstone);
            if found.version.is_none() || is_removed {
                break;
            }
            let seen = found.version.as_ref();
            if self.replace(part, seen, Kind::Tombstone, lifetime, &[]).await? {
                break;
            }
        }
        Ok(())
    }

    pub(super) async fn replace(
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

    pub(super) async fn lease(&self, owner: &LeaseOwner, term: Duration) -> Result<bool, StoreAway> {
        let Some(name) = self.entry_name(0, LEASE_PART) else { return Ok(false) };
        self.shared.ask(&name, |store| store.lease(&name, owner, term)).await
    }

    pub(super) async fn extend(&self, owner: &LeaseOwner, term: Duration) -> Result<bool, StoreAway> {
        let Some(name) = self.entry_name(0, LEASE_PART) else { return Ok(false) };
        self.shared.ask(&name, |store| store.extend(&name, owner, term)).await
    }

    pub(super) async fn release(&self, owner: &LeaseOwner) -> Result<(), StoreAway> {
        let Some(name) = self.entry_name(0, LEASE_PART) else { return Ok(()) };
        self.shared.ask(&name, |store| store.release(&name, owner)).await
    }

    /// Returns the error of a method that has found the server of an entry away.
    pub(super) fn unavailable_error(&self, part: &str) -> Error {
        match self.entry_name(0, part) {
            Some(name) => self.shared.contact(&name).error(),
            None => Error::StoreUnavailable { source: None },
        }
    }

    /// Logs why a record is not used.
    pub(super) fn log(&self, part: &str, miss: Miss) {
        let name = self.entry_name(0, part);
        let message = (self.purpose.name(), miss);
        if self.shared.log_throttle().should_log(message, Instant::now(), LOG_INTERVAL) {
            let entry = name.as_ref().map(EntryName::as_str);
            // A log subscriber that panics must not change the outcome.
            let _ =
                catch_panic(|| warn!(entry, "a record in the token store is not used: {}", miss.reason()));
        }
    }

    fn open(&self, key: usize, part: &str, kinds: &[Kind], record: Vec<u8>) -> Result<Record, Miss> {
        let sealer = self.shared.sealers(self.purpose).nth(key).ok_or(Miss::Key)?;
        let (header, content) = sealer.open(self.binding(part), record)?;
        if !kinds.contains(&header.kind) {
            return Err(Miss::Kind);
        }
        Ok(Record { header, content })
    }

    fn entry_name(&self, key: usize, part: &str) -> Option<EntryName> {
        self.names.get(key).map(|identity| EntryName::new(identity, part))
    }

    fn binding<'a>(&'a self, part: &'a str) -> Binding<'a> {
        Binding { store: self.shared.store_name(), identity: self.identity.expose(), part }
    }
}

impl Times {
    /// Returns the times of a record that takes effect now.
    pub(super) fn from_now(duration: Duration) -> Self {
        let now = SystemTime::now();
        Self { issued_at: now, expires_at: now.checked_add(duration).unwrap_or(now) }
    }
}
