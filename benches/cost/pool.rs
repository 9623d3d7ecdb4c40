//! Lookups in a `PluginPool`, by number of plugins.

use std::{hint::black_box, sync::Arc};

use tower_keystone::PluginPool;

use crate::{
    callgrind::{counted, per_call},
    counting::allocations,
    table::{Gates, Table, grouped, ratio},
};

const SIZES: [usize; 3] = [100, 10_000, 100_000];
const CALLS: [&str; 2] = ["hit", "miss"];
const GOES: usize = 1_000;
/// Maximum instructions of a lookup, compared with the cheapest smaller pool.
const MOST: f64 = 1.25;

type Pool = PluginPool<String, Arc<()>>;

pub fn run(gates: &mut Gates) {
    println!(
        "A lookup in a full `PluginPool`: a key in the pool (hit), and a new one that evicts a plugin (miss).\n"
    );
    let mut table = Table::new(&["lookup", "plugins", "instructions", "x smaller pool", "allocations"]);
    for call in CALLS {
        let mut least = f64::INFINITY;
        for size in SIZES {
            let instructions = per_call(&["pool", call, &size.to_string()], GOES);
            least = least.min(instructions);
            let (pool, mut keys) = (full(size), keys(call, size));
            let allocated: usize =
                (0..GOES).map(|_| keys.next().map_or(0, |key| allocations(|| get(&pool, key)))).sum();
            let times = instructions / least;
            gates.at_most(
                &format!("instructions of a {call} in a pool of up to 100,000 plugins"),
                "smaller pool",
                times,
                MOST,
            );
            table.row([
                call.to_owned(),
                grouped(size as f64),
                grouped(instructions),
                ratio(times),
                format!("{:.1}", allocated as f64 / GOES as f64),
            ]);
        }
    }
    table.print();
}

/// Does the counted work in the child process.
pub fn child(arguments: &[&str], goes: usize) {
    let [call, size] = arguments else { panic!("a call and a size") };
    let size = size.parse().expect("a number of plugins");
    let pool = full(size);
    let mut call_of_pool = |key| get(&pool, key);
    for key in keys(call, size).take(goes) {
        black_box(counted(&mut call_of_pool, key));
    }
}

fn get(pool: &Pool, key: String) -> Arc<()> {
    pool.get_or_insert_with(key, || Arc::new(()))
}

/// Returns a pool whose plugins are in use, after others were evicted.
fn full(size: usize) -> Pool {
    let pool = Pool::new(size);
    for key in (0..size).chain(0..size).chain(size..2 * size) {
        get(&pool, key.to_string());
    }
    pool
}

fn keys(call: &str, size: usize) -> impl Iterator<Item = String> {
    // Keys in the middle, all with the same number of digits.
    let first = if call == "hit" { size / 2 } else { 10 * size };
    let within = if call == "hit" { size / 3 } else { usize::MAX };
    (0..GOES).map(move |number| (first + number % within).to_string())
}
