//! Valkey as a cluster, and as a primary that a sentinel knows.

use tokio::time::timeout;
use tower_keystone::store::{RedisStore, TokenStore};

use crate::{
    contract,
    valkey::Valkey,
    valkey_store::{LONG, check_contract, patient, publish},
};

/// Starts a cluster of one server with all slots.
fn start_cluster() -> Option<Valkey> {
    let server = Valkey::start_on_port(&["--cluster-enabled", "yes"])?;
    assert_eq!(server.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]), "+OK");
    wait_for_cluster(&server);
    Some(server)
}

fn wait_for_cluster(server: &Valkey) {
    while !server.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {}
}

#[tokio::test]
async fn a_store_on_a_cluster_keeps_the_contract() {
    let Some(server) = start_cluster() else { return };
    let store = patient(RedisStore::cluster([server.url()]).unwrap());
    check_contract(&store, &patient(RedisStore::cluster([server.url()]).unwrap())).await;
}

#[tokio::test]
async fn a_user_of_a_cluster_has_the_permissions_that_the_store_needs() {
    let Some(server) = start_cluster() else { return };
    for (user, permissions) in [
        ("scripts", &["+eval", "+exists", "+get", "+getrange", "+set", "+pexpire", "+del"][..]),
        ("plain", &["+exists", "+getrange", "+set"]),
    ] {
        let rules = ["ACL", "SETUSER", user, "on", ">secret", "~tower-keystone:*", "+cluster|slots"];
        assert_eq!(server.ask(&[&rules, permissions].concat()), "+OK");
        let store = patient(RedisStore::cluster([server.url()]).unwrap()).username(user).password("secret");
        check_contract(&store, &store.clone()).await;
        let error = store.password("wr0ng").get(&contract::name()).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("wr0ng"), "{error}");
    }
}

#[tokio::test]
async fn one_address_of_a_cluster_that_answers_is_enough() {
    let Some(server) = start_cluster() else { return };
    let away = start_cluster().expect("another one was started");
    away.kill();
    let store = patient(RedisStore::cluster([away.url(), server.url()]).unwrap());
    assert!(publish(&store, &contract::name(), b"record").await);
}

#[tokio::test]
async fn a_cluster_that_was_away_is_used_again() {
    let Some(server) = start_cluster() else { return };
    let store = patient(RedisStore::cluster([server.url()]).unwrap());
    assert!(publish(&store, &contract::name(), b"record").await);
    server.kill();
    let name = contract::name();
    assert!(timeout(LONG, store.get(&name)).await.expect("it does not hang").is_err());
    server.start_again();
    wait_for_cluster(&server);
    while timeout(LONG, store.get(&name)).await.expect("it does not hang").is_err() {}
    assert!(publish(&store, &contract::name(), b"record").await);
}

#[tokio::test]
async fn a_store_on_the_primary_of_a_sentinel_keeps_the_contract() {
    let Some(primary) = Valkey::start_on_port(&[]) else { return };
    let sentinel = primary.start_sentinel("tokens", "");
    let store = patient(RedisStore::sentinel([sentinel.url()], "tokens").unwrap());
    check_contract(&store, &store.clone()).await;
    let unknown = patient(RedisStore::sentinel([sentinel.url()], "others").unwrap());
    let error = unknown.get(&contract::name()).await.unwrap_err();
    assert!(error.to_string().contains(&sentinel.port().to_string()), "{error}");
}

#[tokio::test]
async fn the_user_of_the_primary_is_not_that_of_the_sentinels() {
    let Some(primary) = Valkey::start_on_port(&[]) else { return };
    let rules = ["~tower-keystone:*", "+exists", "+getrange", "+set", "+role"];
    let user = ["ACL", "SETUSER", "fleet", "on", ">secret"];
    assert_eq!(primary.ask(&[&user[..], &rules].concat()), "+OK");
    let sentinel = primary.start_sentinel("tokens", "user asker on >other +sentinel|masters +role");
    let away = primary.start_sentinel("tokens", "");
    away.kill();
    let with_user = |url: String| url.replace("redis://", "redis://asker:other@");
    for _ in 0..10 {
        let urls = [with_user(away.url()), with_user(sentinel.url())];
        let store =
            patient(RedisStore::sentinel(urls, "tokens").unwrap()).username("fleet").password("secret");
        assert!(publish(&store, &contract::name(), b"record").await);
    }
}
