//! The way of a request within the process, beside the bare service, a static header, the limit, and the
//! form that other clients have.

use std::{
    cell::Cell,
    collections::HashMap,
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{HeaderValue, Request, Response, Uri};
use tower::{Service, ServiceBuilder, retry::RetryLayer};
use tower_http::auth::AddAuthorizationLayer;
use tower_keystone::{AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter, IdentityPlugin, ReauthPolicy};

use crate::{
    callgrind::{counted, per_call},
    counting::allocations,
    peers::{Limit, Snapshot, X_AUTH_TOKEN, async_filter},
    sample::{Body, ENDPOINT, PATH, TOKEN, document, filter, new_filter, renewing},
    table::{Gate, Table, grouped, ratio},
};

const REQUESTS: usize = 1_000;
/// What a request goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stack {
    Bare,
    AddAuthorization,
    Limit,
    LimitAndClone,
    AsyncFilter,
    AccessInfo,
    Renewing,
    ReauthAccessInfo,
    ReauthRenewing,
}

/// What the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Relative,
    Absolute,
    /// Relative, with an `EndpointFilter` of its own, a clone of one; the layer has none.
    Filter,
    /// The same with a filter that was made for this request.
    NewFilter,
}

const STACKS: [(Stack, &str); 9] = [
    (Stack::Bare, "the bare service"),
    (Stack::AddAuthorization, "AddAuthorization"),
    (Stack::Limit, "the limit"),
    (Stack::LimitAndClone, "the limit, a clone of the request kept"),
    (Stack::AsyncFilter, "AsyncFilter, boxed, async mutex"),
    (Stack::AccessInfo, "AuthLayer(AccessInfoPlugin)"),
    (Stack::Renewing, "AuthLayer(Renewing)"),
    (Stack::ReauthAccessInfo, "RetryLayer(ReauthPolicy), AuthLayer(AccessInfoPlugin)"),
    (Stack::ReauthRenewing, "RetryLayer(ReauthPolicy), AuthLayer(Renewing)"),
];

const FORMS: [(Form, &str); 4] = [
    (Form::Relative, "relative URI"),
    (Form::Absolute, "absolute URI"),
    (Form::Filter, "filter in the request"),
    (Form::NewFilter, "new filter in the request"),
];

/// What is counted, and how many times the limit it may cost, in instructions and in allocations.
type Case = (Stack, Form, usize, Option<(f64, usize)>);

const CASES: [Case; 23] = [
    (Stack::AddAuthorization, Form::Relative, 20, None),
    (Stack::Limit, Form::Relative, 20, None),
    (Stack::AsyncFilter, Form::Relative, 20, None),
    (Stack::AccessInfo, Form::Relative, 20, Some((1.2, 1))),
    (Stack::Renewing, Form::Relative, 20, Some((1.2, 1))),
    (Stack::AccessInfo, Form::Relative, 1_000, Some((1.2, 1))),
    (Stack::Renewing, Form::Relative, 1_000, Some((1.2, 1))),
    (Stack::AccessInfo, Form::Filter, 20, Some((1.5, 1))),
    (Stack::Renewing, Form::Filter, 20, Some((1.5, 1))),
    (Stack::AccessInfo, Form::Filter, 1_000, Some((1.5, 1))),
    (Stack::Renewing, Form::Filter, 1_000, Some((1.5, 1))),
    (Stack::Renewing, Form::NewFilter, 20, Some((1.5, 1))),
    (Stack::Renewing, Form::NewFilter, 1_000, Some((1.5, 1))),
    (Stack::Limit, Form::Absolute, 20, None),
    (Stack::AccessInfo, Form::Absolute, 20, Some((f64::INFINITY, 0))),
    (Stack::Renewing, Form::Absolute, 20, Some((f64::INFINITY, 0))),
    (Stack::AccessInfo, Form::Absolute, 1_000, Some((f64::INFINITY, 0))),
    (Stack::Renewing, Form::Absolute, 1_000, Some((f64::INFINITY, 0))),
    (Stack::LimitAndClone, Form::Relative, 20, None),
    (Stack::ReauthAccessInfo, Form::Relative, 20, Some((1.2, usize::MAX))),
    (Stack::ReauthRenewing, Form::Relative, 20, Some((1.2, usize::MAX))),
    (Stack::ReauthAccessInfo, Form::Relative, 1_000, Some((1.2, usize::MAX))),
    (Stack::ReauthRenewing, Form::Relative, 1_000, Some((1.2, usize::MAX))),
];

/// Whether all of it kept to its gates.
pub fn run() -> bool {
    println!(
        "A request within the process: instructions and allocations beyond those of the bare service.\n"
    );
    let mut known = HashMap::new();
    let mut beyond_bare = |stack, form, services| -> (f64, f64) {
        let mut count = |stack, services| {
            *known.entry((stack, form, services)).or_insert_with(|| {
                let [stack, form, services] = arguments(stack, form, services);
                let arguments = ["request", &*stack, &*form, &*services];
                (per_call(&arguments, REQUESTS), count_allocations(&arguments[1..]))
            })
        };
        let ((instructions, allocations), bare) = (count(stack, services), count(Stack::Bare, 20));
        (instructions - bare.0, allocations - bare.1)
    };
    let mut table = Table::new(&["request", "services", "instructions", "allocations", "x limit"]);
    for (stack, form, services, gate) in CASES {
        let (instructions, allocations) = beyond_bare(stack, form, services);
        let limit = match (stack, form) {
            (Stack::LimitAndClone | Stack::ReauthAccessInfo | Stack::ReauthRenewing, form) => {
                beyond_bare(Stack::LimitAndClone, form, 20).0
            }
            (_, Form::Filter | Form::NewFilter) => beyond_bare(Stack::Limit, Form::Relative, 20).0,
            (_, form) => beyond_bare(Stack::Limit, form, 20).0,
        };
        let mut gates = Vec::new();
        if let Some((most, most_allocations)) = gate {
            if most.is_finite() {
                gates.push(Gate::at_most("x", instructions / limit, most));
            }
            if most_allocations < usize::MAX {
                gates.push(Gate::at_most("allocations", allocations, most_allocations as f64));
            }
            if services > 20 {
                let of_20 = beyond_bare(stack, form, 20).0;
                gates.push(Gate::at_most("x 20 services", instructions / of_20, 1.02));
            }
        }
        table.row(
            [
                format!("{}, {}", name(&STACKS, stack), name(&FORMS, form)),
                services.to_string(),
                grouped(instructions),
                grouped(allocations),
                ratio(Some(instructions / limit)),
            ],
            &gates,
        );
    }
    table.print()
}

/// What a child does that is counted.
pub fn child(arguments: &[&str], requests: usize) {
    let (mut client, request) = case(arguments);
    warm_up(&mut client, &request);
    for _ in 0..requests {
        let request = request();
        counted(&mut *client, request);
    }
}

fn count_allocations(arguments: &[&str]) -> f64 {
    let (mut client, request) = case(arguments);
    warm_up(&mut client, &request);
    let counted = (0..REQUESTS).map(|_| {
        let request = request();
        allocations(|| client(request))
    });
    counted.sum::<usize>() as f64 / REQUESTS as f64
}

fn warm_up(client: &mut Client, request: &impl Fn() -> Request<Body>) {
    CHECKING.set(true);
    client(request());
    CHECKING.set(false);
    client(request());
}

fn name<T: PartialEq>(names: &[(T, &'static str)], of: T) -> &'static str {
    names.iter().find(|(named, _)| *named == of).map_or("", |(_, name)| name)
}

fn arguments(stack: Stack, form: Form, services: usize) -> [String; 3] {
    [format!("{stack:?}"), format!("{form:?}"), services.to_string()]
}

/// The client and what makes its requests, from the arguments of a child.
fn case(arguments: &[&str]) -> (Client, impl Fn() -> Request<Body> + use<>) {
    let [stack, form, services] = arguments else { panic!("stack, form and services") };
    let (stack, _) = STACKS.into_iter().find(|(known, _)| format!("{known:?}") == *stack).expect("a stack");
    let (form, _) = FORMS.into_iter().find(|(known, _)| format!("{known:?}") == *form).expect("a form");
    let services = services.parse().expect("a number of services");

    let absolute: Uri = format!("{ENDPOINT}{PATH}").parse().unwrap();
    let uri = if form == Form::Absolute { absolute } else { Uri::from_static(PATH) };
    let request = move || {
        let request = Request::get(uri.clone()).header("accept", "application/json");
        let request = match form {
            Form::Relative | Form::Absolute => request,
            Form::Filter => request.extension(filter()),
            Form::NewFilter => request.extension(new_filter()),
        };
        request.body(Body::default()).unwrap()
    };
    let layer_filter = matches!(form, Form::Relative | Form::Absolute).then(filter);
    (stack.client(services, layer_filter), request)
}

impl Stack {
    fn client(self, services: usize, filter: Option<EndpointFilter>) -> Client {
        let snapshot = || Snapshot {
            token: HeaderValue::from_static(TOKEN),
            endpoint: ENDPOINT.parse().expect("a URL"),
        };
        let access_info = || AccessInfo::new(TOKEN, document(services)).expect("a document");
        match self {
            Self::Bare => client(Inner),
            Self::AddAuthorization => {
                client(ServiceBuilder::new().layer(AddAuthorizationLayer::bearer(TOKEN)).service(Inner))
            }
            Self::Limit => client(Limit::new(snapshot(), Inner)),
            Self::LimitAndClone => client(Limit::keeping(snapshot(), Inner)),
            Self::AsyncFilter => client(async_filter(TOKEN, ENDPOINT, Inner)),
            Self::AccessInfo => auth(AccessInfoPlugin::new(access_info()), filter, false),
            Self::Renewing => auth(renewing(&access_info()), filter, false),
            Self::ReauthAccessInfo => auth(AccessInfoPlugin::new(access_info()), filter, true),
            Self::ReauthRenewing => auth(renewing(&access_info()), filter, true),
        }
    }
}

fn auth<P>(plugin: P, filter: Option<EndpointFilter>, reauth: bool) -> Client
where
    P: IdentityPlugin + 'static,
{
    let mut layer = AuthLayer::new(plugin);
    if let Some(filter) = filter {
        layer = layer.endpoint(filter);
    }
    let builder = ServiceBuilder::new();
    match reauth {
        false => client(builder.layer(layer).service(Inner)),
        true => client(builder.layer(RetryLayer::new(ReauthPolicy::new())).layer(layer).service(Inner)),
    }
}

/// Sends one request and drops its response.
type Client = Box<dyn FnMut(Request<Body>)>;

fn client<S>(mut service: S) -> Client
where
    S: Service<Request<Body>, Response = Response<()>> + 'static,
{
    Box::new(move |request| {
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(())) = service.poll_ready(&mut cx) else { panic!("the inner service is ready") };
        let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut cx) else {
            panic!("the inner service answers at once")
        };
        drop(black_box(response));
    })
}

thread_local! {
    static CHECKING: Cell<bool> = const { Cell::new(false) };
}

/// Answers at once.
#[derive(Clone)]
struct Inner;

impl Service<Request<Body>> for Inner {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if CHECKING.get() && request.headers().contains_key(X_AUTH_TOKEN) {
            assert_eq!(*request.uri(), *format!("{ENDPOINT}{PATH}"));
            assert_eq!(request.headers()[X_AUTH_TOKEN], TOKEN);
        }
        drop(black_box(request));
        ready(Ok(Response::new(())))
    }
}
