//! Processes that share their tokens by a store: their clocks, their ends, and what they may and may not share.

use std::time::Duration;

use tokio::{runtime::Builder, task::JoinSet, time::advance};
use tower::ServiceExt;
use tower_keystone::{Error, IdentityPlugin, RenewalPolicy};

use crate::{changing::Changing, faulty_store::*, support::*};

cases![
    paused e18_processes_with_wrong_clocks_share_their_tokens_and_lose_no_request,
    paused e19_a_clock_that_is_set_costs_each_process_at_most_one_login,
    paused e20_a_keystone_clock_that_is_wrong_by_a_day_costs_no_more_logins_than_without_a_store,
    paused e21_a_holder_that_is_suspended_during_its_login_uses_its_token,
    without_runtime e22_a_process_without_a_runtime_uses_the_token_that_it_has,
    without_runtime e23_a_renewal_whose_runtime_has_ended_goes_on_in_another,
    paused e24_a_plugin_that_is_dropped_during_its_login_gives_its_lease_back,
    paused e25_a_reset_during_a_shared_renewal_starts_another_one,
    paused e26_two_plugins_of_one_process_share_a_login,
    paused e27_credentials_that_change_during_a_login_do_not_share_its_token,
    paused e28_credentials_without_an_id_never_ask_the_store,
    paused e29_a_token_that_comes_after_its_tombstone_has_ended_is_not_published,
    paused e30_three_tokens_a_minute_are_refused_for_all_processes_together,
    paused e31_a_wrong_password_is_sent_once_for_all_processes,
    paused e32_a_permanent_failure_after_a_transient_one_reaches_all_at_once,
    paused e33_a_program_that_fails_fast_waits_for_no_delay_of_others,
    paused e34_a_store_that_is_closed_during_a_login_loses_no_request,
    paused e35_a_holder_that_is_stopped_overwrites_nothing_newer,
    paused e35_two_holders_that_are_killed_in_a_row_cost_one_login_each,
    paused e36_processes_with_a_new_key_and_with_the_old_one_log_in_once_each,
];

/// Creates the plugin of a process whose clock is wrong by this number of seconds.
fn process_with_clock(keystone: &ScriptedKeystone, store: &FaultyStore, number: u64, error: i64) -> Plugin {
    let time = SimulatedTime::new();
    time.step_wall(error);
    process(keystone, store, number).clock(time)
}

/// Sends a request through each plugin every 30 s. Asserts that none is lost.
async fn send_for(keystone: &ScriptedKeystone, plugins: &[Plugin], time: u64) {
    let nova = ScriptedService::new(keystone, || Duration::ZERO);
    for _ in 0..time / 30 {
        let mut requests = JoinSet::new();
        for plugin in plugins {
            requests.spawn(nova.with_auth_and_retry(plugin).oneshot(get()));
        }
        while let Some(response) = requests.join_next().await {
            assert_eq!(response.unwrap().unwrap().status(), 200);
        }
        sleep_secs(30).await;
    }
}

async fn e18_processes_with_wrong_clocks_share_their_tokens_and_lose_no_request() {
    for (errors, max_logins) in [([-300, 0, 300], 16), ([-1_500, 0, 1_500], 32), ([-86_400, 0, 86_400], 45)] {
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        let plugins: Vec<_> = (0..)
            .zip(errors)
            .map(|(number, error)| process_with_clock(&keystone, &store, number, error))
            .collect();
        send_for(&keystone, &plugins, 12 * HOUR).await;
        assert!(keystone.logins() <= max_logins, "{errors:?} {}", keystone.logins());
    }
}

async fn e19_a_clock_that_is_set_costs_each_process_at_most_one_login() {
    for jump in [-86_400, -1_000, 1_000, 86_400] {
        // Between two renewals.
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        let plugins = fleet(&keystone, &store, 3);
        send_for(&keystone, &plugins, 600).await;
        keystone.time().step_wall(jump);
        let before = keystone.logins();
        send_for(&keystone, &plugins, 1_200).await;
        assert!(keystone.logins() - before <= 3, "{jump} {:?}", keystone.login_times());
    }
    for jump in [-86_400, -1_000, 1_000] {
        // During a login.
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        keystone.respond_with(LoginResponse::Token.delayed_by(seconds(2)));
        let plugins = fleet(&keystone, &store, 3);
        let waiting: JoinSet<_> =
            plugins.iter().cloned().map(|plugin| async move { token(&plugin).await }).collect();
        sleep_secs(1).await;
        keystone.time().step_wall(jump);
        let results = waiting.join_all().await;
        assert!(results.iter().all(Result::is_ok), "{jump} {results:?}");
        assert!(keystone.logins() <= 3, "{jump} {:?}", keystone.login_times());
    }
}

async fn e20_a_keystone_clock_that_is_wrong_by_a_day_costs_no_more_logins_than_without_a_store() {
    let logins = async |skew: i64, has_store: bool| {
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        keystone.skew(skew);
        let plugins: Vec<_> = (0..3)
            .map(|number| match has_store {
                true => process(&keystone, &store, number),
                false => keystone.plugin().seed(number),
            })
            .collect();
        send_for(&keystone, &plugins, 12 * HOUR).await;
        keystone.logins()
    };
    for skew in [-86_400, -600, 0, 600, 86_400] {
        let (with, without) = (logins(skew, true).await, logins(skew, false).await);
        assert!(with <= without, "{skew}: {with} with a store, {without} without");
        assert!(skew < 0 || with <= 16, "{skew}: {with} with a store");
    }
}

async fn e21_a_holder_that_is_suspended_during_its_login_uses_its_token() {
    for suspended in [5, 40, 600] {
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        keystone.respond_with(LoginResponse::Token.delayed_by(millis(500)));
        let plugin = process(&keystone, &store, 1);
        let waiting = tokio::spawn(async move { token(&plugin).await });
        settle().await;
        assert_eq!(keystone.logins(), 1);
        keystone.time().suspend(seconds(suspended));
        assert_eq!(waiting.await.unwrap().unwrap(), "token-1", "{suspended}");
        // After two minutes, a token that was published and refused meanwhile may have left no trace.
        let other = token(&process(&keystone, &store, 2)).await.unwrap();
        assert_eq!(other, if suspended < 120 { "token-1" } else { "token-2" }, "{suspended}");
    }
}

fn e22_a_process_without_a_runtime_uses_the_token_that_it_has() {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (keystone, store) = runtime.block_on(async { (ScriptedKeystone::new(), FaultyStore::new()) });
    let plugin = process(&keystone, &store, 1);
    assert!(matches!(token_without_waiting(&plugin), Some(Err(Error::NoRuntime))), "no token, no runtime");
    assert_eq!(store.calls(), 0);
    assert_eq!(runtime.block_on(token(&plugin)).unwrap(), "token-1");
    drop(runtime);
    assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-1");
    drop(plugin);
}

fn e23_a_renewal_whose_runtime_has_ended_goes_on_in_another() {
    let keystone = Process::new().run(async { ScriptedKeystone::new() });
    let store = Process::new().run(async { FaultyStore::new() });
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(500)));
    let plugin = process(&keystone, &store, 1);
    let first = Process::new();
    let _waiting = first.start(plugin.clone());
    assert_eq!(keystone.logins(), 1);
    drop(first);
    // The runtime that could release the lease has ended with the renewal. Its term is waited for.
    let second = Process::new();
    assert_eq!(second.run(async { token(&plugin).await }).unwrap(), "token-1");
    assert_eq!(keystone.logins(), 2);
    assert_eq!(second.run(async { token(&process(&keystone, &store, 2)).await }).unwrap(), "token-1");
}

async fn e24_a_plugin_that_is_dropped_during_its_login_gives_its_lease_back() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.queue_responses([LoginResponse::Never]);
    let plugin = process(&keystone, &store, 1);
    let waiting = tokio::spawn(async move { token(&plugin).await });
    sleep_secs(3).await;
    waiting.abort();
    // The lease is extended once a second. Then the renewal finds that its plugin is gone.
    sleep_secs(2).await;
    let started = keystone.time().elapsed();
    assert_eq!(one_token(&fleet(&keystone, &store, 5)).await, "token-1");
    assert_eq!(keystone.time().elapsed(), started, "nobody waits for the term of the lease");
}

async fn e25_a_reset_during_a_shared_renewal_starts_another_one() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.queue_responses([LoginResponse::TokenInTransit(millis(500))]);
    let plugins = fleet(&keystone, &store, 5);
    let waiting: JoinSet<_> =
        plugins.iter().cloned().map(|plugin| async move { token(&plugin).await }).collect();
    settle().await;
    assert_eq!(keystone.logins(), 1);
    plugins[0].reset();
    plugins[3].reset();
    let results = waiting.join_all().await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(keystone.logins() <= 2, "{:?}", keystone.login_times());
    assert!(plugins.iter().all(|plugin| token_without_waiting(plugin).is_some_and(|token| token.is_ok())));
}

async fn e26_two_plugins_of_one_process_share_a_login() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(500)));
    let tokens = shared(&store);
    let plugins = [1, 2].map(|seed| keystone.plugin().seed(seed).store(tokens.clone()));
    assert_eq!(one_token(&plugins).await, "token-1");
    send_for(&keystone, &plugins, 3 * HOUR).await;
    assert!((4..=5).contains(&keystone.logins()), "{:?}", keystone.login_times());
    // One of them has left the process.
    let [one, other] = plugins;
    drop(one);
    send_for(&keystone, &[other], HOUR).await;
}

async fn e27_credentials_that_change_during_a_login_do_not_share_its_token() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(500)));
    let credentials = Changing::new(true);
    let plugin = |credentials: &Changing| {
        keystone.plugin_for(credentials.clone(), RenewalPolicy::default()).store(shared(&store))
    };
    let old = plugin(&credentials);
    assert_eq!(token(&old).await.unwrap(), "token-1");
    *credentials.password.lock().unwrap() = "two".into();
    // The token of the old password is used until it expires, and is not stored for the new one.
    assert_eq!(token(&old).await.unwrap(), "token-1");
    assert_eq!(token(&plugin(&credentials)).await.unwrap(), "token-2");
    assert_eq!(token(&plugin(&Changing::new(true))).await.unwrap(), "token-1");
    // A change while another process holds the lease of the old password.
    let (third, waiting) = (Changing::new(true), Changing::new(true));
    for credentials in [&third, &waiting] {
        *credentials.password.lock().unwrap() = "three".into();
    }
    let plugins = [plugin(&third), plugin(&waiting)];
    let tasks: Vec<_> = plugins
        .iter()
        .map(|plugin| {
            tokio::spawn({
                let plugin = plugin.clone();
                async move { token(&plugin).await.unwrap() }
            })
        })
        .collect();
    settle().await;
    *waiting.password.lock().unwrap() = "four".into();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "token-3");
    }
    assert_eq!(token(&plugin(&waiting)).await.unwrap(), "token-4");
}

async fn e28_credentials_without_an_id_never_ask_the_store() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    let plugin = keystone.plugin_for(Changing::new(false), RenewalPolicy::default()).store(shared(&store));
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    let access = plugin.access().await.unwrap();
    plugin.invalidate(&access, &nova_origin());
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    keystone.respond_with(LoginResponse::Status(401));
    sleep_secs(2 * HOUR).await;
    assert!(matches!(token(&plugin).await, Err(Error::Keystone(_))));
    assert_eq!((store.calls(), store.names().len()), (0, 0));
}

async fn e29_a_token_that_comes_after_its_tombstone_has_ended_is_not_published() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.queue_responses([LoginResponse::TokenInTransit(millis(500))]);
    let stopped = Process::new();
    let waiting = stopped.start(process(&keystone, &store, 1));
    let others = fleet(&keystone, &store, 3);
    assert_eq!(one_token(&others).await, "token-2");
    keystone.revoke();
    keystone.respond_with(LoginResponse::Status(503));
    for plugin in &others {
        reject(plugin).await;
    }
    assert!(tokens(&others).await.0.iter().all(Result::is_err));
    assert!(store.record("token").await.is_some(), "a tombstone");
    sleep_secs(200).await;
    assert!(store.record("token").await.is_none(), "it has ended");
    stopped
        .run(async {
            advance(seconds(260)).await;
            waiting.await
        })
        .unwrap()
        .unwrap();
    assert!(store.record("token").await.is_none(), "nothing is put back");
    keystone.respond_with(LoginResponse::Token);
    sleep_secs(60).await;
    assert_eq!(one_token(&fleet(&keystone, &store, 5)).await, "token-3");
}

async fn e30_three_tokens_a_minute_are_refused_for_all_processes_together() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    let plugins = fleet(&keystone, &store, 20);
    let nova = ScriptedService::new(&keystone, || millis(10)).rejecting_all();
    for _ in 0..60 {
        let mut requests = JoinSet::new();
        for plugin in &plugins {
            requests.spawn(nova.with_auth_and_retry(plugin).oneshot(get()));
        }
        while let Some(response) = requests.join_next().await {
            assert_eq!(response.unwrap().unwrap().status(), 401);
        }
        sleep_secs(3).await;
    }
    let logins = keystone.login_times();
    assert!((7..=10).contains(&logins.len()) && max_per_minute(&logins) <= 4, "{logins:?}");
    // A service that accepts tokens again is used at once.
    sleep_secs(60).await;
    send_for(&keystone, &plugins, 60).await;
}

async fn e31_a_wrong_password_is_sent_once_for_all_processes() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.respond_with(LoginResponse::Status(401).delayed_by(millis(200)));
    let (results, time) = tokens(&fleet(&keystone, &store, 20)).await;
    assert!(results.iter().all(|result| !result.as_ref().unwrap_err().is_transient()));
    assert!(time < seconds(1), "{time:?}");
    for number in 20..40 {
        assert!(token(&process(&keystone, &store, number)).await.is_err());
        sleep_secs(1).await;
    }
    assert_eq!(keystone.logins(), 1);
    // The corrected password is another identity.
    keystone.respond_with(LoginResponse::Token);
    let corrected = Changing::new(true);
    *corrected.password.lock().unwrap() = "corrected".into();
    let corrected = keystone.plugin_for(corrected, RenewalPolicy::default()).store(shared(&store));
    assert_eq!(token(&corrected).await.unwrap(), "token-1");
}

async fn e32_a_permanent_failure_after_a_transient_one_reaches_all_at_once() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.queue_responses([LoginResponse::Status(503), LoginResponse::Status(503)]);
    keystone.respond_with(LoginResponse::Status(401));
    let (results, time) = tokens(&fleet(&keystone, &store, 20)).await;
    assert!(results.iter().all(|result| !result.as_ref().unwrap_err().is_transient()), "{results:?}");
    assert!(time < seconds(10), "{time:?}");
    assert_eq!(keystone.logins(), 3);
    assert!(token(&process(&keystone, &store, 21)).await.is_err());
    assert_eq!(keystone.logins(), 3);
}

async fn e33_a_program_that_fails_fast_waits_for_no_delay_of_others() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.respond_with(LoginResponse::Status(503));
    let patient = process(&keystone, &store, 1);
    let waiting = tokio::spawn(async move { token(&patient).await });
    settle().await;
    let mut policy = RenewalPolicy::default();
    policy.fail_fast = true;
    let started = keystone.time().elapsed();
    let hurried = process(&keystone, &store, 2).policy(policy);
    let error = token(&hurried).await.unwrap_err();
    assert!(error.is_transient() && keystone.time().elapsed() - started < millis(100), "{error}");
    keystone.respond_with(LoginResponse::Token);
    assert_eq!(waiting.await.unwrap().unwrap(), "token-1");
}

async fn e34_a_store_that_is_closed_during_a_login_loses_no_request() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    let tokens = shared(&store);
    let plugin = keystone.plugin().store(tokens.clone());
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    let waiting = tokio::spawn({
        let plugin = plugin.clone();
        async move { token(&plugin).await }
    });
    sleep_secs(2).await;
    let started = keystone.time().elapsed();
    tokens.close().await;
    assert_eq!(keystone.time().elapsed(), started);
    let calls = store.calls();
    assert_eq!(waiting.await.unwrap().unwrap(), "token-1");
    // A second close, and a plugin that is made afterwards.
    tokens.close().await;
    assert_eq!(token(&keystone.plugin().store(tokens)).await.unwrap(), "token-2");
    assert_eq!(store.calls(), calls);
}

async fn e35_a_holder_that_is_stopped_overwrites_nothing_newer() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.queue_responses([LoginResponse::TokenInTransit(millis(500))]);
    let stopped = Process::new();
    let waiting = stopped.start(process(&keystone, &store, 1));
    let others = fleet(&keystone, &store, 10);
    assert_eq!(one_token(&others).await, "token-2");
    let late = stopped.run(async {
        advance(seconds(40)).await;
        waiting.await.unwrap().unwrap()
    });
    assert_eq!(late, "token-2");
    assert_eq!(token(&process(&keystone, &store, 11)).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

async fn e35_two_holders_that_are_killed_in_a_row_cost_one_login_each() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(500)));
    let first = Process::new();
    let _waiting = first.start(process(&keystone, &store, 1));
    let second = Process::new();
    let waiting = second.start(process(&keystone, &store, 2));
    // The clock of the second process is that of the store when it takes the lease.
    advance(millis(4_100)).await;
    second.run(async { advance(millis(4_100)).await });
    second.run(settle());
    drop((first, second, waiting));
    let (results, time) = tokens(&fleet(&keystone, &store, 30)).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(time < seconds(10), "{time:?}");
    assert!(keystone.logins() <= 3, "{:?}", keystone.login_times());
}

async fn e36_processes_with_a_new_key_and_with_the_old_one_log_in_once_each() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    // The time that a record is left comes from the clock of this machine.
    keystone.skew(20 * 365 * 86_400);
    let old = |number: u64| keystone.plugin().seed(number).store(shared_with(&store, 1));
    let new = |number: u64| {
        let tokens = shared_with(&store, 2).also_read_with(tower_keystone::store::StoreKey::new([1; 32]));
        keystone.plugin().seed(number).store(tokens)
    };
    assert_eq!(one_token(&[old(1), old(2)]).await, "token-1");
    assert_eq!(
        one_token(&[new(3), new(4)]).await,
        "token-1",
        "the new key reads what the old one has sealed"
    );
    assert_eq!(keystone.logins(), 1);
    let mixed = [old(1), new(2), old(3), new(4)];
    for _ in 0..2 {
        sleep_secs(2 * HOUR).await;
        assert!(tokens(&mixed).await.0.iter().all(Result::is_ok));
    }
    assert!(keystone.logins() <= 5, "once for each key: {:?}", keystone.login_times());
}
