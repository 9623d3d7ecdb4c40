//! Stores that are late, away, stuck, or not to be trusted.

use tokio::time::Instant;
use tower_keystone::store::{SharedTokens, StoreKey};

use super::{
    scripted_store::{Behaviour, ScriptedStore},
    *,
};

fn shared(store: &ScriptedStore) -> SharedTokens {
    SharedTokens::new(store.clone(), StoreKey::new(KEY))
}

fn process(keystone: &ScriptedKeystone, store: &ScriptedStore, number: u64) -> Plugin {
    keystone.plugin().seed(number).store(shared(store))
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_late_is_waited_for_once() {
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    let plugin = process(&keystone, &store, 1);
    // The first contact may take longer.
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    store.set(Behaviour::Late(millis(60)));
    sleep_secs(2 * HOUR).await;
    let started = Instant::now();
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(started.elapsed(), millis(50));
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_fails_no_request() {
    for behaviour in [Behaviour::Fails, Behaviour::Stuck, Behaviour::Garbage, Behaviour::LeasesTaken] {
        let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
        store.set(behaviour);
        let plugins: Vec<_> = (0..10).map(|number| process(&keystone, &store, number)).collect();
        let (tokens, time) = tokens(&plugins).await;
        assert!(tokens.iter().all(Result::is_ok), "{behaviour:?}");
        assert!(time <= seconds(20), "{behaviour:?} {time:?}");
        for plugin in &plugins {
            assert!(token_without_waiting(plugin).unwrap().is_ok(), "{behaviour:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_in_any_step_fails_no_request() {
    for method in ["get", "publish", "lease", "extend", "release"] {
        for behaviour in [Behaviour::FailsTo(method), Behaviour::LosesAnswersTo(method)] {
            let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
            keystone.respond_with(LoginResponse::Token.delayed_by(seconds(3)));
            let plugins: Vec<_> = (0..10).map(|number| process(&keystone, &store, number)).collect();
            one_token(&plugins).await;
            store.set(behaviour);
            sleep_secs(2 * HOUR).await;
            let (tokens, time) = tokens(&plugins).await;
            assert!(tokens.iter().all(Result::is_ok), "{behaviour:?}");
            assert!(time <= seconds(30), "{behaviour:?} {time:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_never_released_costs_few_logins() {
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(300)));
    store.set(Behaviour::LeasesTaken);
    let plugins: Vec<_> = (0..100).map(|number| process(&keystone, &store, number)).collect();
    let (tokens, time) = tokens(&plugins).await;
    assert!(tokens.iter().all(Result::is_ok));
    assert!((seconds(12)..seconds(16)).contains(&time), "{time:?}");
    assert!(keystone.logins() <= 13, "{:?}", keystone.login_times());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_published_if_the_store_is_back_by_then() {
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    let plugin = process(&keystone, &store, 1);
    store.set(Behaviour::Fails);
    let waiting = tokio::spawn(async move { token(&plugin).await });
    sleep_secs(2).await;
    store.set(Behaviour::Works);
    assert_eq!(waiting.await.unwrap().unwrap(), "token-1");
    assert_eq!(token(&process(&keystone, &store, 2)).await.unwrap(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_loses_all_costs_one_login() {
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    let plugins: Vec<_> = (0..10).map(|number| process(&keystone, &store, number)).collect();
    assert_eq!(one_token(&plugins).await, "token-1");
    store.lose_all();
    assert_eq!(one_token(&plugins).await, "token-1");
    assert_eq!(one_token(&[process(&keystone, &store, 11)]).await, "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_and_goes_is_logged_once_each_time() {
    let (log, _guard) = crate::log::Log::new();
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    let tokens = shared(&store);
    let plugins: Vec<_> =
        (0..20).map(|number| keystone.plugin().seed(number).store(tokens.clone())).collect();
    one_token(&plugins).await;
    store.set(Behaviour::Fails);
    sleep_secs(2 * HOUR).await;
    super::tokens(&plugins).await;
    assert_eq!(log.take_lines().len(), 1);
    store.set(Behaviour::Works);
    sleep_secs(2 * HOUR).await;
    one_token(&plugins).await;
    assert_eq!(log.take_lines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_fresh_token_does_not_ask_the_store() {
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    let plugin = process(&keystone, &store, 1);
    token(&plugin).await.unwrap();
    settle().await;
    assert!(!store.take_calls().is_empty());
    for _ in 0..100 {
        sleep_secs(10).await;
        assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-1");
    }
    assert_eq!(store.take_calls(), [""; 0]);
}
