use std::time::{Duration, SystemTime};

use super::{LeaseOwner, SharedTokens, StoreUser, Version};
use crate::{AccessInfo, Secret};

/// The store cannot be used now. It has been logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreAway;

/// The entries of one identity in a store.
#[derive(Clone)]
pub(crate) struct IdentityEntries {
    #[allow(dead_code)]
    shared: SharedTokens,
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
#[derive(Clone, Debug)]
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

#[allow(dead_code, clippy::unused_self, unused_variables)]
impl SharedTokens {
    /// Returns the entries of an identity. `identity` is the cache id of its credentials, or the id without secrets if
    /// the store is not sealed.
    pub(crate) fn identity(&self, identity: &Secret) -> IdentityEntries {
        todo!()
    }

    /// Returns whether records are sealed with a key.
    pub(crate) fn is_sealed(&self) -> bool {
        todo!()
    }
}

#[allow(dead_code, clippy::unused_self, clippy::unused_async, unused_variables)]
impl IdentityEntries {
    /// Returns a guard for a renewal that uses the store, or `None` if the store is closed.
    pub(crate) fn add_user(&self) -> Option<StoreUser> {
        self.shared.0.users.add()
    }

    pub(crate) async fn token(&self) -> Result<TokenEntry, StoreAway> {
        todo!()
    }

    /// Publishes a token, if the entry still has the version that was seen. Returns the version of the new record, or
    /// `None` if another one is there. `time_to_live` is what is left of the token's life.
    pub(crate) async fn publish_token(
        &self,
        seen: Option<&Version>,
        access_info: &AccessInfo,
        time_to_live: Duration,
    ) -> Result<Option<Version>, StoreAway> {
        todo!()
    }

    /// Replaces a token that a service has refused by a tombstone, if the entry still has this version. Returns whether
    /// it did.
    pub(crate) async fn bury_token(
        &self,
        version: &Version,
        issued_at: SystemTime,
    ) -> Result<bool, StoreAway> {
        todo!()
    }

    /// Takes one of the `max` refusals that the whole fleet has in each `window`. Returns false if there is none left.
    pub(crate) async fn take_refusal(&self, max: usize, window: Duration) -> Result<bool, StoreAway> {
        todo!()
    }

    /// Returns the failure after which no process of the fleet may log in yet.
    pub(crate) async fn failure(&self) -> Result<Option<SharedFailure>, StoreAway> {
        todo!()
    }

    /// Publishes a failure. Its entry ends after its delay.
    pub(crate) async fn publish_failure(&self, failure: &SharedFailure) -> Result<(), StoreAway> {
        todo!()
    }

    /// Removes the failure and the counts, after a login that succeeded or when the program asks for it.
    pub(crate) async fn clear_failures(&self) -> Result<(), StoreAway> {
        todo!()
    }

    pub(crate) async fn failure_counts(&self) -> Result<FailureCounts, StoreAway> {
        todo!()
    }

    pub(crate) async fn publish_failure_counts(&self, counts: FailureCounts) -> Result<(), StoreAway> {
        todo!()
    }

    pub(crate) async fn lease(&self, owner: &LeaseOwner, term: Duration) -> Result<bool, StoreAway> {
        todo!()
    }

    pub(crate) async fn extend(&self, owner: &LeaseOwner, term: Duration) -> Result<bool, StoreAway> {
        todo!()
    }

    pub(crate) async fn release(&self, owner: &LeaseOwner) -> Result<(), StoreAway> {
        todo!()
    }
}
