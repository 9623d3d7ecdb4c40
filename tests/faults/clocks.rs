//! The clocks of Keystone and of the client machine are wrong, stand still or are stepped.

use serde_json::Value;
use tower::ServiceExt;
use tower_keystone::{AuthMethod, IdentityPlugin, RenewingPlugin, V3Credentials};

use crate::support::*;

cases![
    paused a19_a_keystone_clock_that_is_wrong_by_a_day_causes_no_more_logins,
    paused a19_a_slow_clock_does_not_extend_the_lifetime_of_a_restored_token,
    paused a20_a_step_of_the_wall_clock_causes_at_most_one_login_and_extends_no_token,
    paused a21_after_hours_of_suspend_the_token_is_renewed_before_a_request_is_sent,
    paused a22_a_rescoped_token_that_keeps_its_old_expiry_causes_no_login_loop,
];

/// Sends a request every 30 s for half a day, and asserts that all succeed. Returns the number of logins.
async fn logins_of_half_a_day(keystone: &ScriptedKeystone) -> usize {
    let plugin = keystone.plugin();
    let nova = ScriptedService::new(keystone, || std::time::Duration::ZERO).with_auth(&plugin);
    for _ in 0..12 * HOUR / 30 {
        assert_eq!(nova.clone().oneshot(get()).await.unwrap().status(), 200);
        sleep_secs(30).await;
    }
    keystone.logins()
}

async fn a19_a_keystone_clock_that_is_wrong_by_a_day_causes_no_more_logins() {
    let expected = logins_of_half_a_day(&ScriptedKeystone::new()).await;
    assert!((13..=15).contains(&expected), "{expected}");
    for skew in [-86_400, -600, 600, 86_400] {
        let keystone = ScriptedKeystone::new();
        keystone.skew(skew);
        assert_eq!(logins_of_half_a_day(&keystone).await, expected, "{skew}");
    }
}

/// The time at which a restored token was requested is unknown. So its expiry is compared with the local clock, and
/// its remaining lifetime is limited to its full lifetime. If the local clock is wrong, a 401 causes a new login.
async fn a19_a_slow_clock_does_not_extend_the_lifetime_of_a_restored_token() {
    for slow in [600, 86_400] {
        let keystone = ScriptedKeystone::new();
        let one = keystone.plugin();
        token(&one).await.unwrap();
        let state = one.auth_state().unwrap();
        keystone.time().step_wall(-slow);
        let other = keystone.plugin();
        other.set_auth_state(Some(&state)).unwrap();
        sleep_secs(HOUR - 600).await;
        assert_eq!(token(&other).await.unwrap(), "token-1");
        sleep_secs(600).await;
        assert_eq!(token(&other).await.unwrap(), "token-2", "{slow}");
        assert_eq!(keystone.logins(), 2, "{slow}");
    }
    // A token that is used for too long is rejected by the service, which causes one login.
    let keystone = ScriptedKeystone::new();
    let one = keystone.plugin();
    token(&one).await.unwrap();
    let state = one.auth_state().unwrap();
    sleep_secs(HOUR + 60).await;
    keystone.time().step_wall(-600);
    let other = keystone.plugin();
    other.set_auth_state(Some(&state)).unwrap();
    let nova = ScriptedService::new(&keystone, || std::time::Duration::ZERO);
    assert_eq!(nova.with_auth_and_retry(&other).oneshot(get()).await.unwrap().status(), 200);
    assert_eq!((nova.take_requests().len(), keystone.logins()), (2, 2));
}

async fn a20_a_step_of_the_wall_clock_causes_at_most_one_login_and_extends_no_token() {
    for (step, logins) in [(-7_200, 1), (7_200, 2)] {
        let keystone = ScriptedKeystone::new();
        let plugin = keystone.plugin();
        token(&plugin).await.unwrap();
        keystone.time().step_wall(step);
        for _ in 0..30 {
            assert_eq!(token(&plugin).await.unwrap(), format!("token-{logins}"));
            sleep_secs(100).await;
        }
        assert_eq!(keystone.logins(), logins, "{step}");
        // The monotonic clock determines the expiry.
        sleep_secs(HOUR - 3_000).await;
        assert_eq!(token(&plugin).await.unwrap(), format!("token-{}", logins + 1));
        assert_eq!(keystone.logins(), logins + 1, "{step}");
    }
}

async fn a21_after_hours_of_suspend_the_token_is_renewed_before_a_request_is_sent() {
    let keystone = ScriptedKeystone::new();
    let plugin = keystone.plugin();
    let nova = ScriptedService::new(&keystone, || std::time::Duration::ZERO);
    assert_eq!(nova.with_auth(&plugin).oneshot(get()).await.unwrap().status(), 200);
    keystone.time().suspend(seconds(5 * HOUR));
    assert_eq!(nova.with_auth(&plugin).oneshot(get()).await.unwrap().status(), 200);
    let requests = nova.take_requests();
    assert!(requests.len() == 2 && !requests.iter().any(|request| request.token_expired));
    assert_eq!(keystone.logins(), 2);
}

async fn a22_a_rescoped_token_that_keeps_its_old_expiry_causes_no_login_loop() {
    let time = SimulatedTime::new();
    let keystone = time.clone();
    let servers = Servers::new(move |_, before| {
        let elapsed = keystone.elapsed().as_secs();
        if elapsed >= HOUR {
            return keystone_error(401);
        }
        let issued = format!("2027-01-15T08:{:02}:{:02}.000000Z", elapsed / 60, elapsed % 60);
        let document = document_with(&issued, Value::from("2027-01-15T09:00:00.000000Z"));
        token_response(&format!("token-{}", before + 1), &document)
    });
    let credentials = V3Credentials::new("https://keystone.test/v3", AuthMethod::token("token-0"));
    let plugin = RenewingPlugin::new(credentials, servers.transport()).clock(time.clone()).seed(7);
    while time.elapsed() < seconds(2 * HOUR) {
        let access = plugin.access().await;
        assert_eq!(access.is_ok(), time.elapsed() < seconds(HOUR), "at {:?}", time.elapsed());
        sleep_secs(1).await;
    }
    // In the last hour, logins are rejected and follow after delays of 30 s, then 60 s each.
    assert!(servers.posts().len() <= 25 + 60, "{}", servers.posts().len());
}
