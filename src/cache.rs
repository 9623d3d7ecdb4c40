//! Builds concurrent, bounded caches.

use std::hash::{BuildHasher, Hash};

use quick_cache::{
    OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

/// Minimum number of entries of a cache with [`SHARDS`] shards.
///
/// A full shard evicts an entry even if another shard has room. Keys are distributed unevenly over the shards, and the
/// smaller the cache, the larger the difference.
pub(crate) const MIN_SHARDED_ENTRIES: usize = 10_000;

/// Number of shards of a large cache. Each has its own lock.
pub(crate) const SHARDS: usize = 8;

/// Returns the number of shards for a cache that is limited to this many entries.
pub(crate) fn shards_for(entries: usize) -> usize {
    if entries < MIN_SHARDED_ENTRIES { 1 } else { SHARDS }
}

/// Returns an empty cache whose weights are at most `capacity` in total.
///
/// Rarely used entries are evicted first. Memory is reserved for `entries` entries.
pub(crate) fn new_cache<K, V, W, H>(
    shards: usize,
    entries: usize,
    capacity: u64,
    weighter: W,
) -> Cache<K, V, W, H>
where
    K: Eq + Hash,
    V: Clone,
    W: Weighter<K, V> + Clone,
    H: BuildHasher + Clone + Default,
{
    let (hasher, lifecycle) = (H::default(), DefaultLifecycle::default());
    match OptionsBuilder::new()
        .shards(shards)
        .estimated_items_capacity(entries)
        .weight_capacity(capacity)
        .build()
    {
        Ok(options) => Cache::with_options(options, weighter, hasher, lifecycle),
        Err(_) => Cache::with(entries, capacity, weighter, hasher, lifecycle),
    }
}
