//! The clocks of Keystone and of this machine are wrong, stand still or jump.

use serde_json::Value;
use tower::ServiceExt;
use tower_keystone::{AuthMethod, IdentityPlugin, RenewingPlugin, V3Credentials};

use crate::support::*;

cases![
    paused a19_the_clock_of_keystone_may_be_wrong_by_a_day,
    paused a19_a_stored_token_lives_no_longer_than_keystone_said_however_slow_the_clock,
    paused a20_a_wall_clock_that_jumps_costs_one_login_at_most_and_extends_nothing,
    paused a21_after_hours_of_sleep_the_token_is_renewed_before_anything_is_sent,
    paused a22_a_rescoped_token_that_keeps_its_old_expiry_causes_no_loop,
];

/// How many logins it takes to have a request every 30 s for half a day, none of them refused.
async fn logins_of_half_a_day(keystone: &Keystone) -> usize {
    let plugin = keystone.plugin();
    let nova = Nova::new(keystone, || std::time::Duration::ZERO).behind(&plugin);
    for _ in 0..12 * HOUR / 30 {
        assert_eq!(nova.clone().oneshot(get()).await.unwrap().status(), 200);
        pass(30).await;
    }
    keystone.logins()
}

async fn a19_the_clock_of_keystone_may_be_wrong_by_a_day() {
    let right = logins_of_half_a_day(&Keystone::new()).await;
    assert!((13..=15).contains(&right), "{right}");
    for skew in [-86_400, -600, 600, 86_400] {
        let keystone = Keystone::new();
        keystone.skew(skew);
        assert_eq!(logins_of_half_a_day(&keystone).await, right, "{skew}");
    }
}

/// A token that comes from a store was asked for at a time that nobody knows: its expiry counts by the
/// clock of this machine, and its lifetime is the most that it can have left. Where the clock is wrong, a
/// service's 401 mends it.
async fn a19_a_stored_token_lives_no_longer_than_keystone_said_however_slow_the_clock() {
    for slow in [600, 86_400] {
        let keystone = Keystone::new();
        let one = keystone.plugin();
        token(&one).await.unwrap();
        let state = one.auth_state().unwrap();
        keystone.time().step_wall(-slow);
        let other = keystone.plugin();
        other.set_auth_state(Some(&state)).unwrap();
        pass(HOUR - 600).await;
        assert_eq!(token(&other).await.unwrap(), "token-1");
        pass(600).await;
        assert_eq!(token(&other).await.unwrap(), "token-2", "{slow}");
        assert_eq!(keystone.logins(), 2, "{slow}");
    }
    // What is taken for good too long is refused, and costs one login.
    let keystone = Keystone::new();
    let one = keystone.plugin();
    token(&one).await.unwrap();
    let state = one.auth_state().unwrap();
    pass(HOUR + 60).await;
    keystone.time().step_wall(-600);
    let other = keystone.plugin();
    other.set_auth_state(Some(&state)).unwrap();
    let nova = Nova::new(&keystone, || std::time::Duration::ZERO);
    assert_eq!(nova.behind_retry(&other).oneshot(get()).await.unwrap().status(), 200);
    assert_eq!((nova.seen().len(), keystone.logins()), (2, 2));
}

async fn a20_a_wall_clock_that_jumps_costs_one_login_at_most_and_extends_nothing() {
    for (step, logins) in [(-7_200, 1), (7_200, 2)] {
        let keystone = Keystone::new();
        let plugin = keystone.plugin();
        token(&plugin).await.unwrap();
        keystone.time().step_wall(step);
        for _ in 0..30 {
            assert_eq!(token(&plugin).await.unwrap(), format!("token-{logins}"));
            pass(100).await;
        }
        assert_eq!(keystone.logins(), logins, "{step}");
        // The monotonic clock says when the end is.
        pass(HOUR - 3_000).await;
        assert_eq!(token(&plugin).await.unwrap(), format!("token-{}", logins + 1));
        assert_eq!(keystone.logins(), logins + 1, "{step}");
    }
}

async fn a21_after_hours_of_sleep_the_token_is_renewed_before_anything_is_sent() {
    let keystone = Keystone::new();
    let plugin = keystone.plugin();
    let nova = Nova::new(&keystone, || std::time::Duration::ZERO);
    assert_eq!(nova.behind(&plugin).oneshot(get()).await.unwrap().status(), 200);
    keystone.time().suspend(seconds(5 * HOUR));
    assert_eq!(nova.behind(&plugin).oneshot(get()).await.unwrap().status(), 200);
    let seen = nova.seen();
    assert!(seen.len() == 2 && !seen.iter().any(|seen| seen.expired));
    assert_eq!(keystone.logins(), 2);
}

async fn a22_a_rescoped_token_that_keeps_its_old_expiry_causes_no_loop() {
    let time = Time::new();
    let keystone = time.clone();
    let servers = Servers::new(move |_, before| {
        let elapsed = keystone.elapsed().as_secs();
        if elapsed >= HOUR {
            return refusal(401);
        }
        let issued = format!("2027-01-15T08:{:02}:{:02}.000000Z", elapsed / 60, elapsed % 60);
        let document = document_with(&issued, Value::from("2027-01-15T09:00:00.000000Z"));
        token_answer(&format!("token-{}", before + 1), &document)
    });
    let credentials = V3Credentials::new("https://keystone.test/v3", AuthMethod::token("token-0"));
    let plugin = RenewingPlugin::new(credentials, servers.transport()).clock(time.clone()).seed(7);
    while time.elapsed() < seconds(2 * HOUR) {
        let access = plugin.access().await;
        assert_eq!(access.is_ok(), time.elapsed() < seconds(HOUR), "at {:?}", time.elapsed());
        pass(1).await;
    }
    // The last hour's are those after the pauses of a token that is refused: 30 s, then 60 s each.
    assert!(servers.posts().len() <= 25 + 60, "{}", servers.posts().len());
}
