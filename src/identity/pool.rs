use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// One plugin for each of many identities, so that a service which acts for many users, or in many
/// projects, has one token for each and not one for each request.
///
/// It holds a bounded number of plugins; the one that was not asked for the longest makes room. Clones
/// are the same pool.
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
/// use tower_keystone::{AuthMethod, PluginPool, Renewing, Scope, Transport, User, V3Auth, fixture::Cloud};
///
/// # let cloud = Cloud::new([]);
/// # let auth_url: http::Uri = cloud.keystone().auth_url().parse().unwrap();
/// # let transport = Transport::new(cloud);
/// let service = User::new().username("billing").user_domain_name("Default");
/// let credentials = V3Auth::new(auth_url, AuthMethod::password(service, "secret"));
/// let pool = PluginPool::new(1_000);
///
/// // The service's own user, in whatever project a request is about.
/// let in_project = |project_id: &str| {
///     pool.get_or_insert_with(project_id.to_owned(), || {
///         let scope = Scope::new().project_id(project_id);
///         Renewing::new(credentials.clone().scope(scope), transport.clone())
///     })
/// };
/// in_project("p1");
/// in_project("p2");
/// in_project("p1");
/// assert_eq!(pool.len(), 2);
/// ```
pub struct PluginPool<K, P>(Arc<Mutex<Plugins<K, P>>>);

struct Plugins<K, P> {
    capacity: usize,
    /// Counts what was asked for, to know what was not for the longest.
    asked: u64,
    by_key: HashMap<K, (P, u64)>,
}

impl<K: Eq + Hash + Clone, P: Clone> PluginPool<K, P> {
    /// A pool of up to `capacity` plugins, at least one.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Plugins { capacity: capacity.max(1), asked: 0, by_key: HashMap::new() })))
    }

    /// The plugin of this key, which is made if there is none. `make` must not use the pool.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> P) -> P {
        let mut plugins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.asked += 1;
        let asked = plugins.asked;
        if let Some((plugin, last)) = plugins.by_key.get_mut(&key) {
            *last = asked;
            return plugin.clone();
        }
        let plugin = make();
        if plugins.by_key.len() >= plugins.capacity {
            let oldest = plugins.by_key.iter().min_by_key(|(_, (_, last))| *last).map(|(key, _)| key.clone());
            oldest.and_then(|key| plugins.by_key.remove(&key));
        }
        plugins.by_key.insert(key, (plugin.clone(), asked));
        plugin
    }

    /// Forgets the plugin of this key, such as that of a user who has logged out.
    pub fn remove(&self, key: &K) -> Option<P> {
        let mut plugins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.by_key.remove(key).map(|(plugin, _)| plugin)
    }
}

impl<K, P> PluginPool<K, P> {
    /// How many plugins it holds.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).by_key.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, P> Clone for PluginPool<K, P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// How many plugins it holds; the keys may name users.
impl<K, P> fmt::Debug for PluginPool<K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginPool").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_plugin_and_the_longest_unused_makes_room() {
        let pool = PluginPool::new(2);
        let made = Mutex::new(Vec::new());
        let get = |key: &'static str| {
            pool.get_or_insert_with(key, || {
                made.lock().unwrap().push(key);
                Arc::new(key)
            })
        };
        let first = get("a");
        assert!(Arc::ptr_eq(&first, &get("a")));
        get("b");
        get("a");
        get("c");
        get("a");
        get("b");
        assert_eq!(*made.lock().unwrap(), ["a", "b", "c", "b"]);
        assert_eq!(pool.len(), 2);
        assert!(pool.remove(&"c").is_none(), "it made room for b");
        assert!(pool.remove(&"b").is_some() && pool.len() == 1);
    }
}
