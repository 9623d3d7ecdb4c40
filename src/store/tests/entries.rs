use super::*;
use crate::{
    AuthMethod, Credentials, Scope, User, V3Credentials,
    fixture::CatalogService,
    log::Log,
    store::{
        FailureCounts, LeaseOwner, MAX_RECORD, SharedFailure, Version,
        record::Kind,
        sealer::{Binding, Times},
    },
};

#[tokio::test]
async fn a_token_is_published_by_comparison_and_found_by_others() {
    let store = MemoryStore::new();
    let (one, other) = (shared(&store, 1).identity(&alice()), shared(&store, 1).identity(&alice()));
    assert!(matches!(one.token().await.unwrap(), TokenEntry::NoToken(None)));
    let first = access_info("first");
    let version = one.publish_token(None, &first, HOUR).await.unwrap().unwrap();
    assert_eq!(other.publish_token(None, &access_info("second"), HOUR).await.unwrap(), None);
    let TokenEntry::Token(token) = other.token().await.unwrap() else { panic!("no token") };
    assert_eq!(token.version, version);
    assert_eq!(token.access_info.auth_state(), first.auth_state());
    assert_eq!(Some(token.issued_at), first.issued().unwrap().map(in_millis));
    assert!(other.bury_token(&version, token.issued_at).await.unwrap());
    assert!(!one.bury_token(&version, token.issued_at).await.unwrap());
    let TokenEntry::Tombstone { version, issued_at } = one.token().await.unwrap() else {
        panic!("no tombstone")
    };
    assert_eq!(issued_at, token.issued_at);
    assert_eq!(one.publish_token(None, &first, HOUR).await.unwrap(), None, "a late publisher");
    assert!(one.publish_token(Some(&version), &access_info("third"), HOUR).await.unwrap().is_some());
    assert_eq!(stored(&other).await.as_deref(), Some("third"));
}

fn in_millis(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_millis(since.as_millis().try_into().unwrap())
}

#[tokio::test]
async fn identities_names_and_keys_are_separate() {
    let store = MemoryStore::new();
    publish(&shared(&store, 1).identity(&alice()), "hers").await;
    assert_eq!(stored(&shared(&store, 1).identity(&bob())).await, None);
    assert_eq!(stored(&shared(&store, 2).identity(&alice())).await, None);
    assert_eq!(stored(&shared(&store, 1).name("other").identity(&alice())).await, None);
    assert_eq!(stored(&shared(&store, 1).name("tokens").identity(&alice())).await.as_deref(), Some("hers"));
}

#[tokio::test]
async fn what_does_not_belong_under_a_name_is_a_miss_and_is_logged_once() {
    let (log, _guard) = Log::new();
    let store = MemoryStore::new();
    let shared = shared(&store, 1);
    let (hers, his) = (shared.identity(&alice()), shared.identity(&bob()));
    publish(&hers, "hers").await;
    let record = get(&store, &name(1, &alice(), "token")).await.unwrap();
    let (failure, tombstone) = (name(1, &alice(), "failure"), name(1, &bob(), "token"));
    put(&store, &tombstone, &record).await;
    put(&store, &failure, &record).await;
    put(&store, &name(1, &alice(), "failures"), &record).await;
    for _ in 0..3 {
        let TokenEntry::NoToken(Some(seen)) = his.token().await.unwrap() else {
            panic!("a token of another")
        };
        assert_eq!(seen, Version::from_record(&record));
        assert_eq!(hers.failure().await.unwrap(), None);
        assert_eq!(hers.failure_counts().await.unwrap(), FailureCounts::default());
    }
    let lines = log.take_lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    for line in &lines {
        assert!(
            line.contains("WARN") && line.contains("it was changed, or made for another identity"),
            "{line}"
        );
        assert!(!line.contains("hers") && !line.contains("cache id"), "{line}");
    }
    // It is replaced like any other record.
    publish(&his, "his").await;
    assert_eq!(stored(&his).await.as_deref(), Some("his"));
    hers.publish_failure_counts(FailureCounts { transient: 1, permanent: 0 }).await.unwrap();
    assert_eq!(hers.failure_counts().await.unwrap().transient, 1);
}

#[tokio::test]
async fn garbage_of_every_length_is_a_miss() {
    let store = MemoryStore::new();
    let entries = shared(&store, 1).identity(&alice());
    publish(&entries, "token").await;
    let name = name(1, &alice(), "token");
    let record = get(&store, &name).await.unwrap();
    for length in 0..record.len() {
        put(&store, &name, &record[..length]).await;
        assert!(matches!(entries.token().await.unwrap(), TokenEntry::NoToken(Some(_))), "{length}");
    }
    for byte in 0..record.len() {
        let mut changed = record.clone();
        changed[byte] ^= 0x10;
        put(&store, &name, &changed).await;
        let TokenEntry::NoToken(Some(seen)) = entries.token().await.unwrap() else { panic!("{byte}") };
        assert_eq!(seen, Version::from_record(&changed));
    }
    // An old record that is put back is found as the token that it is.
    put(&store, &name, &record).await;
    assert_eq!(stored(&entries).await.as_deref(), Some("token"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_after_its_delay_and_is_removed() {
    let store = MemoryStore::new();
    let (one, other) = (shared(&store, 1).identity(&alice()), shared(&store, 1).identity(&alice()));
    let failure = |message: &str, seconds| SharedFailure {
        message: message.into(),
        is_transient: seconds < 10,
        delay: Duration::from_secs(seconds),
    };
    assert_eq!(other.failure().await.unwrap(), None);
    one.publish_failure(&failure("first", 3)).await.unwrap();
    assert_eq!(other.failure().await.unwrap(), Some(failure("first", 3)));
    other.publish_failure(&failure("second", 30)).await.unwrap();
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!(one.failure().await.unwrap(), Some(failure("second", 30)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(one.failure().await.unwrap(), None);
    one.publish_failure(&failure("third", 300)).await.unwrap();
    one.publish_failure_counts(FailureCounts { transient: 7, permanent: u32::MAX }).await.unwrap();
    assert_eq!(other.failure_counts().await.unwrap(), FailureCounts { transient: 7, permanent: u32::MAX });
    other.clear_failures().await.unwrap();
    assert_eq!(one.failure().await.unwrap(), None);
    assert_eq!(one.failure_counts().await.unwrap(), FailureCounts::default());
    one.publish_failure(&failure("fourth", 3)).await.unwrap();
    assert_eq!(other.failure().await.unwrap(), Some(failure("fourth", 3)));
    // A failure does not displace a token.
    publish(&one, "token").await;
    other.publish_failure(&failure("fifth", 3)).await.unwrap();
    assert_eq!(stored(&one).await.as_deref(), Some("token"));
}

#[tokio::test]
async fn the_message_of_a_failure_is_bounded() {
    let store = MemoryStore::new();
    let entries = shared(&store, 1).identity(&alice());
    for (length, shown) in [(512, "ä".repeat(512)), (MAX_RECORD, format!("{}…", "ä".repeat(512)))] {
        let message = "ä".repeat(length).into();
        let failure = SharedFailure { message, is_transient: true, delay: HOUR };
        entries.publish_failure(&failure).await.unwrap();
        assert_eq!(*entries.failure().await.unwrap().unwrap().message, *shown);
    }
}

/// Seals a record, and puts it in an entry of Alice.
async fn put_sealed(store: &MemoryStore, part: &str, kind: Kind, times: Times, content: &[u8]) {
    let alice = alice();
    let binding = Binding { store: "tokens", identity: alice.expose(), part };
    let record = Sealer::new(&key(1), Purpose::Tokens).seal(binding, kind, times, content).unwrap();
    put(store, &name(1, &alice, part), &record).await;
}

/// Returns the content of a permanent failure with a delay of an hour.
fn failure(message: &[u8]) -> Vec<u8> {
    [&[0], 3_600_000_u64.to_be_bytes().as_slice(), message].concat()
}

#[tokio::test]
async fn a_failure_that_ended_long_ago_blocks_nobody() {
    let (log, _guard) = Log::new();
    let store = MemoryStore::new();
    let entries = shared(&store, 1).identity(&alice());
    let times = Times { issued_at: SystemTime::now() - 2 * HOUR, expires_at: SystemTime::now() - HOUR };
    put_sealed(&store, "failure", Kind::Failure, times, &failure(b"wrong password")).await;
    put_sealed(&store, "failures", Kind::FailureCounts, times, &[0, 0, 0, 9, 0, 0, 0, 9]).await;
    put_sealed(&store, "refusal-0", Kind::Refusal, times, &[]).await;
    assert_eq!(entries.failure().await.unwrap(), None);
    assert_eq!(entries.failure_counts().await.unwrap(), FailureCounts::default());
    assert!(entries.take_refusal(1, Duration::from_secs(60)).await.unwrap());
    assert!(log.take().contains("it ended long ago"));
}

#[tokio::test]
async fn the_clocks_of_two_machines_may_differ() {
    let store = MemoryStore::new();
    let now = SystemTime::now();
    let times = Times { issued_at: now - HOUR, expires_at: now - Duration::from_secs(60) };
    // The store still has it. How long the message is that somebody has sealed does not matter.
    put_sealed(&store, "failure", Kind::Failure, times, &failure(&[b'x'; 10_000])).await;
    let found = shared(&store, 1).identity(&alice()).failure().await.unwrap().unwrap();
    assert_eq!(found.delay, HOUR);
    assert!(found.message.starts_with('x') && found.message.len() < 1_000, "{}", found.message.len());
}

#[tokio::test]
async fn a_record_of_another_kind_is_no_token_and_each_reason_is_logged() {
    let (log, _guard) = Log::new();
    let store = MemoryStore::new();
    let entries = shared(&store, 1).identity(&alice());
    put(&store, &name(1, &alice(), "token"), b"garbage").await;
    assert!(matches!(entries.token().await.unwrap(), TokenEntry::NoToken(Some(_))));
    let state = access_info("token").auth_state();
    let (times, content) = (Times::from_now(HOUR), state.expose().as_bytes());
    put_sealed(&store, "token", Kind::Validation, times, content).await;
    assert!(matches!(entries.token().await.unwrap(), TokenEntry::NoToken(Some(_))));
    put_sealed(&store, "token", Kind::Token, times, content).await;
    assert_eq!(stored(&entries).await.as_deref(), Some("token"));
    let logged = log.take();
    for reason in ["it is not a record of this crate", "it is of another kind"] {
        assert!(logged.contains(reason), "{logged}");
    }
}

#[tokio::test(start_paused = true)]
async fn tombstones_and_numbers_of_failures_last_and_what_was_removed_ends() {
    let store = MemoryStore::new();
    let entries = shared(&store, 1).identity(&alice());
    let failure = SharedFailure { message: "no".into(), is_transient: true, delay: HOUR };
    entries.publish_failure(&failure).await.unwrap();
    entries.clear_failures().await.unwrap();
    assert!(get(&store, &name(1, &alice(), "failure")).await.is_some());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(get(&store, &name(1, &alice(), "failure")).await.is_none());
    let version = publish(&entries, "token").await;
    assert!(entries.bury_token(&version, SystemTime::now()).await.unwrap());
    let counts = FailureCounts { transient: 2, permanent: 1 };
    entries.publish_failure_counts(counts).await.unwrap();
    tokio::time::advance(Duration::from_secs(179)).await;
    assert!(matches!(entries.token().await.unwrap(), TokenEntry::Tombstone { .. }));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(matches!(entries.token().await.unwrap(), TokenEntry::NoToken(None)));
    tokio::time::advance(2 * HOUR - Duration::from_secs(181)).await;
    assert_eq!(entries.failure_counts().await.unwrap(), counts);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(entries.failure_counts().await.unwrap(), FailureCounts::default());
}

#[tokio::test(start_paused = true)]
async fn refusals_are_limited_for_all_together() {
    let store = MemoryStore::new();
    let (one, other) = (shared(&store, 1).identity(&alice()), shared(&store, 1).identity(&alice()));
    let window = Duration::from_secs(60);
    assert!(!one.take_refusal(0, window).await.unwrap());
    for seconds in [0, 20, 20] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert!(one.take_refusal(3, window).await.unwrap());
    }
    assert!(!other.take_refusal(3, window).await.unwrap());
    assert!(shared(&store, 1).identity(&bob()).take_refusal(3, window).await.unwrap());
    tokio::time::advance(Duration::from_secs(20)).await;
    assert!(other.take_refusal(3, window).await.unwrap(), "the first one has ended");
    assert!(!one.take_refusal(3, window).await.unwrap());
    // What somebody else has put there does not prevent it.
    put(&store, &name(1, &alice(), "refusal-1"), b"garbage").await;
    assert!(one.take_refusal(3, window).await.unwrap());
}

#[tokio::test]
async fn a_token_that_is_too_long_is_not_published() {
    let (log, _guard) = Log::new();
    let store = MemoryStore::new();
    let entries = shared(&store, 1).identity(&alice());
    let version = publish(&entries, "token").await;
    let nova = CatalogService::new("compute").standard_endpoints("RegionOne", &"x".repeat(MAX_RECORD / 3));
    let token = V3Token::new("u", "alice").project("p", "demo").service(&nova);
    let access_info = token.access_info("long").unwrap();
    assert_eq!(entries.publish_token(Some(&version), &access_info, HOUR).await.unwrap(), None);
    assert_eq!(stored(&entries).await.as_deref(), Some("token"));
    assert!(log.take().contains("longer than 1,000,000 bytes"));
}

#[tokio::test(start_paused = true)]
async fn one_process_holds_the_lease() {
    let store = MemoryStore::new();
    let (one, other) = (shared(&store, 1).identity(&alice()), shared(&store, 1).identity(&alice()));
    let (a, b, term) = (LeaseOwner::random(), LeaseOwner::random(), Duration::from_secs(4));
    assert!(one.lease(&a, term).await.unwrap());
    assert!(!other.lease(&b, term).await.unwrap());
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(one.extend(&a, term).await.unwrap());
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(!other.lease(&b, term).await.unwrap());
    one.release(&a).await.unwrap();
    assert!(other.lease(&b, term).await.unwrap());
    assert!(!one.extend(&a, term).await.unwrap());
}

fn credentials(password: &str) -> V3Credentials {
    let user = User::new().username("alice").user_domain_name("Default");
    let auth_url = http::Uri::from_static("https://keystone.example.com/v3");
    V3Credentials::new(auth_url, AuthMethod::password(user, password)).scope(Scope::new().project_id("p"))
}

#[tokio::test]
async fn the_access_info_of_credentials_is_found() {
    let (alice, wrong) = (credentials("wonderland"), credentials("wrong"));
    let sealed = SharedTokens::in_memory();
    assert!(sealed.access_info(&alice).await.unwrap().is_none());
    let id = Secret::new(alice.cache_id().unwrap());
    publish(&sealed.identity(&id), "token").await;
    let found = sealed.access_info(&alice).await.unwrap().unwrap();
    assert_eq!(found.auth_token(), Some("token"));
    assert!(sealed.access_info(&wrong).await.unwrap().is_none());

    let open = SharedTokens::without_sealing(MemoryStore::new());
    let id = Secret::new(alice.public_id().unwrap());
    publish(&open.identity(&id), "token").await;
    assert!(open.access_info(&alice).await.unwrap().is_some());
    assert!(open.access_info(&wrong).await.unwrap().is_some(), "its id contains no password");
    assert!(sealed.is_sealed() && !open.is_sealed());
}

#[tokio::test]
async fn an_expired_access_info_is_not_returned() {
    let alice = credentials("wonderland");
    let shared = SharedTokens::in_memory();
    let entries = shared.identity(&Secret::new(alice.cache_id().unwrap()));
    let past = SystemTime::now() - HOUR;
    let expired = V3Token::new("u", "alice").issued(past - HOUR).expires(past).access_info("old").unwrap();
    entries.publish_token(None, &expired, HOUR).await.unwrap().unwrap();
    assert!(shared.access_info(&alice).await.unwrap().is_none());
}
