//! `ReplayBody`: which clone reads the stream, and code that accesses the body while it is polled.

use std::{
    collections::VecDeque,
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{BoxError, ServiceBuilder, ServiceExt, retry::Policy};
use tower_keystone::{AuthLayer, EndpointFilter, ReauthPolicy, ReplayBody, RetryPolicy, TokenRejected};

use crate::support::*;

enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Pending,
    Fail(BoxError),
    Panic,
}

/// A body that performs one step per poll and counts its polls. `callback` runs in each poll, in `size_hint` and when
/// the body is dropped.
struct ScriptedBody {
    steps: VecDeque<Step>,
    polled: Arc<AtomicUsize>,
    callback: Callback,
}

type Callback = Option<Arc<dyn Fn() + Send + Sync>>;

impl ScriptedBody {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), polled: Arc::default(), callback: None }
    }

    /// Returns a body of `count` frames of 10 bytes.
    fn tens(count: usize) -> Self {
        Self::new((0..count).map(|index| Step::Data(format!("ten{index:>6}\n").into())))
    }

    fn whole(count: usize) -> String {
        (0..count).map(|index| format!("ten{index:>6}\n")).collect()
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.polled.fetch_add(1, Ordering::Relaxed);
        self.callback.iter().for_each(|callback| callback());
        match self.steps.pop_front() {
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Step::Fail(error)) => Poll::Ready(Some(Err(error))),
            Some(Step::Pending) => Poll::Pending,
            Some(Step::Panic) => panic!("a scripted panic"),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.callback.iter().for_each(|callback| callback());
        SizeHint::default()
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        self.callback.iter().for_each(|callback| callback());
    }
}

type Reading = task::Spawn<ReplayBody<ScriptedBody>>;

fn poll(body: &mut Reading) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    body.enter(|cx, body| body.poll_frame(cx))
}

/// Returns the data of the next frame.
#[track_caller]
fn data(body: &mut Reading) -> Bytes {
    assert_ready!(poll(body)).unwrap().unwrap().into_data().unwrap()
}

#[track_caller]
fn error(body: &mut Reading) -> String {
    assert_ready!(poll(body)).unwrap().unwrap_err().to_string()
}

/// Reads to the end of a body that is never pending.
#[track_caller]
fn rest(body: &mut Reading) -> String {
    let mut whole = Vec::new();
    while let Some(frame) = assert_ready!(poll(body)) {
        whole.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
    }
    String::from_utf8(whole).unwrap()
}

fn clone_request<P>(policy: &mut P, request: &Request<Replay>) -> Request<Replay>
where
    P: Policy<Request<Replay>, Response<()>, BoxError>,
{
    policy.clone_request(request).unwrap()
}

/// A policy, the body of the first attempt, and the clone of the request for the second attempt.
struct Attempts<P> {
    policy: P,
    first: Reading,
    second: Request<ReplayBody<ScriptedBody>>,
}

type Replay = ReplayBody<ScriptedBody>;

impl<P: Policy<Request<Replay>, Response<()>, BoxError>> Attempts<P> {
    fn new(mut policy: P, body: Replay) -> Self {
        let request = Request::new(body);
        let second = clone_request(&mut policy, &request);
        Self { policy, first: task::spawn(request.into_body()), second }
    }

    /// Passes a retriable response to the policy, and returns whether the policy sends the clone.
    fn retries(&mut self) -> bool {
        let response = Response::builder().status(503).extension(TokenRejected::Renewable).body(()).unwrap();
        self.policy.retry(&mut self.second, &mut Ok(response)).is_some()
    }

    fn bodies(self) -> (Reading, Reading) {
        (self.first, task::spawn(self.second.into_body()))
    }
}

fn assert_rejected_attempt_stops_reading<P>(policy: P)
where
    P: Policy<Request<Replay>, Response<()>, BoxError> + Clone,
{
    for read in 0..=2 {
        let script = ScriptedBody::tens(8);
        let polled = Arc::clone(&script.polled);
        let mut attempts = Attempts::new(policy.clone(), ReplayBody::new(script, 20));
        for _ in 0..read {
            data(&mut attempts.first);
        }
        assert!(attempts.retries());
        let (mut first, mut second) = attempts.bodies();
        for _ in 0..4 {
            assert!(error(&mut first).contains("taken it over"));
        }
        assert!(!first.is_end_stream() && first.size_hint().exact().is_none());
        assert_eq!(polled.load(Ordering::Relaxed), read);
        assert_eq!(rest(&mut second), ScriptedBody::whole(8));
    }
}

#[tokio::test]
async fn a_rejected_attempt_stops_reading_the_body() {
    assert_rejected_attempt_stops_reading(ReauthPolicy::replaying());
    assert_rejected_attempt_stops_reading(RetryPolicy::replaying());
}

fn assert_returned_attempt_continues_reading<P>(policy: P, read: usize)
where
    P: Policy<Request<Replay>, Response<()>, BoxError>,
{
    let mut attempts = Attempts::new(policy, ReplayBody::new(ScriptedBody::tens(8), 20));
    for _ in 0..read {
        data(&mut attempts.first);
    }
    assert!(!attempts.retries());
    assert_eq!(rest(&mut attempts.first), ScriptedBody::whole(8)[10 * read..]);
}

#[tokio::test]
async fn an_attempt_whose_response_is_returned_continues_reading_the_body() {
    assert_returned_attempt_continues_reading(ReauthPolicy::replaying(), 3);
    assert_returned_attempt_continues_reading(RetryPolicy::replaying(), 3);
    let none = tower_keystone::retry::RetryBudget::new(Duration::from_secs(10), 0, 0.0);
    assert_returned_attempt_continues_reading(RetryPolicy::replaying().budget(none), 1);
}

/// Reads the body to its end. Returns `None` after an error.
fn read_to_end(mut body: Reading) -> Option<String> {
    let mut whole = Vec::new();
    loop {
        match poll(&mut body) {
            Poll::Ready(None) => return Some(String::from_utf8(whole).unwrap()),
            Poll::Ready(Some(frame)) => whole.extend_from_slice(&frame.ok()?.into_data().unwrap()),
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

#[test]
fn exactly_one_attempt_gets_the_whole_body_when_threads_race() {
    const FRAMES: usize = 200;
    for round in 0..300 {
        let body = ReplayBody::new(ScriptedBody::tens(FRAMES), 500);
        let Attempts { mut policy, first, mut second } = Attempts::new(ReauthPolicy::replaying(), body);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| read_to_end(first));
            for _ in 0..round {
                std::hint::spin_loop();
            }
            let response = Response::builder().extension(TokenRejected::Renewable).body(()).unwrap();
            if policy.retry(&mut second, &mut Ok::<_, BoxError>(response)).is_some() {
                let second = read_to_end(task::spawn(second.into_body()));
                assert_eq!(second.as_deref(), Some(&*ScriptedBody::whole(FRAMES)));
                assert!(first.join().unwrap().is_none(), "the second attempt has taken over the body");
            } else {
                assert_eq!(first.join().unwrap().as_deref(), Some(&*ScriptedBody::whole(FRAMES)));
            }
        });
    }
}

#[tokio::test]
async fn nested_policies_take_over_the_body_in_turn() {
    let mut outer = Attempts::new(ReauthPolicy::replaying(), ReplayBody::new(ScriptedBody::tens(5), 50));
    let mut inner = Attempts::new(RetryPolicy::replaying(), outer.first.into_inner());
    data(&mut inner.first);
    assert!(inner.retries());
    let third = clone_request(&mut inner.policy, &inner.second);
    let (mut first, mut second) = inner.bodies();
    data(&mut second);
    data(&mut second);
    let mut third = task::spawn(third.into_body());
    assert_eq!(
        data(&mut third),
        ScriptedBody::whole(2),
        "it is a clone of the body that has taken over the stream"
    );
    outer.first = first;
    assert!(outer.retries());
    let (mut last, mut fourth) = outer.bodies();
    first = task::spawn(fourth.clone());
    for previous in [&mut last, &mut second, &mut third] {
        assert!(error(previous).contains("taken it over"));
    }
    assert_eq!(rest(&mut fourth), ScriptedBody::whole(5));
    assert_eq!(rest(&mut first), ScriptedBody::whole(5));
}

#[test]
fn a_clone_that_starts_reading_takes_over_the_stream() {
    let steps =
        [Step::Data("one,".into()), Step::Pending, Step::Data("two,".into()), Step::Data("three".into())];
    let mut first = task::spawn(ReplayBody::new(ScriptedBody::new(steps), 100));
    let mut second = task::spawn(first.clone());
    assert_eq!(data(&mut first), "one,");
    assert_pending!(poll(&mut first));
    assert_eq!(data(&mut second), "one,");
    assert!(first.is_woken(), "the task of the first body is woken");
    assert!(error(&mut first).contains("taken it over"));
    assert_eq!(rest(&mut second), "two,three");
    assert!(error(&mut first).contains("taken it over"));
    assert!(second.is_end_stream() && !first.is_end_stream());
    assert!(second.can_replay() && !first.can_replay());
}

type Access = Arc<dyn Fn() + Send + Sync>;

/// A waker, buffer and error that accesses the body when it is woken or dropped.
struct AccessOnWake(Access);

impl Wake for AccessOnWake {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

impl Drop for AccessOnWake {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl AsRef<[u8]> for AccessOnWake {
    fn as_ref(&self) -> &[u8] {
        b"owned"
    }
}

impl fmt::Display for AccessOnWake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it failed")
    }
}

impl fmt::Debug for AccessOnWake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessOnWake")
    }
}

impl std::error::Error for AccessOnWake {}

#[test]
fn streams_wakers_and_values_can_access_their_own_body_without_deadlock() {
    for (cap, fails) in [(100, false), (100, true), (0, false)] {
        let (body, accesses) = (Arc::new(OnceLock::<Replay>::new()), Arc::new(AtomicUsize::new(0)));
        let (seen, counted) = (Arc::clone(&body), Arc::clone(&accesses));
        let access: Access = Arc::new(move || {
            if let Some(body) = seen.get() {
                let clone = body.clone();
                let _ = (clone.can_replay(), clone.is_end_stream(), clone.size_hint());
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let owned = || Bytes::from_owner(AccessOnWake(Arc::clone(&access)));
        let trailer = HeaderValue::from_maybe_shared(owned()).unwrap();
        let last = match fails {
            true => Step::Fail(AccessOnWake(Arc::clone(&access)).into()),
            false => Step::Trailers(HeaderMap::from_iter([(HeaderName::from_static("x-sum"), trailer)])),
        };
        let steps = [Step::Data(owned()), Step::Pending, Step::Data(owned()), last];
        let mut script = ScriptedBody::new(steps);
        script.callback = Some(Arc::clone(&access));
        let mut first = ReplayBody::new(script, cap);
        assert!(body.set(first.clone()).is_ok());
        let mut second = first.clone();
        let poll = |body: &mut Replay| {
            let before = accesses.load(Ordering::Relaxed);
            let waker = Waker::from(Arc::new(AccessOnWake(Arc::clone(&access))));
            let polled = Pin::new(body).poll_frame(&mut Context::from_waker(&waker));
            drop(waker);
            assert!(accesses.load(Ordering::Relaxed) > before);
            polled.is_pending()
        };
        assert!(!poll(&mut first) && poll(&mut first));
        for _ in 0..5 {
            assert!(!poll(&mut second));
        }
        assert!(!poll(&mut first));
    }
}

/// Returns a body of these steps and its clone. The first poll of the body also polls the clone.
fn body_that_polls_its_clone(
    steps: impl IntoIterator<Item = Step>,
    cap: usize,
) -> (Reading, Arc<Mutex<Option<Reading>>>) {
    let second: Arc<Mutex<Option<Reading>>> = Arc::default();
    let (clone, polled) = (Arc::clone(&second), AtomicUsize::new(0));
    let callback = move || {
        if let Some(second) = &mut *clone.lock().unwrap()
            && polled.fetch_add(1, Ordering::Relaxed) == 0
        {
            assert_pending!(poll(second));
        }
    };
    let mut script = ScriptedBody::new(steps);
    script.callback = Some(Arc::new(callback));
    let first = ReplayBody::new(script, cap);
    *second.lock().unwrap() = Some(task::spawn(first.clone()));
    (task::spawn(first), second)
}

#[test]
fn a_frame_read_during_a_takeover_is_not_lost() {
    for cap in [5, 100] {
        let (mut first, second) = body_that_polls_its_clone(ScriptedBody::tens(3).steps.drain(..), cap);
        assert!(error(&mut first).contains("taken it over"));
        let mut second = second.lock().unwrap().take().unwrap();
        assert!(second.is_woken());
        assert_eq!(rest(&mut second), ScriptedBody::whole(3));
    }
    let (mut first, second) = body_that_polls_its_clone([Step::Fail("it broke".into())], 100);
    assert!(error(&mut first).contains("taken it over"));
    let mut second = second.lock().unwrap().take().unwrap();
    assert!(second.is_woken() && second.can_replay() && !second.is_end_stream());
    assert_eq!(error(&mut second), "it broke");
    assert!(!second.clone().can_replay());
}

#[test]
fn a_panic_of_the_stream_is_an_error_for_the_waiting_clone() {
    let (mut first, second) = body_that_polls_its_clone([Step::Panic], 100);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut first).is_ready())).unwrap_err();
    let mut second = second.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap();
    assert!(second.is_woken());
    assert!(error(&mut second).contains("panicked"));
}

#[test]
fn one_byte_and_empty_frames_are_stored_compactly() {
    let frames = (0..100_000).map(|index| match index % 100 {
        0 => Step::Data("x".into()),
        _ => Step::Data(Bytes::new()),
    });
    let mut first = task::spawn(ReplayBody::new(ScriptedBody::new(frames), 1_000));
    let mut second = task::spawn(first.clone());
    assert_eq!(rest(&mut first), "x".repeat(1_000));
    assert_eq!(second.size_hint().exact(), Some(1_000));
    assert_eq!(data(&mut second), "x".repeat(1_000), "the frames are merged into one");
    assert!(assert_ready!(poll(&mut second)).is_none());
}

#[test]
fn trailers_count_toward_the_replay_limit() {
    for (length, can_replay) in [(94, true), (95, false)] {
        let name = HeaderName::from_static("x-long");
        let value = HeaderValue::try_from("y".repeat(length)).unwrap();
        let steps = [Step::Data("data".into()), Step::Trailers(HeaderMap::from_iter([(name, value)]))];
        let mut first = task::spawn(ReplayBody::new(ScriptedBody::new(steps), 100));
        let second = first.clone();
        assert_eq!(rest(&mut first), "data");
        assert_eq!(second.can_replay(), can_replay);
    }
}

/// A body of 100 KiB that is pending in every second poll.
struct Slow(usize);

impl Body for Slow {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0 += 1;
        if self.0.is_multiple_of(2) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready((self.0 < 200).then(|| Ok(Frame::data(Bytes::from(vec![b'z'; 1024])))))
    }
}

/// Responds with 401 to a request with the token `rejected` after reading its head, and with 200 to another request
/// after reading all 100 KiB.
async fn respond(mut stream: TcpStream, rejected: String) -> io::Result<()> {
    let mut read = Vec::new();
    let head = loop {
        stream.read_buf(&mut read).await?;
        if let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break head;
        }
    };
    if String::from_utf8_lossy(&read[..head]).contains(&rejected) {
        stream.write_all(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n").await?;
        // If the connection closed now, the client might miss the response.
        while stream.read(&mut [0; 4096]).await? > 0 {}
        return Ok(());
    }
    while !read.ends_with(b"\r\n0\r\n\r\n") {
        stream.read_buf(&mut read).await?;
    }
    let whole = read[head..].iter().filter(|byte| **byte == b'z').count() == 100 * 1024;
    let status = if whole { "200 Yes" } else { "400 Not whole" };
    stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_401_ends_in_its_response_or_a_complete_replay() {
    for _ in 0..40 {
        let cloud = cloud();
        let plugin = password(&cloud, cloud.transport());
        let access = plugin.renew().await.unwrap();
        let rejected = access.auth_ref().unwrap().auth_token().unwrap().to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(respond(stream, rejected.clone()));
            }
        });
        let client: Client<_, ReplayBody<Slow>> = Client::builder(TokioExecutor::new()).build_http();
        let nova = ServiceBuilder::new()
            .retry(ReauthPolicy::replaying())
            .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute").endpoint_override(url)))
            .service(client);
        let request = Request::put("/image").body(ReplayBody::new(Slow(0), 16 * 1024)).unwrap();
        let response = nova.oneshot(request).await.unwrap();
        match response.status().as_u16() {
            200 => {}
            401 => assert_eq!(response.extensions().get(), Some(&TokenRejected::Renewable)),
            status => panic!("{status}"),
        }
        serving.abort();
    }
}
