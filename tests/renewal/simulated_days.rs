//! A simulated month of faults.

use std::{env, time::Duration};

use tower::{Service, ServiceExt};

use crate::support::*;

const DAYS: u64 = 30;

#[tokio::test(start_paused = true)]
async fn thirty_days_of_faults_lose_no_request_that_keystone_could_have_saved() {
    let seed = env::var("SIMULATION_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("SIMULATION_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let keystone = Keystone::new();
    let time = keystone.time();
    let plugin = keystone.plugin();
    let nova = Nova::new(&keystone, || Duration::ZERO);
    let mut behind = nova.behind_retry(&plugin);

    let mut down_until = Duration::ZERO;
    let mut back_since = Duration::ZERO;
    let (mut revocations, mut answered, mut excused) = (0, 0, 0);
    while time.elapsed() < Duration::from_secs(DAYS * 24 * 3600) {
        let now = time.elapsed();
        if now >= down_until && down_until > Duration::ZERO {
            keystone.usually(Answer::Token);
            (down_until, back_since) = (Duration::ZERO, now);
        }
        match random.u32(0..20_000) {
            0..40 => {
                down_until = now + seconds(random.u64(1..600));
                keystone.usually(match random.u32(0..5) {
                    0 => Answer::Status(503),
                    1 => Answer::RetryAfter("20"),
                    2 => Answer::NoConnection,
                    3 => Answer::Hang,
                    _ => Answer::Body("<html>"),
                });
            }
            40..48 => {
                revocations += 1;
                keystone.revoke();
            }
            48..50 => time.step_wall(random.i64(-7200..7200)),
            50..52 => keystone.skew(random.i64(-86_400..86_400)),
            52..92 => Keystone::then(&keystone, [Answer::Token.slowly(millis(random.u64(1..9_000)))]),
            _ => {}
        }
        let answer = behind.ready().await.unwrap().call(get()).await;
        // After an outage the next login comes when the pause is over, at the latest.
        let excuse = down_until > Duration::ZERO || time.elapsed() < back_since + seconds(31);
        match answer {
            Ok(answer) if answer.status() == 200 => answered += 1,
            answer => {
                assert!(excuse, "lost at {:?}: {answer:?}", time.elapsed());
                excused += 1;
            }
        }
        for seen in nova.seen() {
            assert!(!seen.expired, "an expired token was sent at {:?}", time.elapsed());
        }
        tokio::time::sleep(millis(random.u64(1_000..40_000))).await;
    }

    assert_eq!(keystone.at_once(), 1, "never two flights at once");
    let tokens = keystone.issued().len() as u64;
    let needed = DAYS * 24 * 3600 / (3600 - 360 - 72) + 1 + revocations;
    eprintln!("{answered} answered, {excused} during outages, {tokens} tokens for {revocations} revocations");
    assert!(answered > 100_000, "{answered}");
    // A clock set forth costs a login more than it saves.
    assert!(tokens <= needed + 60, "{tokens} tokens, {needed} needed");
}
