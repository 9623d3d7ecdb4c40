//! Logins of persons that the next run of a program goes on with.

use std::{
    fs,
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use http::Request;
use tokio::time::advance;
use tower_keystone::{
    CloudConfig, Credentials, Error, SharedTokens,
    config::CloudConfigBuilder,
    federation::{CompletedLogin, IdentityProvider, OidcClient},
    fixture::Cloud,
    store::{FileStore, StoreKey},
};

use crate::{
    cloud::{Step::Token, TestCloud},
    configuration::{cloud, counting, device, token},
    stores::{Away, Hanging, Recording},
};

/// A run of a program.
struct Run {
    config: CloudConfig,
    /// Whether the page was shown.
    has_asked: bool,
}

/// Runs a program with this configuration up to the end of the login. If it asks a person, that is this user.
async fn run(cloud: &Cloud, config: CloudConfigBuilder, user: &str) -> Run {
    let mut has_asked = false;
    let (transport, devices) = counting(cloud, "/device/auth");
    let config = config.build().unwrap().log_in(transport, |page| {
        has_asked = true;
        cloud.oidc_provider().approve(page.user_code.unwrap(), user);
    });
    let config = config.await.unwrap();
    assert_eq!(devices.load(Ordering::Relaxed), usize::from(has_asked));
    Run { config, has_asked }
}

impl Run {
    /// Returns the name of the user of the token that the plugin obtains, and the number of requests for it.
    async fn user(&self, cloud: &Cloud) -> (String, usize) {
        let (transport, requests) = counting(cloud, "");
        let [user, _] = token(&self.config, transport).await.unwrap();
        (user, requests.load(Ordering::Relaxed))
    }
}

fn without_refresh_token(cloud: &Cloud) -> CloudConfigBuilder {
    device(cloud).set_auth("openid_scope", "openid profile")
}

#[tokio::test(start_paused = true)]
async fn the_next_run_asks_nobody() {
    for device in [device, without_refresh_token] {
        let cloud = cloud().project("other");
        let tokens = SharedTokens::in_memory();
        let config = || device(&cloud).shared_tokens(tokens.clone());
        let first = run(&cloud, config(), "alice").await;
        assert!(first.has_asked);
        assert_eq!(first.user(&cloud).await, ("alice".to_owned(), 1));
        let second = run(&cloud, config(), "bob").await;
        assert!(!second.has_asked);
        assert_eq!(second.user(&cloud).await, ("alice".to_owned(), 0), "the token is in the store");
        let other = run(&cloud, config().set_auth("project_name", "other"), "bob").await;
        assert!(!other.has_asked);
        assert_eq!(other.user(&cloud).await, ("alice".to_owned(), 1), "the unscoped token is in the store");
    }
}

#[tokio::test(start_paused = true)]
async fn the_files_of_the_user_have_the_login() {
    let home = std::env::temp_dir().join(format!("tower-keystone-stored-login-{}", std::process::id()));
    fs::create_dir_all(&home).unwrap();
    let cloud = cloud();
    let config = || {
        let tokens = FileStore::open(home.join("tokens")).unwrap().into_shared().unwrap();
        device(&cloud).shared_tokens(tokens)
    };
    let first = run(&cloud, config(), "alice").await;
    let second = run(&cloud, config(), "alice").await;
    assert_eq!((first.has_asked, second.has_asked), (true, false));
    assert_eq!(second.user(&cloud).await.0, "alice");
    second.config.forget_login().await.unwrap();
    assert!(run(&cloud, config(), "alice").await.has_asked);
    fs::remove_dir_all(&home).unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_run_renews_an_old_token() {
    let cloud = cloud();
    let config = {
        let tokens = SharedTokens::in_memory();
        move |cloud: &Cloud| device(cloud).shared_tokens(tokens.clone())
    };
    cloud.keystone().set_token_lifetime(Duration::ZERO);
    let first = run(&cloud, config(&cloud), "alice").await;
    assert!(first.has_asked);
    cloud.keystone().set_token_lifetime(Duration::from_secs(3600));
    // The provider replaces the refresh token each time, and revokes everything if one is used twice.
    for _ in 0..4 {
        let next = run(&cloud, config(&cloud), "bob").await;
        assert!(!next.has_asked);
        assert_eq!(next.user(&cloud).await.0, "alice");
        advance(Duration::from_secs(2 * 3600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_the_provider_has_ended_asks_again() {
    let cloud = cloud();
    let provider = cloud.oidc_provider();
    provider.add_user("bob", "wonderland");
    provider.set_refresh_token_lifetime(Duration::from_secs(60));
    let tokens = SharedTokens::in_memory();
    let config = || device(&cloud).shared_tokens(tokens.clone());
    cloud.keystone().set_token_lifetime(Duration::ZERO);
    run(&cloud, config(), "alice").await;
    cloud.keystone().set_token_lifetime(Duration::from_secs(3600));
    advance(Duration::from_secs(61)).await;
    let second = run(&cloud, config(), "bob").await;
    assert!(second.has_asked);
    assert_eq!(second.user(&cloud).await.0, "bob");
    // The login of another user replaces the first one.
    let third = run(&cloud, config(), "alice").await;
    assert!(!third.has_asked);
    assert_eq!(third.user(&cloud).await.0, "bob");
}

#[tokio::test(start_paused = true)]
async fn a_login_without_a_refresh_token_asks_again_when_its_token_is_over() {
    let cloud = cloud();
    let tokens = SharedTokens::in_memory();
    let config = || without_refresh_token(&cloud).shared_tokens(tokens.clone());
    assert!(run(&cloud, config(), "alice").await.has_asked);
    assert!(!run(&cloud, config(), "alice").await.has_asked);
    advance(Duration::from_secs(3601)).await;
    assert!(run(&cloud, config(), "alice").await.has_asked);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_keystone_does_not_accept_is_forgotten() {
    let cloud = cloud();
    let tokens = SharedTokens::in_memory();
    let config = || without_refresh_token(&cloud).shared_tokens(tokens.clone());
    run(&cloud, config(), "alice").await;
    let provider = IdentityProvider::new(cloud.keystone().auth_url(), "op", "openid");
    let client = OidcClient::new("cli").discovery_endpoint(cloud.oidc_provider().discovery_endpoint());
    let login = CompletedLogin::stored(&provider, Some(&client), &tokens).await.unwrap().unwrap();
    revoke(&cloud, login.access_info().auth_token().unwrap()).await;
    let second = run(&cloud, config(), "alice").await;
    assert!(!second.has_asked, "nobody knows yet");
    let error = token(&second.config, cloud.transport()).await.unwrap_err();
    assert!(matches!(error, Error::LoginEnded), "{error}");
    assert!(run(&cloud, config(), "alice").await.has_asked);
}

async fn revoke(cloud: &Cloud, token: &str) {
    let request = Request::delete(format!("{}/auth/tokens", cloud.keystone().auth_url()))
        .header("x-auth-token", token)
        .header("x-subject-token", token);
    let response = cloud.transport().send(request.body(bytes::Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 204);
}

#[tokio::test(start_paused = true)]
async fn a_person_logs_in_while_the_store_is_away() {
    let cloud = cloud();
    let key = || StoreKey::new([7; 32]);
    for tokens in [SharedTokens::new(Away, key()), SharedTokens::new(Hanging, key())] {
        let started_at = tokio::time::Instant::now();
        for _ in 0..2 {
            let run = run(&cloud, device(&cloud).shared_tokens(tokens.clone()), "alice").await;
            assert!(run.has_asked);
            assert_eq!(run.user(&cloud).await.0, "alice");
        }
        assert!(started_at.elapsed() < Duration::from_secs(20), "{:?}", started_at.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_away_does_not_end_the_login() {
    let cloud = TestCloud::new();
    let tokens = SharedTokens::in_memory();
    let config = || {
        device(&cloud.cloud).set_auth("project_name", "one").shared_tokens(tokens.clone()).build().unwrap()
    };
    cloud.cloud.keystone().set_token_lifetime(Duration::ZERO);
    run(&cloud.cloud, device(&cloud.cloud).shared_tokens(tokens.clone()), "alice").await;
    cloud.cloud.keystone().set_token_lifetime(Duration::from_secs(3600));
    cloud.fail(Some(Token));
    let next = config().log_in(cloud.transport(), |_| panic!("a person is asked")).await.unwrap();
    cloud.fail(None);
    assert_eq!(token(&next, cloud.transport()).await.unwrap(), ["alice", "one"]);
}

#[tokio::test(start_paused = true)]
async fn a_stored_login_can_be_forgotten() {
    let cloud = cloud();
    let tokens = SharedTokens::in_memory();
    let config = || device(&cloud).shared_tokens(tokens.clone());
    let not_logged_in = config().build().unwrap();
    not_logged_in.forget_login().await.unwrap();
    run(&cloud, config(), "alice").await;
    not_logged_in.forget_login().await.unwrap();
    assert!(run(&cloud, config(), "alice").await.has_asked);
    let run_of_stored = run(&cloud, config(), "alice").await;
    assert!(!run_of_stored.has_asked);
    run_of_stored.config.forget_login().await.unwrap();
    assert!(run(&cloud, config(), "alice").await.has_asked);
    let without_store = device(&cloud).build().unwrap();
    without_store.forget_login().await.unwrap();
}

#[tokio::test]
async fn a_login_is_found_by_its_client_and_keystone_and_key() {
    let cloud = TestCloud::new();
    let (store, key) = (Recording::default(), || StoreKey::new([7; 32]));
    let tokens = SharedTokens::new(store.clone(), key());
    let (provider, client) = (cloud.provider(), cloud.client("cli"));
    let mut login = cloud.log_in("alice", client.clone()).await;
    login.store(&tokens).await.unwrap();
    let find = async |provider: &IdentityProvider, client: Option<&OidcClient>, tokens: &SharedTokens| {
        CompletedLogin::stored(provider, client, tokens).await.unwrap()
    };

    let found = find(&provider, Some(&client), &tokens).await.unwrap();
    assert_eq!(found.access_info().auth_token(), login.access_info().auth_token());
    assert_eq!(found.access_info().username(), Some("alice"));
    assert_eq!(found.refresh_token(), login.refresh_token());
    assert!(!format!("{found:?}").contains(login.refresh_token().unwrap().expose()));
    assert!(!store.has(login.refresh_token().unwrap().expose()) && !store.has("alice"));

    let auth_url = cloud.cloud.keystone().auth_url();
    for other in [
        IdentityProvider::new(auth_url.clone(), "other", "openid"),
        IdentityProvider::new(auth_url, "op", "other"),
        IdentityProvider::new("https://keystone.example.com/v3", "op", "openid"),
    ] {
        assert!(find(&other, Some(&client), &tokens).await.is_none(), "{other:?}");
    }
    let other_url = "https://op.example.com/token";
    for other in [
        Some(cloud.client("robot")),
        Some(client.clone().access_token_endpoint(other_url)),
        Some(client.clone().discovery_endpoint(other_url)),
        None,
    ] {
        assert!(find(&provider, other.as_ref(), &tokens).await.is_none(), "{other:?}");
    }
    let other_key = SharedTokens::new(store.clone(), StoreKey::new([8; 32]));
    assert!(find(&provider, Some(&client), &other_key).await.is_none());
    let without_key = SharedTokens::without_sealing(store.clone());
    assert!(find(&provider, Some(&client), &without_key).await.is_none());
    assert!(find(&provider, Some(&client), &tokens.clone().name("other")).await.is_none());

    found.forget().await.unwrap();
    assert!(find(&provider, Some(&client), &tokens).await.is_none());
}

#[tokio::test]
async fn nothing_is_stored_without_a_key() {
    let cloud = TestCloud::new();
    let store = Recording::default();
    let tokens = SharedTokens::without_sealing(store.clone());
    let mut login = cloud.log_in("alice", cloud.client("cli")).await;
    login.store(&tokens).await.unwrap();
    assert!(store.kinds().is_empty());
    login.forget().await.unwrap();
}

#[tokio::test]
async fn a_login_of_the_past_is_not_stored_again() {
    let cloud = TestCloud::new();
    let tokens = SharedTokens::in_memory();
    let (provider, client) = (cloud.provider(), cloud.client("cli"));
    let mut login = cloud.log_in("alice", client.clone()).await;
    login.store(&tokens).await.unwrap();
    let mut found = CompletedLogin::stored(&provider, Some(&client), &tokens).await.unwrap().unwrap();
    cloud.get(&login.into_credentials()).await.unwrap(); // the token of the login
    let newest = CompletedLogin::stored(&provider, Some(&client), &tokens).await.unwrap().unwrap();
    let newest = newest.into_credentials();
    for _ in 0..2 {
        cloud.get(&newest).await.unwrap();
    }
    assert_eq!(cloud.count(Token), 1, "the refresh token is replaced");
    found.store(&tokens).await.unwrap();
    let found = found.into_credentials();
    for _ in 0..3 {
        cloud.get(&found).await.unwrap();
    }
    assert_eq!(cloud.count(Token), 2);
}

#[tokio::test]
async fn runs_at_the_same_time_use_the_refresh_token_under_the_lease() {
    let cloud = TestCloud::new();
    let tokens = SharedTokens::in_memory();
    let (provider, client) = (cloud.provider(), cloud.client("cli"));
    let mut login = cloud.log_in("alice", client.clone()).await;
    login.store(&tokens).await.unwrap();
    let mut runs = vec![login.into_credentials()];
    for _ in 0..2 {
        let found = CompletedLogin::stored(&provider, Some(&client), &tokens).await.unwrap().unwrap();
        runs.push(found.into_credentials());
    }
    // Without a scope, each token is that of a new login, or of one that another run has made since. The provider revokes
    // everything if a refresh token is used twice.
    for round in 0..4 {
        for run in &runs {
            let access_info = run.get_auth_ref(cloud.transport()).await;
            let access_info = access_info.unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert_eq!(access_info.username(), Some("alice"));
            assert!(access_info.expires().unwrap().unwrap() > SystemTime::now());
        }
    }
    assert!(cloud.count(Token) >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_an_error_of_the_program_only() {
    let cloud = TestCloud::new();
    let client = cloud.client("cli");
    let tokens = SharedTokens::new(Away, StoreKey::new([7; 32]));
    let mut login = cloud.log_in("alice", client.clone()).await;
    let error = login.store(&tokens).await.unwrap_err();
    assert!(matches!(error, Error::StoreUnavailable { .. }), "{error}");
    let error = CompletedLogin::stored(&cloud.provider(), Some(&client), &tokens).await.unwrap_err();
    assert!(matches!(error, Error::StoreUnavailable { .. }), "{error}");
    let credentials = login.into_credentials();
    for _ in 0..2 {
        cloud.get(&credentials).await.unwrap();
    }
}
