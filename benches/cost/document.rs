//! Reading token documents and looking up endpoints, compared with serde_json.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::Value;
use tower_keystone::{AccessInfo, EndpointFilter};

use crate::{
    callgrind::{counted, per_call},
    counting::{allocations, held},
    sample::{ENDPOINT, REGION, SERVICE_TYPE, TOKEN, document, new_filter},
    table::{Gates, Table, grouped, ratio},
};

const SIZES: [usize; 2] = [20, 1_000];
/// Maximum allocations of an access info, compared with a `Value`.
const MOST: f64 = 0.6;

/// The type that a document is read into.
trait Read: Sized + 'static {
    const NAME: &str;

    fn read(document: &str) -> Self;

    /// Returns the URL of the public endpoint of a service in a region.
    fn lookup<'a>(&'a self, filter: &EndpointFilter, service_type: &str, region: &str) -> Option<&'a str>;
}

pub fn run(gates: &mut Gates) {
    println!(
        "Reading a token document: instructions, allocations, time (including the drop), and memory in use.\n"
    );
    let headers =
        ["into", "services", "instructions", "x Value", "allocations", "x Value", "time", "x Value"];
    let mut table = Table::new(&[&headers[..], &["bytes in use"]].concat());
    for services in SIZES {
        let document = document(services);
        let [value, typed, access_info] = times(&document);
        let value = Cost::of::<Value>(&document, services, value);
        let typed = Cost::of::<Typed>(&document, services, typed);
        let access_info = Cost::of::<AccessInfo>(&document, services, access_info);
        for cost in [&value, &typed, &access_info] {
            cost.row(&mut table, &value);
        }
        let compared_with = "serde_json::Value";
        let [instructions, allocations, time] = access_info.compared_with(&value);
        let read = |figure| format!("{figure} to read a document of {} services", grouped(services as f64));
        gates.report(&read("instructions"), compared_with, instructions);
        gates.at_most(&read("allocations"), compared_with, allocations, MOST);
        gates.report(&read("time"), compared_with, time);
    }
    table.print();

    println!("Looking up an endpoint by service type, region and interface.\n");
    let mut table = Table::new(&["in", "services", "instructions", "x Value", "allocations"]);
    for services in SIZES {
        let document = document(services);
        let (value, _) = lookup::<Value>(&mut table, &document, services, None);
        lookup::<Typed>(&mut table, &document, services, Some(value));
        let (_, allocations) = lookup::<AccessInfo>(&mut table, &document, services, Some(value));
        gates.at_most("allocations of an endpoint lookup", "", allocations, 0.0);
    }
    table.print();
}

/// Does the counted work in the child process.
pub fn child(arguments: &[&str], goes: usize) {
    let [what, into, services] = arguments else { panic!("what, into and services") };
    let document = document(services.parse().expect("a number of services"));
    match *into {
        Value::NAME => count::<Value>(what, &document, goes),
        Typed::NAME => count::<Typed>(what, &document, goes),
        AccessInfo::NAME => count::<AccessInfo>(what, &document, goes),
        other => panic!("{other} is not a type that documents are read into"),
    }
}

fn count<R: Read>(what: &str, document: &str, goes: usize) {
    if what == "read" {
        drop(R::read(document));
        for _ in 0..goes {
            drop(counted(&mut R::read, document));
        }
        return;
    }
    let read = R::read(document);
    let filter = new_filter();
    let mut lookup = |filter| read.lookup(filter, black_box(SERVICE_TYPE), black_box(REGION)).map(str::len);
    for _ in 0..goes {
        assert_eq!(counted(&mut lookup, &filter), Some(ENDPOINT.len()));
    }
}

/// Returns the time to read a document into each type and to drop it: medians of alternating rounds.
fn times(document: &str) -> [Duration; 3] {
    fn time<R: Read>(document: &str) -> Duration {
        let started = Instant::now();
        drop(black_box(R::read(document)));
        started.elapsed()
    }
    let rounds = 10_000_000 / document.len() + 9;
    let times = [time::<Value>, time::<Typed>, time::<AccessInfo>];
    let mut took = times.map(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        times.iter().zip(&mut took).for_each(|(time, took)| took.push(time(document)));
    }
    took.map(|mut took| {
        took.sort_unstable();
        took[took.len() / 2]
    })
}

struct Cost {
    name: &'static str,
    services: usize,
    instructions: f64,
    allocations: f64,
    time: Duration,
    held: usize,
}

impl Cost {
    fn of<R: Read>(document: &str, services: usize, time: Duration) -> Self {
        Self {
            name: R::NAME,
            services,
            instructions: per_call(&["document", "read", R::NAME, &services.to_string()], 2),
            allocations: allocations(|| R::read(document)) as f64,
            time,
            held: held(|| R::read(document)),
        }
    }

    /// Returns instructions, allocations and time, divided by those of another.
    fn compared_with(&self, other: &Self) -> [f64; 3] {
        [
            self.instructions / other.instructions,
            self.allocations / other.allocations,
            self.time.as_secs_f64() / other.time.as_secs_f64(),
        ]
    }

    fn row(&self, table: &mut Table, value: &Self) {
        let [x_instructions, x_allocations, x_time] = self.compared_with(value).map(ratio);
        table.row([
            self.name.to_owned(),
            self.services.to_string(),
            grouped(self.instructions),
            x_instructions,
            grouped(self.allocations),
            x_allocations,
            format!("{:.0} us", self.time.as_secs_f64() * 1e6),
            x_time,
            grouped(self.held as f64),
        ]);
    }
}

/// Returns the instructions and allocations of a lookup.
fn lookup<R: Read>(table: &mut Table, document: &str, services: usize, value: Option<f64>) -> (f64, f64) {
    let instructions = per_call(&["document", "lookup", R::NAME, &services.to_string()], 100);
    let read = R::read(document);
    let filter = new_filter();
    let allocations = allocations(|| read.lookup(&filter, SERVICE_TYPE, REGION)) as f64;
    table.row([
        R::NAME.to_owned(),
        services.to_string(),
        grouped(instructions),
        ratio(instructions / value.unwrap_or(instructions)),
        grouped(allocations),
    ]);
    (instructions, allocations)
}

impl Read for AccessInfo {
    const NAME: &str = "AccessInfo";

    fn read(document: &str) -> Self {
        Self::new(TOKEN, document).expect("a token document")
    }

    fn lookup<'a>(&'a self, filter: &EndpointFilter, _: &str, _: &str) -> Option<&'a str> {
        self.service_catalog().url_for(filter).ok()
    }
}

impl Read for Value {
    const NAME: &str = "serde_json::Value";

    fn read(document: &str) -> Self {
        serde_json::from_str(document).expect("a document")
    }

    fn lookup<'a>(&'a self, _: &EndpointFilter, service_type: &str, region: &str) -> Option<&'a str> {
        let catalog = self["token"]["catalog"].as_array()?;
        let of_type = catalog.iter().filter(|service| service["type"] == service_type);
        let mut endpoints = of_type.filter_map(|service| service["endpoints"].as_array()).flatten();
        let fits = |endpoint: &&Value| endpoint["interface"] == "public" && endpoint["region_id"] == region;
        endpoints.find(fits)?["url"].as_str()
    }
}

/// Structs as a program would derive them with serde, with the members that most programs need.
#[derive(Deserialize)]
struct Typed {
    token: Token,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Token {
    user: Named,
    project: Option<Named>,
    #[serde(default)]
    roles: Vec<Role>,
    methods: Vec<String>,
    expires_at: String,
    issued_at: String,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Named {
    id: String,
    name: String,
    domain: Role,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Role {
    id: String,
    name: String,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Service {
    id: String,
    #[serde(rename = "type")]
    service_type: String,
    name: String,
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Endpoint {
    id: String,
    interface: String,
    region: String,
    region_id: String,
    url: String,
}

impl Read for Typed {
    const NAME: &str = "derived structs";

    fn read(document: &str) -> Self {
        serde_json::from_str(document).expect("a document")
    }

    fn lookup<'a>(&'a self, _: &EndpointFilter, service_type: &str, region: &str) -> Option<&'a str> {
        let of_type = self.token.catalog.iter().filter(|service| service.service_type == service_type);
        let mut endpoints = of_type.flat_map(|service| &service.endpoints);
        let fits = |endpoint: &&Endpoint| endpoint.interface == "public" && endpoint.region_id == region;
        Some(&endpoints.find(fits)?.url)
    }
}
