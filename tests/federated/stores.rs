//! Stores that cannot be used, and one that keeps what was written to it.

use std::{
    future::{pending, ready},
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_keystone::store::{EntryName, LeaseOwner, MemoryStore, StoreFuture, TokenStore, Version};

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
