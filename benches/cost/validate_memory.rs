//! Memory of cached tokens, and of many requests with new tokens at once.

use crate::{
    many_tokens::{Burst, burst, cached_tokens},
    table::{Gates, Table, grouped},
};

const CACHED: usize = 10_000;
const AT_ONCE: usize = 10_000;
/// Maximum memory of the cached tokens.
const MOST: f64 = 60e6;
/// Validations in flight at most, by default.
const MAX_IN_FLIGHT: f64 = 64.0;

pub fn run(gates: &mut Gates) {
    println!("Memory of {CACHED} cached tokens with catalogs of 20 services, in bytes.\n");
    let memory = cached_tokens(CACHED);
    let mut table = Table::new(&["state", "bytes", "bytes a token"]);
    for (state, bytes) in
        [("cached", memory.cached), ("each caller has made a request on its behalf", memory.used)]
    {
        table.row([state.into(), grouped(bytes as f64), grouped(bytes as f64 / CACHED as f64)]);
    }
    table.print();
    gates.at_most("bytes of 10,000 cached tokens", "", memory.cached as f64, MOST);
    gates.report("bytes after each caller has made a request on its behalf", "", memory.used as f64);

    println!("{AT_ONCE} requests at once with new tokens.\n");
    let mut table =
        Table::new(&["tokens", "204", "401", "503", "validations", "most in flight", "bytes at the peak"]);
    for (name, is_known, tokens) in [("one good token", true, 1), ("different bad tokens", false, AT_ONCE)] {
        let burst = burst(AT_ONCE, tokens, is_known);
        let Burst { accepted, unauthorized, unavailable, validations, most_in_flight, peak } = burst;
        let counts = [accepted, unauthorized, unavailable, validations, most_in_flight, peak];
        let [a, b, c, d, e, f] = counts.map(|count| grouped(count as f64));
        table.row([name.into(), a, b, c, d, e, f]);
        let unanswered = AT_ONCE - accepted - unauthorized - unavailable;
        gates.at_most("requests at once that get no response", "", unanswered as f64, 0.0);
        gates.at_most("validations in flight in such a burst", "", most_in_flight as f64, MAX_IN_FLIGHT);
        match is_known {
            true => {
                gates.at_most("validations of a new token in 10,000 requests", "", validations as f64, 1.0);
                gates.at_most("requests with it that are rejected", "", (AT_ONCE - accepted) as f64, 0.0);
            }
            false => {
                gates.at_most("requests with 10,000 bad tokens that are accepted", "", accepted as f64, 0.0);
                gates.report("of these requests, 503", "", unavailable as f64);
                gates.report("bytes at the peak of 10,000 requests with bad tokens", "", peak as f64);
            }
        }
    }
    table.print();
}

pub fn child(_arguments: &[&str], _goes: usize) {}
