//! Concurrent caches with a limit on the memory of their entries.

use std::hash::Hash;

use quick_cache::{Weighter, sync::Cache};

use crate::cache::{SHARDS, new_cache};

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
    new_cache(SHARDS, max_weight / typical_weight, max_weight as u64, ByteWeighter)
}
