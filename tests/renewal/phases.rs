//! The phases of a token (fresh, due for renewal, within the expiry margin, expired), by both clocks.

use tokio_test::{assert_pending, assert_ready, task};
use tower_keystone::{Error, IdentityPlugin};

use crate::support::*;

/// Returns a Keystone and a plugin that has just received `token-1` from it.
async fn logged_in() -> (ScriptedKeystone, Plugin) {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    (keystone, plugin)
}

#[tokio::test(start_paused = true)]
async fn no_login_is_sent_before_the_first_request() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    sleep_secs(HOUR).await;
    assert!(plugin.needs_renewal());
    assert_eq!(keystone.logins(), 0);
    let unused = plugin.access();
    settle().await;
    drop(unused);
    assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-1");
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_is_reused() {
    let (keystone, plugin) = logged_in().await;
    for _ in 0..31 {
        sleep_secs(100).await;
        assert!(!plugin.needs_renewal());
        assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-1");
    }
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_due_for_renewal_is_used_while_the_login_is_in_flight() {
    let (keystone, plugin) = logged_in().await;
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(5)));
    sleep_secs(HOUR - 300).await;
    for _ in 0..4 {
        assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-1");
        sleep_secs(1).await;
    }
    sleep_secs(2).await;
    assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-2");
    assert_eq!((keystone.logins(), keystone.max_concurrent_logins()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_keeps_the_valid_token() {
    for failure in [
        LoginResponse::Status(401),
        LoginResponse::Status(500),
        LoginResponse::RetryAfter("1"),
        LoginResponse::Body("<html>"),
        LoginResponse::NoConnection,
        LoginResponse::Never,
    ] {
        let (keystone, plugin) = logged_in().await;
        keystone.respond_with(failure.clone());
        sleep_secs(HOUR - 300).await;
        // Stops before the expiry margin, within which requests wait for the response.
        for _ in 0..289 {
            assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-1", "{failure:?}");
            sleep_secs(1).await;
        }
        let attempts = keystone.logins() - 1;
        let max = if matches!(failure, LoginResponse::RetryAfter(_)) { 25 } else { 20 };
        assert!((1..=max).contains(&attempts), "{failure:?}: {attempts}");
        assert_eq!(keystone.max_concurrent_logins(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn within_the_expiry_margin_requests_wait_for_the_new_token() {
    let (keystone, plugin) = logged_in().await;
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(3)));
    sleep_secs(HOUR - 9).await;
    let mut first = task::spawn(token(&plugin));
    let mut second = task::spawn(token(&plugin));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    sleep_secs(4).await;
    assert_eq!(assert_ready!(first.poll()).unwrap(), "token-2");
    assert_eq!(assert_ready!(second.poll()).unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn within_the_expiry_margin_the_old_token_is_used_if_the_renewal_fails() {
    for failure in [
        LoginResponse::Status(401),
        LoginResponse::Status(503),
        LoginResponse::NoConnection,
        LoginResponse::Body(""),
    ] {
        let (keystone, plugin) = logged_in().await;
        keystone.respond_with(failure.clone());
        sleep_secs(HOUR - 9).await;
        for _ in 0..80 {
            assert_eq!(token(&plugin).await.unwrap(), "token-1", "{failure:?}");
            tokio::time::sleep(millis(100)).await;
        }
        assert!(
            keystone.time().elapsed() < seconds(HOUR),
            "{failure:?}: the request waited beyond the expiry of the token"
        );
        let attempts = keystone.logins() - 1;
        assert!((1..=5).contains(&attempts), "{failure:?}: {attempts}");
    }
}

#[tokio::test(start_paused = true)]
async fn within_the_expiry_margin_no_request_waits_until_the_old_token_has_expired() {
    for response in [LoginResponse::Never, LoginResponse::Token.delayed_by(millis(9_500))] {
        let (keystone, plugin) = logged_in().await;
        keystone.respond_with(response.clone());
        sleep_secs(HOUR - 9).await;
        for left in [9, 3, 1] {
            tokio::time::sleep(seconds(HOUR - left) - keystone.time().elapsed()).await;
            let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(plugin.access())).collect();
            for waiter in waiting {
                assert_eq!(token_from_access(&waiter.await.unwrap().unwrap()), "token-1", "{response:?}");
            }
            assert!(
                keystone.time().elapsed() < seconds(HOUR),
                "{response:?}: the request waited beyond the expiry of the token"
            );
        }
        assert_eq!(keystone.logins(), 2, "{response:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_never_returned() {
    let (keystone, plugin) = logged_in().await;
    keystone.respond_with(LoginResponse::NoConnection);
    sleep_secs(HOUR - 15).await;
    while keystone.time().elapsed() < seconds(HOUR + 120) {
        let result = token(&plugin).await;
        let now = keystone.time().elapsed();
        match result {
            Ok(token) => assert!(token == "token-1" && now < seconds(HOUR), "{token} at {now:?}"),
            Err(error) => assert!(now >= seconds(HOUR), "{error} at {now:?}"),
        }
        sleep_secs(1).await;
    }
    keystone.respond_with(LoginResponse::Token);
    sleep_secs(30).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_back_off_ends_when_the_token_reaches_its_expiry_margin() {
    let (keystone, plugin) = logged_in().await;
    keystone.respond_with(LoginResponse::NoConnection);
    sleep_secs(HOUR - 320).await;
    // Six failures, so that the next back-off is half a minute.
    for _ in 0..6 {
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        sleep_secs(50).await;
    }
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    settle().await;
    assert_eq!(keystone.logins(), 8);
    keystone.respond_with(LoginResponse::Token);
    sleep_secs(9).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 8, "the back-off is not over");
    sleep_secs(2).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_the_whole_wait_timeout_fails_the_request_at_once() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    keystone.respond_with(LoginResponse::RetryAfter("30"));
    assert!(matches!(token(&plugin).await.unwrap_err(), Error::Keystone(_)));
    assert_eq!((keystone.logins(), keystone.time().elapsed()), (1, seconds(0)));
}

#[tokio::test(start_paused = true)]
async fn a_login_after_retry_after_gets_the_full_attempt_timeout() {
    let (keystone, plugin) = logged_in().await;
    sleep_secs(HOUR - 300).await;
    keystone.queue_responses([LoginResponse::RetryAfter("30")]);
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    settle().await;
    let used = plugin.access().await.unwrap();
    tokio::time::sleep(millis(200)).await;
    plugin.invalidate(&used, &nova_origin());
    keystone.respond_with(LoginResponse::Token.delayed_by(seconds(9)));
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_during_a_delay_is_renewed_at_once_or_after_retry_after() {
    for (failure, waited) in [(LoginResponse::NoConnection, 0..=0), (LoginResponse::RetryAfter("20"), 1..=20)]
    {
        let (keystone, plugin) = logged_in().await;
        keystone.respond_with(failure.clone());
        sleep_secs(HOUR - 310).await;
        for _ in 0..310 {
            assert_eq!(token(&plugin).await.unwrap(), "token-1");
            sleep_secs(1).await;
        }
        let (attempts, end) = (keystone.logins(), keystone.time().elapsed());
        keystone.respond_with(LoginResponse::Token);
        for request in [plugin.access(), plugin.access()] {
            assert_eq!(token_from_future(request).await.unwrap(), "token-2", "{failure:?}");
        }
        assert_eq!(keystone.logins(), attempts + 1, "{failure:?}");
        let waited_for = (keystone.login_times()[attempts] - end).as_secs();
        assert!(waited.contains(&waited_for), "{failure:?}: {waited_for}");
    }
}

#[tokio::test(start_paused = true)]
async fn if_the_token_expires_during_a_delay_longer_than_the_wait_timeout_requests_fail_at_once() {
    for failure in [LoginResponse::RetryAfter("300"), LoginResponse::Status(401)] {
        let (keystone, plugin) = logged_in().await;
        keystone.respond_with(failure.clone());
        sleep_secs(HOUR - 20).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        settle().await;
        sleep_secs(21).await;
        let error = token_without_waiting(&plugin).expect("no request waits").unwrap_err();
        assert!(matches!(error, Error::Keystone(_)), "{failure:?}: {error}");
        assert_eq!(keystone.logins(), 2, "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_polled_after_its_token_expired_gets_a_new_one() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let mut late = task::spawn(token(&plugin));
    assert_pending!(late.poll());
    sleep_secs(2 * HOUR).await;
    assert_eq!(keystone.logins(), 1);
    assert!(late.is_woken());
    assert_pending!(late.poll());
    settle().await;
    assert_eq!(assert_ready!(late.poll()).unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_set_back_does_not_extend_the_lifetime_of_a_token() {
    let (keystone, plugin) = logged_in().await;
    keystone.time().step_wall(-7200);
    sleep_secs(HOUR - 500).await;
    assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-1");
    sleep_secs(500).await;
    assert!(token_without_waiting(&plugin).is_none());
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_set_forward_causes_one_login() {
    let (keystone, plugin) = logged_in().await;
    sleep_secs(60).await;
    keystone.time().step_wall(7200);
    for _ in 0..30 {
        assert_eq!(token(&plugin).await.unwrap(), "token-2");
        sleep_secs(100).await;
    }
    assert_eq!(keystone.logins(), 2);
    // Sets the clock back to the true time.
    keystone.time().step_wall(-7200);
    assert_eq!(token_without_waiting(&plugin).unwrap().unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_hours_of_suspend_the_token_is_renewed_before_a_request_is_sent() {
    let (keystone, plugin) = logged_in().await;
    keystone.time().suspend(seconds(5 * HOUR));
    assert!(plugin.needs_renewal());
    assert!(token_without_waiting(&plugin).is_none());
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_expiry_is_used_for_five_minutes() {
    let keystone = ScriptedKeystone::new();
    keystone.lifetime(None);
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    keystone.respond_with(LoginResponse::Status(403));
    sleep_secs(150).await;
    assert!(!plugin.needs_renewal());
    sleep_secs(40).await;
    assert!(plugin.needs_renewal());
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    sleep_secs(109).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    sleep_secs(2).await;
    token(&plugin).await.unwrap_err();
    assert_eq!(keystone.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn tokens_with_a_lifetime_of_seconds_cause_at_most_six_logins_a_minute() {
    for lifetime in [-1, 0, 1, 5, 9, 10, 15, 19] {
        let keystone = ScriptedKeystone::new();
        keystone.lifetime(Some(lifetime));
        let plugin = keystone.plugin();
        for _ in 0..600 {
            let result = token(&plugin).await;
            if lifetime <= 0 {
                assert!(matches!(result, Err(Error::ExpiredOnArrival)), "{lifetime}: {result:?}");
            }
            tokio::time::sleep(millis(500)).await;
        }
        let max = max_per_minute(&keystone.login_times());
        assert!((3..=6).contains(&max), "{lifetime}: {max}");
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_tokens_with_a_lifetime_of_seconds_cause_at_most_nine_logins_a_minute() {
    for lifetime in [1, 5] {
        let keystone = ScriptedKeystone::new();
        keystone.lifetime(Some(lifetime));
        let plugin = keystone.plugin();
        // The service rejects the token of every second request.
        for request in 0..1_200 {
            if let Ok(access) = plugin.access().await
                && request % 2 == 0
            {
                plugin.invalidate(&access, &nova_origin());
            }
            tokio::time::sleep(millis(500)).await;
        }
        let max = max_per_minute(&keystone.login_times());
        assert!((3..=6 + 3).contains(&max), "{lifetime}: {max}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_get_their_token_even_if_it_expires_within_a_second() {
    let keystone = ScriptedKeystone::new();
    keystone.lifetime(Some(1));
    let plugin = keystone.plugin();
    let mut both = [task::spawn(token(&plugin)), task::spawn(token(&plugin))];
    both.iter_mut().for_each(|waiting| assert_pending!(waiting.poll()));
    settle().await;
    for waiting in &mut both {
        assert_eq!(assert_ready!(waiting.poll()).unwrap(), "token-1");
    }
    sleep_secs(2).await;
    assert!(matches!(token(&plugin).await, Err(Error::ExpiredOnArrival)));
    assert_eq!(keystone.logins(), 1);
}

/// Returns the age of a token, in seconds, at which its renewal starts.
async fn first_renewal(seed: u64) -> u64 {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin().seed(seed);
    token(&plugin).await.unwrap();
    sleep_secs(3160).await;
    while !plugin.needs_renewal() {
        sleep_secs(1).await;
    }
    assert_eq!(keystone.logins(), 1);
    keystone.time().elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn the_jitter_of_a_seed_is_repeatable_and_within_its_window() {
    let mut ages = Vec::new();
    for seed in 0..100 {
        let age = first_renewal(seed).await;
        assert_eq!(first_renewal(seed).await, age);
        assert!((3168..=3240).contains(&age), "{age}");
        ages.push(age);
    }
    ages.sort_unstable();
    ages.dedup();
    assert!(ages.len() > 30, "{ages:?}");
}
