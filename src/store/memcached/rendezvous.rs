use sha2::{Digest, Sha256};

/// Returns the index of the server of an identity: the one with the highest hash of its name and the identity.
///
/// The order of the servers does not matter. If a server goes or comes, only its own identities move.
pub(super) fn select<S>(servers: &[S], name: impl Fn(&S) -> &str, identity: &str) -> Option<usize> {
    (0..servers.len()).max_by_key(|&index| servers.get(index).map(|server| weight(name(server), identity)))
}

fn weight(server: &str, identity: &str) -> [u8; 32] {
    Sha256::new().chain_update(identity).chain_update([0]).chain_update(server).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn selected<'a>(servers: &[&'a str], identity: usize) -> &'a str {
        servers[select(servers, |server| server, &identity.to_string()).unwrap()]
    }

    #[test]
    fn the_order_of_the_servers_does_not_matter() {
        for identity in 0..100 {
            assert_eq!(
                selected(&["a:1", "b:1", "c:1"], identity),
                selected(&["c:1", "a:1", "b:1"], identity)
            );
        }
    }

    #[test]
    fn only_the_identities_of_a_removed_server_move() {
        let mut numbers = HashMap::new();
        for identity in 0..3_000 {
            let before = selected(&["a:1", "b:1", "c:1"], identity);
            let after = selected(&["a:1", "b:1"], identity);
            *numbers.entry(before).or_insert(0) += 1;
            assert!(before == after || before == "c:1");
        }
        assert!(numbers.values().all(|number| (900..1_100).contains(number)), "{numbers:?}");
    }

    #[test]
    fn the_selection_is_the_same_in_every_version() {
        let identities: String =
            (0..16).map(|identity| &selected(&["a:1", "b:1", "c:1"], identity)[..1]).collect();
        assert_eq!(identities, "abbbacccaaccccbc");
    }
}
