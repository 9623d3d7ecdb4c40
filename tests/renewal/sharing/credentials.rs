//! Which credentials share a token.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::Uri;
use tower_keystone::{
    AuthMethod, Credentials, Transport, User, V3Credentials,
    identity::{AuthRefFuture, PrepareFuture},
    store::{MemoryStore, SharedTokens, StoreKey},
};

use super::{changing::Changing, *};

#[tokio::test(start_paused = true)]
async fn credentials_without_an_id_are_not_stored() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    for number in 1..=2 {
        let plugin =
            keystone.plugin_for(Changing::new(false), RenewalPolicy::default()).store(shared(&store));
        assert_eq!(token(&plugin).await.unwrap(), format!("token-{number}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_of_the_program_takes_the_place_of_an_id() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let plugin = |name: &str| {
        let plugin = keystone.plugin_for(Changing::new(false), RenewalPolicy::default());
        plugin.store(shared(&store)).stored_as(name)
    };
    assert_eq!(token(&plugin("alice")).await.unwrap(), "token-1");
    assert_eq!(token(&plugin("alice")).await.unwrap(), "token-1");
    assert_eq!(token(&plugin("bob")).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_that_of_one_keystone() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    for tokens in [shared(&store), SharedTokens::without_sealing(store.clone())] {
        let before = keystone.logins();
        let plugin = |auth_url: &'static str| {
            let credentials = Changing { auth_url: Uri::from_static(auth_url), ..Changing::new(true) };
            let plugin = keystone.plugin_for(credentials, RenewalPolicy::default());
            plugin.store(tokens.clone()).stored_as("alice")
        };
        let token_of_one = token(&plugin("https://keystone.test/v3")).await.unwrap();
        assert_ne!(token(&plugin("https://other.test/v3")).await.unwrap(), token_of_one);
        assert_ne!(token(&plugin("https://keystone.test/region-two/v3")).await.unwrap(), token_of_one);
        assert_eq!(keystone.logins(), before + 3);
        assert_eq!(token(&plugin("https://keystone.test/v3/")).await.unwrap(), token_of_one);
        assert_eq!(keystone.logins(), before + 3);
    }
}

#[tokio::test(start_paused = true)]
async fn other_passwords_and_other_keys_have_other_tokens() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let plugin = |password: &str, key: u8| {
        let credentials = Changing::new(true);
        *credentials.password.lock().unwrap() = password.into();
        let tokens = SharedTokens::new(store.clone(), StoreKey::new([key; 32]));
        keystone.plugin_for(credentials, RenewalPolicy::default()).store(tokens)
    };
    assert_eq!(token(&plugin("one", 1)).await.unwrap(), "token-1");
    assert_eq!(token(&plugin("two", 1)).await.unwrap(), "token-2");
    assert_eq!(token(&plugin("one", 2)).await.unwrap(), "token-3");
    assert_eq!(token(&plugin("one", 1)).await.unwrap(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn without_a_key_the_user_has_one_token_for_all_passwords() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let plugin = |password: &str| {
        let alice = User::new().username("alice").user_domain_name("Default");
        let credentials =
            V3Credentials::new("https://keystone.test/v3", AuthMethod::password(alice, password));
        let tokens = SharedTokens::without_sealing(store.clone());
        keystone.plugin_for(credentials, RenewalPolicy::default()).store(tokens)
    };
    assert_eq!(token(&plugin("one")).await.unwrap(), "token-1");
    assert_eq!(token(&plugin("two")).await.unwrap(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_corrected_password_is_tried_at_once() {
    for stored_as in [None, Some("alice")] {
        let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
        keystone.queue_responses([LoginResponse::Status(401)]);
        let credentials = Changing::new(true);
        let mut plugin =
            keystone.plugin_for(credentials.clone(), RenewalPolicy::default()).store(shared(&store));
        if let Some(name) = stored_as {
            plugin = plugin.stored_as(name);
        }
        assert!(token(&plugin).await.is_err());
        *credentials.password.lock().unwrap() = format!("corrected {stored_as:?}");
        assert!(token(&plugin).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_password_that_changes_during_a_login_is_not_stored_for_the_old_one() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let plugin = |credentials: &Changing| {
        keystone.plugin_for(credentials.clone(), RenewalPolicy::default()).store(shared(&store))
    };
    // The first login fails, and the second one is made with another password.
    keystone.queue_responses([LoginResponse::Status(503)]);
    let credentials = Changing::new(true);
    let (waiting, changed) = (plugin(&credentials), credentials.clone());
    let waiting = tokio::spawn(async move { token(&waiting).await });
    settle().await;
    assert_eq!(keystone.logins(), 1);
    *changed.password.lock().unwrap() = "two".into();
    assert_eq!(waiting.await.unwrap().unwrap(), "token-1");
    assert_eq!(token(&plugin(&Changing::new(true))).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_does_not_keep_others_with_the_same_name_from_logging_in() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let plugin = |password: &str| {
        let credentials = Changing::new(true);
        *credentials.password.lock().unwrap() = password.into();
        keystone.plugin_for(credentials, RenewalPolicy::default()).store(shared(&store)).stored_as("alice")
    };
    keystone.queue_responses([LoginResponse::Status(401)]);
    assert!(matches!(token(&plugin("wrong")).await, Err(Error::Keystone(_))));
    assert!(matches!(token(&plugin("wrong")).await, Err(Error::SharedLoginFailed { .. })));
    assert_eq!(token(&plugin("right")).await.unwrap(), "token-1");
    assert_eq!(token(&plugin("wrong")).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 2);
}

/// Credentials whose id changes with each call, and that cannot be prepared at first.
struct Unsteady {
    inner: V3Credentials,
    id: Option<AtomicUsize>,
    preparations: AtomicUsize,
    failure: Option<Error>,
}

impl Credentials for Unsteady {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        self.inner.get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        self.inner.auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        Some(self.id.as_ref().map_or(0, |id| id.fetch_add(1, Ordering::Relaxed)).to_string())
    }

    fn prepare(&self, _: Transport) -> PrepareFuture {
        let is_first = self.preparations.fetch_add(1, Ordering::Relaxed) == 0;
        let failure = self.failure.clone().filter(|_| is_first);
        Box::pin(async move { failure.map_or(Ok(()), Err) })
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_whose_id_changes_all_the_time_are_tried_again() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.queue_responses([LoginResponse::Status(503)]);
    let credentials = Unsteady {
        inner: keystone.credentials(),
        id: Some(AtomicUsize::new(0)),
        preparations: AtomicUsize::new(0),
        failure: None,
    };
    let plugin = keystone.plugin_for(credentials, RenewalPolicy::default()).store(shared(&store));
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_cannot_be_prepared_are_tried_again() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.queue_responses([LoginResponse::Status(503)]);
    let failure = token(&keystone.plugin_with(fail_fast())).await.unwrap_err();
    assert!(failure.is_transient());
    let credentials = Unsteady {
        inner: keystone.credentials(),
        id: None,
        preparations: AtomicUsize::new(0),
        failure: Some(failure),
    };
    let plugin = keystone.plugin_for(credentials, RenewalPolicy::default()).store(shared(&store));
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
}
