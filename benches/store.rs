//! Processes that share a token by a store: how long requests wait, and how often they log in.
//!
//! ```sh
//! cargo bench --bench store                  # all parts
//! cargo bench --bench store -- kills         # one part: fleet, kills, stopped or hour
//! cargo bench --bench store -- kills valkey  # one store: file, valkey or memcached
//! ```
//!
//! The processes are this program itself, as in `tests/fleet`. The part `hour` has plugins of one process and a clock that
//! is set forward.

#[path = "../tests/fleet/child.rs"]
mod child;
#[allow(dead_code, reason = "tests/fleet uses the other items")]
#[path = "../tests/fleet/fleet.rs"]
mod fleet;
#[allow(dead_code, reason = "tests/store uses the other items")]
#[path = "../tests/store/memcached_process.rs"]
mod memcached_process;
#[allow(dead_code, reason = "tests/store uses the other items")]
#[path = "../tests/store/memcached_server.rs"]
mod memcached_server;
#[allow(dead_code, reason = "tests/fleet uses the other items")]
#[path = "../tests/fleet/place.rs"]
mod place;
#[allow(dead_code, reason = "tests/fleet uses the other items")]
#[path = "../tests/fleet/setup.rs"]
mod setup;
#[allow(dead_code, reason = "tests/store uses the other items")]
#[path = "../tests/store/valkey.rs"]
mod valkey;

use std::{
    env, thread,
    time::{Duration, Instant},
};

use fleet::Done;
use place::Place;
use setup::Setup;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::sleep,
};
use tower_keystone::{
    IdentityPlugin, RenewingPlugin,
    fixture::{Cloud, Fault},
    store::{MemoryStore, SharedTokens, StoreKey},
};

/// Number of times that a process is killed.
const KILLS: usize = 20;

/// Number of processes that share a token with one that is killed or stopped.
const PROCESSES: usize = 20;

/// How long the process is stopped.
const STOPPED: Duration = Duration::from_secs(40);

/// Number of processes that start at once.
const REPLICAS: usize = 100;

/// How long an answer of the store is awaited. The machine is busy when many processes start.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The time of a login that ends with its process.
const NEVER: Duration = Duration::from_secs(600);

type Start = fn() -> Option<Place>;

/// Measures a store of this name.
type Part = fn(&str, &Runtime, Place);

const STORES: [(&str, Start); 3] =
    [("file", || Some(Place::file())), ("valkey", Place::valkey), ("memcached", || Some(Place::memcached()))];

fn main() {
    if env::var_os(child::VARIABLE).is_some() {
        return child::run();
    }
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_named = |name: &str| arguments.iter().any(|argument| argument == name);
    let all_stores = !STORES.iter().any(|(store, _)| is_named(store));
    let all_parts = !["fleet", "kills", "stopped", "hour"].into_iter().any(is_named);
    let parts: [(&str, Part); 3] = [("fleet", fleet), ("kills", kills), ("stopped", stopped)];
    for (part, run) in parts.into_iter().filter(|(part, _)| all_parts || is_named(part)) {
        for (store, start) in STORES.into_iter().filter(|(store, _)| all_stores || is_named(store)) {
            match start() {
                Some(place) => run(store, &Runtime::new().unwrap(), place),
                None => println!("{part}, {store}: skipped, as TOWER_KEYSTONE_NO_CLOUD says"),
            }
        }
    }
    if all_parts || is_named("hour") {
        for hours in [1, 24] {
            for is_shared in [false, true] {
                let logins = logins_of_replicas(hours, is_shared);
                let store = if is_shared { "with a store" } else { "without a store" };
                println!("hour: {REPLICAS} replicas {store}, {hours} h: {logins} logins");
            }
        }
    }
}

/// Processes start at once with an empty store. Then their token is revoked.
fn fleet(store: &str, runtime: &Runtime, place: Place) {
    let mut setup = Setup::new(runtime, &place, ANSWER_TIMEOUT);
    setup.fleet.start(REPLICAS);
    let start = longest_ms(&setup.get_one_each());
    let logins = setup.logins();
    setup.cloud.keystone().revoke_all();
    let revoked = longest_ms(&setup.get_one_each());
    println!(
        "fleet, {store}: {REPLICAS} processes at once: {logins} logins, longest wait {start} ms; \
        token revoked: {} more, {revoked} ms",
        setup.logins() - logins
    );
}

/// The process that logs in for all is killed again and again.
fn kills(store: &str, runtime: &Runtime, mut place: Place) {
    let (mut waits, mut most_logins) = (Vec::new(), 0);
    for _ in 0..KILLS {
        place.clear();
        let mut setup = Setup::with_slow_logins(runtime, &place, ANSWER_TIMEOUT, 1, NEVER);
        let numbers = setup.fleet.start(PROCESSES);
        setup.fleet.send_get(&numbers, 1);
        let holder = setup.wait_login(1);
        setup.fleet.kill(holder);
        waits.push(longest_ms(&setup.wait_done()));
        most_logins = most_logins.max(setup.logins());
    }
    waits.sort_unstable();
    println!(
        "kills, {store}: {KILLS} kills: at most {most_logins} logins each, no request lost, \
        longest wait {} ms (median {} ms)",
        waits[KILLS - 1],
        waits[KILLS / 2]
    );
}

/// The process that logs in for all is stopped, and goes on when another one has published a later token.
fn stopped(store: &str, runtime: &Runtime, place: Place) {
    // The response arrives while the process is stopped, and its token is older than that of the others.
    let mut setup = Setup::with_slow_logins(runtime, &place, ANSWER_TIMEOUT, 1, Duration::from_secs(2));
    let numbers = setup.fleet.start(PROCESSES);
    setup.fleet.send_get(&numbers, 1);
    let holder = setup.wait_login(1);
    setup.fleet.signal(holder, "STOP");
    let stopped_at = Instant::now();
    let others: Vec<_> = numbers.into_iter().filter(|&number| number != holder).collect();
    let done = setup.fleet.wait_done(&others);
    assert!(done.iter().all(|done| done.succeeded == 1), "{done:?}");

    let auth_url = setup.cloud.keystone().auth_url();
    let stored_token = || {
        runtime.block_on(async {
            let tokens = place::open(&place.settings(), ANSWER_TIMEOUT);
            let access_info = tokens.access_info(&child::credentials(&auth_url, "wonderland")).await.unwrap();
            access_info.expect("there is a token").auth_token().unwrap().to_owned()
        })
    };
    let before = stored_token();
    thread::sleep(STOPPED.saturating_sub(stopped_at.elapsed()));
    setup.fleet.signal(holder, "CONT");
    let late = setup.fleet.wait_done(&[holder]);
    assert!(late[0].succeeded == 1, "{late:?}");
    let is_kept = stored_token() == before;
    println!(
        "stopped, {store}: {} logins, longest wait of the others {} ms; the stored token was {}",
        setup.logins(),
        longest_ms(&done),
        if is_kept { "kept" } else { "OVERWRITTEN" }
    );
    assert!(is_kept);
}

/// Returns the longest time that a process waited for a request, in milliseconds.
fn longest_ms(done: &[Done]) -> u64 {
    done.iter().map(|done| done.longest_ms).max().unwrap_or_default()
}

/// Returns the number of logins of replicas that make a request every 10 s. A token lives for an hour.
fn logins_of_replicas(hours: u32, is_shared: bool) -> usize {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
        let time = Duration::from_secs(3600) * hours;
        let login = Fault::latency(Duration::from_millis(300)).only_logins();
        cloud.fail_for("identity", time * 2, login);
        let store = MemoryStore::new();
        let mut replicas = JoinSet::new();
        for number in 0..REPLICAS as u64 {
            let credentials = child::credentials(&cloud.keystone().auth_url(), "wonderland");
            let plugin = RenewingPlugin::new(credentials, cloud.transport())
                .seed(number)
                .clock(cloud.keystone().clock());
            let plugin = match is_shared {
                true => plugin.store(SharedTokens::new(store.clone(), StoreKey::new([7; 32]))),
                false => plugin,
            };
            replicas.spawn(async move {
                let period = Duration::from_secs(10);
                for _ in 0..time.as_secs() / period.as_secs() {
                    plugin.access().await.unwrap();
                    sleep(period).await;
                }
            });
        }
        replicas.join_all().await;
        cloud.keystone().logins()
    })
}
