use std::sync::atomic::{AtomicU64, Ordering};

use super::Origin;

/// A set of the origins that have accepted a token.
///
/// Each origin is stored as one bit, so that every response can update the set cheaply. Two origins with the same bit
/// count as one.
#[derive(Debug)]
pub(crate) struct AcceptedOrigins(AtomicU64);

impl AcceptedOrigins {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds an origin and returns whether it was new.
    #[inline]
    pub(crate) fn insert(&self, origin: &Origin) -> bool {
        // Most origins are in the set already. A write would take the cache line from other threads.
        let is_new = self.0.load(Ordering::Relaxed) & origin.bit() == 0;
        if is_new {
            self.0.fetch_or(origin.bit(), Ordering::Relaxed);
        }
        is_new
    }

    /// Removes an origin and returns whether it was in the set.
    pub(crate) fn remove(&self, origin: &Origin) -> bool {
        self.0.fetch_and(!origin.bit(), Ordering::Relaxed) & origin.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::from_uri(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn an_origin_is_in_the_set_from_insert_to_remove() {
        let (nova, glance) =
            (origin("https://nova.example.com/"), origin("https://glance.example.com:9292/"));
        let accepted = AcceptedOrigins::new();
        assert!(!accepted.remove(&nova));
        accepted.insert(&nova);
        assert!(!accepted.remove(&glance));
        assert!(accepted.remove(&nova));
        assert!(!accepted.remove(&nova));
    }

    #[test]
    fn the_services_of_a_cloud_have_different_bits() {
        let mut bits = std::collections::HashSet::new();
        let hosts = ["nova", "glance", "cinder", "neutron", "keystone", "swift", "heat", "octavia"];
        let mut has_own_bit = |url: String| bits.insert(origin(&url).bit());
        assert!(hosts.iter().all(|host| has_own_bit(format!("https://{host}.example.com"))));
        bits.clear();
        let mut has_own_bit = |url: String| bits.insert(origin(&url).bit());
        let ports = [8774, 9292, 8776, 9696, 5000, 8080, 8004, 9876];
        assert!(ports.iter().all(|port| has_own_bit(format!("http://10.0.0.1:{port}"))));
    }
}
