use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{EntryName, LeaseOwner, StoreFuture, TokenStore, Version, memory_table::Table};

/// A store in the memory of this process, for the plugins of one program, and for tests.
///
/// It uses the clock of tokio, so a test can pause and advance it. It has room for 10,000 records and 64 MiB. If it is
/// full, the records that end first are evicted.
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    created: Instant,
}

impl MemoryStore {
    /// Creates an empty store. Clones share it.
    pub fn new() -> Self {
        Self(Arc::new(Shared { table: Mutex::default(), created: Instant::now() }))
    }

    /// Calls a function with the table and the time. The function runs at the first poll.
    fn with<'a, T: Send + 'a>(
        &'a self,
        call: impl FnOnce(&mut Table, Duration) -> T + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let mut table = self.0.table.lock().unwrap_or_else(PoisonError::into_inner);
            // Read with the lock held, so that the time of the table does not go back.
            let now = self.0.created.elapsed();
            Ok(call(&mut table, now))
        })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenStore for MemoryStore {
    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.with(|table, now| table.get(now, name).map(<[u8]>::to_vec))
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        self.with(move |table, now| table.publish(now, name, seen, record, time_to_live))
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        self.with(move |table, now| table.lease(now, name, owner, term))
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        self.with(move |table, now| table.extend(now, name, owner, term))
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        self.with(move |table, now| table.release(now, name, owner))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore")
    }
}
