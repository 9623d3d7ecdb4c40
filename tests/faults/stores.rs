//! Stores of tokens that are late, fail, lose what they have, or answer what nobody has stored.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tower::ServiceExt;
use tower_keystone::{AuthMethod, User, V3Credentials};
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::{faulty_store::*, log, support::*};

cases![
    paused e01_a_late_answer_in_any_operation_delays_a_request_by_50_ms_before_and_after_its_login,
    paused e02_an_error_in_any_operation_delays_no_request,
    paused e03_an_answer_that_is_lost_in_any_operation_delays_others_by_the_term_of_a_lease,
    paused e04_data_that_are_lost_before_any_call_cost_one_login,
    paused e05_a_lease_that_a_stranger_holds_for_ever_costs_few_logins,
    paused e06_a_lease_that_is_lost_during_the_login_costs_at_most_one_login,
    paused e07_a_later_token_in_the_entry_is_not_replaced_and_an_earlier_one_is,
    paused e08_garbage_in_any_entry_is_replaced,
    paused e09_a_record_that_is_truncated_or_changed_is_a_miss,
    paused e10_a_record_of_another_identity_key_store_or_entry_is_a_miss,
    paused e11_an_old_record_that_is_put_back_costs_one_login,
    paused e12_a_store_that_panics_in_any_operation_fails_no_request,
    paused e13_a_store_that_never_answers_is_waited_for_once_before_and_after_a_login,
    paused e14_a_store_that_comes_and_goes_is_logged_once_a_minute,
    paused e15_a_store_that_always_says_yes_or_no_fails_no_request,
    paused e16_a_token_that_is_too_large_is_used_and_not_stored,
    paused e17_a_log_subscriber_that_panics_fails_no_request,
];

/// Returns a plugin whose store works and has answered. Its token has expired.
async fn expired(keystone: &ScriptedKeystone, store: &FaultyStore) -> Plugin {
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(3)));
    let plugin = process(keystone, store, 1);
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    sleep_secs(2 * HOUR).await;
    plugin
}

async fn e01_a_late_answer_in_any_operation_delays_a_request_by_50_ms_before_and_after_its_login() {
    for operation in OPERATIONS {
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        let plugin = expired(&keystone, &store).await;
        store.set_in(operation, Fault::Late(millis(60)));
        let started = keystone.time().elapsed();
        assert_eq!(token(&plugin).await.unwrap(), "token-2", "{operation}");
        let time = keystone.time().elapsed() - started;
        assert!(time <= millis(3_100), "{operation} {time:?}");
        assert_eq!(keystone.logins(), 2, "{operation}");
        // A request with a token never waits.
        assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-2");
    }
}

async fn e02_an_error_in_any_operation_delays_no_request() {
    for operation in OPERATIONS {
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        let plugin = expired(&keystone, &store).await;
        store.set_in(operation, Fault::Fails);
        let started = keystone.time().elapsed();
        assert_eq!(token(&plugin).await.unwrap(), "token-2", "{operation}");
        assert_eq!(keystone.time().elapsed() - started, seconds(3), "{operation}");
        // The token is shared when the store works again. What could not be published is not in it.
        store.works();
        sleep_secs(60).await;
        let is_stored = store.record("token").await.is_some();
        let other = token(&process(&keystone, &store, 2)).await.unwrap();
        assert_eq!(other, if is_stored { "token-2" } else { "token-3" }, "{operation}");
    }
}

async fn e03_an_answer_that_is_lost_in_any_operation_delays_others_by_the_term_of_a_lease() {
    for operation in OPERATIONS {
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        let plugin = expired(&keystone, &store).await;
        store.set_in(operation, Fault::LosesAnswer);
        let started = keystone.time().elapsed();
        assert_eq!(token(&plugin).await.unwrap(), "token-2", "{operation}");
        let time = keystone.time().elapsed() - started;
        assert!(time <= millis(3_100), "{operation} {time:?}");
        store.works();
        store.put("token", b"lost").await;
        let (others, time) = tokens(&fleet(&keystone, &store, 5)).await;
        assert!(others.iter().all(|token| token.as_ref().unwrap() == "token-3"), "{operation} {others:?}");
        assert!(time <= seconds(4 + 3) + millis(500), "{operation} {time:?}");
        assert_eq!(keystone.logins(), 3, "{operation}");
    }
}

async fn e04_data_that_are_lost_before_any_call_cost_one_login() {
    let run = async |lost: Option<usize>| {
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        keystone.respond_with(LoginResponse::Token.delayed_by(millis(2_500)));
        store.set(move |call| if Some(call.number) == lost { Fault::LosesData } else { Fault::None });
        let plugins = fleet(&keystone, &store, 3);
        let (tokens, time) = tokens(&plugins).await;
        assert!(tokens.iter().all(Result::is_ok), "{lost:?} {tokens:?}");
        assert!(time <= seconds(10), "{lost:?} {time:?}");
        settle().await;
        (keystone.logins(), store.calls())
    };
    let (logins, calls) = run(None).await;
    assert_eq!(logins, 1);
    assert!(calls > 20);
    for lost in 0..calls {
        let logins = run(Some(lost)).await.0;
        assert!(logins <= 2, "{lost} {logins}");
    }
}

async fn e05_a_lease_that_a_stranger_holds_for_ever_costs_few_logins() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(300)));
    store.set_in("lease", Fault::Answers(false));
    let plugins = fleet(&keystone, &store, 50);
    let (results, time) = tokens(&plugins).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(time < seconds(20), "{time:?}");
    assert!(keystone.logins() <= 10, "{:?}", keystone.login_times());
    // A renewal in the background waits for the stranger until requests need the token.
    let before = keystone.logins();
    for _ in 0..HOUR / 10 {
        sleep_secs(10).await;
        let (results, time) = tokens(&plugins).await;
        assert!(results.iter().all(Result::is_ok) && time < seconds(20), "{time:?}");
    }
    assert!(keystone.logins() - before <= 10, "{:?}", keystone.login_times());
}

async fn e06_a_lease_that_is_lost_during_the_login_costs_at_most_one_login() {
    for (fault, max_logins) in [(Fault::Answers(false), 1), (Fault::LosesData, 2)] {
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        keystone.respond_with(LoginResponse::Token.delayed_by(millis(3_500)));
        let is_lost = AtomicBool::new(false);
        store.set(move |call| match call.operation == "extend" && !is_lost.swap(true, Ordering::Relaxed) {
            true => fault,
            false => Fault::None,
        });
        let plugins = fleet(&keystone, &store, 5);
        let (results, _) = tokens(&plugins).await;
        assert!(results.iter().all(Result::is_ok), "{fault:?} {results:?}");
        assert!(keystone.logins() <= max_logins, "{fault:?} {:?}", keystone.login_times());
        let stored = token(&process(&keystone, &store, 9)).await.unwrap();
        assert_eq!(stored, *results.last().unwrap().as_ref().unwrap(), "{fault:?}");
    }
}

async fn e07_a_later_token_in_the_entry_is_not_replaced_and_an_earlier_one_is() {
    for skew in [-60_i64, 60] {
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        // The same credentials have got a token that was issued at another time.
        let (other_keystone, other_store) = (keystone.clone(), FaultyStore::new());
        keystone.skew(skew);
        assert_eq!(token(&process(&other_keystone, &other_store, 1)).await.unwrap(), "token-1");
        let other = other_store.record("token").await.unwrap();
        keystone.skew(0);

        keystone.respond_with(LoginResponse::Token.delayed_by(seconds(1)));
        let plugin = process(&keystone, &store, 2);
        let waiting = tokio::spawn({
            let plugin = plugin.clone();
            async move { token(&plugin).await.unwrap() }
        });
        settle().await;
        store.put("token", &other).await;
        let expected = if skew > 0 { "token-1" } else { "token-2" };
        assert_eq!(waiting.await.unwrap(), expected, "{skew}");
        assert_eq!(token(&process(&keystone, &store, 3)).await.unwrap(), expected, "{skew}");
        assert_eq!(keystone.logins(), 2);
    }
}

async fn e08_garbage_in_any_entry_is_replaced() {
    let records: [&[u8]; 6] =
        [b"", b"t", b"tk\x01", &[b'x'; 47], &[0xff; 48], &[b"tk\x01".as_slice(), &[0; 200]].concat()];
    for garbage in records.into_iter().map(<[u8]>::to_vec).chain([vec![b'x'; 1_000_000]]) {
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        let plugins = fleet(&keystone, &store, 5);
        assert_eq!(one_token(&plugins).await, "token-1");
        for part in ["token", "failure", "failures", "refusal-0", "refusal-1", "refusal-2"] {
            store.put(part, &garbage).await;
        }
        let more = fleet(&keystone, &store, 5);
        assert_eq!(one_token(&more).await, "token-2");
        for plugin in &more {
            reject(plugin).await;
        }
        assert_eq!(one_token(&more).await, "token-3");
        keystone.respond_with(LoginResponse::Status(401));
        store.put("token", &garbage).await;
        assert!(token(&process(&keystone, &store, 11)).await.is_err());
        assert!(token(&process(&keystone, &store, 12)).await.is_err());
        assert_eq!(keystone.logins(), 4, "{} bytes", garbage.len());
    }
}

async fn e09_a_record_that_is_truncated_or_changed_is_a_miss() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    assert_eq!(token(&process(&keystone, &store, 0)).await.unwrap(), "token-1");
    let record = store.record("token").await.unwrap();
    let truncated = (0..record.len()).step_by(37).map(|length| record[..length].to_vec());
    let longer = [[record.as_slice(), b"x"].concat(), record.repeat(2)];
    let flipped = (0..64).chain((64..record.len()).step_by(41)).map(|at| {
        let mut changed = record.clone();
        changed[at] ^= 1 << (at % 8);
        changed
    });
    for (number, changed) in truncated.chain(longer).chain(flipped).enumerate() {
        store.put("token", &changed).await;
        let expected = format!("token-{}", number + 2);
        assert_eq!(token(&process(&keystone, &store, 1)).await.unwrap(), expected);
        assert_eq!(token(&process(&keystone, &store, 2)).await.unwrap(), expected, "it is replaced");
        sleep_secs(1).await;
    }
}

async fn e10_a_record_of_another_identity_key_store_or_entry_is_a_miss() {
    let bob = || {
        let bob = User::new().username("bob").user_domain_name("Default");
        V3Credentials::new("https://keystone.test/v3", AuthMethod::password(bob, "builder"))
    };
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.queue_responses([LoginResponse::Status(503)]);
    assert_eq!(token(&process(&keystone, &store, 0)).await.unwrap(), "token-1");
    let count = keystone.logins();
    let records_of = async |plugin: Plugin, foreign: &FaultyStore| {
        keystone.respond_with(LoginResponse::Token);
        token(&plugin).await.unwrap();
        let token = foreign.record("token").await.unwrap();
        keystone.respond_with(LoginResponse::Status(401));
        plugin.renew().await.unwrap_err();
        [token, foreign.record("failure").await.unwrap(), foreign.record("failures").await.unwrap()]
    };
    let new = FaultyStore::new;
    let [identity, key, name, own] = [new(), new(), new(), new()];
    let mut foreign = Vec::new();
    let plugin = keystone.plugin_for(bob(), Default::default()).store(shared(&identity));
    foreign.extend(records_of(plugin, &identity).await);
    foreign.extend(records_of(keystone.plugin().store(shared_with(&key, 8)), &key).await);
    let plugin = keystone.plugin().store(shared(&name).name("other"));
    foreign.extend(records_of(plugin, &name).await);
    // Of the same identity, but under another name.
    let [_, failure, failures] = records_of(process(&keystone, &own, 1), &own).await;
    foreign.extend([failure, failures]);

    keystone.respond_with(LoginResponse::Token);
    let mut logins = keystone.logins();
    for record in &foreign {
        store.put("token", record).await;
        let plugins = fleet(&keystone, &store, 2);
        one_token(&plugins).await;
        logins += 1;
        assert_eq!(keystone.logins(), logins, "it is a miss");
    }
    assert!(logins > count);
    // A failure of another identity delays nobody.
    for record in &foreign[..9] {
        store.put("failure", record).await;
        store.put("token", b"garbage").await;
        one_token(&fleet(&keystone, &store, 2)).await;
    }
}

async fn e11_an_old_record_that_is_put_back_costs_one_login() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    let first = process(&keystone, &store, 1);
    assert_eq!(token(&first).await.unwrap(), "token-1");
    let old = store.record("token").await.unwrap();
    // A token that was refused.
    keystone.revoke();
    sleep_secs(1).await;
    reject(&first).await;
    assert_eq!(token(&first).await.unwrap(), "token-2");
    store.put("token", &old).await;
    let nova = ScriptedService::new(&keystone, || millis(10));
    let second = process(&keystone, &store, 2);
    assert_eq!(nova.with_auth_and_retry(&second).oneshot(get()).await.unwrap().status(), 200);
    assert_eq!(token(&second).await.unwrap(), "token-3");
    // The process that had it refused does not take it again.
    store.put("token", &old).await;
    sleep_secs(1).await;
    reject(&first).await;
    assert_eq!(token(&first).await.unwrap(), "token-4");
    assert_eq!(keystone.logins(), 4);
    // A token that has expired.
    sleep_secs(2 * HOUR).await;
    store.put("token", &old).await;
    assert_eq!(token(&process(&keystone, &store, 3)).await.unwrap(), "token-5");
    // A failure that has ended long ago, by the clock of this machine.
    assert_eq!(one_token(&fleet(&keystone, &store, 3)).await, "token-5");
}

async fn e12_a_store_that_panics_in_any_operation_fails_no_request() {
    for operation in OPERATIONS {
        for fault in [Fault::PanicsAtOnce, Fault::PanicsLater, Fault::PanicsWhenDropped] {
            let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
            let plugin = expired(&keystone, &store).await;
            store.set_in(operation, fault);
            assert_eq!(token(&plugin).await.unwrap(), "token-2", "{operation} {fault:?}");
            assert_eq!(keystone.logins(), 2, "{operation} {fault:?}");
        }
    }
    // The login ends while an extension is asked for, and the program ends while the store is asked.
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    let plugin = expired(&keystone, &store).await;
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(1_020)));
    store.set_in("extend", Fault::PanicsWhenDropped);
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    sleep_secs(2 * HOUR).await;
    let tokens = shared(&store);
    let plugin = keystone.plugin().store(tokens.clone());
    store.set_in("get", Fault::PanicsWhenDropped);
    let waiting = tokio::spawn(async move { token(&plugin).await });
    settle().await;
    tokens.close().await;
    assert_eq!(waiting.await.unwrap().unwrap(), "token-3");
}

async fn e13_a_store_that_never_answers_is_waited_for_once_before_and_after_a_login() {
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.respond_with(LoginResponse::Token.delayed_by(millis(100)));
    store.set(|_| Fault::Stuck);
    let shared = shared(&store);
    let plugins: Vec<_> =
        (0..10).map(|number| keystone.plugin().seed(number).store(shared.clone())).collect();
    let (results, time) = tokens(&plugins).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(time <= millis(2_200), "{time:?}");
    sleep_secs(2 * HOUR).await;
    let (results, time) = tokens(&plugins).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(time <= millis(2_200), "{time:?}");
    assert!(plugins.iter().all(|plugin| token_without_waiting(plugin).unwrap().is_ok()));
}

async fn e14_a_store_that_comes_and_goes_is_logged_once_a_minute() {
    let (log, _guard) = log::Log::new();
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    keystone.lifetime(Some(30));
    store.set(|call| if call.number / 7 % 2 == 0 { Fault::None } else { Fault::Fails });
    let shared = shared(&store);
    let plugins: Vec<_> = (0..5).map(|number| keystone.plugin().seed(number).store(shared.clone())).collect();
    for _ in 0..600 {
        let (results, _) = tokens(&plugins).await;
        assert!(results.iter().all(Result::is_ok));
        sleep_secs(1).await;
    }
    let lines: Vec<_> = log.take_lines().into_iter().filter(|line| line.contains("token store")).collect();
    assert!((2..=22).contains(&lines.len()), "{lines:#?}");
}

async fn e15_a_store_that_always_says_yes_or_no_fails_no_request() {
    for yes in [false, true] {
        let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
        keystone.respond_with(LoginResponse::Token.delayed_by(millis(300)));
        store.set(move |_| Fault::Answers(yes));
        let plugins = fleet(&keystone, &store, 10);
        let (results, time) = tokens(&plugins).await;
        assert!(results.iter().all(Result::is_ok), "{yes}");
        assert!(time <= seconds(20) + millis(300), "{yes} {time:?}");
        assert_eq!(keystone.logins(), 10, "{yes}");
        for plugin in &plugins {
            reject(plugin).await;
        }
        let (results, time) = tokens(&plugins).await;
        assert!(results.iter().all(Result::is_ok), "{yes}");
        assert!(time <= seconds(20) + millis(300), "{yes} {time:?}");
        assert!(keystone.logins() <= 20, "{yes}");
    }
}

async fn e16_a_token_that_is_too_large_is_used_and_not_stored() {
    let (log, _guard) = log::Log::new();
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    let mut document = token_document();
    document["token"]["catalog"][0]["name"] = "x".repeat(1_000_000).into();
    keystone.respond_with(LoginResponse::Body(document.to_string().leak()));
    for number in 0..3 {
        let plugin = process(&keystone, &store, number);
        assert_eq!(token(&plugin).await.unwrap(), "gAAAA");
        assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "gAAAA");
    }
    assert_eq!(keystone.logins(), 3);
    assert!(store.record("token").await.is_none());
    let lines = log.take_lines();
    assert_eq!(lines.len(), 3, "once by each process: {lines:?}");
    assert!(lines.iter().all(|line| line.contains("it is longer than 1,000,000 bytes")), "{lines:?}");
    // The next token, which is small enough, replaces what is in the store.
    keystone.respond_with(LoginResponse::Token);
    assert_eq!(one_token(&fleet(&keystone, &store, 5)).await, "token-1");
    keystone.respond_with(LoginResponse::Body(document.to_string().leak()));
    let plugin = process(&keystone, &store, 9);
    plugin.renew().await.unwrap();
    assert_eq!(one_token(&fleet(&keystone, &store, 5)).await, "token-1", "the old record is kept");
}

/// Panics at each event.
struct Panicking;

static EVENTS: AtomicUsize = AtomicUsize::new(0);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Panicking {
    fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
        EVENTS.fetch_add(1, Ordering::Relaxed);
        std::panic::panic_any(EXPECTED_PANIC);
    }
}

async fn e17_a_log_subscriber_that_panics_fails_no_request() {
    let _guard = log::subscribe(tracing_subscriber::registry().with(Panicking));
    let (keystone, store) = (ScriptedKeystone::new(), FaultyStore::new());
    let shared = shared(&store);
    let plugin = keystone.plugin().store(shared.clone());
    let expected = |number: usize| format!("token-{number}");
    for number in 1..=6 {
        match number {
            2 => store.put("token", b"garbage").await,
            3 => store.set(|_| Fault::Fails),
            4 => store.works(),
            5 => store.set(|_| Fault::Stuck),
            6 => store.works(),
            _ => {}
        }
        assert_eq!(token(&plugin).await.unwrap(), expected(number));
        sleep_secs(2 * HOUR).await;
    }
    assert!(EVENTS.load(Ordering::Relaxed) >= 4, "the events are logged");
}
