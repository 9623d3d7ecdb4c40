//! The store on a Valkey server: its contract, keys, permissions, and errors.

use std::time::Duration;

use tower_keystone::{
    Error,
    store::{EntryName, LeaseOwner, MAX_RECORD, RedisStore, TokenStore, Version},
};

use crate::{
    contract::{self, RealClock},
    valkey::Valkey,
};

/// Longer than any test waits.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// The unit is much longer than that of the server, so that a busy machine does not end records too early.
const CLOCK: RealClock = RealClock { unit: Duration::from_millis(100) };

const PASSWORD: &str = "p@ss/w:rd%#";

/// Makes a store patient, so that it works on a busy machine.
pub(crate) fn patient(store: RedisStore) -> RedisStore {
    store.connect_timeout(LONG).answer_timeout(LONG)
}

pub(crate) fn store(server: &Valkey) -> RedisStore {
    patient(RedisStore::new(server.url()).unwrap())
}

pub(crate) async fn check_contract(one: &RedisStore, other: &RedisStore) {
    contract::check(one, other, &CLOCK).await;
}

pub(crate) async fn publish(store: &RedisStore, name: &EntryName, record: &[u8]) -> bool {
    store.publish(name, None, record, LONG).await.unwrap()
}

/// Adds a user with this password and these permissions.
fn add_user(server: &Valkey, permissions: &[&str]) {
    let password = format!(">{PASSWORD}");
    let command = [&["ACL", "SETUSER", "fleet", "reset", "on", &password], permissions].concat();
    assert_eq!(server.ask(&command), "+OK");
}

fn store_of_user(server: &Valkey) -> RedisStore {
    store(server).username("fleet").password(PASSWORD)
}

const WITH_EVAL: [&str; 8] =
    ["~tower-keystone:*", "+eval", "+exists", "+get", "+getrange", "+set", "+pexpire", "+del"];
const WITHOUT_EVAL: [&str; 4] = ["~tower-keystone:*", "+exists", "+getrange", "+set"];

/// Returns the text of an error and of its sources, as `Display` and `Debug` show them.
fn texts(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(" {error} {error:?}");
        source = error.source();
    }
    text
}

async fn error_of_get(store: &RedisStore) -> String {
    texts(&*store.get(&contract::name()).await.unwrap_err())
}

#[tokio::test]
async fn a_store_of_the_default_user_keeps_the_contract() {
    let Some(server) = Valkey::start() else { return };
    check_contract(&store(&server), &store(&server)).await;
}

#[tokio::test]
async fn a_store_keeps_the_contract_over_tcp_and_in_another_database() {
    let Some(server) = Valkey::start_on_port(&[]) else { return };
    let store = patient(RedisStore::new(format!("{}/3", server.url())).unwrap());
    check_contract(&store, &store.clone()).await;
}

#[tokio::test]
async fn a_user_with_eval_has_the_permissions_that_the_contract_takes() {
    let Some(server) = Valkey::start() else { return };
    add_user(&server, &WITH_EVAL);
    check_contract(&store_of_user(&server), &store_of_user(&server)).await;
}

#[tokio::test]
async fn a_user_without_eval_has_the_permissions_that_the_contract_takes() {
    let Some(server) = Valkey::start() else { return };
    add_user(&server, &WITHOUT_EVAL);
    check_contract(&store_of_user(&server), &store_of_user(&server)).await;
    // Both ways agree with each other.
    check_contract(&store_of_user(&server), &store(&server)).await;
    check_contract(&store(&server), &store_of_user(&server)).await;
}

#[tokio::test]
async fn the_permission_for_eval_can_be_given_and_taken_while_the_store_is_used() {
    let Some(server) = Valkey::start() else { return };
    add_user(&server, &WITHOUT_EVAL);
    let store = store_of_user(&server);
    assert!(publish(&store, &contract::name(), b"one").await);
    assert_eq!(server.ask(&["ACL", "SETUSER", "fleet", "+eval", "+get", "+pexpire", "+del"]), "+OK");
    assert!(publish(&store, &contract::name(), b"two").await);
    assert_eq!(server.ask(&["ACL", "SETUSER", "fleet", "-eval"]), "+OK");
    assert!(publish(&store, &contract::name(), b"three").await);
}

#[tokio::test]
async fn an_error_says_which_permission_is_missing() {
    let Some(server) = Valkey::start() else { return };
    let name = contract::name();
    for (permissions, missing) in [
        (&["~tower-keystone:*", "+exists", "+eval"][..], "'getrange' command"),
        (&["~tower-keystone:*", "+getrange", "+exists"], "'eval' command"),
        (&["~tower-keystone:*", "+getrange", "+exists", "+eval", "+get"], "'set' command"),
        (&["~other:*", "+@all"], "No permissions to access a key"),
    ] {
        add_user(&server, permissions);
        let store = store_of_user(&server);
        let publishing = async { store.publish(&name, None, b"record", LONG).await.map(|_| ()) };
        let getting = async { store.get(&name).await.map(|_| ()) };
        let error = match publishing.await {
            Err(error) => error,
            Ok(()) => getting.await.unwrap_err(),
        };
        let text = texts(&*error);
        assert!(text.contains(missing), "{text}");
        assert!(text.contains("needs permission for EXISTS and GETRANGE"), "{text}");
        assert!(text.contains("`tower-keystone:`"), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

#[tokio::test]
async fn a_password_in_the_url_is_unescaped() {
    let Some(server) = Valkey::start_on_port(&[]) else { return };
    add_user(&server, &WITH_EVAL);
    let address = server.url().split_off("redis://".len());
    let store = patient(RedisStore::new(format!("redis://fleet:p%40ss%2Fw%3Ard%25%23@{address}")).unwrap());
    assert!(publish(&store, &contract::name(), b"record").await);
    assert!(!format!("{store:?}").contains("w:rd"));
    assert!(!format!("{store:?}").contains("fleet"));
    assert!(format!("{store:?}").contains(&address), "{store:?}");
}

#[tokio::test]
async fn no_error_contains_a_wrong_password() {
    let Some(server) = Valkey::start_on_port(&[]) else { return };
    add_user(&server, &WITH_EVAL);
    let address = server.url().split_off("redis://".len());
    let in_url = |url: String| patient(RedisStore::new(url).unwrap());
    let socketless = store(&server);
    for store in [
        in_url(format!("redis://fleet:wr0ng-secret@{address}")),
        in_url(format!("redis://fleet:wr0ng-secret@{address}/?protocol=resp3")),
        socketless.clone().username("nobody").password("wr0ng-secret"),
        socketless.clone().username("fleet").password("wr0ng-secret"),
    ] {
        let text = error_of_get(&store).await;
        assert!(!text.contains("wr0ng"), "{text}");
        assert!(text.contains("password") && text.contains(&address), "{text}");
        assert!(!format!("{store:?}").contains("wr0ng"), "{store:?}");
    }
}

#[test]
fn a_cluster_and_sentinels_need_urls_of_hosts() {
    for (urls, reason) in [(&[][..], "no URL of a server"), (&["unix:///run/valkey.sock"], "no Unix sockets")]
    {
        for store in [RedisStore::cluster(urls.to_vec()), RedisStore::sentinel(urls.to_vec(), "primary")] {
            let error = store.unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}

#[test]
fn malformed_urls_are_refused_without_being_shown() {
    for url in [
        "",
        "hidden-secret",
        "http://user:hidden-secret@localhost",
        "redis://user:hidden-secret@localhost/hidden",
        "redis://user:hidden-secret@:6379",
        "redis://user:hidden-secret@localhost:port",
        "redis://user:hidden-secret@localhost/?protocol=hidden-secret",
        "redis://user:hidden-secret@0.0.0.0",
        "redis://user:%ffhidden-secret@localhost",
        "rediss://user:hidden-secret@localhost/#insecure",
        "rediss://user:hidden-secret@localhost/#hidden-secret",
        "unix:/path?db=hidden&pass=hidden-secret",
    ] {
        let error = RedisStore::new(url).unwrap_err();
        assert!(matches!(error, Error::InvalidStore { .. }), "{error:?}");
        assert!(!texts(&error).contains("hidden"), "{error:?}");
    }
    assert!(RedisStore::cluster::<&str>([]).is_err());
    assert!(RedisStore::sentinel::<&str>([], "primary").is_err());
    assert!(RedisStore::cluster(["unix:///path"]).is_err());
    assert!(RedisStore::sentinel(["redis://localhost", "hidden"], "primary").is_err());
}

#[tokio::test]
async fn entries_of_an_identity_and_their_leases_are_in_one_slot_and_end() {
    let Some(server) = Valkey::start() else { return };
    let (name, owner) = (contract::name(), LeaseOwner::random());
    let store = store(&server).prefix("cloud {7}:");
    assert!(publish(&store, &name, b"record").await);
    assert!(store.lease(&name, &owner, Duration::from_secs(100)).await.unwrap());
    let key = format!("cloud {{7}}:{{{}}}.token", name.identity());
    let lease = format!("{key}.lease");
    assert_eq!(server.ask(&["DBSIZE"]), ":2");
    for key in [&key, &lease] {
        let left: u64 = server.ask(&["PTTL", key]).trim_start_matches(':').parse().unwrap();
        assert!((1..=120_000).contains(&left), "{left}");
    }
    assert!(server.ask(&["GET", &lease]).ends_with(owner.as_str()));
    store.release(&name, &owner).await.unwrap();
    assert_eq!(server.ask(&["EXISTS", &lease]), ":0");
}

#[tokio::test]
async fn extreme_times_are_rounded_to_what_the_server_takes() {
    let Some(server) = Valkey::start() else { return };
    add_user(&server, &WITHOUT_EVAL);
    for store in [store(&server), store_of_user(&server)] {
        let (name, owner, version) = (contract::name(), LeaseOwner::random(), Version::from_record(b"one"));
        assert!(store.publish(&name, None, b"one", Duration::MAX).await.unwrap());
        assert!(store.publish(&name, Some(&version), b"two", Duration::MAX).await.unwrap());
        assert!(store.lease(&name, &owner, Duration::MAX).await.unwrap());
        assert!(store.extend(&name, &owner, Duration::MAX).await.unwrap());
        assert!(store.extend(&name, &owner, Duration::ZERO).await.unwrap());
        store.publish(&name, Some(&Version::from_record(b"two")), b"three", Duration::ZERO).await.unwrap();
        while store.get(&name).await.unwrap().is_some() {}
        while !store.lease(&name, &LeaseOwner::random(), LONG).await.unwrap() {}
    }
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error() {
    let Some(server) = Valkey::start() else { return };
    add_user(&server, &[&WITHOUT_EVAL[..], &["+rpush"]].concat());
    for store in [store(&server), store_of_user(&server)] {
        let (name, owner) = (contract::name(), LeaseOwner::random());
        let key = format!("tower-keystone:{{{}}}.token", name.identity());
        assert_eq!(server.ask(&["RPUSH", &key, "value"]), ":1");
        assert_eq!(server.ask(&["RPUSH", &format!("{key}.lease"), "value"]), ":1");
        let seen = Version::from_record(b"value");
        let errors = [
            store.get(&name).await.map(|_| ()).unwrap_err(),
            store.publish(&name, Some(&seen), b"record", LONG).await.map(|_| ()).unwrap_err(),
            store.extend(&name, &owner, LONG).await.map(|_| ()).unwrap_err(),
            store.release(&name, &owner).await.unwrap_err(),
        ];
        for error in errors {
            assert!(texts(&*error).contains("WRONGTYPE"), "{error}");
        }
        // What is there is kept, and the store goes on working.
        assert!(!store.publish(&name, None, b"record", LONG).await.unwrap_or(false));
        assert!(!store.lease(&name, &owner, LONG).await.unwrap());
        assert_eq!(server.ask(&["LLEN", &key]), ":1");
        assert!(publish(&store, &contract::name(), b"record").await);
    }
}

#[tokio::test]
async fn a_value_that_is_too_long_is_read_in_part_and_replaced() {
    let Some(server) = Valkey::start() else { return };
    let (name, store) = (contract::name(), store(&server));
    let key = format!("tower-keystone:{{{}}}.token", name.identity());
    server.ask(&["SETRANGE", &key, "50000000", "end"]);
    let read = store.get(&name).await.unwrap().unwrap();
    assert_eq!(read.len(), MAX_RECORD + 1);
    let seen = Version::from_record(&read);
    add_user(&server, &WITHOUT_EVAL);
    let error = store_of_user(&server).publish(&name, Some(&seen), b"new", LONG).await.unwrap_err();
    assert!(error.to_string().contains("too long; remove it"), "{error}");
    assert!(store.publish(&name, Some(&seen), b"new", LONG).await.unwrap());
    assert_eq!(store.get(&name).await.unwrap().unwrap(), b"new");
}
