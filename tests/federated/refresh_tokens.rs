//! Logins of persons, and their refresh tokens.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_keystone::{
    Error, Scope, Secret, SharedTokens,
    federation::{FederatedCredentials, Grant},
    store::StoreKey,
};

use crate::{
    cloud::{
        Step::{Exchange, Rescope, Token},
        TestCloud, project,
    },
    stores::{Away, Hanging, Recording},
};

/// The refresh tokens that the program has saved.
#[derive(Clone, Default)]
struct Saved(Arc<Mutex<Vec<String>>>);

impl Saved {
    fn save(&self) -> impl Fn(&Secret) + Send + Sync + 'static {
        let saved = self.clone();
        move |token| saved.0.lock().unwrap().push(token.expose().to_owned())
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn last(&self) -> String {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

fn tokens() -> SharedTokens {
    SharedTokens::in_memory()
}

/// Returns the credentials of a login of alice, whose first token has been used.
async fn used_login(cloud: &TestCloud, tokens: Option<&SharedTokens>) -> FederatedCredentials {
    let login = cloud.log_in("alice", cloud.client("cli")).await;
    assert!(login.refresh_token().is_some());
    assert_eq!(login.access_info().username(), Some("alice"));
    let credentials = login.into_credentials().scope(project("one"));
    let credentials = match tokens {
        Some(tokens) => credentials.store(tokens.clone()),
        None => credentials,
    };
    cloud.get(&credentials).await.unwrap();
    assert_eq!(cloud.steps(), [Rescope], "the first token is made of that of the login");
    credentials
}

#[tokio::test]
async fn a_login_is_renewed_by_its_refresh_token() {
    let cloud = TestCloud::new();
    let saved = Saved::default();
    let credentials = used_login(&cloud, None).await.on_refresh_token(saved.save());
    for count in 1..=3 {
        cloud.get(&credentials).await.unwrap();
        assert_eq!(cloud.steps(), [Token, Exchange, Rescope]);
        assert_eq!(saved.len(), count);
    }
    // The saved token works in the next run of the program.
    let grant = Grant::refresh_token(cloud.client("cli"), saved.last());
    let next = FederatedCredentials::new(cloud.provider(), grant).on_refresh_token(saved.save());
    cloud.get(&next).await.unwrap();
    cloud.get(&next).await.unwrap();
    assert_eq!(saved.len(), 5);
}

#[tokio::test]
async fn a_refresh_token_that_is_not_replaced_is_used_again() {
    let cloud = TestCloud::new();
    cloud.cloud.oidc_provider().set_refresh_token_rotation(false);
    let saved = Saved::default();
    let credentials = used_login(&cloud, None).await.on_refresh_token(saved.save());
    for _ in 0..2 {
        cloud.get(&credentials).await.unwrap();
    }
    assert_eq!(saved.len(), 0);
}

#[tokio::test]
async fn a_login_whose_refresh_token_has_ended_is_over() {
    let cloud = TestCloud::new();
    let login = cloud.log_in("alice", cloud.client("cli")).await;
    let refresh_token = login.refresh_token().unwrap().expose().to_owned();
    let credentials = login.into_credentials();
    cloud.get(&credentials).await.unwrap();
    cloud.cloud.oidc_provider().revoke(&refresh_token);
    for _ in 0..2 {
        let error = cloud.get(&credentials).await.unwrap_err();
        assert!(matches!(error, Error::LoginEnded) && !error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn a_login_without_a_refresh_token_is_over_when_its_token_is_old() {
    let cloud = TestCloud::new();
    let login = cloud.log_in("alice", cloud.client("cli").scope("openid")).await;
    assert!(login.refresh_token().is_none());
    let unscoped = login.access_info().auth_token().unwrap().to_owned();
    let credentials = login.into_credentials();
    assert_eq!(cloud.get(&credentials).await.unwrap(), unscoped);
    let one = credentials.scope(project("one"));
    cloud.get(&one).await.unwrap();
    cloud.cloud.keystone().revoke_all();
    let error = cloud.get(&one).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(cloud.count(Token), 0);
}

#[tokio::test]
async fn the_function_is_called_without_a_lock_and_may_panic() {
    let cloud = TestCloud::new();
    let credentials = used_login(&cloud, None).await;
    let inner = credentials.clone();
    let credentials = credentials.on_refresh_token(move |_| {
        // It may use the credentials, and even replace itself.
        drop(inner.clone().on_refresh_token(|_| panic!("the disk is full")));
    });
    for _ in 0..3 {
        cloud.get(&credentials).await.unwrap();
        assert_eq!(cloud.steps(), [Token, Exchange, Rescope]);
    }
}

#[tokio::test]
async fn a_new_refresh_token_is_kept_if_keystone_fails_afterwards() {
    let cloud = TestCloud::new();
    let credentials = used_login(&cloud, None).await;
    cloud.fail(Some(Exchange));
    assert!(cloud.get(&credentials).await.unwrap_err().is_transient());
    cloud.fail(None);
    cloud.get(&credentials).await.unwrap();
}

#[tokio::test]
async fn a_refresh_is_not_cut_off_if_nobody_waits_for_it() {
    let cloud = TestCloud::new();
    let saved = Saved::default();
    let credentials = used_login(&cloud, None).await.on_refresh_token(saved.save());
    let permits = cloud.stop(Token);
    let waiting = tokio::spawn({
        let (cloud, credentials) = (cloud.clone(), credentials.clone());
        async move { cloud.get(&credentials).await }
    });
    cloud.requested(Token, 1).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    permits.add_permits(1);
    cloud.requested(Exchange, 1).await;
    assert_eq!(saved.len(), 1);
    cloud.get(&credentials).await.unwrap();
    assert_eq!(cloud.count(Token), 1, "the next call joins the login");
}

#[tokio::test]
async fn processes_use_a_refresh_token_one_after_the_other() {
    let cloud = TestCloud::new();
    let first = cloud.log_in("alice", cloud.client("cli")).await.refresh_token().unwrap().clone();
    let tokens = tokens();
    let saved = Saved::default();
    let process = || {
        let grant = Grant::refresh_token(cloud.client("cli"), first.clone());
        let credentials = FederatedCredentials::new(cloud.provider(), grant).store(tokens.clone());
        credentials.on_refresh_token(saved.save())
    };
    let processes = [process(), process(), process()];
    // All at the same time: one refreshes, and the others take its unscoped token.
    let tasks = processes.clone().map(|process| {
        let cloud = cloud.clone();
        tokio::spawn(async move { cloud.get(&process).await })
    });
    let mut obtained = Vec::new();
    for task in tasks {
        obtained.push(task.await.unwrap().unwrap());
    }
    assert_eq!(cloud.count(Token), 1);
    assert!(obtained.iter().all(|token| *token == obtained[0]));
    // The provider revokes everything if a refresh token is used twice.
    for round in 0..3 {
        for process in &processes {
            cloud.get(process).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
    }
    // A process that starts later with the first token goes on with the newest one.
    cloud.get(&process()).await.unwrap();
}

#[tokio::test]
async fn the_token_of_a_new_login_replaces_that_of_the_store() {
    let cloud = TestCloud::new();
    let tokens = tokens();
    let old = used_login(&cloud, Some(&tokens)).await;
    cloud.get(&old).await.unwrap();
    let login = cloud.log_in("alice", cloud.client("cli")).await;
    let new = login.into_credentials().store(tokens.clone());
    cloud.get(&new).await.unwrap();
    for credentials in [&new, &old, &new, &old] {
        cloud.get(credentials).await.unwrap();
    }
}

#[tokio::test]
async fn logins_of_other_users_are_apart() {
    let cloud = TestCloud::new();
    let tokens = tokens();
    let mut logins = Vec::new();
    for user in ["alice", "bob"] {
        let login = cloud.log_in(user, cloud.client("cli")).await;
        logins.push((user, login.into_credentials().store(tokens.clone())));
    }
    for (user, credentials) in logins.iter().chain(&logins) {
        use tower_keystone::Credentials;
        let access_info = credentials.get_auth_ref(cloud.transport()).await.unwrap();
        assert_eq!(access_info.username(), Some(*user));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_not_used_while_the_store_is_away() {
    let cloud = TestCloud::new();
    let key = || StoreKey::new([7; 32]);
    for tokens in [SharedTokens::new(Away, key()), SharedTokens::new(Hanging, key())] {
        let credentials = used_login(&cloud, Some(&tokens)).await;
        let asked = tokio::time::Instant::now();
        let error = cloud.get(&credentials).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(error.to_string().contains("only under a lease of the token store"), "{error}");
        assert!(asked.elapsed() <= Duration::from_secs(2), "{:?}", asked.elapsed());
        assert_eq!(cloud.steps(), []);
    }
}

/// The kind of the record of a refresh token.
const REFRESH_TOKEN: u8 = 9;

#[tokio::test]
async fn a_refresh_token_is_stored_only_with_a_key() {
    let store = Recording::default();
    for (tokens, is_sealed) in [
        (SharedTokens::without_sealing(store.clone()), false),
        (SharedTokens::new(store.clone(), StoreKey::new([7; 32])), true),
    ] {
        let cloud = TestCloud::new();
        let saved = Saved::default();
        let credentials = used_login(&cloud, Some(&tokens)).await.on_refresh_token(saved.save());
        let credentials = credentials.scope(Scope::new());
        for _ in 0..3 {
            cloud.get(&credentials).await.unwrap();
        }
        assert_eq!(saved.len(), 2);
        assert!(!saved.0.lock().unwrap().iter().any(|token| store.has(token)));
        assert_eq!(store.kinds().contains(&REFRESH_TOKEN), is_sealed);
    }
}
