//! The unscoped token that the scopes of a login share, in one process.

use std::time::Duration;

use tower_keystone::{Credentials, Error, IdentityPlugin, RenewalPolicy, RenewingPlugin};

use crate::cloud::{
    Step::{self, Exchange, Rescope, Token},
    TestCloud, project,
};

#[tokio::test]
async fn several_scopes_share_a_login_and_a_renewal_logs_in_anew() {
    let cloud = TestCloud::new();
    let one = cloud.robot().scope(project("one"));
    let two = one.clone().scope(project("two"));
    cloud.get(&one).await.unwrap();
    assert_eq!(cloud.steps(), [Token, Exchange, Rescope]);
    cloud.get(&two).await.unwrap();
    assert_eq!(cloud.steps(), [Rescope]);
    cloud.get(&one).await.unwrap();
    assert_eq!(cloud.steps(), [Token, Exchange, Rescope]);
    cloud.get(&two.clone()).await.unwrap();
    assert_eq!(cloud.steps(), [Rescope]);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_token_lives_as_long_as_a_first_one() {
    let cloud = TestCloud::new();
    cloud.cloud.keystone().set_token_lifetime(Duration::from_secs(1000));
    let one = cloud.robot().scope(project("one"));
    let expires = async || {
        let access_info = one.get_auth_ref(cloud.transport()).await.unwrap();
        access_info.expires().unwrap().unwrap()
    };
    let first = expires().await;
    tokio::time::advance(Duration::from_secs(900)).await;
    assert!(expires().await >= first + Duration::from_secs(900));
}

#[tokio::test]
async fn a_revoked_unscoped_token_is_replaced_once() {
    let cloud = TestCloud::new();
    let unscoped = cloud.robot();
    cloud.get(&unscoped.clone().scope(project("one"))).await.unwrap();
    cloud.cloud.keystone().revoke_all();
    cloud.steps();
    cloud.get(&unscoped.clone().scope(project("two"))).await.unwrap();
    assert_eq!(cloud.steps(), [Rescope, Token, Exchange, Rescope]);
    let error = cloud.get(&unscoped.scope(project("missing"))).await.unwrap_err();
    assert!(matches!(error, Error::Keystone(_)) && !error.is_transient(), "{error}");
    assert_eq!(cloud.steps(), [Rescope, Token, Exchange, Rescope]);
}

#[tokio::test]
async fn without_a_scope_each_token_is_of_a_login() {
    let cloud = TestCloud::new();
    let unscoped = cloud.robot();
    for _ in 0..2 {
        cloud.get(&unscoped).await.unwrap();
        assert_eq!(cloud.steps(), [Token, Exchange]);
    }
}

#[tokio::test]
async fn plugins_of_one_login_share_it() {
    let cloud = TestCloud::new();
    let robot = cloud.robot();
    let plugins =
        ["one", "two"].map(|name| RenewingPlugin::new(robot.clone().scope(project(name)), cloud.transport()));
    for plugin in &plugins {
        let access = plugin.access().await.unwrap();
        assert!(access.project_id().is_some());
    }
    let count = |step: Step| cloud.count(step);
    assert_eq!((count(Token), count(Exchange), count(Rescope)), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_hangs_does_not_delay_the_next_attempt() {
    let cloud = TestCloud::new();
    let permits = cloud.stop(Token);
    let plugin = RenewingPlugin::new(cloud.robot().scope(project("one")), cloud.transport());
    let mut policy = RenewalPolicy::default();
    policy.wait_timeout = Duration::from_secs(25);
    let plugin = plugin.policy(policy);
    let waiting = tokio::spawn({
        let plugin = plugin.clone();
        async move { plugin.access().await }
    });
    cloud.requested(Token, 2).await;
    permits.add_permits(1);
    waiting.await.unwrap().unwrap();
}
