//! How often a fleet logs in.

use tower_keystone::store::MemoryStore;

use super::*;

#[tokio::test(start_paused = true)]
async fn plugins_that_start_at_once_log_in_once() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(500)));
    let plugins = fleet(&keystone, &store, 100);
    let (tokens, time) = tokens(&plugins).await;
    assert!(tokens.iter().all(|token| token.as_ref().unwrap() == "token-1"), "{tokens:?}");
    assert_eq!(keystone.logins(), 1);
    assert!(time < millis(500 + 400), "{time:?}");
    assert_eq!(one_token(&[process(&keystone, &store, 100)]).await, "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_revocation_costs_one_login() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(500)));
    let plugins = fleet(&keystone, &store, 100);
    assert_eq!(one_token(&plugins).await, "token-1");
    keystone.revoke();
    for plugin in &plugins {
        reject(plugin).await;
    }
    assert_eq!(one_token(&plugins).await, "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fleet_renews_a_token_once_in_the_background() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(500)));
    let plugins = fleet(&keystone, &store, 100);
    assert_eq!(one_token(&plugins).await, "token-1");
    for _ in 0..3 * HOUR / 20 {
        sleep_secs(20).await;
        for plugin in &plugins {
            let token = token_without_waiting(plugin).expect("no request waits").unwrap();
            assert!(keystone.issued_token(&token).unwrap().expires > keystone.time().elapsed());
        }
    }
    assert_eq!(keystone.logins(), 1 + 3, "{:?}", keystone.login_times());
    assert_eq!(keystone.max_concurrent_logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_never_ends_does_not_stop_the_fleet() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.queue_responses([LoginResponse::Never]);
    let plugins = fleet(&keystone, &store, 100);
    assert_eq!(one_token(&plugins).await, "token-1");
    assert_eq!(keystone.logins(), 2, "{:?}", keystone.login_times());
}

#[tokio::test(start_paused = true)]
async fn a_slow_login_is_not_made_twice() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(9)));
    assert_eq!(one_token(&fleet(&keystone, &store, 100)).await, "token-1");
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_taken_over_is_renewed_when_its_maker_renews_it() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    assert_eq!(one_token(&[process(&keystone, &store, 1)]).await, "token-1");
    sleep_secs(HOUR / 2).await;
    let late = process(&keystone, &store, 2);
    assert_eq!(token(&late).await.unwrap(), "token-1");
    sleep_secs(HOUR / 2 - 432 - 1).await;
    assert!(!late.needs_renewal());
    sleep_secs(432 - 360 + 2).await;
    assert!(late.needs_renewal());
}

#[tokio::test(start_paused = true)]
async fn a_short_lived_process_leaves_the_renewal_to_others() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    one_token(&[process(&keystone, &store, 1)]).await;
    sleep_secs(HOUR - 100).await;
    let young = process(&keystone, &store, 2);
    assert_eq!(token(&young).await.unwrap(), "token-1");
    assert!(young.needs_renewal());
    sleep_secs(9).await;
    assert_eq!(token(&young).await.unwrap(), "token-1");
    settle().await;
    assert_eq!(keystone.logins(), 1);
    sleep_secs(2).await;
    assert_eq!(token(&young).await.unwrap(), "token-1");
    settle().await;
    assert_eq!(keystone.logins(), 2);
    assert_eq!(token(&young).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_program_can_ask_for_a_new_token() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let plugins = fleet(&keystone, &store, 2);
    assert_eq!(one_token(&plugins).await, "token-1");
    let renewed = plugins[0].renew().await.unwrap();
    assert_eq!(token_from_access(&renewed), "token-2");
    assert_eq!(one_token(&[process(&keystone, &store, 2)]).await, "token-2");
    // A plugin that has no token does not take over the one that is there, either.
    let renewed = process(&keystone, &store, 3).renew().await.unwrap();
    assert_eq!(token_from_access(&renewed), "token-3");
}

#[tokio::test(start_paused = true)]
async fn a_reset_takes_the_token_of_the_store() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let plugin = process(&keystone, &store, 1);
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    plugin.reset();
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_soon_is_not_taken_over() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    one_token(&[process(&keystone, &store, 1)]).await;
    sleep_secs(HOUR - 5).await;
    assert_eq!(one_token(&[process(&keystone, &store, 2)]).await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_short_lived_token_is_renewed_when_its_maker_renews_it() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.lifetime(Some(10));
    let maker = process(&keystone, &store, 1);
    assert_eq!(token(&maker).await.unwrap(), "token-1");
    sleep_secs(4).await;
    let plugins = [maker, process(&keystone, &store, 2)];
    for second in 0..120 {
        let (tokens, _) = tokens(&plugins).await;
        assert!(tokens.iter().all(Result::is_ok), "{second} {tokens:?}");
        sleep_secs(1).await;
    }
    assert!(keystone.logins() <= 13, "{:?}", keystone.login_times());
}

#[tokio::test(start_paused = true)]
async fn a_fleet_whose_requests_wait_for_a_short_time_logs_in_once() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(500)));
    let mut policy = RenewalPolicy::default();
    policy.wait_timeout = seconds(12);
    let fleet = fleet(&keystone, &store, 100);
    let plugins: Vec<_> = fleet.into_iter().map(|plugin| plugin.policy(policy.clone())).collect();
    assert_eq!(one_token(&plugins).await, "token-1");
    assert_eq!(keystone.logins(), 1);
}
