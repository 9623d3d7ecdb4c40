//! One plugin for each of many identities.

use std::{
    fmt,
    hash::Hash,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};
use tokio::time::Instant;

/// From how many plugins on they are kept in [`SHARDS`] parts, each with a lock of its own. Fewer are one part: how
/// keys fall into parts is chance, and a full part evicts although another has room.
const LARGE: usize = 10_000;

const SHARDS: usize = 8;

/// One plugin for each of many identities, so that a service which acts for many users, or in many
/// projects, has one token for each and not one for each request.
///
/// It holds a bounded number of plugins. When it is full, a new one evicts one that is seldom asked for, so that any
/// number of keys that come once leaves those in steady use alone. Nor does a plugin stay that nobody asks for: see
/// [`idle_timeout`](Self::idle_timeout). Clones are the same pool.
///
/// Each plugin remembers refusals by itself: a password that became wrong is tried once for each key, and again
/// for one that was dropped.
///
/// A plugin is whatever is `Clone` here, a whole stack too, such as tower's `BoxCloneSyncService`. Where stacks are
/// built for each request or identity, let them share a [`Discovery`](crate::discovery::Discovery) and the
/// [`budget`](crate::RetryPolicy::budget) of their `RetryPolicy`: one that each of them has for itself remembers
/// nothing for the others, or limits nothing.
///
/// ```
/// use tower_keystone::{AuthMethod, PluginPool, RenewingPlugin, Scope, User, V3Credentials, fixture::Cloud};
///
/// # let cloud = Cloud::new([]);
/// # let auth_url = cloud.keystone().auth_url();
/// # let transport = cloud.transport();
/// let service = User::new().username("billing").user_domain_name("Default");
/// let credentials = V3Credentials::new(auth_url, AuthMethod::password(service, "secret"));
/// let pool = PluginPool::new(1_000);
///
/// // The service's own user, in whatever project a request is about.
/// let in_project = |project_id: &str| {
///     pool.get_or_insert_with(project_id.to_owned(), || {
///         let scope = Scope::new().project_id(project_id);
///         RenewingPlugin::new(credentials.clone().scope(scope), transport.clone())
///     })
/// };
/// in_project("p1");
/// in_project("p2");
/// in_project("p1");
/// assert_eq!(pool.len(), 2);
/// ```
pub struct PluginPool<K, P>(Arc<Plugins<K, P>>);

/// Keys and plugins are behind an `Arc` each, so that nothing of a user's runs under a lock of the cache.
struct Plugins<K, P> {
    by_key: Cache<Arc<K>, Arc<Pooled<P>>>,
    /// Held while a plugin is entered, so that it takes nobody's place.
    entering: Mutex<()>,
    since: Instant,
    /// How long a plugin may be unused, in milliseconds.
    idle_timeout: AtomicU64,
    /// When all plugins were last looked at, in milliseconds since `since`.
    swept: AtomicU64,
}

struct Pooled<P> {
    plugin: P,
    /// When it was last asked for, in milliseconds since the pool was made.
    used: AtomicU64,
}

impl<K: Eq + Hash, P: Clone> PluginPool<K, P> {
    /// A pool of up to `capacity` plugins, at least one.
    ///
    /// From 10,000 on, leave a tenth of room: the least used may be evicted a little before the pool is full.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let shards = if capacity < LARGE { 1 } else { SHARDS };
        let mut options = OptionsBuilder::new();
        options.shards(shards).estimated_items_capacity(capacity);
        options.weight_capacity((capacity / shards * shards) as u64);
        let by_key = match options.build() {
            Ok(options) => Cache::with_options(
                options,
                UnitWeighter,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            Err(_) => Cache::new(capacity),
        };
        Self(Arc::new(Plugins {
            by_key,
            entering: Mutex::new(()),
            since: Instant::now(),
            idle_timeout: AtomicU64::new(u64::MAX),
            swept: AtomicU64::new(0),
        }))
    }

    /// Drops plugins, and their tokens with them, that nobody has asked for during this time. By default they stay
    /// until they are evicted.
    ///
    /// They are looked for when the pool is used, at most twice in this time.
    #[must_use]
    pub fn idle_timeout(self, idle_timeout: Duration) -> Self {
        self.0.idle_timeout.store(millis(idle_timeout), Ordering::Relaxed);
        self
    }

    /// The plugin of this key, which is made if there is none.
    ///
    /// No lock is held while `make` runs. So two callers may make one at the same time; both get the one that was
    /// entered first, and the other is dropped.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> P) -> P {
        let now = self.0.now();
        self.0.sweep(now);
        match self.0.get(&key, now) {
            Some(pooled) => pooled.plugin.clone(),
            None => self.0.enter(key, make(), now).plugin.clone(),
        }
    }

    /// Forgets the plugin of this key, such as that of a user who has logged out.
    pub fn remove(&self, key: &K) -> Option<P> {
        let (_, pooled) = self.0.by_key.remove(key)?;
        Some(pooled.plugin.clone())
    }
}

impl<K: Eq + Hash, P> PluginPool<K, P> {
    /// How many plugins it holds.
    pub fn len(&self) -> usize {
        self.0.by_key.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Eq + Hash, P> Plugins<K, P> {
    /// The time since it was made; 0 if no plugin grows too old, and the time is nobody's concern.
    fn now(&self) -> u64 {
        match self.idle_timeout.load(Ordering::Relaxed) {
            u64::MAX => 0,
            _ => millis(self.since.elapsed()),
        }
    }

    fn is_idle(&self, pooled: &Pooled<P>, now: u64) -> bool {
        let unused = now.saturating_sub(pooled.used.load(Ordering::Relaxed));
        unused > self.idle_timeout.load(Ordering::Relaxed)
    }

    fn get(&self, key: &K, now: u64) -> Option<Arc<Pooled<P>>> {
        let pooled = self.by_key.get(key).filter(|pooled| !self.is_idle(pooled, now))?;
        pooled.used.store(now, Ordering::Relaxed);
        Some(pooled)
    }

    /// Enters a plugin, unless another one was meanwhile: then that one is it.
    fn enter(&self, key: K, plugin: P, now: u64) -> Arc<Pooled<P>> {
        let pooled = Arc::new(Pooled { plugin, used: AtomicU64::new(now) });
        let key = Arc::new(key);
        let mut evicted = Default::default();

        let entering = self.entering.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.by_key.get(&*key);
        let (entered, idle) = match &found {
            Some(first) if !self.is_idle(first, now) => (Arc::clone(first), None),
            found => {
                // Removing what is not there would make the cache forget that it was asked for before.
                let idle = found.is_some().then(|| self.by_key.remove(&*key));
                self.by_key.insert_with_lifecycle(Arc::clone(&key), Arc::clone(&pooled), &mut evicted);
                (Arc::clone(&pooled), idle)
            }
        };
        // Before what gives way is dropped.
        drop(entering);
        drop((idle, evicted));
        entered
    }

    /// Drops all that are idle, if it has been long enough since the last time.
    fn sweep(&self, now: u64) {
        let swept = self.swept.load(Ordering::Relaxed);
        let pause = self.idle_timeout.load(Ordering::Relaxed) / 2;
        let is_due = now.saturating_sub(swept) > pause;
        if !is_due || self.swept.compare_exchange(swept, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        for (key, pooled) in self.by_key.iter() {
            if self.is_idle(&pooled, now) {
                self.by_key.remove_if(&*key, |pooled| self.is_idle(pooled, now));
            }
        }
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

/// How many plugins it holds; the keys may name users.
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

    /// What a pool was asked to make, how often.
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
        for capacity in [0, 1, 2, 3, 100, LARGE + 1] {
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
    fn a_flood_of_keys_that_come_once_evicts_nothing_in_use() {
        for capacity in [10, 1_000, LARGE] {
            let (pool, made) = (PluginPool::new(capacity), Made::default());
            let in_use = capacity / 2;
            for _ in 0..3 {
                (0..in_use).for_each(|key| drop(made.get(&pool, key)));
            }
            for round in 1..=5 {
                // More than there is room for, between any two uses.
                (0..2 * capacity).for_each(|key| drop(made.get(&pool, round * 1_000_000 + key)));
                (0..in_use).for_each(|key| drop(made.get(&pool, key)));
            }
            let evicted = (0..in_use).filter(|key| made.times(*key) > 1).count();
            assert_eq!(evicted, 0, "of {in_use}");
        }
    }

    #[test]
    fn newcomers_stay_whatever_was_in_use_before() {
        for capacity in [1, 2, 3, 10, 1_000] {
            let (pool, made) = (PluginPool::new(capacity), Made::default());
            for _ in 0..10 {
                (0..capacity).for_each(|key| drop(made.get(&pool, key)));
            }
            let newcomers = capacity..capacity + capacity.div_ceil(2);
            for _ in 0..100 {
                newcomers.clone().for_each(|key| drop(made.get(&pool, key)));
            }
            let most = newcomers.map(|key| made.times(key)).max().unwrap();
            assert!(most <= 2, "of {capacity}: made {most} times");
        }
    }

    #[test]
    fn all_who_race_get_the_same_plugin() {
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

    /// A plugin and a key whose code looks at the pool that they are in.
    #[derive(PartialEq, Eq, Hash)]
    struct Nosy(usize);

    static POOL: OnceLock<PluginPool<Nosy, Nosy>> = OnceLock::new();
    static LOOKS: AtomicUsize = AtomicUsize::new(0);

    fn look() {
        let pool = POOL.get().unwrap();
        // A pool that holds its lock over this waits for itself.
        LOOKS.fetch_add(usize::from(pool.len() < 3), Ordering::Relaxed);
        assert!(pool.remove(&Nosy(999)).is_none());
    }

    impl Clone for Nosy {
        fn clone(&self) -> Self {
            look();
            Self(self.0)
        }
    }

    impl Drop for Nosy {
        fn drop(&mut self) {
            if self.0 != 999 {
                look();
            }
        }
    }

    #[test]
    fn no_lock_is_held_while_code_of_others_runs() {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            let pool = POOL.get_or_init(|| PluginPool::new(2).idle_timeout(Duration::from_secs(1)));
            for key in 0..10 {
                pool.get_or_insert_with(Nosy(key), || {
                    // The same key, while it is being made, and another one.
                    let first = pool.get_or_insert_with(Nosy(key), || Nosy(key));
                    pool.get_or_insert_with(Nosy(key + 100), || Nosy(0));
                    first
                });
            }
            pool.remove(&Nosy(9));
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(60)).expect("the pool waits for itself");
        assert!(LOOKS.load(Ordering::Relaxed) > 40);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_dropped() {
        const MINUTE: Duration = Duration::from_secs(60);
        let (pool, made) = (PluginPool::new(100).idle_timeout(30 * MINUTE), Made::default());
        let idle: Vec<_> = (1..10).map(|key| Arc::downgrade(&made.get(&pool, key))).collect();
        for _ in 0..8 {
            tokio::time::advance(5 * MINUTE).await;
            made.get(&pool, 0);
        }
        assert_eq!(pool.len(), 1, "0 was in use all the time");
        assert!(idle.iter().all(|plugin| plugin.upgrade().is_none()), "their tokens are gone too");
        assert_eq!(made.times(0), 1);

        tokio::time::advance(31 * MINUTE).await;
        made.get(&pool, 0);
        assert_eq!((made.times(0), pool.len()), (2, 1), "an idle one is no more used than it stays");

        let pool = PluginPool::new(100);
        made.get(&pool, 1);
        tokio::time::advance(Duration::from_secs(u32::MAX.into())).await;
        made.get(&pool, 2);
        assert_eq!(pool.len(), 2, "by default none is dropped");
    }
}
