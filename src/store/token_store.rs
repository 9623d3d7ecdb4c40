use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{OsRng, rand_core::RngCore};

use super::EntryName;
use crate::BoxError;

/// The future of a method of [`TokenStore`].
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// A place that several plugins or processes share, where records are replaced by comparison.
///
/// A record is a sequence of bytes, up to [`MAX_RECORD`] of them. The store does not know what is in it. Each record
/// has a name and an end, and each name has a lease, which one owner at a time can hold.
///
/// All errors mean that the store cannot be used now. The plugins then work without it.
///
/// The record and the lease of a name are separate: neither replaces the other, so they need different keys in a store
/// that has only one kind of entry. All times count from the operation, by one clock: that of the server, or of the
/// machine. The clocks of the processes are not compared.
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// Starts to connect in the background, so that the first answer comes sooner. The default does nothing.
    ///
    /// [`SharedTokens`](super::SharedTokens) calls it when it is created.
    fn connect(&self) {}

    /// Returns the number of the server that has the entries of this name. The default is 0, for a store on one server.
    ///
    /// If a server cannot be used, the entries of the others still are. More than 16 servers are told apart by the
    /// remainder of their number divided by 16.
    fn server(&self, name: &EntryName) -> usize {
        let _ = name;
        0
    }

    /// Returns the record of a name, or `None` if there is none or it has ended.
    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>>;

    /// Replaces the record of a name, and returns true, if the current record still has the version `seen`.
    ///
    /// `None` as the version means that there was no record. The comparison and the write must not be interrupted by
    /// another write.
    ///
    /// The new record ends after `time_to_live`. A store that counts in larger units rounds it up, never down: the
    /// record of a failed login must not end before its delay. A record that stays longer, by a second or two, is
    /// harmless, because a sealed record contains its own end.
    ///
    /// If the record is longer than [`MAX_RECORD`], the current one is kept and false is returned.
    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool>;

    /// Takes the lease of a name, and returns true, if nobody holds it.
    ///
    /// It ends after `term`, unless it is extended. An owner that already holds the lease does not get it again: the
    /// result is false, and the lease is not extended.
    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool>;

    /// Makes the lease end after `term` from now, and returns true, if `owner` still holds it.
    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool>;

    /// Gives the lease back, if `owner` still holds it.
    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()>;
}

/// A shared store is a store.
impl<S: TokenStore + ?Sized> TokenStore for Arc<S> {
    fn connect(&self) {
        (**self).connect();
    }

    fn server(&self, name: &EntryName) -> usize {
        (**self).server(name)
    }

    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        (**self).get(name)
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        (**self).publish(name, seen, record, time_to_live)
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        (**self).lease(name, owner, term)
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        (**self).extend(name, owner, term)
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        (**self).release(name, owner)
    }
}

/// Maximum length of a record, in bytes. A longer one is not stored.
pub const MAX_RECORD: usize = 1_000_000;

/// What tells two records of a name apart: their first 48 bytes.
///
/// A record that this crate has made has a random number in them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    bytes: [u8; Self::MAX_LENGTH],
    length: u8,
}

impl Version {
    /// The length of the version of a record that is at least as long, in bytes.
    pub const MAX_LENGTH: usize = 48;

    /// Returns the version of a record.
    pub fn from_record(record: &[u8]) -> Self {
        let length = record.len().min(Self::MAX_LENGTH);
        let mut bytes = [0; Self::MAX_LENGTH];
        for (to, from) in bytes.iter_mut().zip(record) {
            *to = *from;
        }
        Self { bytes, length: length as u8 }
    }

    /// Returns the first bytes of the record.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// Shows the number of bytes only.
impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({} bytes)", self.length)
    }
}

/// The random name of one holder of one lease.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LeaseOwner(Box<str>);

impl LeaseOwner {
    /// Creates an owner with a name that no other owner has, from 16 random bytes of the operating system.
    ///
    /// # Panics
    ///
    /// Panics if the operating system has no random bytes.
    pub fn random() -> Self {
        Self::try_random().expect("the operating system has random bytes")
    }

    /// Does what [`random`](Self::random) does, but returns `None` if there are no random bytes.
    pub(crate) fn try_random() -> Option<Self> {
        let mut bytes = [0; 16];
        OsRng.try_fill_bytes(&mut bytes).ok()?;
        Some(Self(BASE64_URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// Creates the owner of this name, so that a model checker can repeat a run.
    #[cfg(shuttle)]
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self(name.into())
    }

    /// Returns the name, which is 22 characters of the URL-safe alphabet of base64.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LeaseOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseOwner")
    }
}
