//! Maps that are bounded by the bytes that they keep.

use std::hash::Hash;

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

/// How many parts a map has, each with a lock of its own.
const SHARDS: usize = 8;

/// A map of at most so many bytes. Entries that are seldom asked for make room for new ones; any number of entries
/// that are asked for once leaves those in steady use alone.
pub(super) type Bounded<K, V> = Cache<K, V, ByBytes>;

/// What an entry keeps in memory.
pub(super) trait Weight {
    /// In bytes, with the texts that it holds.
    fn weight(&self) -> usize;
}

#[derive(Clone)]
pub(super) struct ByBytes;

/// What the map needs for each entry by itself, in bytes.
const ENTRY: usize = 64;

impl<K: Weight, V: Weight> Weighter<K, V> for ByBytes {
    fn weight(&self, key: &K, value: &V) -> u64 {
        (key.weight() + value.weight() + ENTRY) as u64
    }
}

/// A map of at most `bytes` bytes, in which an entry has about `each`.
pub(super) fn bounded<K: Eq + Hash + Weight, V: Clone + Weight>(bytes: usize, each: usize) -> Bounded<K, V> {
    let (entries, bytes) = (bytes / each, bytes as u64);
    match OptionsBuilder::new()
        .shards(SHARDS)
        .estimated_items_capacity(entries)
        .weight_capacity(bytes)
        .build()
    {
        Ok(options) => {
            Cache::with_options(options, ByBytes, DefaultHashBuilder::default(), DefaultLifecycle::default())
        }
        Err(_) => Cache::with_weighter(entries, bytes, ByBytes),
    }
}
