//! A bounded pool of plugins, one for each identity.

use std::{
    fmt,
    hash::Hash,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::{UnitWeighter, sync::Cache};
use tokio::time::Instant;

use crate::cache::{new_cache, shards_for};

/// A bounded pool of plugins, one for each identity.
///
/// With it, a service that acts for many users, or in many projects, obtains one token for each of them instead of one
/// for each request.
///
/// When the pool is full, a new plugin evicts one that is rarely used. Plugins in regular use stay, even if many keys
/// are used only once. A plugin that is no longer used can be dropped after a time: see
/// [`idle_timeout`](Self::idle_timeout). Clones share the pool.
///
/// Each plugin has its own back-off after a failed login. So a password that has become wrong is tried once for each
/// key, and again if a plugin was dropped and is made anew.
///
/// To send the requests of all of them through one client, hold each plugin as an [`Identity`](crate::Identity), and put
/// a clone of it into the extensions of a request.
///
/// The pool also holds values other than plugins, if they are `Clone`: for example a whole stack of services as tower's
/// `BoxCloneSyncService`. If all stacks use one [`Discovery`](crate::discovery::Discovery), they share its cache. If
/// their `RetryPolicy`s use one [`budget`](crate::RetryPolicy::budget), it limits the retries of all stacks together.
///
/// ```
/// use tower_keystone::{
///     AuthMethod, Identity, PluginPool, RenewingPlugin, Scope, User, V3Credentials, fixture::Cloud,
/// };
///
/// # let cloud = Cloud::new([]);
/// # let auth_url = cloud.keystone().auth_url();
/// # let transport = cloud.transport();
/// let service = User::new().username("billing").user_domain_name("Default");
/// let credentials = V3Credentials::new(auth_url, AuthMethod::password(service, "secret"));
/// let pool = PluginPool::new(1_000);
///
/// // The user of this service, in the project of a request.
/// let in_project = |project_id: &str| {
///     pool.get_or_insert_with(project_id.to_owned(), || {
///         let scope = Scope::new().project_id(project_id);
///         Identity::new(RenewingPlugin::new(credentials.clone().scope(scope), transport.clone()))
///     })
/// };
/// let request = http::Request::get("/servers").extension(in_project("p1"));
/// in_project("p2");
/// in_project("p1");
/// # let _ = request;
/// assert_eq!(pool.len(), 2);
/// ```
pub struct PluginPool<K, P>(Arc<Inner<K, P>>);

/// The state that clones of a pool share.
struct Inner<K, P> {
    /// Keys and entries are in an `Arc`, so that no `Clone` or `Drop` of `K` or `P` runs under a lock of the cache.
    entries: Cache<Arc<K>, Arc<Entry<P>>>,
    /// Held while a plugin is inserted, so that it replaces no plugin that another thread has inserted.
    insert_lock: Mutex<()>,
    created: Instant,
    /// How long a plugin may be unused, in milliseconds. `u64::MAX` is no limit.
    idle_timeout: AtomicU64,
    /// When idle plugins were last dropped, in milliseconds since `created`.
    last_sweep: AtomicU64,
}

/// A plugin of the pool.
struct Entry<P> {
    plugin: P,
    /// When the plugin was last used, in milliseconds since the pool was created.
    last_used: AtomicU64,
}

impl<K: Eq + Hash, P: Clone> PluginPool<K, P> {
    /// Makes an empty pool that holds up to `capacity` plugins, and at least one.
    ///
    /// A pool of 10,000 or more may evict plugins a little before it is full. Make it a tenth larger than needed.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let shards = shards_for(capacity);
        let entries = new_cache(shards, capacity, (capacity / shards * shards) as u64, UnitWeighter);
        Self(Arc::new(Inner {
            entries,
            insert_lock: Mutex::new(()),
            created: Instant::now(),
            idle_timeout: AtomicU64::new(u64::MAX),
            last_sweep: AtomicU64::new(0),
        }))
    }

    /// Drops plugins that were not used for this time, and their tokens.
    ///
    /// By default, plugins stay until they are evicted. The pool looks for idle plugins when it is used, at most twice
    /// in this time.
    #[must_use]
    pub fn idle_timeout(self, idle_timeout: Duration) -> Self {
        self.0.idle_timeout.store(millis(idle_timeout), Ordering::Relaxed);
        self
    }

    /// Returns the plugin of this key. If there is none, calls `make` and inserts the result.
    ///
    /// No lock is held while `make` runs, so two callers may make a plugin for the same key at the same time. Both get
    /// the one that was inserted first. The other one is dropped.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> P) -> P {
        let now = self.0.now();
        self.0.sweep(now);
        match self.0.get(&key, now) {
            Some(entry) => entry.plugin.clone(),
            None => self.0.insert(key, make(), now).plugin.clone(),
        }
    }

    /// Removes the plugin of this key from the pool and returns it, for example when a user has logged out.
    pub fn remove(&self, key: &K) -> Option<P> {
        let (_, entry) = self.0.entries.remove(key)?;
        Some(entry.plugin.clone())
    }
}

impl<K: Eq + Hash, P> PluginPool<K, P> {
    /// Returns the number of plugins in the pool.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Returns whether the pool is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Eq + Hash, P> Inner<K, P> {
    /// Returns the milliseconds since the pool was created, or 0 if there is no idle timeout to compare them with.
    fn now(&self) -> u64 {
        match self.idle_timeout.load(Ordering::Relaxed) {
            u64::MAX => 0,
            _ => millis(self.created.elapsed()),
        }
    }

    /// Returns the entry of this key, unless it is idle, and marks it as used.
    fn get(&self, key: &K, now: u64) -> Option<Arc<Entry<P>>> {
        let entry = self.entries.get(key).filter(|entry| !self.is_idle(entry, now))?;
        entry.last_used.store(now, Ordering::Relaxed);
        Some(entry)
    }

    /// Inserts a plugin and returns its entry. If the key already has an entry that is not idle, returns that one.
    fn insert(&self, key: K, plugin: P, now: u64) -> Arc<Entry<P>> {
        let new = Arc::new(Entry { plugin, last_used: AtomicU64::new(now) });
        let key = Arc::new(key);
        let mut evicted = Default::default();

        let guard = self.insert_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let existing = self.entries.get(&*key);
        let (entry, idle) = match &existing {
            Some(existing) if !self.is_idle(existing, now) => (Arc::clone(existing), None),
            existing => {
                // Removing a key that is not there would make the cache forget how often it was requested.
                let idle = existing.is_some().then(|| self.entries.remove(&*key));
                self.entries.insert_with_lifecycle(Arc::clone(&key), Arc::clone(&new), &mut evicted);
                (Arc::clone(&new), idle)
            }
        };
        // Unlocks before the replaced plugins are dropped, because their `Drop` may use the pool.
        drop(guard);
        drop((idle, evicted));
        entry
    }

    /// Drops all idle plugins, if half of the idle timeout has passed since the last time.
    fn sweep(&self, now: u64) {
        let last = self.last_sweep.load(Ordering::Relaxed);
        let interval = self.idle_timeout.load(Ordering::Relaxed) / 2;
        let is_due = now.saturating_sub(last) > interval;
        if !is_due
            || self.last_sweep.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        for (key, entry) in self.entries.iter() {
            if self.is_idle(&entry, now) {
                self.entries.remove_if(&*key, |entry| self.is_idle(entry, now));
            }
        }
    }

    fn is_idle(&self, entry: &Entry<P>, now: u64) -> bool {
        let unused = now.saturating_sub(entry.last_used.load(Ordering::Relaxed));
        unused > self.idle_timeout.load(Ordering::Relaxed)
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

impl<K, P> Clone for PluginPool<K, P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Shows the number of plugins, and no keys, because they may name users.
impl<K: Eq + Hash, P> fmt::Debug for PluginPool<K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginPool").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::{Barrier, OnceLock, atomic::AtomicUsize, mpsc},
        thread,
    };

    use super::*;
    use crate::cache::MIN_SHARDED_ENTRIES;

    /// Counts how often a plugin was made for each key.
    #[derive(Default)]
    struct Made(Mutex<HashMap<usize, usize>>);

    impl Made {
        fn get(&self, pool: &PluginPool<usize, Arc<usize>>, key: usize) -> Arc<usize> {
            pool.get_or_insert_with(key, || {
                *self.0.lock().unwrap().entry(key).or_default() += 1;
                Arc::new(key)
            })
        }

        fn times(&self, key: usize) -> usize {
            self.0.lock().unwrap().get(&key).copied().unwrap_or_default()
        }
    }

    #[test]
    fn a_key_has_one_plugin_until_it_is_removed() {
        let (pool, made) = (PluginPool::new(2), Made::default());
        let first = made.get(&pool, 1);
        assert!(Arc::ptr_eq(&first, &made.get(&pool, 1)));
        assert!(Arc::ptr_eq(&first, &pool.remove(&1).unwrap()) && pool.is_empty());
        assert!(pool.remove(&1).is_none());
        assert!(!Arc::ptr_eq(&first, &made.get(&pool, 1)));
        assert_eq!(made.times(1), 2);
    }

    #[test]
    fn it_holds_no_more_than_its_capacity() {
        assert!(PluginPool::<u8, ()>::new(usize::MAX).is_empty());
        for capacity in [0, 1, 2, 3, 100, MIN_SHARDED_ENTRIES + 1] {
            let (pool, made) = (PluginPool::new(capacity), Made::default());
            for key in 0..3 * capacity + 3 {
                made.get(&pool, key);
            }
            let capacity = capacity.max(1);
            assert!(
                pool.len() <= capacity && pool.len() >= capacity - capacity / 10,
                "{pool:?} of {capacity}"
            );
        }
    }

    #[test]
    fn a_burst_of_keys_that_are_used_once_evicts_nothing_in_use() {
        for capacity in [10, 1_000, MIN_SHARDED_ENTRIES] {
            let (pool, made) = (PluginPool::new(capacity), Made::default());
            let in_use = capacity / 2;
            for _ in 0..3 {
                (0..in_use).for_each(|key| drop(made.get(&pool, key)));
            }
            for round in 1..=5 {
                // More keys than the pool can hold, before the others are used again.
                (0..2 * capacity).for_each(|key| drop(made.get(&pool, round * 1_000_000 + key)));
                (0..in_use).for_each(|key| drop(made.get(&pool, key)));
            }
            let evicted = (0..in_use).filter(|key| made.times(*key) > 1).count();
            assert_eq!(evicted, 0, "of {in_use}");
        }
    }

    #[test]
    fn new_keys_stay_although_others_were_in_use_before() {
        for capacity in [1, 2, 3, 10, 1_000] {
            let (pool, made) = (PluginPool::new(capacity), Made::default());
            for _ in 0..10 {
                (0..capacity).for_each(|key| drop(made.get(&pool, key)));
            }
            let new_keys = capacity..capacity + capacity.div_ceil(2);
            for _ in 0..100 {
                new_keys.clone().for_each(|key| drop(made.get(&pool, key)));
            }
            let most = new_keys.map(|key| made.times(key)).max().unwrap();
            assert!(most <= 2, "of {capacity}: made {most} times");
        }
    }

    #[test]
    fn concurrent_callers_get_the_same_plugin() {
        for _ in 0..100 {
            let (pool, barrier) = (PluginPool::new(10), Barrier::new(4));
            let got: Vec<Arc<()>> = thread::scope(|scope| {
                let get = || {
                    barrier.wait();
                    pool.get_or_insert_with("key", || Arc::new(()))
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(get)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(got.iter().all(|plugin| Arc::ptr_eq(plugin, &got[0])));
        }
    }

    /// A plugin and a key whose `Clone` and `Drop` use the pool that contains them.
    #[derive(PartialEq, Eq, Hash)]
    struct UsesPool(usize);

    static POOL: OnceLock<PluginPool<UsesPool, UsesPool>> = OnceLock::new();
    static USES: AtomicUsize = AtomicUsize::new(0);

    fn use_pool() {
        let pool = POOL.get().unwrap();
        // Deadlocks if the pool holds a lock.
        USES.fetch_add(usize::from(pool.len() < 3), Ordering::Relaxed);
        assert!(pool.remove(&UsesPool(999)).is_none());
    }

    impl Clone for UsesPool {
        fn clone(&self) -> Self {
            use_pool();
            Self(self.0)
        }
    }

    impl Drop for UsesPool {
        fn drop(&mut self) {
            if self.0 != 999 {
                use_pool();
            }
        }
    }

    #[test]
    fn no_lock_is_held_while_code_of_others_runs() {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            let pool = POOL.get_or_init(|| PluginPool::new(2).idle_timeout(Duration::from_secs(1)));
            for key in 0..10 {
                pool.get_or_insert_with(UsesPool(key), || {
                    // The same key, while it is being made, and another one.
                    let first = pool.get_or_insert_with(UsesPool(key), || UsesPool(key));
                    pool.get_or_insert_with(UsesPool(key + 100), || UsesPool(0));
                    first
                });
            }
            pool.remove(&UsesPool(9));
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(60)).expect("deadlock");
        assert!(USES.load(Ordering::Relaxed) > 40);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_plugin_is_dropped() {
        const MINUTE: Duration = Duration::from_secs(60);
        let (pool, made) = (PluginPool::new(100).idle_timeout(30 * MINUTE), Made::default());
        let idle: Vec<_> = (1..10).map(|key| Arc::downgrade(&made.get(&pool, key))).collect();
        for _ in 0..8 {
            tokio::time::advance(5 * MINUTE).await;
            made.get(&pool, 0);
        }
        assert_eq!(pool.len(), 1, "only 0 was in use");
        assert!(idle.iter().all(|plugin| plugin.upgrade().is_none()), "their tokens are gone too");
        assert_eq!(made.times(0), 1);

        tokio::time::advance(31 * MINUTE).await;
        made.get(&pool, 0);
        assert_eq!((made.times(0), pool.len()), (2, 1), "an idle plugin is made anew");

        let pool = PluginPool::new(100);
        made.get(&pool, 1);
        tokio::time::advance(Duration::from_secs(u32::MAX.into())).await;
        made.get(&pool, 2);
        assert_eq!(pool.len(), 2, "by default no plugin is dropped");
    }
}
