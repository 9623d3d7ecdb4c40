//! Failed logins of a fleet.

use tower_keystone::{Error, store::MemoryStore};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_sent_three_times_in_thirty_minutes() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Status(401).delayed_by(millis(200)));
    let mut plugins = fleet(&keystone, &store, 100);
    let (results, time) = tokens(&plugins).await;
    assert!(time < seconds(1), "requests get the error at once: {time:?}");
    assert_eq!(results.iter().filter(|result| matches!(result, Err(Error::Keystone(_)))).count(), 1);
    let shared =
        |result: &&Result<_, _>| matches!(result, Err(Error::SharedLoginFailed { transient: false, .. }));
    assert_eq!(results.iter().filter(shared).count(), 99);
    for minute in 0..30 {
        for _ in 0..6 {
            sleep_secs(10).await;
            tokens(&plugins).await;
        }
        plugins.push(process(&keystone, &store, 1000 + minute));
    }
    assert_eq!(keystone.logins(), 3, "{:?}", keystone.login_times());
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_keystone_is_waited_for_by_all_and_tried_by_one() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Status(503));
    let plugins = fleet(&keystone, &store, 100);
    let (results, time) = tokens(&plugins).await;
    assert!(results.iter().all(|result| result.as_ref().unwrap_err().is_transient()));
    assert!((seconds(28)..=seconds(31)).contains(&time), "{time:?}");
    assert!(keystone.logins() <= 7, "{:?}", keystone.login_times());
    assert_eq!(keystone.max_concurrent_logins(), 1);
    keystone.respond_with(LoginResponse::Token);
    sleep_secs(30).await;
    let before = keystone.logins();
    assert_eq!(one_token(&plugins).await, "token-1");
    assert_eq!(keystone.logins(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_succeeds_after_a_failure_serves_all_that_wait() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.queue_responses([LoginResponse::Status(503), LoginResponse::NoConnection]);
    let plugins = fleet(&keystone, &store, 100);
    assert_eq!(one_token(&plugins).await, "token-1");
    assert_eq!(keystone.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_keystone_is_tried_by_one_at_a_time() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Never);
    let plugins = fleet(&keystone, &store, 100);
    let (results, time) = tokens(&plugins).await;
    assert!(results.iter().all(|result| result.as_ref().unwrap_err().is_transient()));
    assert!(time <= seconds(31), "{time:?}");
    assert!(keystone.logins() <= 4, "{:?}", keystone.login_times());
}

#[tokio::test(start_paused = true)]
async fn the_delay_that_keystone_asks_for_holds_for_all() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.queue_responses([LoginResponse::RetryAfter("100")]);
    let plugins = fleet(&keystone, &store, 10);
    let (results, time) = tokens(&plugins).await;
    assert!(results.iter().all(Result::is_err) && time < seconds(1), "{time:?}");
    for _ in 0..9 {
        sleep_secs(10).await;
        assert!(tokens(&plugins).await.0.iter().all(Result::is_err));
        assert!(token(&process(&keystone, &store, 11)).await.is_err());
    }
    sleep_secs(12).await;
    assert_eq!(one_token(&plugins).await, "token-1");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_does_not_displace_a_token_that_is_valid() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let plugins = fleet(&keystone, &store, 10);
    one_token(&plugins).await;
    keystone.respond_with(LoginResponse::Status(503));
    sleep_secs(HOUR - 300).await;
    for _ in 0..28 {
        sleep_secs(10).await;
        assert_eq!(one_token(&plugins).await, "token-1");
    }
    assert_eq!(one_token(&[process(&keystone, &store, 11)]).await, "token-1");
    assert!(keystone.logins() < 20, "{:?}", keystone.login_times());
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_is_not_waited_for_by_a_program_in_a_hurry() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Status(503));
    let hurried = process(&keystone, &store, 1).policy(fail_fast());
    for plugin in [&hurried, &process(&keystone, &store, 2).policy(fail_fast())] {
        let started = keystone.time().elapsed();
        assert!(token(plugin).await.unwrap_err().is_transient());
        assert!(keystone.time().elapsed() - started < seconds(1));
    }
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reset_or_a_renewal_on_request_ignores_the_failure_of_another_process() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.queue_responses([LoginResponse::Status(401), LoginResponse::Status(401)]);
    let plugins = fleet(&keystone, &store, 3);
    assert!(token(&plugins[0]).await.is_err());
    assert!(token(&plugins[1]).await.is_err());
    assert_eq!(keystone.logins(), 1);
    plugins[1].reset();
    assert!(matches!(token(&plugins[1]).await, Err(Error::Keystone(_))));
    assert!(token(&plugins[1]).await.is_err());
    assert_eq!(keystone.logins(), 2, "only once");
    assert!(plugins[2].renew().await.is_ok());
    sleep_secs(6).await;
    assert_eq!(one_token(&plugins).await, "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_not_sent_again_while_the_store_is_away() {
    use super::scripted_store::{Behaviour, ScriptedStore};
    let (keystone, store) = (ScriptedKeystone::new(), ScriptedStore::new());
    keystone.respond_with(LoginResponse::Status(401));
    let tokens = SharedTokens::new(store.clone(), StoreKey::new(KEY));
    let plugin = keystone.plugin().store(tokens);
    assert!(token(&plugin).await.is_err());
    store.set(Behaviour::Fails);
    for _ in 0..29 {
        sleep_secs(1).await;
        assert!(matches!(token(&plugin).await, Err(Error::Keystone(_))));
    }
    assert_eq!(keystone.logins(), 1);
    sleep_secs(10).await;
    assert!(token(&plugin).await.is_err());
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_logged_once_by_each_process() {
    let (log, _guard) = crate::log::Log::new();
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Status(503));
    let plugins = fleet(&keystone, &store, 3);
    tokens(&plugins).await;
    sleep_secs(10).await;
    tokens(&plugins).await;
    assert_eq!(log.take_lines().len(), 3);
    keystone.respond_with(LoginResponse::Token);
    sleep_secs(60).await;
    one_token(&plugins).await;
    let lines = log.take_lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reset_does_not_shorten_the_delays_after_further_failures() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Status(503));
    let plugin = process(&keystone, &store, 1);
    plugin.reset();
    assert!(token(&plugin).await.is_err());
    assert!(plugin.renew().await.is_err());
    assert!(keystone.logins() <= 2 * 6, "{:?}", keystone.login_times());
}

#[tokio::test(start_paused = true)]
async fn a_stored_token_that_has_expired_does_not_make_the_failure_of_another_process_ignored() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    let state = plugin.auth_state().unwrap();
    sleep_secs(HOUR).await;
    keystone.respond_with(LoginResponse::Status(401));
    for number in 0..20 {
        let plugin = process(&keystone, &store, number);
        plugin.set_auth_state((number % 2 == 0).then_some(&state)).unwrap();
        assert!(token(&plugin).await.is_err());
    }
    assert_eq!(keystone.logins(), 1 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_cannot_reach_keystone_lets_others_log_in_first() {
    for seed in 0..20 {
        let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
        let unreachable = ScriptedKeystone::new();
        unreachable.respond_with(LoginResponse::NoConnection);
        let isolated = process(&unreachable, &store, seed);
        let waiting = tokio::spawn(async move { token(&isolated).await });
        settle().await;
        assert_eq!(unreachable.logins(), 1);
        assert_eq!(token(&process(&keystone, &store, 100 + seed)).await.unwrap(), "token-1");
        assert_eq!(waiting.await.unwrap().unwrap(), "token-1");
        assert_eq!(unreachable.logins(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_forgotten_when_the_program_asks_for_it() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.queue_responses([LoginResponse::Status(401), LoginResponse::Status(401)]);
    for _ in 0..2 {
        let failed = token(&process(&keystone, &store, 1)).await;
        assert!(matches!(failed, Err(Error::Keystone(_))), "{failed:?}");
        let shared_failure = token(&process(&keystone, &store, 2)).await;
        assert!(matches!(shared_failure, Err(Error::SharedLoginFailed { .. })), "{shared_failure:?}");
        shared(&store).forget_failures(&keystone.credentials()).await.unwrap();
    }
    assert_eq!(token(&process(&keystone, &store, 3)).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 3);
    // Nothing to forget, and the token stays.
    shared(&store).forget_failures(&keystone.credentials()).await.unwrap();
    assert_eq!(token(&process(&keystone, &store, 4)).await.unwrap(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_shared_failure_says_all_that_the_failed_login_said() {
    let (keystone, store) = (ScriptedKeystone::new(), MemoryStore::new());
    keystone.respond_with(LoginResponse::Status(401));
    let failed = token(&process(&keystone, &store, 1)).await.unwrap_err();
    let shared_failure = token(&process(&keystone, &store, 2)).await.unwrap_err();
    let expected = format!("an earlier login with these credentials failed: {failed}");
    assert_eq!(shared_failure.to_string(), expected);
}
