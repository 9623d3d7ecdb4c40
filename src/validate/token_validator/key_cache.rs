//! Builds caches whose keys are hashes of tokens.

use quick_cache::{
    OptionsBuilder, UnitWeighter, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use super::key::{BuildKeyHasher, TokenKey};

/// A cache whose capacity is a sum of weights.
pub(super) type KeyCache<V, W> = Cache<TokenKey, V, W, BuildKeyHasher>;

/// A cache whose capacity is a number of entries.
pub(super) type UnitKeyCache<V> = KeyCache<V, UnitWeighter>;

/// Minimum number of entries of a cache with [`SHARDS`] shards. A smaller one has a single shard, so that it can be
/// filled.
const MIN_SHARDED_ENTRIES: usize = 10_000;

/// Number of shards of a large cache. Each has its own lock.
const SHARDS: usize = 8;

/// Maximum number of entries for which memory is reserved at the start.
const MAX_ESTIMATE: usize = 32 * 1024;

/// Returns an empty cache of this many entries, whose weights are at most `capacity` in total.
pub(super) fn new_cache<V: Clone, W: Weighter<TokenKey, V> + Clone>(
    entries: usize,
    capacity: u64,
    weighter: W,
) -> KeyCache<V, W> {
    let shards = if entries < MIN_SHARDED_ENTRIES { 1 } else { SHARDS };
    let (hasher, lifecycle) = (BuildKeyHasher::default(), DefaultLifecycle::default());
    let mut options = OptionsBuilder::new();
    options.shards(shards).estimated_items_capacity(entries.min(MAX_ESTIMATE)).weight_capacity(capacity);
    match options.build() {
        Ok(options) => Cache::with_options(options, weighter, hasher, lifecycle),
        Err(_) => Cache::with(entries, capacity, weighter, hasher, lifecycle),
    }
}

/// Returns an empty cache of this many entries.
pub(super) fn unit_weight_cache<V: Clone>(entries: usize) -> UnitKeyCache<V> {
    new_cache(entries, entries as u64, UnitWeighter)
}
