//! A request within the process, compared with the bare service, a static header, the baseline, and an async filter.

use std::{
    cell::Cell,
    collections::HashMap,
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use http::{HeaderValue, Request, Response, Uri};
use tower::{Layer, Service, ServiceBuilder, retry::RetryLayer};
use tower_http::auth::AddAuthorizationLayer;
use tower_keystone::{
    AccessInfo, AccessInfoPlugin, AuthLayer, EndpointFilter, Identity, IdentityPlugin, ReauthPolicy,
    SharedTokens,
};

use crate::{
    callgrind::{counted, per_call},
    counting::allocations,
    expiring_baseline::ExpiringBaseline,
    peers::{Baseline, Snapshot, X_AUTH_TOKEN, async_filter},
    sample::{Body, ENDPOINT, PATH, SERVICE_TYPE, TOKEN, document, filter, new_filter, renewing},
    table::{Gates, Table, grouped, ratio},
};

const REQUESTS: usize = 1_000;

/// The stack that a request is sent through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stack {
    Bare,
    AddAuthorization,
    Baseline,
    BaselineAndClone,
    ExpiringBaseline,
    ExpiringBaselineAndClone,
    AsyncFilter,
    AccessInfo,
    RenewingPlugin,
    SharedRenewingPlugin,
    ReauthAccessInfo,
    ReauthRenewing,
    IdentityBaseline,
    ServiceTokenBaseline,
    Identity,
    ServiceToken,
}

/// The form of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Relative,
    Absolute,
    /// Relative, with a clone of an `EndpointFilter` in its extensions. The layer has no filter.
    Filter,
    /// Relative, with a filter that was made for this request.
    NewFilter,
    /// Relative, with a filter that inherits the region from the filter of the layer.
    OpenFilter,
    /// Relative, with an `Identity` in its extensions, or an `Arc` for the baseline.
    Identity,
}

const STACKS: [(Stack, &str); 16] = [
    (Stack::Bare, "the bare service"),
    (Stack::AddAuthorization, "AddAuthorization"),
    (Stack::Baseline, "baseline"),
    (Stack::BaselineAndClone, "baseline that clones the request"),
    (Stack::ExpiringBaseline, "baseline whose token expires"),
    (Stack::ExpiringBaselineAndClone, "baseline whose token expires, that clones the request"),
    (Stack::AsyncFilter, "AsyncFilter, boxed, async mutex"),
    (Stack::AccessInfo, "AuthLayer(AccessInfoPlugin)"),
    (Stack::RenewingPlugin, "AuthLayer(RenewingPlugin)"),
    (Stack::SharedRenewingPlugin, "AuthLayer(RenewingPlugin with a store)"),
    (Stack::ReauthAccessInfo, "RetryLayer(ReauthPolicy), AuthLayer(AccessInfoPlugin)"),
    (Stack::ReauthRenewing, "RetryLayer(ReauthPolicy), AuthLayer(RenewingPlugin)"),
    (Stack::IdentityBaseline, "baseline that takes its token from the request"),
    (Stack::ServiceTokenBaseline, "baseline with a service token"),
    (Stack::Identity, "AuthLayer(AccessInfoPlugin)"),
    (Stack::ServiceToken, "AuthLayer(AccessInfoPlugin), service token"),
];

const FORMS: [(Form, &str); 6] = [
    (Form::Relative, "relative URI"),
    (Form::Absolute, "absolute URI"),
    (Form::Filter, "filter in the request"),
    (Form::NewFilter, "new filter in the request"),
    (Form::OpenFilter, "filter that inherits the region"),
    (Form::Identity, "identity in the request"),
];

const CASES: [(Stack, Form, usize); 37] = [
    (Stack::AddAuthorization, Form::Relative, 20),
    (Stack::Baseline, Form::Relative, 20),
    (Stack::ExpiringBaseline, Form::Relative, 20),
    (Stack::AsyncFilter, Form::Relative, 20),
    (Stack::AccessInfo, Form::Relative, 20),
    (Stack::AccessInfo, Form::Relative, 1_000),
    (Stack::RenewingPlugin, Form::Relative, 20),
    (Stack::RenewingPlugin, Form::Relative, 1_000),
    (Stack::SharedRenewingPlugin, Form::Relative, 20),
    (Stack::SharedRenewingPlugin, Form::Relative, 1_000),
    (Stack::AccessInfo, Form::Filter, 20),
    (Stack::AccessInfo, Form::Filter, 1_000),
    (Stack::RenewingPlugin, Form::Filter, 20),
    (Stack::RenewingPlugin, Form::Filter, 1_000),
    (Stack::RenewingPlugin, Form::NewFilter, 20),
    (Stack::RenewingPlugin, Form::NewFilter, 1_000),
    (Stack::AccessInfo, Form::OpenFilter, 20),
    (Stack::AccessInfo, Form::OpenFilter, 1_000),
    (Stack::RenewingPlugin, Form::OpenFilter, 20),
    (Stack::RenewingPlugin, Form::OpenFilter, 1_000),
    (Stack::Baseline, Form::Absolute, 20),
    (Stack::AccessInfo, Form::Absolute, 20),
    (Stack::AccessInfo, Form::Absolute, 1_000),
    (Stack::RenewingPlugin, Form::Absolute, 20),
    (Stack::RenewingPlugin, Form::Absolute, 1_000),
    (Stack::BaselineAndClone, Form::Relative, 20),
    (Stack::ExpiringBaselineAndClone, Form::Relative, 20),
    (Stack::ReauthAccessInfo, Form::Relative, 20),
    (Stack::ReauthAccessInfo, Form::Relative, 1_000),
    (Stack::ReauthRenewing, Form::Relative, 20),
    (Stack::ReauthRenewing, Form::Relative, 1_000),
    (Stack::IdentityBaseline, Form::Identity, 20),
    (Stack::Identity, Form::Identity, 20),
    (Stack::Identity, Form::Identity, 1_000),
    (Stack::ServiceTokenBaseline, Form::Identity, 20),
    (Stack::ServiceToken, Form::Identity, 20),
    (Stack::ServiceToken, Form::Identity, 1_000),
];

pub fn run(gates: &mut Gates) {
    println!(
        "A request within the process: instructions and allocations beyond those of the bare service.\n"
    );
    let mut known = HashMap::new();
    let mut count = |stack: Stack, form: Form, services: usize| {
        *known.entry((stack, form, services)).or_insert_with(|| {
            let of_case = [format!("{stack:?}"), format!("{form:?}"), services.to_string()];
            let of_case = of_case.each_ref().map(String::as_str);
            let instructions = per_call(&[&["request"], &of_case[..]].concat(), REQUESTS);
            (instructions, count_allocations(&of_case))
        })
    };
    let mut beyond_bare = |stack, form, services| -> (f64, f64) {
        let (case, bare) = (count(stack, form, services), count(Stack::Bare, form, 20));
        (case.0 - bare.0, case.1 - bare.1)
    };
    let mut table = Table::new(&["request", "services", "instructions", "x baseline", "allocations"]);
    for (stack, form, services) in CASES {
        let (instructions, allocations) = beyond_bare(stack, form, services);
        let baseline = match (stack.renews(), stack.keeps_a_clone()) {
            _ if matches!(stack, Stack::ServiceToken | Stack::ServiceTokenBaseline) => {
                Stack::ServiceTokenBaseline
            }
            _ if form == Form::Identity => Stack::IdentityBaseline,
            (false, false) => Stack::Baseline,
            (false, true) => Stack::BaselineAndClone,
            (true, false) => Stack::ExpiringBaseline,
            (true, true) => Stack::ExpiringBaselineAndClone,
        };
        let baseline_form = match form {
            Form::Absolute | Form::Identity => form,
            _ => Form::Relative,
        };
        let ratio_to_baseline = instructions / beyond_bare(baseline, baseline_form, 20).0;
        table.row([
            format!("{}, {}", name(&STACKS, stack), name(&FORMS, form)),
            services.to_string(),
            grouped(instructions),
            ratio(ratio_to_baseline),
            grouped(allocations),
        ]);
        if !stack.is_ours() {
            continue;
        }
        if stack == Stack::SharedRenewingPlugin {
            let without = beyond_bare(Stack::RenewingPlugin, form, services);
            let what = "instructions of a request, `RenewingPlugin` with a store";
            gates.at_most(what, "without a store", instructions / without.0, 1.0);
            continue;
        }
        let (plugin, most) = match stack.renews() {
            false => ("`AccessInfoPlugin`", 1.25),
            true => ("`RenewingPlugin`", 1.2),
        };
        let compared_with = name(&STACKS, baseline);
        let (what, most) = match (stack.keeps_a_clone(), form) {
            _ if stack == Stack::ServiceToken => {
                ("instructions with an identity and a service token", Some(1.4))
            }
            (_, Form::Identity) => ("instructions with an identity in the request", Some(1.4)),
            (true, _) => ("instructions with `ReauthPolicy` around the layer", Some(most)),
            (_, Form::Relative) => ("instructions of a request", Some(most)),
            (_, Form::Filter) => ("instructions with a filter in the request", Some(1.5)),
            (_, Form::NewFilter) => ("instructions with a new filter in the request", Some(1.5)),
            (_, Form::OpenFilter) => ("instructions with a filter that inherits the region", None),
            (_, Form::Absolute) => ("instructions with an absolute URI", None),
        };
        let what = format!("{what}, {plugin}");
        match most {
            Some(most) => gates.at_most(&what, compared_with, ratio_to_baseline, most),
            None => gates.report(&what, compared_with, ratio_to_baseline),
        }
        let x_20 = instructions / beyond_bare(stack, form, 20).0;
        gates.at_most("instructions with 1,000 services", "20 services", x_20, 1.02);
        match form {
            _ if stack.keeps_a_clone() => {}
            Form::Absolute => gates.at_most("allocations with an absolute URI", "", allocations, 0.0),
            _ => gates.at_most("allocations of a request", "", allocations, 1.0),
        }
    }
    table.print();
}

/// Does the counted work in the child process.
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

/// Returns the client and its requests, from the arguments of a child process.
fn case(arguments: &[&str]) -> (Client, impl Fn() -> Request<Body> + use<>) {
    let [stack, form, services] = arguments else { panic!("stack, form and services") };
    let (stack, _) = STACKS.into_iter().find(|(known, _)| format!("{known:?}") == *stack).expect("a stack");
    let (form, _) = FORMS.into_iter().find(|(known, _)| format!("{known:?}") == *form).expect("a form");
    let services = services.parse().expect("a number of services");

    let absolute: Uri = format!("{ENDPOINT}{PATH}").parse().unwrap();
    let uri = if form == Form::Absolute { absolute } else { Uri::from_static(PATH) };
    let open = EndpointFilter::new(SERVICE_TYPE);
    let identity = Identity::new(AccessInfoPlugin::new(access_info(services)));
    let user = Arc::new(snapshot());
    let request = move || {
        let request = Request::get(uri.clone()).header("accept", "application/json");
        let request = match form {
            Form::Relative | Form::Absolute => request,
            Form::Filter => request.extension(filter()),
            Form::NewFilter => request.extension(new_filter()),
            Form::OpenFilter => request.extension(open.clone()),
            Form::Identity if stack.is_ours() => request.extension(identity.clone()),
            Form::Identity => request.extension(Arc::clone(&user)),
        };
        request.body(Body::default()).unwrap()
    };
    let layer_filter = (!matches!(form, Form::Filter | Form::NewFilter)).then(filter);
    (stack.client(services, layer_filter), request)
}

impl Stack {
    fn is_ours(self) -> bool {
        matches!(
            self,
            Self::AccessInfo
                | Self::RenewingPlugin
                | Self::SharedRenewingPlugin
                | Self::ReauthAccessInfo
                | Self::ReauthRenewing
                | Self::Identity
                | Self::ServiceToken
        )
    }

    fn renews(self) -> bool {
        matches!(self, Self::RenewingPlugin | Self::SharedRenewingPlugin | Self::ReauthRenewing)
    }

    fn keeps_a_clone(self) -> bool {
        matches!(
            self,
            Self::BaselineAndClone
                | Self::ExpiringBaselineAndClone
                | Self::ReauthAccessInfo
                | Self::ReauthRenewing
        )
    }

    fn client(self, services: usize, filter: Option<EndpointFilter>) -> Client {
        let access_info = || access_info(services);
        match self {
            Self::Bare => client(Inner),
            Self::AddAuthorization => {
                client(ServiceBuilder::new().layer(AddAuthorizationLayer::bearer(TOKEN)).service(Inner))
            }
            Self::Baseline => client(Baseline::new(snapshot(), Inner)),
            Self::BaselineAndClone => client(Baseline::keeping(snapshot(), Inner)),
            Self::ExpiringBaseline => client(ExpiringBaseline::new(snapshot(), Inner)),
            Self::ExpiringBaselineAndClone => client(ExpiringBaseline::keeping(snapshot(), Inner)),
            Self::AsyncFilter => client(async_filter(TOKEN, ENDPOINT, Inner)),
            Self::AccessInfo => auth(AccessInfoPlugin::new(access_info()), filter, false),
            Self::RenewingPlugin => auth(renewing(&access_info()), filter, false),
            Self::SharedRenewingPlugin => {
                auth(renewing(&access_info()).store(SharedTokens::in_memory()), filter, false)
            }
            Self::ReauthAccessInfo => auth(AccessInfoPlugin::new(access_info()), filter, true),
            Self::ReauthRenewing => auth(renewing(&access_info()), filter, true),
            Self::IdentityBaseline => client(Baseline::for_identities(snapshot(), false, Inner)),
            Self::ServiceTokenBaseline => client(Baseline::for_identities(snapshot(), true, Inner)),
            Self::Identity => auth(AccessInfoPlugin::new(access_info()), filter, false),
            Self::ServiceToken => {
                let layer = AuthLayer::new(AccessInfoPlugin::new(access_info())).send_service_token();
                client(layer.endpoint(filter.expect("a filter of the layer")).layer(Inner))
            }
        }
    }
}

fn snapshot() -> Snapshot {
    Snapshot { token: HeaderValue::from_static(TOKEN), endpoint: ENDPOINT.parse().expect("a URL") }
}

fn access_info(services: usize) -> AccessInfo {
    AccessInfo::new(TOKEN, document(services)).expect("a document")
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
            panic!("the inner service responds immediately")
        };
        drop(black_box(response));
    })
}

thread_local! {
    static CHECKING: Cell<bool> = const { Cell::new(false) };
}

/// Responds immediately.
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
