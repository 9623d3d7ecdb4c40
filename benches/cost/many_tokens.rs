//! What many tokens cost: their memory while they are cached, and many requests at once with new ones.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode, Uri};
use tokio::task::JoinSet;
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_keystone::{AuthLayer, Caller, EndpointFilter, Transport};

use crate::{
    counting::bytes_in_use,
    keystone::{documents, layer, layer_with, number, own_plugin, response, subject, token, with_audit_id},
    sample::{Body, PROJECT_ID, USER_ID, document},
};

const X_AUTH_TOKEN: &str = "x-auth-token";
/// The services whose URLs contain the id of the project.
const OF_PROJECT: [&str; 5] =
    ["block-storage", "volumev3", "object-store", "orchestration", "shared-file-system"];
const USERS: usize = 5_000;
const PROJECTS: usize = 1_000;

/// The memory of cached tokens, in bytes.
pub struct Memory {
    pub cached: usize,
    /// After each caller has made a request on its behalf.
    pub used: usize,
}

/// Returns the memory of tokens with catalogs of 20 services, of which five have the id of the project in their URLs.
pub fn cached_tokens(tokens: usize) -> Memory {
    let template = OF_PROJECT.iter().fold(document(20), |document, service_type| {
        let url = format!("https://{service_type}.example.com:9876/v2.1");
        document.replace(&format!("{url}\""), &format!("{url}/{PROJECT_ID}\""))
    });
    let document = move |token: &str| {
        let number = number(token)?;
        let document = with_audit_id(&template, number).replace(USER_ID, &id(number % USERS));
        Some(document.replace(PROJECT_ID, &id(number % PROJECTS)))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let before = bytes_in_use();
    let layer = layer(document);
    let metrics = layer.metrics();
    let service = layer.layer(Inner);
    runtime.block_on(validate_all(&service, tokens));
    let cached = bytes_in_use() - before;
    assert_eq!(metrics.snapshot().cached_tokens, tokens, "all are cached");

    let on_behalf = AuthLayer::new(own_plugin("https://keystone.example.com/v3"))
        .endpoint(EndpointFilter::new("volumev3"))
        .layer(Inner);
    KEPT.set(Some(Vec::new()));
    runtime.block_on(validate_all(&service, tokens));
    for (number, caller) in KEPT.take().unwrap_or_default().into_iter().enumerate() {
        let request = Request::get("/volumes").extension(caller.identity()).body(Body::default());
        let response = runtime.block_on(on_behalf.clone().oneshot(request.expect("a request")));
        let uri =
            response.expect("a response").extensions_mut().remove::<Uri>().expect("the URI of the request");
        assert_eq!(uri.path(), format!("/v2.1/{}/volumes", id(number % PROJECTS)));
    }
    drop(on_behalf);
    let used = bytes_in_use() - before;
    assert_eq!(metrics.snapshot().valid, tokens as u64, "each was validated once");
    Memory { cached: cached.try_into().unwrap_or(0), used: used.try_into().unwrap_or(0) }
}

fn id(number: usize) -> String {
    format!("{number:032x}")
}

async fn validate_all<S>(service: &S, tokens: usize)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    for number in 0..tokens {
        let request = Request::get("/").header(X_AUTH_TOKEN, token(number)).body(Body::default());
        let response = service.clone().oneshot(request.expect("a request")).await.expect("a response");
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
}

/// What many requests at once with new tokens cost.
#[derive(Clone, Copy)]
pub struct Burst {
    pub accepted: usize,
    pub unauthorized: usize,
    pub unavailable: usize,
    pub validations: usize,
    pub most_in_flight: usize,
    /// The most memory in use when Keystone is asked, and when it answers, in bytes.
    pub peak: usize,
}

/// Sends requests at once, with this many different tokens. Keystone takes 10 ms for each answer.
pub fn burst(requests: usize, tokens: usize, is_known: bool) -> Burst {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    // The time passes as soon as all tasks wait.
    let runtime = builder.enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let (validations, in_flight, most_in_flight) =
            <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let before = bytes_in_use();
        let peak = Arc::new(AtomicUsize::new(0));
        let layer = {
            let (validations, in_flight, most_in_flight, peak) =
                (validations.clone(), in_flight.clone(), most_in_flight.clone(), peak.clone());
            let documents = documents(20);
            let keystone = Transport::new(tower::service_fn(move |request: Request<Body>| {
                let (in_flight, peak) = (in_flight.clone(), peak.clone());
                validations.fetch_add(1, Relaxed);
                most_in_flight.fetch_max(in_flight.fetch_add(1, Relaxed) + 1, Relaxed);
                peak.fetch_max((bytes_in_use() - before).try_into().unwrap_or(0), Relaxed);
                let document = subject(request.headers()).filter(|_| is_known).and_then(&documents);
                async move {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    in_flight.fetch_sub(1, Relaxed);
                    peak.fetch_max((bytes_in_use() - before).try_into().unwrap_or(0), Relaxed);
                    Ok::<_, BoxError>(response(document))
                }
            }));
            layer_with(keystone)
        };
        let service = layer.layer(Inner);
        let mut responses = JoinSet::new();
        for number in 0..requests {
            let request =
                Request::get("/").header(X_AUTH_TOKEN, token(number % tokens)).body(Body::default());
            responses.spawn(service.clone().oneshot(request.expect("a request")));
        }
        let (mut accepted, mut unauthorized, mut unavailable) = (0, 0, 0);
        while let Some(response) = responses.join_next().await {
            let response = response.expect("no request panics").expect("a response");
            match response.status() {
                StatusCode::NO_CONTENT => accepted += 1,
                StatusCode::UNAUTHORIZED => unauthorized += 1,
                StatusCode::SERVICE_UNAVAILABLE => unavailable += 1,
                status => panic!("{status}"),
            }
        }
        let [validations, most_in_flight, peak] =
            [validations, most_in_flight, peak].map(|count| count.load(Relaxed));
        Burst { accepted, unauthorized, unavailable, validations, most_in_flight, peak }
    })
}

thread_local! {
    /// The callers of the requests, if they are to be kept.
    static KEPT: Cell<Option<Vec<Caller>>> = const { Cell::new(None) };
}

/// Responds with the URI of the request.
#[derive(Clone)]
struct Inner;

impl Service<Request<Body>> for Inner {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(mut kept) = KEPT.take() {
            kept.extend(Caller::from_extensions(request.extensions()).ok().cloned());
            KEPT.set(Some(kept));
        }
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.extensions_mut().insert(request.uri().clone());
        ready(Ok(response))
    }
}
