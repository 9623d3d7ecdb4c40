//! The validation of a cached token within the process, compared with a layer written by hand.
//!
//! The instructions do not include the hash of the token, which has a row of its own: callgrind does not know the
//! instructions that processors have for it.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum::extract::FromRequestParts;
use http::{HeaderValue, Request, Response, StatusCode, request::Parts};
use tower::{Layer, Service, ServiceExt};
use tower_keystone::{AccessInfo, Caller, RequireLayer, Validation};

use crate::{
    callgrind::{counted, per_call},
    counting::allocations,
    hand_written::{HandWritten, Tokens},
    keystone::{documents, layer, token},
    peers::X_AUTH_TOKEN,
    sample::Body,
    table::{Gates, Table, grouped, ratio},
};

const REQUESTS: usize = 1_000;
const HAND_WRITTEN: &str = "layer written by hand";
/// Maximum instructions of a cached validation, compared with the layer written by hand.
const MOST: f64 = 1.5;
/// Maximum instructions with more cached tokens, compared with 100.
const MOST_FLAT: f64 = 1.05;
/// The tokens of the requests have the numbers below this one.
const USED: usize = 100;
/// The number of a token that Keystone does not know.
const UNKNOWN: usize = 99_999_999;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Bare,
    Hash,
    HandWritten,
    Validate,
    ForgedHeaders,
    ServiceToken,
    IdentityHeaders,
    AnyRole,
    Extractor,
    Unknown,
}

/// The cases, with the number of cached tokens and of hashes for each request.
const CASES: [(Case, &str, usize, usize); 10] = [
    (Case::HandWritten, HAND_WRITTEN, 100, 1),
    (Case::Validate, "ValidateTokenLayer", 100, 1),
    (Case::Validate, "ValidateTokenLayer", 10_000, 1),
    (Case::Validate, "ValidateTokenLayer", 100_000, 1),
    (Case::ForgedHeaders, "with two forged headers", 100, 1),
    (Case::ServiceToken, "with a service token", 100, 2),
    (Case::IdentityHeaders, "with identity_headers", 100, 1),
    (Case::AnyRole, "with RequireLayer::any_role inside", 100, 1),
    (Case::Extractor, "with the axum extractor inside", 100, 1),
    (Case::Unknown, "a cached unknown token: 401", 100, 2),
];

pub fn run(gates: &mut Gates) {
    println!(
        "The validation of a cached token within the process: instructions and allocations beyond those of the bare \
         service, without the hash of the token.\n"
    );
    let count = |case: Case, tokens: usize| {
        let of_case = [format!("{case:?}"), tokens.to_string()];
        let of_case = of_case.each_ref().map(String::as_str);
        per_call(&[&["validate"], &of_case[..]].concat(), REQUESTS)
    };
    let hash = count(Case::Hash, 0);
    let bare = (count(Case::Bare, 0), count_allocations(Case::Bare, 0));
    let mut table =
        Table::new(&["request", "cached tokens", "instructions", "x hand-written", "allocations"]);
    table.row(["the hash of a token".into(), String::new(), grouped(hash), String::new(), "0".into()]);
    gates.report("instructions of the hash of a token", "", hash);
    let (mut hand_written, mut of_100) = (None, None);
    for (case, name, tokens, hashes) in CASES {
        let instructions = count(case, tokens) - bare.0 - hashes as f64 * hash;
        // The cases with more tokens allocate the same, and filling their caches takes long.
        let allocations = (tokens <= 100).then(|| count_allocations(case, tokens) - bare.1);
        let (of_hand_written, allocated_by_hand) =
            *hand_written.get_or_insert((instructions, allocations.unwrap_or(0.0)));
        let compared = instructions / of_hand_written;
        table.row([
            name.to_owned(),
            grouped(tokens as f64),
            grouped(instructions),
            ratio(compared),
            allocations.map_or(String::new(), |allocations| format!("{allocations:.1}")),
        ]);
        match case {
            Case::Bare | Case::Hash | Case::HandWritten => {}
            Case::Validate => {
                gates.at_most("instructions of a cached validation", HAND_WRITTEN, compared, MOST);
                if let Some(allocations) = allocations {
                    let beyond = allocations - allocated_by_hand;
                    gates.at_most(
                        "allocations of a cached validation, beyond those of the layer written by hand",
                        "",
                        beyond,
                        0.0,
                    );
                }
                let flat = instructions / *of_100.get_or_insert(instructions);
                gates.at_most(
                    "instructions with up to 100,000 cached tokens",
                    "100 cached tokens",
                    flat,
                    MOST_FLAT,
                );
            }
            _ => {
                gates.report(&format!("instructions of a cached validation, {name}"), HAND_WRITTEN, compared)
            }
        }
    }
    table.print();
}

/// Does the counted work in the child process.
pub fn child(arguments: &[&str], requests: usize) {
    let (case, tokens) = parse(arguments);
    if case == Case::Hash {
        let hasher = Tokens::new(1);
        let mut hash = |token: String| black_box(hasher.key(token.as_bytes()));
        for number in 0..requests {
            let token = token(number);
            counted(&mut hash, token);
        }
        return;
    }
    let (mut client, request) = client_of(case, tokens);
    for number in 0..requests {
        let request = request(number);
        counted(&mut *client, request);
    }
}

/// Returns a function that sends a request to a service with this many cached tokens.
pub fn cached_requests(tokens: usize) -> impl FnMut(usize) {
    let (mut client, request) = client_with(Case::Validate, tokens, tokens);
    move |number| client(request(number))
}

fn parse(arguments: &[&str]) -> (Case, usize) {
    let [case, tokens] = arguments else { panic!("a case and a number of tokens") };
    let all = [Case::Bare, Case::Hash].into_iter().chain(CASES.into_iter().map(|(case, ..)| case));
    let case = all.into_iter().find(|known| format!("{known:?}") == *case).expect("a case");
    (case, tokens.parse().expect("a number of tokens"))
}

fn count_allocations(case: Case, tokens: usize) -> f64 {
    let (mut client, request) = client_of(case, tokens);
    let counted = (0..REQUESTS).map(|number| {
        let request = request(number);
        allocations(|| client(request))
    });
    counted.sum::<usize>() as f64 / REQUESTS as f64
}

/// Returns a client of a service with this many cached tokens, and its requests.
fn client_of(case: Case, tokens: usize) -> (Client, impl Fn(usize) -> Request<Body> + use<>) {
    client_with(case, tokens, USED)
}

/// The same for requests with the first `used` tokens.
fn client_with(case: Case, tokens: usize, used: usize) -> (Client, impl Fn(usize) -> Request<Body> + use<>) {
    let request = move |number: usize| request(case, number, used);
    let validate = documents(0);
    let known = move |token: &str| if token.ends_with("99999999") { None } else { validate(token) };
    let layer = layer(known).cache_capacity(2 * tokens.max(1), 1 << 30);
    let mut client = match case {
        Case::Bare | Case::Hash => client(Inner { extract: false }),
        Case::HandWritten => {
            let (cache, document) = (Tokens::new(2 * tokens), documents(0));
            for number in 0..tokens {
                let token = token(number);
                let access_info = AccessInfo::new(&*token, document(&token).expect("a document"));
                cache.insert(&token, access_info.expect("a document"));
            }
            client(HandWritten::new(cache, Inner { extract: false }))
        }
        Case::IdentityHeaders => filled(layer.identity_headers().layer(Inner { extract: false }), tokens),
        Case::AnyRole => {
            let require = RequireLayer::any_role(["admin", "member"]);
            filled(layer.layer(require.layer(Inner { extract: false })), tokens)
        }
        Case::Extractor => filled(layer.layer(Inner { extract: true }), tokens),
        _ => filled(layer.layer(Inner { extract: false }), tokens),
    };
    EXPECTED.set(if case == Case::Unknown { StatusCode::UNAUTHORIZED } else { StatusCode::OK });
    CHECKING.set(true);
    for number in 0..used {
        client(request(number));
    }
    CHECKING.set(false);
    (client, request)
}

fn request(case: Case, number: usize, used: usize) -> Request<Body> {
    let user = if case == Case::Unknown { UNKNOWN } else { number % used };
    let value = |number| HeaderValue::try_from(token(number)).expect("a token");
    let mut request = Request::get("/v1/items?limit=9")
        .header("host", "inventory.example.com:9876")
        .header("user-agent", "openstacksdk/4.0.0 keystoneauth1/5.18.1")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, deflate")
        .header(X_AUTH_TOKEN, value(user));
    if case == Case::ServiceToken {
        request = request.header("x-service-token", value((user + 1) % used));
    }
    if case == Case::ForgedHeaders {
        request = request.header("x-roles", "admin").header("x_user_id", "0123456789abcdef");
    }
    request.body(Body::default()).expect("a request")
}

/// Returns a client of a service after one request with each of these tokens, and with an unknown one.
fn filled<S>(service: S, tokens: usize) -> Client
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for number in (0..tokens).chain([UNKNOWN]) {
            let request = Request::get("/").header(X_AUTH_TOKEN, token(number)).body(Body::default());
            let response = service.clone().oneshot(request.expect("a request")).await.expect("a response");
            let expected = if number == UNKNOWN { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
            assert_eq!(response.status(), expected, "{number}");
        }
    });
    client(service)
}

/// Sends one request and drops its response.
type Client = Box<dyn FnMut(Request<Body>)>;

fn client<S>(mut service: S) -> Client
where
    S: Service<Request<Body>, Response = Response<Body>> + 'static,
{
    Box::new(move |request| {
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(())) = service.poll_ready(&mut cx) else { panic!("the inner service is ready") };
        let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut cx) else {
            panic!("the token is cached")
        };
        if CHECKING.get() {
            assert_eq!(response.status(), EXPECTED.get());
        }
        drop(black_box(response));
    })
}

thread_local! {
    static CHECKING: Cell<bool> = const { Cell::new(false) };
    static EXPECTED: Cell<StatusCode> = const { Cell::new(StatusCode::OK) };
}

/// Responds immediately.
#[derive(Clone)]
struct Inner {
    /// Whether it extracts the caller first.
    extract: bool,
}

impl Service<Request<Body>> for Inner {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if CHECKING.get() {
            check(&request);
        }
        match self.extract {
            false => drop(black_box(request)),
            true => {
                let (mut parts, body) = request.into_parts();
                let caller = extract(&mut parts);
                drop(black_box((caller, parts, body)));
            }
        }
        ready(Ok(Response::new(Body::default())))
    }
}

fn extract(parts: &mut Parts) -> Caller {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(Caller::from_request_parts(parts, &())).poll(&mut cx) {
        Poll::Ready(caller) => caller.expect("a caller"),
        Poll::Pending => panic!("nothing to wait for"),
    }
}

/// Checks that the caller is known, if the layer is there, and that no forged header is.
fn check(request: &Request<Body>) {
    let Some(validation) = request.extensions().get::<Validation>() else { return };
    let caller = validation.caller().expect("a caller");
    assert_eq!(caller.access_info().username(), Some("alice"));
    assert_eq!(caller.service().is_some(), request.headers().contains_key("x-service-token"));
    assert!(!request.headers().contains_key("x_user_id"));
}
