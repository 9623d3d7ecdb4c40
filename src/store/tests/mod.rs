//! Tests of the parts that have no public names.

mod contact;
mod entries;
mod rotation;
mod sealing;

use std::time::{Duration, SystemTime};

use super::{
    EntryName, IdentityEntries, MemoryStore, SharedTokens, StoreKey, StoredToken, TokenEntry, TokenStore,
    sealer::{Purpose, Sealer},
};
use crate::{AccessInfo, Secret, fixture::V3Token};

const HOUR: Duration = Duration::from_secs(3600);

fn key(number: u8) -> StoreKey {
    StoreKey::new([number; 32])
}

fn shared(store: &MemoryStore, number: u8) -> SharedTokens {
    SharedTokens::new(store.clone(), key(number))
}

fn alice() -> Secret {
    Secret::new("the cache id of alice")
}

fn bob() -> Secret {
    Secret::new("the cache id of bob")
}

/// Returns a token that was issued now and works for an hour.
fn access_info(token: &str) -> AccessInfo {
    let now = SystemTime::now();
    V3Token::new("u", "alice").issued(now).expires(now + HOUR).access_info(token).unwrap()
}

/// Returns the name of an entry of an identity in the store with the default name.
fn name(number: u8, identity: &Secret, part: &str) -> EntryName {
    let sealer = Sealer::new(&key(number), Purpose::Tokens);
    EntryName::new(&sealer.identity_name("tokens", identity.expose()), part)
}

async fn get(store: &MemoryStore, name: &EntryName) -> Option<Vec<u8>> {
    store.get(name).await.unwrap()
}

/// Puts a record in place of the one that is there.
async fn put(store: &MemoryStore, name: &EntryName, record: &[u8]) {
    let seen = get(store, name).await.map(|record| super::Version::from_record(&record));
    assert!(store.publish(name, seen.as_ref(), record, HOUR).await.unwrap());
}

async fn publish(entries: &IdentityEntries, token: &str) -> super::Version {
    let seen = match entries.token().await.unwrap() {
        TokenEntry::NoToken(seen) => seen,
        TokenEntry::Tombstone { version, .. } | TokenEntry::Token(StoredToken { version, .. }) => {
            Some(version)
        }
    };
    entries.publish_token(seen.as_ref(), &access_info(token), HOUR).await.unwrap().unwrap()
}

/// Returns the text of the token that is stored.
async fn stored(entries: &IdentityEntries) -> Option<String> {
    match entries.token().await.unwrap() {
        TokenEntry::Token(token) => token.access_info.auth_token().map(str::to_owned),
        _ => None,
    }
}
