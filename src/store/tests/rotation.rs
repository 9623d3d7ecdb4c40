use super::*;

/// An old fleet with one key, and a new one that has a new key and also reads with the old one.
fn fleets() -> (MemoryStore, IdentityEntries, IdentityEntries) {
    let store = MemoryStore::new();
    let old = shared(&store, 1).identity(&alice());
    let new = shared(&store, 2).also_read_with(key(1)).identity(&alice());
    (store, old, new)
}

#[tokio::test]
async fn a_token_of_the_old_key_is_taken_over() {
    let (store, old, new) = fleets();
    let version = publish(&old, "one").await;
    let TokenEntry::Token(token) = new.token().await.unwrap() else { panic!("no token") };
    assert_eq!(token.access_info.auth_token(), Some("one"));
    assert_ne!(token.version, version);
    // It is sealed with the new key, so it is replaced by comparison.
    let record = get(&store, &name(2, &alice(), "token")).await.unwrap();
    assert_eq!(crate::store::Version::from_record(&record), token.version);
    let two = new.publish_token(Some(&token.version), &access_info("two"), HOUR).await.unwrap();
    assert!(two.is_some());
    assert_eq!(stored(&new).await.as_deref(), Some("two"));
    assert_eq!(stored(&old).await.as_deref(), Some("one"), "nothing is written with the old key");
    // A program that has only the new key finds it, too.
    assert_eq!(stored(&shared(&store, 2).identity(&alice())).await.as_deref(), Some("two"));
}

#[tokio::test]
async fn a_token_of_the_old_key_that_was_refused_does_not_come_back() {
    let (_, old, new) = fleets();
    publish(&old, "one").await;
    let TokenEntry::Token(token) = new.token().await.unwrap() else { panic!("no token") };
    assert!(new.bury_token(&token.version, token.issued_at).await.unwrap());
    assert!(matches!(new.token().await.unwrap(), TokenEntry::Tombstone { .. }));
    assert_eq!(stored(&old).await.as_deref(), Some("one"));
}

#[tokio::test]
async fn what_the_old_key_has_removed_or_what_has_expired_is_not_taken_over() {
    let (store, old, new) = fleets();
    let version = publish(&old, "one").await;
    assert!(old.bury_token(&version, SystemTime::now()).await.unwrap());
    assert!(matches!(new.token().await.unwrap(), TokenEntry::NoToken(None)));
    let long_ago = SystemTime::now() - 2 * HOUR;
    let expired =
        V3Token::new("u", "alice").issued(long_ago).expires(long_ago + HOUR).access_info("old").unwrap();
    let TokenEntry::Tombstone { version, .. } = old.token().await.unwrap() else { panic!("no tombstone") };
    old.publish_token(Some(&version), &expired, HOUR).await.unwrap().unwrap();
    assert!(matches!(new.token().await.unwrap(), TokenEntry::NoToken(None)));
    assert_eq!(get(&store, &name(2, &alice(), "token")).await, None);
}

#[tokio::test]
async fn garbage_under_the_new_name_is_replaced() {
    let (store, old, new) = fleets();
    publish(&old, "one").await;
    put(&store, &name(2, &alice(), "token"), b"garbage").await;
    assert_eq!(stored(&new).await.as_deref(), Some("one"));
    assert_eq!(stored(&shared(&store, 2).identity(&alice())).await.as_deref(), Some("one"));
}

#[tokio::test]
async fn without_the_old_key_there_is_nothing() {
    let (store, old, _) = fleets();
    publish(&old, "one").await;
    assert_eq!(stored(&shared(&store, 2).identity(&alice())).await, None);
    // A record of the old key under the name of the new one.
    let record = get(&store, &name(1, &alice(), "token")).await.unwrap();
    put(&store, &name(2, &alice(), "token"), &record).await;
    assert_eq!(stored(&shared(&store, 2).identity(&alice())).await, None);
}

#[tokio::test]
async fn failures_are_those_of_the_first_key() {
    let (_, old, new) = fleets();
    let counts = crate::store::FailureCounts { transient: 3, permanent: 1 };
    old.publish_failure_counts(counts).await.unwrap();
    assert_eq!(old.failure_counts().await.unwrap(), counts);
    assert_eq!(new.failure_counts().await.unwrap(), crate::store::FailureCounts::default());
}
