//! Limits how many spellings of one token are cached.

use std::sync::Arc;

use super::{
    key::TokenKey,
    key_cache::{UnitKeyCache, unit_weight_cache},
};

/// Maximum number of spellings of one token.
///
/// Keystone accepts a token with other padding, for example. Each spelling is a text of its own, with its own key.
const MAX_SPELLINGS: usize = 4;

/// The keys under which each token is cached.
pub(super) struct Spellings(UnitKeyCache<Arc<[TokenKey]>>);

impl Spellings {
    /// Creates a record of the spellings of this many tokens.
    pub(super) fn new(tokens: usize) -> Self {
        Self(unit_weight_cache(tokens))
    }

    /// Records a key of the token with this audit id, and returns the key that it replaces if there are too many.
    ///
    /// Must not be called by two threads at the same time.
    pub(super) fn add(&self, audit_id: TokenKey, key: TokenKey) -> Option<TokenKey> {
        let Some(keys) = self.0.get(&audit_id) else {
            self.0.insert(audit_id, Arc::new([key]));
            return None;
        };
        if keys.contains(&key) {
            return None;
        }
        let replaced = keys.first().copied().filter(|_| keys.len() >= MAX_SPELLINGS);
        let kept = keys.iter().skip(usize::from(replaced.is_some()));
        self.0.insert(audit_id, kept.chain([&key]).copied().collect());
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::{super::key::KeyMaker, *};

    #[test]
    fn the_fifth_spelling_replaces_the_first_one() {
        let (keys, spellings) = (KeyMaker::new(), Spellings::new(8));
        let (token, other) = (keys.key(b"audit id"), keys.key(b"other audit id"));
        let texts: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|text| keys.key(text.as_bytes())).collect();
        for key in &texts[..4] {
            assert!(spellings.add(token, *key).is_none() && spellings.add(other, *key).is_none());
        }
        assert!(spellings.add(token, texts[1]).is_none(), "a known one");
        assert!(spellings.add(token, texts[4]) == Some(texts[0]));
        assert!(spellings.add(token, texts[0]) == Some(texts[1]));
        assert!(spellings.add(other, texts[3]).is_none());
    }
}
