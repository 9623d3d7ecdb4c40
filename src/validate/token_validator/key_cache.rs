//! Builds caches whose keys are hashes of tokens.

use quick_cache::{UnitWeighter, Weighter, sync::Cache};

use super::key::{BuildKeyHasher, TokenKey};
use crate::cache::{self, shards_for};

/// A cache whose capacity is a sum of weights.
pub(super) type KeyCache<V, W> = Cache<TokenKey, V, W, BuildKeyHasher>;

/// A cache whose capacity is a number of entries.
pub(super) type UnitKeyCache<V> = KeyCache<V, UnitWeighter>;

/// Maximum number of entries for which memory is reserved at the start.
const MAX_ESTIMATE: usize = 32 * 1024;

/// Returns an empty cache of this many entries, whose weights are at most `capacity` in total.
pub(super) fn new_cache<V: Clone, W: Weighter<TokenKey, V> + Clone>(
    entries: usize,
    capacity: u64,
    weighter: W,
) -> KeyCache<V, W> {
    cache::new_cache(shards_for(entries), entries.min(MAX_ESTIMATE), capacity, weighter)
}

/// Returns an empty cache of this many entries.
pub(super) fn unit_weight_cache<V: Clone>(entries: usize) -> UnitKeyCache<V> {
    new_cache(entries, entries as u64, UnitWeighter)
}
