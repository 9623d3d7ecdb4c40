//! Federated logins over hours, and what happens if a step fails or ends in the middle.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    runtime,
    time::{Instant, advance},
};
use tower_keystone::{
    BoxError, Error, IdentityPlugin, RenewingPlugin, ServiceAccess, SharedTokens,
    endpoint::Origin,
    federation::{
        AccessTokenSource, CompletedLogin, FederatedCredentials, Grant, IdentityProvider, OidcClient,
    },
    renewal::{Clock, Now},
    store::MemoryStore,
};

use crate::{
    cloud::{
        Step::{self, Exchange, Token},
        TestCloud, processes, project,
    },
    stores::Connection,
    wire,
};

/// The clocks of a machine, which go with the clock of tokio.
struct PausedClock(SystemTime, Instant);

impl PausedClock {
    fn start() -> Self {
        Self(SystemTime::now(), Instant::now())
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Now {
        Now::new(self.0 + self.1.elapsed(), Instant::now().into_std())
    }
}

fn token(access: &ServiceAccess) -> String {
    access.auth_ref().unwrap().auth_token().unwrap().to_owned()
}

/// Returns the service that rejects tokens.
fn service() -> Origin {
    Origin::from_uri(&"https://nova.example.com".parse().unwrap()).unwrap()
}

fn username(access: &ServiceAccess) -> String {
    access.auth_ref().unwrap().username().unwrap().to_owned()
}

#[test]
fn a_login_whose_runtime_was_shut_down_is_replaced() {
    let build = || runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cloud = TestCloud::new();
    let credentials = cloud.robot();
    let _permits = cloud.stop(Token);
    let first = build();
    first.block_on(async {
        let (cloud, credentials) = (cloud.clone(), credentials.clone());
        let waiting = tokio::spawn(async move { cloud.clone().get(&credentials).await });
        // Its permits are gone with the runtime.
        tokio::task::yield_now().await;
        drop(waiting);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(cloud.count(Token), 1);
    drop(first);
    cloud.start();
    build().block_on(cloud.get(&credentials)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_not_sent_for_each_scope() {
    for scopes in [1, 5] {
        let cloud = TestCloud::new();
        let credentials = cloud.password("alice", "wrong");
        let plugins: Vec<_> = (0..scopes)
            .map(|n| {
                let credentials = credentials.clone().scope(project(&n.to_string()));
                RenewingPlugin::new(credentials, cloud.transport()).clock(PausedClock::start())
            })
            .collect();
        for _ in 0..1800 {
            for plugin in &plugins {
                plugin.access().await.unwrap_err();
            }
            advance(Duration::from_secs(1)).await;
        }
        assert!(cloud.count(Token) <= 3, "{scopes} scopes: {} logins in 30 min", cloud.count(Token));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_not_sent_by_each_process() {
    for scopes in [1, 5] {
        let cloud = TestCloud::new();
        let connection = Connection::default();
        let plugins: Vec<_> = (0..20)
            .flat_map(|_| {
                let tokens = connection.other().tokens();
                let credentials = cloud.password("alice", "wrong").store(tokens.clone());
                (0..scopes)
                    .map(|n| {
                        let credentials = credentials.clone().scope(project(&n.to_string()));
                        let plugin =
                            RenewingPlugin::new(credentials, cloud.transport()).store(tokens.clone());
                        plugin.clock(PausedClock::start())
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        for _ in 0..360 {
            for plugin in &plugins {
                plugin.access().await.unwrap_err();
            }
            advance(Duration::from_secs(5)).await;
        }
        assert!(cloud.count(Token) <= 3, "{scopes} scopes: {} logins in 30 min", cloud.count(Token));
    }
}

#[tokio::test]
async fn an_unscoped_token_that_a_service_rejected_is_not_taken_from_the_store_again() {
    let cloud = TestCloud::new();
    let tokens = SharedTokens::in_memory();
    let plugins = [(); 2].map(|()| {
        RenewingPlugin::new(cloud.robot().store(tokens.clone()), cloud.transport()).store(tokens.clone())
    });
    plugins[0].access().await.unwrap();
    let access = plugins[1].access().await.unwrap();
    assert_eq!(cloud.steps(), [Token, Exchange], "the second process takes the token of the first");
    assert!(plugins[1].invalidate(&access, &service()));
    let new = plugins[1].access().await.unwrap();
    assert_ne!(token(&new), token(&access));
    tokens.close().await;
}

#[tokio::test]
async fn a_token_of_another_user_is_not_shared() {
    let cloud = TestCloud::new();
    let bearer = |user| cloud.cloud.oidc_provider().issue_access_token(user).unwrap();
    for tokens in [SharedTokens::in_memory(), SharedTokens::without_sealing(MemoryStore::new())] {
        let user = Arc::new(Mutex::new(bearer("alice")));
        let source = || {
            let user = Arc::clone(&user);
            AccessTokenSource::function(move || {
                let bearer = user.lock().unwrap().clone();
                async move { Ok::<_, BoxError>(bearer.into()) }
            })
        };
        let [a, b] =
            processes(&tokens, || FederatedCredentials::new(cloud.provider(), Grant::access_token(source())));
        let [a, b] = [a, b]
            .map(|credentials| RenewingPlugin::new(credentials, cloud.transport()).store(tokens.clone()));
        for plugin in [&a, &b, &b] {
            plugin.renew().await.unwrap();
            assert_eq!(username(&plugin.access().await.unwrap()), "alice");
        }
        // The source now has the token of another user.
        *user.lock().unwrap() = bearer("bob");
        a.renew().await.unwrap();
        assert_eq!(username(&a.access().await.unwrap()), "bob");
        *user.lock().unwrap() = bearer("alice");
        b.reset();
        assert_eq!(username(&b.access().await.unwrap()), "alice");
        tokens.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_refresh_token_is_published_when_the_store_is_back() {
    let cloud = TestCloud::new();
    let first = cloud.log_in("alice", cloud.client("cli")).await.refresh_token().unwrap().clone();
    let a = Connection::default();
    let b = a.other();
    let process = |connection: &Connection| {
        let grant = Grant::refresh_token(cloud.client("cli"), first.clone());
        FederatedCredentials::new(cloud.provider(), grant).store(connection.tokens())
    };
    let (credentials_a, credentials_b) = (process(&a), process(&b));
    let permits = cloud.stop(Token);
    let waiting = tokio::spawn({
        let cloud = cloud.clone();
        async move { cloud.get(&credentials_a).await }
    });
    cloud.requested(Token, 1).await;
    a.cut_off(true);
    permits.add_permits(10);
    waiting.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    a.cut_off(false);
    cloud.get(&credentials_b).await.unwrap();
}

#[tokio::test]
async fn a_new_refresh_token_is_published_before_the_function_is_called() {
    let cloud = TestCloud::new();
    let connection = Connection::default();
    let login = cloud.log_in("alice", cloud.client("cli")).await;
    let seen = Arc::new(AtomicUsize::new(0));
    let credentials = login.into_credentials().store(connection.tokens()).on_refresh_token({
        let (seen, connection) = (Arc::clone(&seen), connection.clone());
        move |_| seen.store(connection.publications(), Ordering::Relaxed)
    });
    cloud.get(&credentials).await.unwrap();
    cloud.get(&credentials).await.unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_one_time_login_goes_on_after_a_failure_of_keystone() {
    let cloud = TestCloud::new();
    let client = cloud.client("robot").secret("robot-secret");
    let grant = Grant::password(client, "alice", "wonderland").passcode("otp", "123456");
    let credentials = FederatedCredentials::new(cloud.provider(), grant).scope(project("one"));
    cloud.fail(Some(Exchange));
    for _ in 0..2 {
        let error = cloud.get(&credentials).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
    cloud.fail(None);
    cloud.get(&credentials).await.unwrap();
    assert_eq!(cloud.count(Token), 1, "the code is sent once");
    assert!(matches!(cloud.get(&credentials).await, Ok(_) | Err(Error::LoginEnded)));
}

#[tokio::test]
async fn a_one_time_login_is_not_cut_off() {
    let cloud = TestCloud::new();
    let client = cloud.client("robot").secret("robot-secret");
    let grant = Grant::password(client, "alice", "wonderland").passcode("otp", "123456");
    let credentials = FederatedCredentials::new(cloud.provider(), grant);
    let permits = cloud.stop(Token);
    let waiting = tokio::spawn({
        let (cloud, credentials) = (cloud.clone(), credentials.clone());
        async move { cloud.get(&credentials).await }
    });
    cloud.requested(Token, 1).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    permits.add_permits(10);
    cloud.get(&credentials).await.unwrap();
    assert_eq!(cloud.count(Token), 1, "the code is sent once");
}

#[tokio::test]
async fn a_new_login_of_a_person_works_although_an_older_one_has_ended() {
    let cloud = TestCloud::new();
    let tokens = SharedTokens::in_memory();
    let plugin = |login: CompletedLogin, scope| {
        let credentials = login.into_credentials().store(tokens.clone());
        let credentials = if scope { credentials.scope(project("one")) } else { credentials };
        RenewingPlugin::new(credentials, cloud.transport()).store(tokens.clone())
    };
    for scope in [false, true] {
        let login = cloud.log_in("alice", cloud.client("cli")).await;
        let refresh_token = login.refresh_token().unwrap().expose().to_owned();
        let old = plugin(login, scope);
        let access = old.access().await.unwrap();
        cloud.cloud.oidc_provider().revoke(&refresh_token);
        cloud.cloud.keystone().revoke_all();
        assert!(old.invalidate(&access, &service()));
        let error = old.access().await.unwrap_err();
        assert!(matches!(error, Error::LoginEnded), "{error}");
        let new = plugin(cloud.log_in("alice", cloud.client("cli")).await, scope);
        new.access().await.unwrap();
    }
    tokens.close().await;
}

#[tokio::test]
async fn a_token_without_times_is_used_for_each_scope_once() {
    let (transport, requests) = wire::transport(move |_| {
        Ok(wire::response(201, &[("x-subject-token", "t")], r#"{"token": {"user": {"id": "u"}}}"#))
    });
    let tokens = SharedTokens::in_memory();
    let provider = || IdentityProvider::new("https://keystone.example.com", "op", "openid");
    let credentials =
        FederatedCredentials::new(provider(), Grant::access_token("token")).store(tokens.clone());
    let plugin = |name| {
        let credentials = credentials.clone().scope(project(name));
        RenewingPlugin::new(credentials, transport.clone()).store(tokens.clone())
    };
    let logins = || requests.lines().iter().filter(|line| line.ends_with("/protocols/openid/auth")).count();
    let one = plugin("one");
    one.access().await.unwrap();
    plugin("two").access().await.unwrap();
    assert_eq!(logins(), 1);
    one.renew().await.unwrap();
    assert_eq!(logins(), 2);
    tokens.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_not_used_after_its_lease_was_lost() {
    let cloud = TestCloud::new();
    let first = cloud.log_in("alice", cloud.client("cli")).await.refresh_token().unwrap().clone();
    let a = Connection::default();
    let b = a.other();
    let process = |client, connection: &Connection| {
        let grant = Grant::refresh_token(client, first.clone());
        FederatedCredentials::new(cloud.provider(), grant).store(connection.tokens())
    };
    let discovering =
        OidcClient::new("cli").discovery_endpoint(cloud.cloud.oidc_provider().discovery_endpoint());
    let (credentials_a, credentials_b) = (process(discovering, &a), process(cloud.client("cli"), &b));
    // The discovery document is late, and the lease cannot be extended.
    let permits = cloud.stop(Step::Rescope);
    let waiting = tokio::spawn({
        let (cloud, credentials) = (cloud.clone(), credentials_a.clone());
        async move { cloud.get(&credentials).await }
    });
    cloud.requested(Step::Rescope, 1).await;
    a.cut_off(true);
    tokio::time::sleep(Duration::from_secs(6)).await;
    cloud.get(&credentials_b).await.unwrap();
    a.cut_off(false);
    permits.add_permits(10);
    let error = waiting.await.unwrap().unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(cloud.count(Token), 1, "only the other process has used it");
    tokio::time::sleep(Duration::from_secs(60)).await;
    for credentials in [&credentials_a, &credentials_b, &credentials_a] {
        cloud.get(credentials).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_in_use_is_not_used_by_another_process() {
    let cloud = TestCloud::new();
    let first = cloud.log_in("alice", cloud.client("cli")).await.refresh_token().unwrap().clone();
    let a = Connection::default();
    let b = a.other();
    let process = |connection: &Connection| {
        let grant = Grant::refresh_token(cloud.client("cli"), first.clone());
        FederatedCredentials::new(cloud.provider(), grant).store(connection.tokens())
    };
    let (credentials_a, credentials_b) = (process(&a), process(&b));
    let permits = cloud.stop(Token);
    let waiting = tokio::spawn({
        let (cloud, credentials) = (cloud.clone(), credentials_a.clone());
        async move { cloud.get(&credentials).await }
    });
    cloud.requested(Token, 1).await;
    // The provider is slow, and this process cannot reach the store meanwhile.
    a.cut_off(true);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let error = cloud.get(&credentials_b).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(cloud.count(Token), 1);
    permits.add_permits(10);
    waiting.await.unwrap().unwrap();
    a.cut_off(false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    for credentials in [&credentials_b, &credentials_a, &credentials_b] {
        cloud.get(credentials).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_clock_is_slow_takes_no_old_token_from_the_store() {
    let cloud = TestCloud::new();
    cloud.cloud.keystone().set_token_lifetime(Duration::from_secs(3600));
    let [a, b, c] = processes(&SharedTokens::in_memory(), || cloud.robot().scope(project("one")));
    cloud.get(&a).await.unwrap();
    cloud.steps();
    // The clock of the machine stands still meanwhile.
    advance(Duration::from_secs(50 * 60)).await;
    cloud.get(&b).await.unwrap();
    assert_eq!(cloud.steps(), [Step::Rescope, Token, Exchange, Step::Rescope]);
    advance(Duration::from_secs(50 * 60)).await;
    cloud.fail(Some(Token));
    cloud.get(&c).await.unwrap();
    assert_eq!(cloud.steps(), [Step::Rescope, Token], "a token that ends soon is better than none");
}
