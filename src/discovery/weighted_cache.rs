//! Concurrent caches with a limit on the memory of their entries.

use std::hash::Hash;

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

/// Number of shards of a cache. Each shard has its own lock.
const SHARDS: usize = 8;

/// Memory that the cache needs for an entry in addition to its key and value, in bytes.
const ENTRY_OVERHEAD: usize = 64;

/// A cache with a maximum size in bytes.
///
/// Rarely used entries are evicted first. Entries in steady use stay, however many entries are used only once.
pub(super) type WeightedCache<K, V> = Cache<K, V, ByteWeighter>;

/// A key or value with a known size.
pub(super) trait Weight {
    /// Returns the size in memory, with the heap memory that it owns, in bytes.
    fn weight(&self) -> usize;
}

#[derive(Clone)]
pub(super) struct ByteWeighter;

impl<K: Weight, V: Weight> Weighter<K, V> for ByteWeighter {
    fn weight(&self, key: &K, value: &V) -> u64 {
        (key.weight() + value.weight() + ENTRY_OVERHEAD) as u64
    }
}

/// Returns an empty cache of at most `max_weight` bytes, whose entries typically have `typical_weight` bytes.
pub(super) fn weighted_cache<K, V>(max_weight: usize, typical_weight: usize) -> WeightedCache<K, V>
where
    K: Eq + Hash + Weight,
    V: Clone + Weight,
{
    let (entries, max_weight) = (max_weight / typical_weight, max_weight as u64);
    match OptionsBuilder::new()
        .shards(SHARDS)
        .estimated_items_capacity(entries)
        .weight_capacity(max_weight)
        .build()
    {
        Ok(options) => Cache::with_options(
            options,
            ByteWeighter,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        ),
        Err(_) => Cache::with_weighter(entries, max_weight, ByteWeighter),
    }
}
