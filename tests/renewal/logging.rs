//! Log messages of renewals.

use tower_keystone::{
    AuthMethod, IdentityPlugin, RenewalPolicy, RenewingPlugin, Transport, User, V3Credentials,
};

use crate::{log::Log, support::*};

#[tokio::test(start_paused = true)]
async fn an_outage_is_one_warning_and_one_word_when_it_is_over() {
    let (log, _guard) = Log::new();
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    assert_eq!(log.lines(), [""; 0]);
    for _ in 0..2 {
        keystone.usually(Answer::NoConnection);
        pass(HOUR - 300).await;
        for _ in 0..200 {
            token(&plugin).await.unwrap();
            pass(1).await;
        }
        let lines = log.lines();
        let [warning] = &*lines else { panic!("{lines:?}") };
        assert!(warning.contains("WARN"), "{warning}");
        assert!(
            warning.contains("cannot reach Keystone") && warning.contains("connection refused"),
            "{warning}"
        );
        assert!(warning.contains("auth_url=\"https://keystone.test/v3\""), "{warning}");
        assert!(warning.contains("; the login will be retried"), "{warning}");
        keystone.usually(Answer::Token);
        pass(60).await;
        token(&plugin).await.unwrap();
        settle().await;
        let lines = log.lines();
        let [over] = &*lines else { panic!("{lines:?}") };
        assert!(over.contains("INFO") && over.contains("again"), "{over}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_for_somebody_to_mend() {
    let method = || AuthMethod::password(User::new().user_id("alice"), "wonderland");
    for (auth_url, answer) in [
        ("https://keystone.test/v3", Answer::Status(401)),
        ("https://alice:canary@keystone.test/v3?canary", Answer::Token),
    ] {
        let (log, _guard) = Log::new();
        let keystone = Keystone::new();
        keystone.usually(answer);
        let credentials = V3Credentials::new(auth_url, method());
        token(&keystone.plugin_of(credentials, RenewalPolicy::default())).await.unwrap_err();
        let lines = log.lines();
        let [warning] = &*lines else { panic!("{lines:?}") };
        assert!(warning.contains("WARN") && warning.contains("correct the credentials"), "{warning}");
        assert!(warning.contains("auth_url=\"https://keystone.test/v3\""), "{warning}");
        assert!(!warning.contains("canary"), "{warning}");
    }
}

#[tokio::test(start_paused = true)]
async fn clocks_that_differ_by_more_than_half_a_minute_are_told() {
    for (skew, told) in [(0, false), (-30, false), (30, false), (-31, true), (31, true), (-86_400, true)] {
        let (log, _guard) = Log::new();
        let keystone = Keystone::new();
        keystone.skew(skew);
        token(&keystone.plugin()).await.unwrap();
        let lines = log.lines();
        assert_eq!(lines.len(), usize::from(told), "{skew}: {lines:?}");
        assert!(lines.iter().all(|line| line.contains(&format!("seconds={}", skew.abs()))), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_failed_attempt_is_told_while_requests_still_wait() {
    let (log, _guard) = Log::new();
    let keystone = Keystone::new();
    keystone.then([Answer::NoConnection, Answer::Status(503), Answer::NoConnection]);
    let plugin = keystone.plugin();
    let waiting = tokio::spawn(plugin.access());
    settle().await;
    let lines = log.lines();
    let [warning] = &*lines else { panic!("{lines:?}") };
    assert!(warning.contains("WARN") && warning.contains("connection refused"), "{warning}");
    assert!(warning.contains("auth_url=\"https://keystone.test/v3\""), "{warning}");
    assert!(!waiting.is_finished());
    waiting.await.unwrap().unwrap();
    let lines = log.lines();
    let [over] = &*lines else { panic!("{lines:?}") };
    assert!(over.contains("INFO") && over.contains("again"), "{over}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_does_not_pass_is_told_after_one_that_may_have() {
    let (log, _guard) = Log::new();
    let keystone = Keystone::new();
    keystone.then([Answer::NoConnection]);
    keystone.usually(Answer::Status(401));
    let plugin = keystone.plugin();
    for _ in 0..100 {
        assert!(token(&plugin).await.is_err());
        pass(1).await;
    }
    let lines = log.lines();
    let [passes, does_not] = &*lines else { panic!("{lines:?}") };
    assert!(
        passes.contains("the login will be retried") && passes.contains("connection refused"),
        "{passes}"
    );
    assert!(does_not.contains("correct the credentials") && does_not.contains("401"), "{does_not}");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_expire_at_once_are_told_once() {
    let (log, _guard) = Log::new();
    let keystone = Keystone::new();
    keystone.lifetime(Some(1));
    let plugin = keystone.plugin();
    for _ in 0..60 {
        let _ = token(&plugin).await;
        pass(1).await;
    }
    let lines = log.lines();
    let [warning] = &*lines else { panic!("{lines:?}") };
    assert!(warning.contains("expire at once"), "{warning}");
}

/// A pool of plugins, each with credentials of its own, that share a transport.
#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_keystone_is_told_once_for_a_thousand_plugins() {
    let (log, _guard) = Log::new();
    let keystone = Keystone::new();
    keystone.skew(100);
    let transport = Transport::new(keystone.clone());
    let plugins: Vec<_> = (0..1_000)
        .map(|_| RenewingPlugin::new(keystone.credentials(), transport.clone()).clock(keystone.time()))
        .collect();
    for plugin in &plugins {
        token(plugin).await.unwrap();
    }
    let lines = log.lines();
    let [skew] = &*lines else { panic!("{} lines: {:?}", lines.len(), lines.first()) };
    assert!(skew.contains("seconds=100"), "{skew}");

    keystone.skew(0);
    keystone.usually(Answer::NoConnection);
    pass(HOUR - 200).await;
    for _ in 0..2 {
        for plugin in &plugins {
            token(plugin).await.unwrap();
        }
        pass(5).await;
    }
    let lines = log.lines();
    let [outage] = &*lines else { panic!("{} lines: {:?}", lines.len(), lines.first()) };
    assert!(outage.contains("WARN") && outage.contains("connection refused"), "{outage}");

    keystone.usually(Answer::Token);
    pass(35).await;
    for plugin in &plugins {
        token(plugin).await.unwrap();
    }
    settle().await;
    let lines = log.lines();
    let [over] = &*lines else { panic!("{} lines: {:?}", lines.len(), lines.first()) };
    assert!(over.contains("INFO") && over.contains("again"), "{over}");
}

/// Two users of one transport whose logins are refused are two cases for two people.
#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_credentials_is_told_of_each() {
    let (log, _guard) = Log::new();
    let keystone = Keystone::new();
    keystone.usually(Answer::Status(401));
    let transport = Transport::new(keystone.clone());
    for user in ["alice", "bob"] {
        let method = AuthMethod::password(User::new().user_id(user), "wonderland");
        let credentials = V3Credentials::new("https://keystone.test/v3", method);
        let plugin = RenewingPlugin::new(credentials, transport.clone()).clock(keystone.time());
        token(&plugin).await.unwrap_err();
        let lines = log.lines();
        let [warning] = &*lines else { panic!("{lines:?}") };
        assert!(warning.contains("correct the credentials") && warning.contains(user), "{warning}");
    }
}
