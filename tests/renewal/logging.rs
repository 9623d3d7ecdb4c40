//! Log messages of renewals.

use tower_keystone::{
    AuthMethod, IdentityPlugin, RenewalPolicy, RenewingPlugin, Transport, User, V3Credentials,
};

use crate::{log::Log, support::*};

#[tokio::test(start_paused = true)]
async fn an_outage_logs_one_warning_and_one_message_when_it_is_over() {
    let (log, _guard) = Log::new();
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    assert_eq!(log.take_lines(), [""; 0]);
    for _ in 0..2 {
        keystone.respond_with(LoginResponse::NoConnection);
        sleep_secs(HOUR - 300).await;
        for _ in 0..200 {
            token(&plugin).await.unwrap();
            sleep_secs(1).await;
        }
        let lines = log.take_lines();
        let [warning] = &*lines else { panic!("{lines:?}") };
        assert!(warning.contains("WARN"), "{warning}");
        assert!(
            warning.contains("cannot reach Keystone") && warning.contains("connection refused"),
            "{warning}"
        );
        assert!(warning.contains("auth_url=\"https://keystone.test/v3\""), "{warning}");
        assert!(warning.contains("; the login will be retried"), "{warning}");
        keystone.respond_with(LoginResponse::Token);
        sleep_secs(60).await;
        token(&plugin).await.unwrap();
        settle().await;
        let lines = log.take_lines();
        let [over] = &*lines else { panic!("{lines:?}") };
        assert!(over.contains("INFO") && over.contains("again"), "{over}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_logs_a_request_to_correct_the_credentials() {
    let method = || AuthMethod::password(User::new().user_id("alice"), "wonderland");
    for (auth_url, response) in [
        ("https://keystone.test/v3", LoginResponse::Status(401)),
        ("https://alice:canary@keystone.test/v3?canary", LoginResponse::Token),
    ] {
        let (log, _guard) = Log::new();
        let keystone = ScriptedKeystone::new();
        keystone.respond_with(response);
        let credentials = V3Credentials::new(auth_url, method());
        token(&keystone.plugin_for(credentials, RenewalPolicy::default())).await.unwrap_err();
        let lines = log.take_lines();
        let [warning] = &*lines else { panic!("{lines:?}") };
        assert!(warning.contains("WARN") && warning.contains("correct the credentials"), "{warning}");
        assert!(warning.contains("auth_url=\"https://keystone.test/v3\""), "{warning}");
        assert!(!warning.contains("canary"), "{warning}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_skew_of_more_than_half_a_minute_is_logged() {
    for (skew, is_logged) in [(0, false), (-30, false), (30, false), (-31, true), (31, true), (-86_400, true)]
    {
        let (log, _guard) = Log::new();
        let keystone = ScriptedKeystone::new();
        keystone.skew(skew);
        token(&keystone.plugin()).await.unwrap();
        let lines = log.take_lines();
        assert_eq!(lines.len(), usize::from(is_logged), "{skew}: {lines:?}");
        assert!(lines.iter().all(|line| line.contains(&format!("seconds={}", skew.abs()))), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_failed_attempt_is_logged_while_requests_still_wait() {
    let (log, _guard) = Log::new();
    let keystone = ScriptedKeystone::new();
    keystone.queue_responses([
        LoginResponse::NoConnection,
        LoginResponse::Status(503),
        LoginResponse::NoConnection,
    ]);
    let plugin = keystone.plugin();
    let waiting = tokio::spawn(plugin.access());
    settle().await;
    let lines = log.take_lines();
    let [warning] = &*lines else { panic!("{lines:?}") };
    assert!(warning.contains("WARN") && warning.contains("connection refused"), "{warning}");
    assert!(warning.contains("auth_url=\"https://keystone.test/v3\""), "{warning}");
    assert!(!waiting.is_finished());
    waiting.await.unwrap().unwrap();
    let lines = log.take_lines();
    let [over] = &*lines else { panic!("{lines:?}") };
    assert!(over.contains("INFO") && over.contains("again"), "{over}");
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_logged_after_a_transient_one() {
    let (log, _guard) = Log::new();
    let keystone = ScriptedKeystone::new();
    keystone.queue_responses([LoginResponse::NoConnection]);
    keystone.respond_with(LoginResponse::Status(401));
    let plugin = keystone.plugin();
    for _ in 0..100 {
        assert!(token(&plugin).await.is_err());
        sleep_secs(1).await;
    }
    let lines = log.take_lines();
    let [transient, permanent] = &*lines else { panic!("{lines:?}") };
    assert!(
        transient.contains("the login will be retried") && transient.contains("connection refused"),
        "{transient}"
    );
    assert!(permanent.contains("correct the credentials") && permanent.contains("401"), "{permanent}");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_expire_at_once_are_logged_once() {
    let (log, _guard) = Log::new();
    let keystone = ScriptedKeystone::new();
    keystone.lifetime(Some(1));
    let plugin = keystone.plugin();
    for _ in 0..60 {
        let _ = token(&plugin).await;
        sleep_secs(1).await;
    }
    let lines = log.take_lines();
    let [warning] = &*lines else { panic!("{lines:?}") };
    assert!(warning.contains("expire at once"), "{warning}");
}

/// A thousand plugins, each with its own credentials, share one transport.
#[tokio::test(start_paused = true)]
async fn a_fault_of_keystone_is_logged_once_for_a_thousand_plugins() {
    let (log, _guard) = Log::new();
    let keystone = ScriptedKeystone::new();
    keystone.skew(100);
    let transport = Transport::new(keystone.clone());
    let plugins: Vec<_> = (0..1_000)
        .map(|_| RenewingPlugin::new(keystone.credentials(), transport.clone()).clock(keystone.time()))
        .collect();
    for plugin in &plugins {
        token(plugin).await.unwrap();
    }
    let lines = log.take_lines();
    let [skew] = &*lines else { panic!("{} lines: {:?}", lines.len(), lines.first()) };
    assert!(skew.contains("seconds=100"), "{skew}");

    keystone.skew(0);
    keystone.respond_with(LoginResponse::NoConnection);
    sleep_secs(HOUR - 200).await;
    for _ in 0..2 {
        for plugin in &plugins {
            token(plugin).await.unwrap();
        }
        sleep_secs(5).await;
    }
    let lines = log.take_lines();
    let [outage] = &*lines else { panic!("{} lines: {:?}", lines.len(), lines.first()) };
    assert!(outage.contains("WARN") && outage.contains("connection refused"), "{outage}");

    keystone.respond_with(LoginResponse::Token);
    sleep_secs(35).await;
    for plugin in &plugins {
        token(plugin).await.unwrap();
    }
    settle().await;
    let lines = log.take_lines();
    let [over] = &*lines else { panic!("{} lines: {:?}", lines.len(), lines.first()) };
    assert!(over.contains("INFO") && over.contains("again"), "{over}");
}

/// Two users share a transport. Keystone rejects both logins, and each user needs a warning.
#[tokio::test(start_paused = true)]
async fn a_fault_of_credentials_is_logged_once_for_each_plugin() {
    let (log, _guard) = Log::new();
    let keystone = ScriptedKeystone::new();
    keystone.respond_with(LoginResponse::Status(401));
    let transport = Transport::new(keystone.clone());
    for user in ["alice", "bob"] {
        let method = AuthMethod::password(User::new().user_id(user), "wonderland");
        let credentials = V3Credentials::new("https://keystone.test/v3", method);
        let plugin = RenewingPlugin::new(credentials, transport.clone()).clock(keystone.time());
        token(&plugin).await.unwrap_err();
        let lines = log.take_lines();
        let [warning] = &*lines else { panic!("{lines:?}") };
        assert!(warning.contains("correct the credentials") && warning.contains(user), "{warning}");
    }
}
