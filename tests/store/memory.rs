//! The store in memory, under a paused clock.

use std::time::Duration;

use tower_keystone::store::MemoryStore;

use crate::contract::{self, Clock, ClockFuture};

/// The paused clock of tokio.
struct Paused;

impl Clock for Paused {
    fn pass(&self, time: Duration) -> ClockFuture<'_> {
        Box::pin(tokio::time::advance(time))
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_keeps_the_contract() {
    let store = MemoryStore::new();
    contract::check(&store, &store.clone(), &Paused).await;
}
