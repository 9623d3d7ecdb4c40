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
    AuthLayer, AuthMethod, EndpointFilter, Error, ReauthPolicy, RenewingPlugin, ReplayBody, RetryPolicy,
    TokenRejected, Transport, User, V3Credentials, fixture::Cloud,
};

use crate::support::*;

type Answer = Result<Response<()>, BoxError>;

fn status(code: u16) -> Answer {
    Ok(Response::builder().status(code).body(()).unwrap())
}

fn asking(code: u16, retry_after: &str) -> Answer {
    Ok(Response::builder().status(code).header("retry-after", retry_after).body(()).unwrap())
}

fn failure(kind: io::ErrorKind) -> Answer {
    Err(io::Error::from(kind).into())
}

fn refused() -> Answer {
    failure(io::ErrorKind::ConnectionRefused)
}

/// Answers these one after the other, and then the last of them again or 200; notes when it was asked.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Server {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), asked: Arc::default() }
    }

    fn service<B: Send + 'static>(
        &self,
    ) -> impl Service<Request<B>, Response = Response<()>, Error = BoxError, Future: Send> + Clone + use<B>
    {
        let server = self.clone();
        service_fn(move |_: Request<B>| {
            server.asked.lock().unwrap().push(Instant::now());
            let answer = server.answers.lock().unwrap().pop_front();
            async { answer.unwrap_or_else(|| status(200)) }
        })
    }

    async fn get(&self, policy: RetryPolicy<()>) -> Answer {
        ServiceBuilder::new().retry(policy).service(self.service()).oneshot(Request::new(())).await
    }

    fn attempts(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// What was waited between the attempts, in seconds.
    fn sleeps(&self) -> Vec<f64> {
        let asked = self.asked.lock().unwrap();
        asked.windows(2).map(|two| (two[1] - two[0]).as_millis() as f64 / 1000.0).collect()
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
async fn statuses_are_retried_as_the_reference_does() {
    let passed = "Wed, 21 Oct 2015 07:28:00 GMT";
    for (answers, policy, code, sleeps) in [
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
        (vec![asking(503, "3"), status(504)], exact(), 504, vec![3.0]),
        (
            vec![asking(429, "1.5"), status(503), status(503), asking(429, "0")],
            exact().status_code_retries(5).status_code_retry_delay(seconds(0.5)),
            200,
            vec![0.5, 0.5, 0.5, 0.0],
        ),
        (
            vec![asking(503, "0"), status(500)],
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
        (vec![asking(503, passed), status(503)], exact(), 200, vec![0.5, 1.0]),
        // From here on the reference does otherwise: it raises an error, and reads no dates.
        (vec![asking(503, "-1")], exact(), 200, vec![0.5]),
        (vec![asking(503, "Tue, 31 Dec 2999 23:59:59 GMT")], exact(), 200, vec![300.0]),
        (vec![asking(503, "315360000")], exact(), 200, vec![300.0]),
    ] {
        let server = Server::new(answers);
        let answer = server.get(policy).await.unwrap();
        assert_eq!((answer.status().as_u16(), server.sleeps()), (code, sleeps));
    }
}

#[tokio::test(start_paused = true)]
async fn failures_to_connect_are_retried_as_the_reference_does() {
    let tls = || failure(io::ErrorKind::InvalidData);
    for (answers, policy, code, sleeps) in [
        (vec![refused(), refused(), tls()], exact().connect_retry_delay(seconds(0.1)), None, vec![0.1, 0.1]),
        (vec![refused(), refused(), refused()], exact(), Some(200), vec![0.5, 1.0, 2.0]),
        (vec![refused(), refused()], exact().connect_retries(1), None, vec![0.5]),
        (vec![refused()], exact().connect_retries(0), None, vec![]),
        (vec![tls()], exact(), None, vec![]),
        (
            vec![refused(), refused(), status(503), status(503)],
            exact().connect_retries(9).connect_retry_delay(seconds(5.0)).status_code_retries(1),
            Some(503),
            vec![5.0, 5.0, 0.5],
        ),
    ] {
        let server = Server::new(answers);
        let answer = server.get(policy).await;
        assert_eq!((answer.ok().map(|answer| answer.status().as_u16()), server.sleeps()), (code, sleeps));
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_sent_is_not_sent_again() {
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
        let answer = server.get(exact()).await;
        assert_eq!((server.attempts(), answer.is_ok()), (attempts, attempts == 2), "{kind}");
    }
    let wrapped = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
    let server = Server::new([Err(wrapped.into())]);
    assert_eq!(server.get(exact()).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_else_is_a_failure_to_connect_is_told_by_a_predicate() {
    let elapsed = || -> Answer { Err(Elapsed::new().into()) };
    let server = Server::new([elapsed()]);
    assert!(server.get(exact()).await.unwrap_err().is::<Elapsed>());
    let server = Server::new([elapsed()]);
    let policy = exact().connect_failure(|error| error.is::<Elapsed>());
    assert_eq!(server.get(policy).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn errors_of_this_crate_are_no_failures_to_connect_whatever_is_under_them() {
    let refused = || BoxError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
    let transport = Transport::new(service_fn(move |_: Request<Full<Bytes>>| async move {
        Err::<Response<Full<Bytes>>, _>(refused())
    }));
    let unreachable = password(&cloud(), transport).renew().await.unwrap_err();
    for error in [unreachable, Error::NoToken, Error::plugin(true, refused())] {
        let server = Server::new([Err(error.clone().into())]);
        let failed = server.get(exact().connect_failure(|_| true)).await.unwrap_err();
        assert_eq!(failed.to_string(), error.to_string());
        assert_eq!(server.attempts(), 1, "{error}");
        // Nor behind what has them not in its chain.
        let hidden = anyhow::Error::from_boxed(error.clone().into()).context("listing servers");
        let server = Server::new([Err(hidden.into())]);
        server.get(exact().connect_failure(|error| error.is::<io::Error>())).await.unwrap_err();
        assert_eq!(server.attempts(), 1, "hidden: {error}");
    }
}

#[test]
fn policies_show_what_they_were_told_and_not_their_functions() {
    let policy = format!("{:?}", exact().connect_retries(7));
    assert!(policy.starts_with("RetryPolicy") && policy.contains("connect_retries: 7"), "{policy}");
    assert_eq!(format!("{:?}", ReauthPolicy::<()>::new()), "ReauthPolicy { has_retried: false, .. }");
    let body = ReplayBody::new(Full::new(Bytes::from("canary")), 10);
    assert_eq!(format!("{body:?}"), "ReplayBody { position: 0, .. }");
}

/// A port of loopback where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_refused_connection_of_hypers_client_is_a_failure_to_connect() {
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
    let told =
        plain.clone().connect_failure(|error| error.downcast_ref().is_some_and(ClientError::is_connect));
    let url = nobody().await;
    let request = || Request::get(&url).body(Full::default()).unwrap();
    assert!(counted(plain.clone()).oneshot(request()).await.unwrap_err().is::<ClientError>());
    assert_eq!(*attempts.lock().unwrap(), 4, "by the kind of its I/O error");
    counted(told.clone()).oneshot(request()).await.unwrap_err();
    assert_eq!(*attempts.lock().unwrap(), 8);

    // Only the client knows that this one never connected.
    let elsewhere = || Request::get("https://127.0.0.1:1/").body(Full::default()).unwrap();
    counted(plain).oneshot(elsewhere()).await.unwrap_err();
    assert_eq!(*attempts.lock().unwrap(), 9);
    counted(told).oneshot(elsewhere()).await.unwrap_err();
    assert_eq!(*attempts.lock().unwrap(), 13);
}

#[tokio::test(start_paused = true)]
async fn a_keystone_out_of_reach_is_a_failure_to_connect_and_a_wrong_password_is_not() {
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
            behind.oneshot(request).await.map_err(|never: Infallible| match never {})
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
async fn delays_are_left_to_chance_and_never_shorter_than_asked_for() {
    fastrand::seed(7);
    let mut first = Vec::new();
    for _ in 0..50 {
        let server = Server::new([status(503), asking(503, "7"), refused()]);
        server.get(RetryPolicy::new()).await.unwrap();
        let [own, asked, connect] = server.sleeps()[..] else { panic!("three") };
        assert!((0.25..=0.501).contains(&own) && (0.25..=0.501).contains(&connect), "{own} {connect}");
        assert!((7.0..=7.501).contains(&asked), "{asked}");
        first.push(own);
    }
    first.dedup();
    assert!(first.len() > 25, "each request has its own: {first:?}");
}

#[tokio::test(start_paused = true)]
async fn a_budget_limits_the_retries_of_all_requests() {
    let budget = tower_keystone::retry::RetryBudget::new(Duration::from_secs(10), 1, 0.5);
    let policy = exact().status_code_retries(1_000).status_code_retry_delay(Duration::ZERO).budget(budget);
    let down = || Server::new((0..1_000).map(|_| status(503)));
    let server = down();
    assert_eq!(server.get(policy.clone()).await.unwrap().status(), 503);
    assert_eq!(server.attempts(), 1 + 10, "1 per second, of 10 s");
    let server = down();
    server.get(policy.clone()).await.unwrap();
    assert_eq!(server.attempts(), 1, "another request finds nothing left");

    let up = Server::new([]);
    for _ in 0..8 {
        up.get(policy.clone()).await.unwrap();
    }
    let server = down();
    server.get(policy).await.unwrap();
    assert_eq!(server.attempts(), 1 + 4, "half of the requests that went well");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_sent_again_is_sent_once() {
    let server = Server::new([status(503)]);
    let never = RetryPolicy::with_clone_body(|_: &Full<Bytes>| None);
    let nova = ServiceBuilder::new().retry(never).service(server.service::<Full<Bytes>>());
    let answer = nova.oneshot(Request::post("/").body(Full::from("once")).unwrap()).await.unwrap();
    assert_eq!((answer.status().as_u16(), server.attempts()), (503, 1));

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
        let answer = nova.oneshot(Request::post("/").body(body).unwrap()).await.unwrap();
        assert_eq!(answer.status() == 200, expected.len() == 2);
        assert_eq!(*bodies.lock().unwrap(), expected);
    }
}

#[test]
fn without_a_runtime_the_answer_is_handed_out() {
    let server = Server::new([status(503)]);
    let mut answer = tokio_test::task::spawn(
        ServiceBuilder::new().retry(exact()).service(server.service()).oneshot(Request::new(())),
    );
    let answer = tokio_test::assert_ready!(answer.poll()).unwrap();
    assert_eq!((answer.status().as_u16(), server.attempts()), (503, 1));
}

#[test]
fn in_a_runtime_without_time_the_answer_is_handed_out() {
    let timeless = Builder::new_current_thread().build().unwrap();
    let server = Server::new([status(503)]);
    let answer = timeless.block_on(server.get(exact())).unwrap();
    assert_eq!((answer.status().as_u16(), server.attempts()), (503, 1));
}

#[test]
fn a_pause_goes_on_in_another_runtime() {
    for ended in [true, false] {
        let [one, other] =
            [1, 2].map(|_| Builder::new_current_thread().enable_time().start_paused(true).build().unwrap());
        let server = Server::new([status(503)]);
        let mut request = tokio_test::task::spawn(server.get(exact()));
        one.block_on(async { tokio_test::assert_pending!(request.poll()) });
        let one = (!ended).then_some(one);
        let answer = other.block_on(request).unwrap();
        assert_eq!((answer.status().as_u16(), server.attempts()), (200, 2));
        drop(one);
    }
}

/// A nova that answers these statuses one after the other, but that a wrong token gets a 401 before.
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
                // From here on the token is none.
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
        // All the retries again after the 401; or counted over the whole.
        (&[503, 401, 503, 200], 200, 503),
        // One 401 in a request; or one in each attempt.
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
        let answer = inside.oneshot(request()).await.unwrap();
        assert_eq!(answer.status(), retry_outside, "{statuses:?}");
        assert_eq!(answer.extensions().get::<TokenRejected>().is_some(), retry_outside == 401);
    }
}
