use std::sync::atomic::{AtomicU64, Ordering};

use http::uri::Authority;

use super::Origin;

/// Remembers which origins have accepted a token, in one bit each.
///
/// Each response sets a bit, so it has to be cheap: two origins may share a bit, and then count as one.
#[derive(Debug)]
pub(crate) struct Accepted(AtomicU64);

impl Accepted {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Enters the origin at `authority`.
    #[inline]
    pub(crate) fn insert(&self, authority: &Authority) {
        let bit = bit(authority.as_str());
        // A request seldom is the first one, and a write would take the cache line away from other threads.
        if self.0.load(Ordering::Relaxed) & bit == 0 {
            self.0.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Removes an origin and returns whether it was there.
    pub(crate) fn remove(&self, origin: &Origin) -> bool {
        let bit = bit(origin.authority().as_str());
        self.0.fetch_and(!bit, Ordering::Relaxed) & bit != 0
    }
}

/// Hosts of one cloud differ at the beginning, or in the port at the end.
#[inline]
fn bit(authority: &str) -> u64 {
    let bytes = authority.as_bytes();
    let word = |chunk: Option<&[u8; 4]>| chunk.map_or(0, |chunk| u32::from_le_bytes(*chunk));
    let sum = word(bytes.first_chunk()).wrapping_mul(31).wrapping_add(word(bytes.last_chunk()));
    // Fibonacci hashing: the upper bits of the product depend on all of the sum.
    1 << (sum.wrapping_mul(0x9e37_79b9) >> 26)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_there_from_insert_to_remove() {
        let origin = |url: &str| Origin::of(&url.parse().unwrap()).unwrap();
        let (nova, glance) =
            (origin("https://nova.example.com/"), origin("https://glance.example.com:9292/"));
        let accepted = Accepted::new();
        assert!(!accepted.remove(&nova));
        accepted.insert(nova.authority());
        assert!(!accepted.remove(&glance));
        assert!(accepted.remove(&nova));
        assert!(!accepted.remove(&nova));
    }

    #[test]
    fn the_services_of_a_cloud_have_bits_of_their_own() {
        let mut bits = std::collections::HashSet::new();
        let hosts = ["nova", "glance", "cinder", "neutron", "keystone", "swift", "heat", "octavia"];
        let by_host = hosts.map(|host| format!("{host}.example.com"));
        assert!(by_host.iter().all(|authority| bits.insert(bit(authority))));
        bits.clear();
        let by_port = [8774, 9292, 8776, 9696, 5000, 8080, 8004, 9876].map(|port| format!("10.0.0.1:{port}"));
        assert!(by_port.iter().all(|authority| bits.insert(bit(authority))));
    }
}
