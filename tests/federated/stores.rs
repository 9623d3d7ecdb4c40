//! Stores that cannot be used, and one that keeps what was written to it.

use std::{
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_keystone::{
    SharedTokens,
    store::{EntryName, LeaseOwner, MemoryStore, StoreFuture, StoreKey, TokenStore, Version},
};

/// A store whose operations fail.
#[derive(Debug)]
pub struct Away;

/// A store that never answers.
#[derive(Debug)]
pub struct Hanging;

fn away<'a, T: Send + 'a>() -> StoreFuture<'a, T> {
    Box::pin(ready(Err("it is away".into())))
}

macro_rules! store {
    ($store:ty, $answer:expr) => {
        impl TokenStore for $store {
            fn get<'a>(&'a self, _: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
                $answer
            }

            fn publish<'a>(
                &'a self,
                _: &'a EntryName,
                _: Option<&'a Version>,
                _: &'a [u8],
                _: Duration,
            ) -> StoreFuture<'a, bool> {
                $answer
            }

            fn lease<'a>(
                &'a self,
                _: &'a EntryName,
                _: &'a LeaseOwner,
                _: Duration,
            ) -> StoreFuture<'a, bool> {
                $answer
            }

            fn extend<'a>(
                &'a self,
                _: &'a EntryName,
                _: &'a LeaseOwner,
                _: Duration,
            ) -> StoreFuture<'a, bool> {
                $answer
            }

            fn release<'a>(&'a self, _: &'a EntryName, _: &'a LeaseOwner) -> StoreFuture<'a, ()> {
                $answer
            }
        }
    };
}

store!(Away, away());
store!(Hanging, Box::pin(pending()));

/// A store that keeps all records that were ever published.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    store: Arc<MemoryStore>,
    records: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recording {
    /// Returns the kinds of all records, which are not sealed.
    pub fn kinds(&self) -> Vec<u8> {
        self.records.lock().unwrap().iter().map(|record| record[7]).collect()
    }

    /// Returns whether a text was ever in a record.
    pub fn has(&self, text: &str) -> bool {
        let contains = |record: &Vec<u8>| record.windows(text.len()).any(|part| part == text.as_bytes());
        self.records.lock().unwrap().iter().any(contains)
    }
}

impl TokenStore for Recording {
    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.store.get(name)
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        self.records.lock().unwrap().push(record.to_vec());
        self.store.publish(name, seen, record, time_to_live)
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        self.store.lease(name, owner, term)
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        self.store.extend(name, owner, term)
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        self.store.release(name, owner)
    }
}

/// The connection of one process to a store, which can be cut off.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    store: Arc<MemoryStore>,
    is_cut_off: Arc<AtomicBool>,
    publications: Arc<AtomicUsize>,
}

impl Connection {
    /// Returns the connection of another process to the same store.
    pub fn other(&self) -> Self {
        Self { store: Arc::clone(&self.store), ..Self::default() }
    }

    pub fn cut_off(&self, is_cut_off: bool) {
        self.is_cut_off.store(is_cut_off, Ordering::Relaxed);
    }

    /// Returns how many records this process has published.
    pub fn publications(&self) -> usize {
        self.publications.load(Ordering::Relaxed)
    }

    /// Returns the shared tokens of this process.
    pub fn tokens(&self) -> SharedTokens {
        SharedTokens::new(self.clone(), StoreKey::new([7; 32]))
    }

    fn is_up(&self) -> bool {
        !self.is_cut_off.load(Ordering::Relaxed)
    }
}

impl TokenStore for Connection {
    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        if self.is_up() { self.store.get(name) } else { away() }
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        if !self.is_up() {
            return away();
        }
        self.publications.fetch_add(1, Ordering::Relaxed);
        self.store.publish(name, seen, record, time_to_live)
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        if self.is_up() { self.store.lease(name, owner, term) } else { away() }
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        if self.is_up() { self.store.extend(name, owner, term) } else { away() }
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        if self.is_up() { self.store.release(name, owner) } else { away() }
    }
}
