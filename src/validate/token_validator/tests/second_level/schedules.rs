//! Random schedules: requests, revocations, restarts of replicas, losses of the store, and late writes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::{super::stub::*, fleet::*};

const TOKENS: [&str; 3] = ["a", "b", "c"];

/// What Keystone says about each token, and when the last question was sent that it confirmed.
struct World {
    is_revoked: [bool; 3],
    confirmed: [Option<Instant>; 3],
}

fn number(token: &str) -> usize {
    TOKENS.iter().position(|text| *text == token).unwrap()
}

async fn run(seed: u64) -> [usize; 3] {
    let mut rng = Rng::with_seed(seed);
    let world = Arc::new(Mutex::new(World { is_revoked: [false; 3], confirmed: [None; 3] }));
    let latency = Duration::from_millis(rng.u64(1..3_000));
    let keystone = Arc::clone(&world);
    let fleet = Fleet::new(Stub::new(move |asked| {
        let mut world = keystone.lock().unwrap();
        let token = asked.subject.as_deref().unwrap();
        match world.is_revoked[number(token)] {
            true => Reply::Error(404),
            false => {
                world.confirmed[number(token)] = Some(Instant::now() - latency);
                Reply::Document(document(token, 12 * 3_600 - 1))
            }
        }
    }));
    fleet.stub.set_latency(latency);
    let mut replicas = fleet.replicas::<3>();
    let mut old_records = Vec::new();
    let mut requests = Vec::new();
    let [mut accepted, mut rejected] = [0, 0];
    for _ in 0..150 {
        match rng.u32(0..100) {
            0..60 => {
                let (replica, token) =
                    (rng.choice(&replicas).unwrap().clone(), *rng.choice(&TOKENS).unwrap());
                let world = Arc::clone(&world);
                requests.push(tokio::spawn(async move {
                    let outcome = validate(&replica, token).await;
                    let world = world.lock().unwrap();
                    let age = world.confirmed[number(token)].map(|confirmed| confirmed.elapsed());
                    match outcome {
                        "valid" => {
                            assert!(age.is_some_and(|age| age < LIFETIME), "seed {seed}: {token} {age:?}")
                        }
                        "unknown" => assert!(world.is_revoked[number(token)], "seed {seed}: {token} is good"),
                        other => panic!("seed {seed}: {other}"),
                    }
                    outcome == "valid"
                }));
            }
            60..62 => world.lock().unwrap().is_revoked[rng.usize(0..3)] = true,
            62..66 => replicas[rng.usize(0..3)] = fleet.replica(),
            66..68 => fleet.store.clear(),
            68..72 => old_records.extend(fleet.store.records()),
            72..76 => {
                if let Some((name, (record, left))) = rng.choice(&old_records).cloned() {
                    fleet.store.put(&name, record, left + LIFETIME);
                }
            }
            76..80 => fleet.store.set(*rng.choice(&[Mode::Down, Mode::Hang]).unwrap()),
            80..84 => fleet.store.set(Mode::Late(Duration::from_millis(rng.u64(1..100)))),
            84..88 => fleet.store.set(Mode::Forgotten(Duration::from_millis(rng.u64(1..150_000)))),
            _ => fleet.store.set(Mode::Up),
        }
        sleep(Duration::from_millis(rng.u64(0..8_000))).await;
    }
    for request in requests {
        *(if request.await.unwrap() { &mut accepted } else { &mut rejected }) += 1;
    }
    [accepted, rejected, replicas.iter().map(store_hits).sum::<u64>() as usize]
}

#[tokio::test(start_paused = true)]
async fn no_schedule_makes_a_revoked_token_valid_beyond_its_lifetime() {
    let mut sums = [0; 3];
    for seed in 0..60 {
        let counts = run(seed).await;
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    assert!(sums.iter().all(|sum| *sum > 100), "{sums:?}");
}
