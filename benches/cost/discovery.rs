//! The cost of a request that asks for an API version, by number of cached endpoints.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{Request, Response};
use tower::{BoxError, Layer, Service, service_fn};
use tower_keystone::{AccessInfo, AccessInfoPlugin, AuthLayer, Transport, discovery::Discovery};

use crate::{
    callgrind::{counted, per_call},
    sample::{Body, PATH, TOKEN, document, new_filter},
    table::{Gates, Table, grouped, ratio},
};

const REQUESTS: usize = 1_000;

/// The numbers of endpoints that discovery has found and cached before.
const SIZES: [usize; 2] = [100, 100_000];

const CASES: [(&str, &str); 2] =
    [("known", "a cached endpoint"), ("new", "an endpoint that is not cached yet")];

pub fn run(gates: &mut Gates) {
    println!("A request that asks for an API version: instructions, by number of cached endpoints.\n");
    let mut table = Table::new(&["request for", "cached endpoints", "instructions", "x 100 cached"]);
    for (case, what) in CASES {
        let [few, many] =
            SIZES.map(|endpoints| per_call(&["discovery", case, &endpoints.to_string()], REQUESTS));
        for (endpoints, instructions) in SIZES.into_iter().zip([few, many]) {
            let x_few = instructions / few;
            table.row([what.to_owned(), grouped(endpoints as f64), grouped(instructions), ratio(x_few)]);
        }
        gates.at_most(
            "instructions of a request that asks for an API version, with 100,000 cached endpoints",
            "100 cached endpoints",
            many / few,
            1.1,
        );
    }
    table.print();
}

/// Does the counted work in the child process.
pub fn child(arguments: &[&str], requests: usize) {
    let [case, endpoints] = arguments else { panic!("which case, and how many endpoints") };
    let endpoints: usize = endpoints.parse().expect("a number of endpoints");
    let mut send = client();
    (0..endpoints).for_each(|number| send(request(number)));
    for number in 0..requests {
        let request = request(if *case == "new" { endpoints + number } else { number % endpoints });
        counted(&mut *send, request);
    }
}

/// Each filter asks for a different range of versions, which the URL of the catalog satisfies.
fn request(number: usize) -> Request<Body> {
    let newest = u32::try_from(number).expect("not so many");
    let filter = new_filter().min_version(2, 1).max_version(2, 1 + newest);
    Request::get(PATH).extension(filter).body(Body::default()).expect("a request")
}

fn client() -> Box<dyn FnMut(Request<Body>)> {
    let nobody = service_fn(|_: Request<Body>| {
        ready(Err::<Response<Body>, BoxError>("no request is expected".into()))
    });
    let access_info = AccessInfo::new(TOKEN, document(20)).expect("a document");
    let layer =
        AuthLayer::new(AccessInfoPlugin::new(access_info)).discovery(Discovery::new(Transport::new(nobody)));
    let mut service =
        layer.layer(service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(Response::new(())))));
    Box::new(move |request| {
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(())) = service.poll_ready(&mut cx) else { panic!("the inner service is ready") };
        let Poll::Ready(Ok(_)) = pin!(service.call(request)).poll(&mut cx) else {
            panic!("no version document is requested")
        };
    })
}
