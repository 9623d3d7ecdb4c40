//! The unscoped token that the scopes of a login share, in one process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use tower_keystone::{
    Credentials, Error, IdentityPlugin, RenewalPolicy, RenewingPlugin, Secret,
    federation::{AccessTokenSource, FederatedCredentials, Grant},
};

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

#[tokio::test]
async fn a_panic_of_the_program_is_an_error_of_that_login() {
    let cloud = TestCloud::new();
    let provider = cloud.cloud.oidc_provider().clone();
    let calls = Arc::new(AtomicUsize::new(0));
    let source = AccessTokenSource::function(move || {
        assert!(calls.fetch_add(1, Ordering::Relaxed) > 0, "the first call panics");
        let token = provider.issue_access_token("alice").unwrap();
        async move { Ok(Secret::new(token)) }
    });
    let credentials = FederatedCredentials::new(cloud.provider(), Grant::access_token(source));
    let error = cloud.get(&credentials).await.unwrap_err();
    assert!(matches!(error, Error::PluginPanicked), "{error:?}");
    cloud.get(&credentials).await.unwrap();
}

#[tokio::test]
async fn an_authorization_code_serves_one_login_and_several_scopes() {
    let cloud = TestCloud::new();
    cloud.cloud.oidc_provider().add_client("web", "web-secret");
    cloud.cloud.oidc_provider().sign_in("alice");
    let url = format!(
        "{}/auth?client_id=web&response_type=code&scope=openid&redirect_uri=http://127.0.0.1:1/",
        cloud.cloud.oidc_provider().issuer()
    );
    let response = cloud.cloud.transport().send(Request::get(url).body(Bytes::new()).unwrap()).await.unwrap();
    let location = response.headers()["location"].to_str().unwrap();
    let (_, code) = location.split_once("code=").unwrap();
    let code = code.split('&').next().unwrap();
    let grant = Grant::authorization_code(cloud.client("web").secret("web-secret"), code);
    let credentials = FederatedCredentials::new(cloud.provider(), grant.redirect_uri("http://127.0.0.1:1/"));
    for name in ["one", "two"] {
        cloud.get(&credentials.clone().scope(project(name))).await.unwrap();
    }
    assert_eq!(cloud.steps(), [Token, Exchange, Rescope, Rescope]);
    cloud.cloud.keystone().revoke_all();
    let error = cloud.get(&credentials.scope(project("one"))).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(cloud.steps(), [Rescope], "the code is not sent again");
}
