//! Services that reject the tokens of a fleet.

use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_keystone::{IdentityPlugin, store::MemoryStore};

use super::{
    scripted_store::{Behaviour, ScriptedStore},
    *,
};

#[tokio::test(start_paused = true)]
async fn a_service_that_rejects_all_tokens_causes_few_logins() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(50)));
    let plugins = fleet(&keystone, &store, 100);
    let nova = ScriptedService::new(&keystone, || millis(10)).rejecting_all();
    for _ in 0..5 * 60 / 2 {
        let mut requests = JoinSet::new();
        for plugin in &plugins {
            requests.spawn(nova.with_auth_and_retry(plugin).oneshot(get()));
        }
        while let Some(response) = requests.join_next().await {
            assert_eq!(response.unwrap().unwrap().status(), 401);
        }
        sleep_secs(2).await;
    }
    let logins = keystone.login_times();
    assert!(max_per_minute(&logins) <= 4, "{logins:?}");
    let in_minute = |minute: u64| {
        logins.iter().filter(|at| (seconds(60 * minute)..seconds(60 * minute + 60)).contains(at)).count()
    };
    assert!((1..5).all(|minute| in_minute(minute) <= 3), "{logins:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_rejected_is_not_taken_again() {
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    let process = || keystone.plugin().store(SharedTokens::new(store.clone(), StoreKey::new(KEY)));
    let plugin = process();
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    // The store is away when the token is rejected, so the token stays there.
    store.set(Behaviour::Fails);
    let used = plugin.access().await.unwrap();
    plugin.invalidate(&used, &nova_origin());
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    store.set(Behaviour::Works);
    sleep_secs(60).await;
    assert_eq!(token(&process()).await.unwrap(), "token-1");
    let used = plugin.access().await.unwrap();
    plugin.invalidate(&used, &nova_origin());
    assert_eq!(token(&plugin).await.unwrap(), "token-3");
    assert_eq!(token(&process()).await.unwrap(), "token-3");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_whose_publication_had_no_answer_is_not_taken_again() {
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    let plugin = keystone.plugin().store(SharedTokens::new(store.clone(), StoreKey::new(KEY)));
    store.set(Behaviour::LosesAnswersTo("publish"));
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    store.set(Behaviour::Works);
    sleep_secs(60).await;
    let used = plugin.access().await.unwrap();
    plugin.invalidate(&used, &nova_origin());
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_replaces_nothing_does_not_stop_the_renewal_of_a_rejected_token() {
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    let mut policy = RenewalPolicy::default();
    policy.max_rejections = 100;
    let plugin = keystone.plugin_with(policy).store(SharedTokens::new(store.clone(), StoreKey::new(KEY)));
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    store.set(Behaviour::PublishesNothing);
    reject(&plugin).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
}
