//! The unscoped token that processes share by a store.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tower_keystone::{
    Credentials, Error, IdentityPlugin, RenewingPlugin, Secret, SharedTokens,
    federation::{AccessTokenSource, FederatedCredentials, Grant, IdentityProvider},
    store::{MemoryStore, StoreKey},
};

use crate::{
    cloud::{
        Step::{Exchange, Rescope, Token},
        TestCloud, processes, project,
    },
    stores::{Away, Hanging},
    wire,
};

#[tokio::test]
async fn one_process_logs_in_and_the_others_rescope_its_token() {
    let cloud = TestCloud::new();
    let [a, b, c] = processes(&SharedTokens::in_memory(), || cloud.robot());
    cloud.get(&a.clone().scope(project("one"))).await.unwrap();
    assert_eq!(cloud.steps(), [Token, Exchange, Rescope]);
    let b = b.scope(project("one"));
    cloud.get(&b).await.unwrap();
    cloud.get(&c.clone().scope(project("two"))).await.unwrap();
    assert_eq!(cloud.steps(), [Rescope, Rescope]);
    // A renewal logs in anew, and the others take that token.
    cloud.get(&b).await.unwrap();
    assert_eq!(cloud.steps(), [Token, Exchange, Rescope]);
    cloud.get(&c).await.unwrap();
    assert_eq!(cloud.steps(), []);
}

#[tokio::test]
async fn processes_that_log_in_at_the_same_time_share_a_login() {
    let cloud = TestCloud::new();
    let permits = cloud.stop(Token);
    let tasks = processes::<5>(&SharedTokens::in_memory(), || cloud.robot()).map(|process| {
        let cloud = cloud.clone();
        tokio::spawn(async move { cloud.get(&process.scope(project("one"))).await })
    });
    cloud.requested(Token, 1).await;
    permits.add_permits(5);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!((cloud.count(Token), cloud.count(Rescope)), (1, 5));
}

#[tokio::test]
async fn a_token_of_the_store_that_was_revoked_is_replaced() {
    let cloud = TestCloud::new();
    let [a, b, c] = processes(&SharedTokens::in_memory(), || cloud.robot().scope(project("one")));
    cloud.get(&a).await.unwrap();
    cloud.cloud.keystone().revoke_all();
    cloud.steps();
    cloud.get(&b).await.unwrap();
    assert_eq!(cloud.steps(), [Rescope, Token, Exchange, Rescope]);
    cloud.get(&c).await.unwrap();
    assert_eq!(cloud.steps(), [Rescope]);
}

#[tokio::test]
async fn a_token_of_the_store_that_is_old_is_replaced() {
    for (age, exchanges) in [(20, 1), (40, 2)] {
        let time = |minutes: i64| Timestamp::now() + SignedDuration::from_mins(minutes);
        let (issued_at, expires_at) = (time(-age), time(60 - age));
        let document = format!(
            r#"{{"token": {{"issued_at": "{issued_at}", "expires_at": "{expires_at}", "user": {{}}}}}}"#
        );
        let (transport, requests) =
            wire::transport(move |_| Ok(wire::response(201, &[("x-subject-token", "t")], document.clone())));
        let credentials = || {
            let provider = IdentityProvider::new("https://keystone.example.com", "op", "openid");
            FederatedCredentials::new(provider, Grant::access_token("token")).scope(project("one"))
        };
        for process in processes::<2>(&SharedTokens::in_memory(), credentials) {
            process.get_auth_ref(transport.clone()).await.unwrap();
        }
        let is_exchange = |line: &String| line.ends_with("/protocols/openid/auth");
        assert_eq!(requests.lines().iter().filter(|line| is_exchange(line)).count(), exchanges, "{age}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_store_each_process_logs_in() {
    let key = || StoreKey::new([7; 32]);
    for tokens in [SharedTokens::new(Away, key()), SharedTokens::new(Hanging, key())] {
        let cloud = TestCloud::new();
        let asked_at = Instant::now();
        for process in processes::<2>(&tokens, || cloud.robot().scope(project("one"))) {
            process.prepare(cloud.transport()).await.unwrap();
            cloud.get(&process).await.unwrap();
            assert_eq!(cloud.steps(), [Token, Exchange, Rescope]);
        }
        assert!(asked_at.elapsed() <= Duration::from_secs(5), "{:?}", asked_at.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_holds_the_lease_for_too_long_is_not_waited_for() {
    let cloud = TestCloud::new();
    let [a, b] = processes(&SharedTokens::in_memory(), || cloud.robot().scope(project("one")));
    let permits = cloud.stop(Token);
    let stuck = tokio::spawn({
        let cloud = cloud.clone();
        async move { cloud.get(&a).await }
    });
    cloud.requested(Token, 1).await;
    let waiting = tokio::spawn({
        let cloud = cloud.clone();
        async move { cloud.get(&b).await }
    });
    cloud.requested(Token, 2).await;
    permits.add_permits(2);
    waiting.await.unwrap().unwrap();
    stuck.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_process_that_has_ended_is_given_back() {
    let cloud = TestCloud::new();
    let [a, b] = processes(&SharedTokens::in_memory(), || cloud.robot().scope(project("one")));
    let permits = cloud.stop(Token);
    let ending = tokio::spawn({
        let cloud = cloud.clone();
        async move { cloud.get(&a).await }
    });
    cloud.requested(Token, 1).await;
    ending.abort();
    permits.add_permits(2);
    let asked_at = Instant::now();
    cloud.get(&b).await.unwrap();
    assert!(asked_at.elapsed() < Duration::from_secs(1), "{:?}", asked_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_sent_once() {
    let cloud = TestCloud::new();
    let tokens = SharedTokens::in_memory();
    let [a, b] = processes(&tokens, || cloud.password("alice", "wrong").scope(project("one")));
    assert!(matches!(cloud.get(&a).await, Err(Error::FederatedLoginFailed(_))));
    let error = cloud.get(&b).await.unwrap_err();
    let Error::SharedLoginFailed { message, transient: false, .. } = &error else { panic!("{error:?}") };
    assert!(message.contains("invalid_grant") && !message.contains("wrong"), "{message}");
    assert_eq!(cloud.steps(), [Token]);
    // Another password is tried at once, and the same one after a delay, which becomes longer.
    let [c] = processes(&tokens, || cloud.password("alice", "wonderland").scope(project("one")));
    cloud.get(&c).await.unwrap();
    cloud.steps();
    for delay in [30, 300, 300] {
        tokio::time::advance(Duration::from_secs(delay - 1)).await;
        assert!(matches!(cloud.get(&a).await, Err(Error::SharedLoginFailed { .. })), "{delay}");
        assert_eq!(cloud.steps(), []);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(matches!(cloud.get(&b).await, Err(Error::FederatedLoginFailed(_))), "{delay}");
        assert_eq!(cloud.steps(), [Token]);
    }
}

#[tokio::test]
async fn plugins_of_processes_share_both_tokens() {
    let cloud = TestCloud::new();
    let tokens = SharedTokens::in_memory();
    let plugin = |name| {
        let credentials = cloud.robot().store(tokens.clone()).scope(project(name));
        RenewingPlugin::new(credentials, cloud.transport()).store(tokens.clone())
    };
    let plugins = [plugin("one"), plugin("two"), plugin("one"), plugin("two")];
    let tasks = plugins.clone().map(|plugin| tokio::spawn(async move { plugin.access().await }));
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!((cloud.count(Token), cloud.count(Exchange), cloud.count(Rescope)), (1, 1, 2));
    cloud.steps();
    plugins[0].renew().await.unwrap();
    assert_eq!(cloud.steps(), [Token, Exchange, Rescope]);
    tokens.close().await;
}

#[tokio::test]
async fn a_plugin_without_a_scope_shares_the_unscoped_token() {
    let cloud = TestCloud::new();
    let tokens = SharedTokens::in_memory();
    let plugin = || {
        let credentials = cloud.robot().store(tokens.clone());
        RenewingPlugin::new(credentials, cloud.transport()).store(tokens.clone())
    };
    let tasks = [plugin(), plugin()].map(|plugin| tokio::spawn(async move { plugin.access().await }));
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(cloud.steps(), [Token, Exchange]);
    tokens.close().await;
}

#[tokio::test]
async fn a_closed_store_is_not_used() {
    let cloud = TestCloud::new();
    let tokens = SharedTokens::in_memory();
    let [a, b] = processes(&tokens, || cloud.robot());
    tokens.close().await;
    for process in [a, b] {
        cloud.get(&process).await.unwrap();
        assert_eq!(cloud.steps(), [Token, Exchange]);
    }
}

#[tokio::test]
async fn without_a_key_logins_share_by_what_is_no_secret() {
    let cloud = TestCloud::new();
    let tokens = SharedTokens::without_sealing(MemoryStore::new());
    let [a, b] = processes(&tokens, || cloud.robot());
    cloud.get(&a).await.unwrap();
    cloud.get(&b).await.unwrap();
    assert_eq!(cloud.steps(), [Token, Exchange]);
    // Nothing tells two access tokens apart but the tokens.
    let bearer = cloud.cloud.oidc_provider().issue_access_token("alice").unwrap();
    let with_bearer = || FederatedCredentials::new(cloud.provider(), Grant::access_token(&*bearer));
    for process in processes::<2>(&tokens, with_bearer) {
        cloud.get(&process).await.unwrap();
        assert_eq!(cloud.steps(), [Exchange]);
    }
}

#[tokio::test]
async fn a_token_source_shares_when_its_user_is_known() {
    let cloud = TestCloud::new();
    let tokens = SharedTokens::in_memory();
    let process = |user: &'static str| {
        let provider = cloud.cloud.oidc_provider().clone();
        let source = AccessTokenSource::function(move || {
            let token = provider.issue_access_token(user).unwrap();
            async move { Ok(Secret::new(token)) }
        });
        FederatedCredentials::new(cloud.provider(), Grant::access_token(source)).store(tokens.clone())
    };
    let processes = [process("alice"), process("alice"), process("bob")];
    for process in &processes {
        assert_eq!(process.cache_id(), None);
        cloud.get(process).await.unwrap();
        assert_eq!(cloud.steps(), [Exchange]);
    }
    let ids = processes.each_ref().map(Credentials::cache_id);
    assert!(ids[0].is_some() && ids[0] == ids[1] && ids[1] != ids[2]);
    let [a, b, c] = processes;
    cloud.get(&a).await.unwrap();
    assert_eq!(cloud.steps(), [Exchange]);
    cloud.get(&b).await.unwrap();
    assert_eq!(cloud.steps(), [], "it takes the token of the other process");
    cloud.get(&c).await.unwrap();
    assert_eq!(cloud.steps(), [Exchange]);
}
