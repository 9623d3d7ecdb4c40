//! A simulated month of faults.

use std::{env, time::Duration};

use tower::{Service, ServiceExt};

use crate::support::*;

const DAYS: u64 = 30;

#[tokio::test(start_paused = true)]
async fn thirty_days_of_faults_lose_requests_only_during_outages() {
    let seed = env::var("SIMULATION_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("SIMULATION_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let keystone = ScriptedKeystone::new();
    let time = keystone.time();
    let plugin = keystone.plugin();
    let nova = ScriptedService::new(&keystone, || Duration::ZERO);
    let mut client = nova.with_auth_and_retry(&plugin);

    let mut down_until = Duration::ZERO;
    let mut back_since = Duration::ZERO;
    let (mut revocations, mut succeeded, mut failed_in_outages) = (0, 0, 0);
    while time.elapsed() < Duration::from_secs(DAYS * 24 * 3600) {
        let now = time.elapsed();
        if now >= down_until && down_until > Duration::ZERO {
            keystone.respond_with(LoginResponse::Token);
            (down_until, back_since) = (Duration::ZERO, now);
        }
        match random.u32(0..20_000) {
            0..40 => {
                down_until = now + seconds(random.u64(1..600));
                keystone.respond_with(match random.u32(0..5) {
                    0 => LoginResponse::Status(503),
                    1 => LoginResponse::RetryAfter("20"),
                    2 => LoginResponse::NoConnection,
                    3 => LoginResponse::Never,
                    _ => LoginResponse::Body("<html>"),
                });
            }
            40..48 => {
                revocations += 1;
                keystone.revoke();
            }
            48..50 => time.step_wall(random.i64(-7200..7200)),
            50..52 => keystone.skew(random.i64(-86_400..86_400)),
            52..92 => {
                keystone.queue_responses([LoginResponse::Token.delayed_by(millis(random.u64(1..9_000)))])
            }
            _ => {}
        }
        let response = client.ready().await.unwrap().call(get()).await;
        // After an outage, the next login is sent at the latest when the back-off is over.
        let is_outage = down_until > Duration::ZERO || time.elapsed() < back_since + seconds(31);
        match response {
            Ok(response) if response.status() == 200 => succeeded += 1,
            response => {
                assert!(is_outage, "lost at {:?}: {response:?}", time.elapsed());
                failed_in_outages += 1;
            }
        }
        for request in nova.take_requests() {
            assert!(!request.token_expired, "an expired token was sent at {:?}", time.elapsed());
        }
        tokio::time::sleep(millis(random.u64(1_000..40_000))).await;
    }

    assert_eq!(keystone.max_concurrent_logins(), 1, "more than one login was in flight");
    let tokens = keystone.issued().len() as u64;
    let needed = DAYS * 24 * 3600 / (3600 - 360 - 72) + 1 + revocations;
    eprintln!(
        "{succeeded} succeeded, {failed_in_outages} failed in outages, {tokens} tokens, {revocations} revocations"
    );
    assert!(succeeded > 100_000, "{succeeded}");
    // Each step of the wall clock can cause one more login.
    assert!(tokens <= needed + 60, "{tokens} tokens, {needed} needed");
}
