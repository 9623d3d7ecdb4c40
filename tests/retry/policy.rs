//! `RetryPolicy`: connect failures, 429 and 503.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, Error as ClientError},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, runtime::Builder, time::Instant};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn, timeout::error::Elapsed};
use tower_keystone::{
    AccessInfoPlugin, AuthLayer, AuthMethod, EndpointFilter, Error, ReauthPolicy, RenewingPlugin, ReplayBody,
    RetryPolicy, TokenRejected, Transport, User, V3Credentials,
    fixture::{Cloud, Discovery, Fault},
};

use crate::support::*;

type ServerResult = Result<Response<()>, BoxError>;

fn status(code: u16) -> ServerResult {
    Ok(Response::builder().status(code).body(()).unwrap())
}

fn with_retry_after(code: u16, retry_after: &str) -> ServerResult {
    Ok(Response::builder().status(code).header("retry-after", retry_after).body(()).unwrap())
}

fn failure(kind: io::ErrorKind) -> ServerResult {
    Err(io::Error::from(kind).into())
}

fn connection_refused() -> ServerResult {
    failure(io::ErrorKind::ConnectionRefused)
}

/// A server that responds with these results one after the other, and then with 200. It records when requests arrive.
#[derive(Clone, Default)]
struct Server {
    results: Arc<Mutex<VecDeque<ServerResult>>>,
    arrivals: Arc<Mutex<Vec<Instant>>>,
}

impl Server {
    fn new(results: impl IntoIterator<Item = ServerResult>) -> Self {
        Self { results: Arc::new(Mutex::new(results.into_iter().collect())), arrivals: Arc::default() }
    }

    fn service<B: Send + 'static>(
        &self,
    ) -> impl Service<Request<B>, Response = Response<()>, Error = BoxError, Future: Send> + Clone + use<B>
    {
        let server = self.clone();
        service_fn(move |_: Request<B>| {
            server.arrivals.lock().unwrap().push(Instant::now());
            let result = server.results.lock().unwrap().pop_front();
            async { result.unwrap_or_else(|| status(200)) }
        })
    }

    async fn get(&self, policy: RetryPolicy<()>) -> ServerResult {
        ServiceBuilder::new().retry(policy).service(self.service()).oneshot(Request::new(())).await
    }

    fn attempts(&self) -> usize {
        self.arrivals.lock().unwrap().len()
    }

    /// Returns the delays between the attempts, in seconds.
    fn delays(&self) -> Vec<f64> {
        let arrivals = self.arrivals.lock().unwrap();
        arrivals.windows(2).map(|two| (two[1] - two[0]).as_millis() as f64 / 1000.0).collect()
    }
}

fn exact() -> RetryPolicy<()> {
    RetryPolicy::new().without_jitter()
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn codes(codes: &[u16]) -> Vec<StatusCode> {
    codes.iter().map(|code| StatusCode::from_u16(*code).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn statuses_are_retried_as_in_keystoneauth() {
    let past_date = "Wed, 21 Oct 2015 07:28:00 GMT";
    for (results, policy, code, delays) in [
        (vec![status(503)], exact().status_code_retries(4), 200, vec![0.5]),
        (vec![status(503), status(500)], exact(), 500, vec![0.5]),
        (vec![status(429)], exact().retriable_status_codes(codes(&[503, 500, 504])), 429, vec![]),
        (
            vec![status(503), status(504)],
            exact().status_code_retries(1).status_code_retry_delay(seconds(3.0)),
            504,
            vec![3.0],
        ),
        (vec![status(504)], exact(), 504, vec![]),
        (vec![status(503), status(503)], exact(), 200, vec![0.5, 1.0]),
        (vec![status(503)], exact().status_code_retries(0), 503, vec![]),
        (vec![with_retry_after(503, "3"), status(504)], exact(), 504, vec![3.0]),
        (
            vec![with_retry_after(429, "1.5"), status(503), status(503), with_retry_after(429, "0")],
            exact().status_code_retries(5).status_code_retry_delay(seconds(0.5)),
            200,
            vec![0.5, 0.5, 0.5, 0.0],
        ),
        (
            vec![with_retry_after(503, "0"), status(500)],
            exact().retriable_status_codes(codes(&[503, 500, 504])),
            200,
            vec![0.0, 0.5],
        ),
        (
            vec![status(429), status(429), status(503), status(503)],
            exact().status_code_retries(4),
            200,
            vec![0.5, 1.0, 2.0, 4.0],
        ),
        (vec![with_retry_after(503, past_date), status(503)], exact(), 200, vec![0.5, 1.0]),
        // The following cases differ from keystoneauth, which raises an error and reads no dates.
        (vec![with_retry_after(503, "-1")], exact(), 200, vec![0.5]),
        (vec![with_retry_after(503, "Tue, 31 Dec 2999 23:59:59 GMT")], exact(), 200, vec![300.0]),
        (vec![with_retry_after(503, "315360000")], exact(), 200, vec![300.0]),
    ] {
        let server = Server::new(results);
        let response = server.get(policy).await.unwrap();
        assert_eq!((response.status().as_u16(), server.delays()), (code, delays));
    }
}

#[tokio::test(start_paused = true)]
async fn connect_failures_are_retried_as_in_keystoneauth() {
    let tls = || failure(io::ErrorKind::InvalidData);
    for (results, policy, code, delays) in [
        (
            vec![connection_refused(), connection_refused(), tls()],
            exact().connect_retry_delay(seconds(0.1)),
            None,
            vec![0.1, 0.1],
        ),
        (
            vec![connection_refused(), connection_refused(), connection_refused()],
            exact(),
            Some(200),
            vec![0.5, 1.0, 2.0],
        ),
        (vec![connection_refused(), connection_refused()], exact().connect_retries(1), None, vec![0.5]),
        (vec![connection_refused()], exact().connect_retries(0), None, vec![]),
        (vec![tls()], exact(), None, vec![]),
        (
            vec![connection_refused(), connection_refused(), status(503), status(503)],
            exact().connect_retries(9).connect_retry_delay(seconds(5.0)).status_code_retries(1),
            Some(503),
            vec![5.0, 5.0, 0.5],
        ),
    ] {
        let server = Server::new(results);
        let response = server.get(policy).await;
        assert_eq!(
            (response.ok().map(|response| response.status().as_u16()), server.delays()),
            (code, delays)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_have_been_sent_is_not_retried() {
    use io::ErrorKind::*;
    for (kind, attempts) in [
        (AddrNotAvailable, 2),
        (HostUnreachable, 1),
        (NetworkUnreachable, 1),
        (ConnectionReset, 1),
        (ConnectionAborted, 1),
        (BrokenPipe, 1),
        (TimedOut, 1),
        (UnexpectedEof, 1),
        (Other, 1),
    ] {
        let server = Server::new([failure(kind)]);
        let response = server.get(exact()).await;
        assert_eq!((server.attempts(), response.is_ok()), (attempts, attempts == 2), "{kind}");
    }
    let wrapped = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
    let server = Server::new([Err(wrapped.into())]);
    assert_eq!(server.get(exact()).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_predicate_defines_further_connect_failures() {
    let elapsed = || -> ServerResult { Err(Elapsed::new().into()) };
    let server = Server::new([elapsed()]);
    assert!(server.get(exact()).await.unwrap_err().is::<Elapsed>());
    let server = Server::new([elapsed()]);
    let policy = exact().connect_failure(|error| error.is::<Elapsed>());
    assert_eq!(server.get(policy).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn errors_of_this_crate_are_not_connect_failures_despite_their_sources() {
    let refused_error = || BoxError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
    let transport = Transport::new(service_fn(move |_: Request<Full<Bytes>>| async move {
        Err::<Response<Full<Bytes>>, _>(refused_error())
    }));
    let unreachable = password(&cloud(), transport).renew().await.unwrap_err();
    for error in [unreachable, Error::NoToken, Error::plugin(true, refused_error())] {
        let server = Server::new([Err(error.clone().into())]);
        let returned = server.get(exact().connect_failure(|_| true)).await.unwrap_err();
        assert_eq!(returned.to_string(), error.to_string());
        assert_eq!(server.attempts(), 1, "{error}");
        // The same holds for a wrapper that hides the error from its source chain.
        let hidden = anyhow::Error::from_boxed(error.clone().into()).context("listing servers");
        let server = Server::new([Err(hidden.into())]);
        server.get(exact().connect_failure(|error| error.is::<io::Error>())).await.unwrap_err();
        assert_eq!(server.attempts(), 1, "hidden: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_version_document_cannot_be_fetched_for_now_is_sent_later() {
    for (fault, waited) in [
        (Fault::status(StatusCode::SERVICE_UNAVAILABLE), 1.5),
        (Fault::connection_refused(), 1.5),
        (Fault::status(StatusCode::SERVICE_UNAVAILABLE).retry_after(seconds(5.0)), 5.0),
        (Fault::status(StatusCode::NOT_IMPLEMENTED), 0.0),
    ] {
        let versions = Discovery::new().version("v2.1", "CURRENT", "/compute/v2.1/");
        let cloud = cloud().version_document("compute", versions).user("alice", "wonderland").project("demo");
        let plugin = AccessInfoPlugin::new(cloud.keystone().issue("alice", Some("demo")).unwrap());
        let nova = ServiceBuilder::new()
            .retry(RetryPolicy::new().without_jitter())
            .layer(AuthLayer::new(plugin).discovery(cloud.transport()))
            .service(cloud.clone());
        cloud.fail_next("compute", 1, fault);
        let started = Instant::now();
        let filter = EndpointFilter::new("compute").version(2, 1);
        let request = Request::post("/servers").extension(filter).body(Full::<Bytes>::default()).unwrap();
        nova.oneshot(request).await.unwrap();
        assert_eq!(started.elapsed(), seconds(waited));
        let requests = cloud.received_requests("compute");
        let sent = requests.last().unwrap().path_and_query();
        assert_eq!(sent, if waited == 0.0 { "/servers" } else { "/v2.1/servers" });
        assert_eq!(requests.iter().filter(|request| request.method() == "POST").count(), 1);
    }
}

#[test]
fn debug_output_of_policies_shows_settings_and_no_bodies() {
    let policy = format!("{:?}", exact().connect_retries(7));
    assert!(policy.starts_with("RetryPolicy") && policy.contains("connect_retries: 7"), "{policy}");
    assert_eq!(format!("{:?}", ReauthPolicy::<()>::new()), "ReauthPolicy { has_retried: false, .. }");
    let body = ReplayBody::new(Full::new(Bytes::from("canary")), 10);
    assert_eq!(format!("{body:?}"), "ReplayBody { position: 0, .. }");
}

/// Returns the URL of a loopback port without a listener.
async fn closed_port_url() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_refused_connection_of_the_hyper_client_is_a_connect_failure() {
    let attempts = Arc::new(Mutex::new(0));
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let counted = |policy| {
        let (attempts, client) = (Arc::clone(&attempts), client.clone());
        ServiceBuilder::new()
            .retry(policy)
            .map_request(move |request: Request<Full<Bytes>>| {
                *attempts.lock().unwrap() += 1;
                request
            })
            .map_err(BoxError::from)
            .service(client)
    };
    let plain = RetryPolicy::new().connect_retry_delay(Duration::ZERO);
    let with_predicate =
        plain.clone().connect_failure(|error| error.downcast_ref().is_some_and(ClientError::is_connect));
    let url = closed_port_url().await;
    let request = || Request::get(&url).body(Full::default()).unwrap();
    assert!(counted(plain.clone()).oneshot(request()).await.unwrap_err().is::<ClientError>());
    assert_eq!(*attempts.lock().unwrap(), 4, "recognized by the kind of the I/O error");
    counted(with_predicate.clone()).oneshot(request()).await.unwrap_err();
    assert_eq!(*attempts.lock().unwrap(), 8);

    // Only the predicate recognizes this error as a failure to connect.
    let unsupported_scheme = || Request::get("https://127.0.0.1:1/").body(Full::default()).unwrap();
    counted(plain).oneshot(unsupported_scheme()).await.unwrap_err();
    assert_eq!(*attempts.lock().unwrap(), 9);
    counted(with_predicate).oneshot(unsupported_scheme()).await.unwrap_err();
    assert_eq!(*attempts.lock().unwrap(), 13);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_keystone_is_retried_and_a_wrong_password_is_not() {
    let cloud = cloud();
    let server = Server::new([]);
    let get = |plugin: RenewingPlugin<V3Credentials>, policy| {
        ServiceBuilder::new()
            .retry(policy)
            .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
            .service(server.service::<()>())
            .oneshot(Request::get("/servers").body(()).unwrap())
    };
    let behind = cloud.clone();
    let down = Arc::new(Mutex::new(1));
    let transport = Transport::new(service_fn(move |request: Request<Full<Bytes>>| {
        let down = { std::mem::take(&mut *down.lock().unwrap()) > 0 };
        let behind = behind.clone();
        async move {
            if down {
                return Err(BoxError::from("no route"));
            }
            behind.oneshot(request).await.map_err(BoxError::from)
        }
    }));
    assert_eq!(get(password(&cloud, transport), exact()).await.unwrap().status(), 200);
    assert_eq!(server.attempts(), 1);

    let alice =
        AuthMethod::password(User::new().username("alice").user_domain_name("Default"), "looking-glass");
    let wrong = V3Credentials::new(cloud.keystone().auth_url(), alice);
    let before = Instant::now();
    let error = get(RenewingPlugin::new(wrong, cloud.transport()), exact()).await.unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::Keystone(_))), "{error}");
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn delays_have_jitter_and_are_never_shorter_than_retry_after() {
    fastrand::seed(7);
    let mut first = Vec::new();
    for _ in 0..50 {
        let server = Server::new([status(503), with_retry_after(503, "7"), connection_refused()]);
        server.get(RetryPolicy::new()).await.unwrap();
        let [own, requested, connect] = server.delays()[..] else { panic!("expected three delays") };
        assert!((0.25..=0.501).contains(&own) && (0.25..=0.501).contains(&connect), "{own} {connect}");
        assert!((7.0..=7.501).contains(&requested), "{requested}");
        first.push(own);
    }
    first.dedup();
    assert!(first.len() > 25, "the jitter of each request is independent: {first:?}");
}

#[tokio::test(start_paused = true)]
async fn a_budget_limits_the_retries_of_all_requests() {
    let budget = tower_keystone::retry::RetryBudget::new(Duration::from_secs(10), 1, 0.5);
    let policy = exact().status_code_retries(1_000).status_code_retry_delay(Duration::ZERO).budget(budget);
    let down = || Server::new((0..1_000).map(|_| status(503)));
    let server = down();
    assert_eq!(server.get(policy.clone()).await.unwrap().status(), 503);
    assert_eq!(server.attempts(), 1 + 10, "the budget allows 1 retry per second over 10 s");
    let server = down();
    server.get(policy.clone()).await.unwrap();
    assert_eq!(server.attempts(), 1, "the budget is used up for the next request");

    let up = Server::new([]);
    for _ in 0..8 {
        up.get(policy.clone()).await.unwrap();
    }
    let server = down();
    server.get(policy).await.unwrap();
    assert_eq!(server.attempts(), 1 + 4, "the budget grows by half of the successful requests");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_replayed_is_sent_once() {
    let server = Server::new([status(503)]);
    let never = RetryPolicy::with_clone_body(|_: &Full<Bytes>| None);
    let nova = ServiceBuilder::new().retry(never).service(server.service::<Full<Bytes>>());
    let response = nova.oneshot(Request::post("/").body(Full::from("once")).unwrap()).await.unwrap();
    assert_eq!((response.status().as_u16(), server.attempts()), (503, 1));

    for (cap, expected) in [(4, vec!["once", "once"]), (3, vec!["once"])] {
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&bodies);
        let nova = service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
            let seen = Arc::clone(&seen);
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                let mut seen = seen.lock().unwrap();
                seen.push(body);
                status(if seen.len() == 1 { 503 } else { 200 })
            }
        });
        let nova = ServiceBuilder::new().retry(RetryPolicy::replaying()).service(nova);
        let body = ReplayBody::new(Full::from("once"), cap);
        let response = nova.oneshot(Request::post("/").body(body).unwrap()).await.unwrap();
        assert_eq!(response.status() == 200, expected.len() == 2);
        assert_eq!(*bodies.lock().unwrap(), expected);
    }
}

#[test]
fn without_a_runtime_the_response_is_returned_without_retry() {
    let server = Server::new([status(503)]);
    let mut response = tokio_test::task::spawn(
        ServiceBuilder::new().retry(exact()).service(server.service()).oneshot(Request::new(())),
    );
    let response = tokio_test::assert_ready!(response.poll()).unwrap();
    assert_eq!((response.status().as_u16(), server.attempts()), (503, 1));
}

#[test]
fn in_a_runtime_without_a_timer_the_response_is_returned_without_retry() {
    let without_timer = Builder::new_current_thread().build().unwrap();
    let server = Server::new([status(503)]);
    let response = without_timer.block_on(server.get(exact())).unwrap();
    assert_eq!((response.status().as_u16(), server.attempts()), (503, 1));
}

#[test]
fn a_retry_delay_continues_in_another_runtime() {
    for is_first_stopped in [true, false] {
        let [one, other] =
            [1, 2].map(|_| Builder::new_current_thread().enable_time().start_paused(true).build().unwrap());
        let server = Server::new([status(503)]);
        let mut request = tokio_test::task::spawn(server.get(exact()));
        one.block_on(async { tokio_test::assert_pending!(request.poll()) });
        let one = (!is_first_stopped).then_some(one);
        let response = other.block_on(request).unwrap();
        assert_eq!((response.status().as_u16(), server.attempts()), (200, 2));
        drop(one);
    }
}

/// Returns a Nova that responds with these statuses one after the other. A 401 also revokes the token of the request,
/// and a request with an invalid token gets a 401 instead of its status.
fn nova(
    cloud: &Cloud,
    statuses: &[u16],
) -> impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ use<> {
    let (cloud, statuses) = (cloud.clone(), Arc::new(Mutex::new(VecDeque::from(statuses.to_vec()))));
    service_fn(move |request: Request<Full<Bytes>>| {
        let token = request.headers()["x-auth-token"].to_str().unwrap().to_owned();
        let (cloud, statuses) = (cloud.clone(), Arc::clone(&statuses));
        async move {
            let mut response = Response::new(Full::default());
            let next = statuses.lock().unwrap().pop_front().unwrap_or(200);
            match next {
                401 => cloud.keystone().revoke(&token),
                _ if !cloud.keystone().validate(&token) => {}
                next => {
                    *response.status_mut() = StatusCode::from_u16(next).unwrap();
                    return Ok(response);
                }
            }
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            Ok(response)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn both_policies_compose_in_either_order() {
    let request = || Request::get("/servers").body(Full::default()).unwrap();
    let retry = || RetryPolicy::<Full<Bytes>>::new().without_jitter().status_code_retries(1);
    for (statuses, reauth_outside, retry_outside) in [
        (&[503, 401, 200][..], 200, 200),
        (&[401, 503, 200], 200, 200),
        // `ReauthPolicy` outside: its second attempt has retries of its own. Inside: the retries are counted once.
        (&[503, 401, 503, 200], 200, 503),
        // `ReauthPolicy` outside: one retry after a 401 for the request. Inside: one for each attempt.
        (&[401, 503, 401, 200], 401, 200),
        (&[401, 401, 200], 401, 401),
        (&[503, 503, 200], 503, 503),
    ] {
        let cloud = cloud();
        let layer =
            || AuthLayer::new(password(&cloud, cloud.transport())).endpoint(EndpointFilter::new("compute"));
        let outside = ServiceBuilder::new()
            .retry(ReauthPolicy::new())
            .retry(retry())
            .layer(layer())
            .service(nova(&cloud, statuses));
        assert_eq!(outside.oneshot(request()).await.unwrap().status(), reauth_outside, "{statuses:?}");
        let inside = ServiceBuilder::new()
            .retry(retry())
            .retry(ReauthPolicy::new())
            .layer(layer())
            .service(nova(&cloud, statuses));
        let response = inside.oneshot(request()).await.unwrap();
        assert_eq!(response.status(), retry_outside, "{statuses:?}");
        assert_eq!(response.extensions().get::<TokenRejected>().is_some(), retry_outside == 401);
    }
}
