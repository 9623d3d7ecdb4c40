//! The phases of a token's life, by both clocks.

use tokio_test::{assert_pending, assert_ready, task};
use tower_keystone::{Error, IdentityPlugin};

use crate::support::*;

/// A Keystone, and a plugin that has just got `token-1` from it.
async fn logged_in() -> (Keystone, Plugin) {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    (keystone, plugin)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_of_keystone_before_a_request_comes() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    pass(HOUR).await;
    assert!(plugin.needs_renewal());
    assert_eq!(keystone.logins(), 0);
    let unused = plugin.access();
    settle().await;
    drop(unused);
    assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-1");
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_is_used_again_and_again() {
    let (keystone, plugin) = logged_in().await;
    for _ in 0..31 {
        pass(100).await;
        assert!(!plugin.needs_renewal());
        assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-1");
    }
    assert_eq!(keystone.logins(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_soft_token_serves_while_the_new_one_is_fetched() {
    let (keystone, plugin) = logged_in().await;
    keystone.usually(Answer::Token.slowly(seconds(5)));
    pass(HOUR - 300).await;
    for _ in 0..4 {
        assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-1");
        pass(1).await;
    }
    pass(2).await;
    assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-2");
    assert_eq!((keystone.logins(), keystone.at_once()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_never_displaces_a_valid_token() {
    for failure in [
        Answer::Status(401),
        Answer::Status(500),
        Answer::RetryAfter("1"),
        Answer::Body("<html>"),
        Answer::NoConnection,
        Answer::Hang,
    ] {
        let (keystone, plugin) = logged_in().await;
        keystone.usually(failure.clone());
        pass(HOUR - 300).await;
        // Until the last seconds, in which requests wait for the answer.
        for _ in 0..289 {
            assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-1", "{failure:?}");
            pass(1).await;
        }
        let tries = keystone.logins() - 1;
        let most = if matches!(failure, Answer::RetryAfter(_)) { 25 } else { 20 };
        assert!((1..=most).contains(&tries), "{failure:?}: {tries}");
        assert_eq!(keystone.at_once(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn in_its_last_seconds_requests_wait_for_the_new_token() {
    let (keystone, plugin) = logged_in().await;
    keystone.usually(Answer::Token.slowly(seconds(3)));
    pass(HOUR - 9).await;
    let mut first = task::spawn(token(&plugin));
    let mut second = task::spawn(token(&plugin));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    pass(4).await;
    assert_eq!(assert_ready!(first.poll()).unwrap(), "token-2");
    assert_eq!(assert_ready!(second.poll()).unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn in_its_last_seconds_the_old_token_serves_if_the_renewal_fails() {
    for failure in [Answer::Status(401), Answer::Status(503), Answer::NoConnection, Answer::Body("")] {
        let (keystone, plugin) = logged_in().await;
        keystone.usually(failure.clone());
        pass(HOUR - 9).await;
        for _ in 0..80 {
            assert_eq!(token(&plugin).await.unwrap(), "token-1", "{failure:?}");
            tokio::time::sleep(millis(100)).await;
        }
        assert!(keystone.time().elapsed() < seconds(HOUR), "{failure:?}: waited for longer than it served");
        let tries = keystone.logins() - 1;
        assert!((1..=5).contains(&tries), "{failure:?}: {tries}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_its_last_seconds_nobody_waits_for_keystone_until_the_old_token_has_expired() {
    for answer in [Answer::Hang, Answer::Token.slowly(millis(9_500))] {
        let (keystone, plugin) = logged_in().await;
        keystone.usually(answer.clone());
        pass(HOUR - 9).await;
        for left in [9, 3, 1] {
            tokio::time::sleep(seconds(HOUR - left) - keystone.time().elapsed()).await;
            let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(plugin.access())).collect();
            for waiter in waiting {
                assert_eq!(token_of_access(&waiter.await.unwrap().unwrap()), "token-1", "{answer:?}");
            }
            assert!(
                keystone.time().elapsed() < seconds(HOUR),
                "{answer:?}: waited for longer than it served"
            );
        }
        assert_eq!(keystone.logins(), 2, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_never_handed_out() {
    let (keystone, plugin) = logged_in().await;
    keystone.usually(Answer::NoConnection);
    pass(HOUR - 15).await;
    while keystone.time().elapsed() < seconds(HOUR + 120) {
        let brought = token(&plugin).await;
        let now = keystone.time().elapsed();
        match brought {
            Ok(token) => assert!(token == "token-1" && now < seconds(HOUR), "{token} at {now:?}"),
            Err(error) => assert!(now >= seconds(HOUR), "{error} at {now:?}"),
        }
        pass(1).await;
    }
    keystone.usually(Answer::Token);
    pass(30).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_when_the_token_gets_into_its_last_seconds() {
    let (keystone, plugin) = logged_in().await;
    keystone.usually(Answer::NoConnection);
    pass(HOUR - 320).await;
    // So that the last of the pauses would be half a minute.
    for _ in 0..6 {
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        pass(50).await;
    }
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    settle().await;
    assert_eq!(keystone.logins(), 8);
    keystone.usually(Answer::Token);
    pass(9).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    assert_eq!(keystone.logins(), 8, "the pause goes on");
    pass(2).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_pause_for_as_long_as_requests_wait_is_too_long() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    keystone.usually(Answer::RetryAfter("30"));
    assert!(matches!(token(&plugin).await.unwrap_err(), Error::Keystone(_)));
    assert_eq!((keystone.logins(), keystone.time().elapsed()), (1, seconds(0)));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_keystone_has_asked_to_wait_for_has_its_whole_time() {
    let (keystone, plugin) = logged_in().await;
    pass(HOUR - 300).await;
    keystone.then([Answer::RetryAfter("30")]);
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    settle().await;
    let used = plugin.access().await.unwrap();
    tokio::time::sleep(millis(200)).await;
    plugin.invalidate(&used, &nova());
    keystone.usually(Answer::Token.slowly(seconds(9)));
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_in_a_pause_is_asked_for_at_once_or_when_keystone_says() {
    for (failure, waited) in [(Answer::NoConnection, 0..=0), (Answer::RetryAfter("20"), 1..=20)] {
        let (keystone, plugin) = logged_in().await;
        keystone.usually(failure.clone());
        pass(HOUR - 310).await;
        for _ in 0..310 {
            assert_eq!(token(&plugin).await.unwrap(), "token-1");
            pass(1).await;
        }
        let (tries, end) = (keystone.logins(), keystone.time().elapsed());
        keystone.usually(Answer::Token);
        for request in [plugin.access(), plugin.access()] {
            assert_eq!(token_of(request).await.unwrap(), "token-2", "{failure:?}");
        }
        assert_eq!(keystone.logins(), tries + 1, "{failure:?}");
        let waited_for = (keystone.logins_at()[tries] - end).as_secs();
        assert!(waited.contains(&waited_for), "{failure:?}: {waited_for}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_token_ends_in_a_pause_that_is_too_long_to_wait_requests_fail_at_once() {
    for failure in [Answer::RetryAfter("300"), Answer::Status(401)] {
        let (keystone, plugin) = logged_in().await;
        keystone.usually(failure.clone());
        pass(HOUR - 20).await;
        assert_eq!(token(&plugin).await.unwrap(), "token-1");
        settle().await;
        pass(21).await;
        let error = token_at_once(&plugin).expect("nobody waits").unwrap_err();
        assert!(matches!(error, Error::Keystone(_)), "{failure:?}: {error}");
        assert_eq!(keystone.logins(), 2, "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_comes_late_for_its_token_does_not_get_an_expired_one() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let mut late = task::spawn(token(&plugin));
    assert_pending!(late.poll());
    pass(2 * HOUR).await;
    assert_eq!(keystone.logins(), 1);
    assert!(late.is_woken());
    assert_pending!(late.poll());
    settle().await;
    assert_eq!(assert_ready!(late.poll()).unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_set_back_makes_no_token_live_longer() {
    let (keystone, plugin) = logged_in().await;
    keystone.time().step_wall(-7200);
    pass(HOUR - 500).await;
    assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-1");
    pass(500).await;
    assert!(token_at_once(&plugin).is_none());
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_set_forth_costs_one_login() {
    let (keystone, plugin) = logged_in().await;
    pass(60).await;
    keystone.time().step_wall(7200);
    for _ in 0..30 {
        assert_eq!(token(&plugin).await.unwrap(), "token-2");
        pass(100).await;
    }
    assert_eq!(keystone.logins(), 2);
    // And back to what it was.
    keystone.time().step_wall(-7200);
    assert_eq!(token_at_once(&plugin).unwrap().unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_hours_of_sleep_the_token_is_renewed_before_anything_is_sent() {
    let (keystone, plugin) = logged_in().await;
    keystone.time().suspend(seconds(5 * HOUR));
    assert!(plugin.needs_renewal());
    assert!(token_at_once(&plugin).is_none());
    assert_eq!(token(&plugin).await.unwrap(), "token-2");
    assert_eq!(keystone.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_does_not_say_when_it_expires_counts_for_five_minutes() {
    let keystone = Keystone::new();
    keystone.lifetime(None);
    let plugin = keystone.plugin();
    token(&plugin).await.unwrap();
    keystone.usually(Answer::Status(403));
    pass(150).await;
    assert!(!plugin.needs_renewal());
    pass(40).await;
    assert!(plugin.needs_renewal());
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    pass(109).await;
    assert_eq!(token(&plugin).await.unwrap(), "token-1");
    pass(2).await;
    token(&plugin).await.unwrap_err();
    assert_eq!(keystone.logins(), 3);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_live_for_seconds_cause_at_most_six_logins_a_minute() {
    for lifetime in [-1, 0, 1, 5, 9, 10, 15, 19] {
        let keystone = Keystone::new();
        keystone.lifetime(Some(lifetime));
        let plugin = keystone.plugin();
        for _ in 0..600 {
            let brought = token(&plugin).await;
            if lifetime <= 0 {
                assert!(matches!(brought, Err(Error::ExpiredOnArrival)), "{lifetime}: {brought:?}");
            }
            tokio::time::sleep(millis(500)).await;
        }
        let most = most_within_a_minute(&keystone.logins_at());
        assert!((3..=6).contains(&most), "{lifetime}: {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_live_for_seconds_and_are_refused_cause_three_logins_more_at_most() {
    for lifetime in [1, 5] {
        let keystone = Keystone::new();
        keystone.lifetime(Some(lifetime));
        let plugin = keystone.plugin();
        // Half of all tokens are too old when they reach the service.
        for request in 0..1_200 {
            if let Ok(access) = plugin.access().await
                && request % 2 == 0
            {
                plugin.invalidate(&access, &nova());
            }
            tokio::time::sleep(millis(500)).await;
        }
        let most = most_within_a_minute(&keystone.logins_at());
        assert!((3..=6 + 3).contains(&most), "{lifetime}: {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_token_get_it_however_soon_it_expires() {
    let keystone = Keystone::new();
    keystone.lifetime(Some(1));
    let plugin = keystone.plugin();
    let mut both = [task::spawn(token(&plugin)), task::spawn(token(&plugin))];
    both.iter_mut().for_each(|waiting| assert_pending!(waiting.poll()));
    settle().await;
    for waiting in &mut both {
        assert_eq!(assert_ready!(waiting.poll()).unwrap(), "token-1");
    }
    pass(2).await;
    assert!(matches!(token(&plugin).await, Err(Error::ExpiredOnArrival)));
    assert_eq!(keystone.logins(), 1);
}

/// The age in seconds at which the first renewal begins.
async fn first_renewal(seed: u64) -> u64 {
    let keystone = Keystone::new();
    let plugin = keystone.plugin().seed(seed);
    token(&plugin).await.unwrap();
    pass(3160).await;
    while !plugin.needs_renewal() {
        pass(1).await;
    }
    assert_eq!(keystone.logins(), 1);
    keystone.time().elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn the_jitter_of_a_seed_is_repeatable_and_stays_in_its_window() {
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
