//! `ReplayBody`: who reads the stream, and which code runs while it is locked.

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

/// A body that does one step in each poll, and counts how many it has done. `within` runs in each poll and when it
/// is dropped.
struct Script {
    steps: VecDeque<Step>,
    polled: Arc<AtomicUsize>,
    within: Within,
}

type Within = Option<Arc<dyn Fn() + Send + Sync>>;

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), polled: Arc::default(), within: None }
    }

    /// So many frames of 10 bytes.
    fn tens(count: usize) -> Self {
        Self::new((0..count).map(|index| Step::Data(format!("ten{index:>6}\n").into())))
    }

    fn whole(count: usize) -> String {
        (0..count).map(|index| format!("ten{index:>6}\n")).collect()
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.polled.fetch_add(1, Ordering::Relaxed);
        self.within.iter().for_each(|within| within());
        match self.steps.pop_front() {
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Step::Fail(error)) => Poll::Ready(Some(Err(error))),
            Some(Step::Pending) => Poll::Pending,
            Some(Step::Panic) => panic!("the script says so"),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.within.iter().for_each(|within| within());
        SizeHint::default()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.within.iter().for_each(|within| within());
    }
}

type Reading = task::Spawn<ReplayBody<Script>>;

fn poll(body: &mut Reading) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    body.enter(|cx, body| body.poll_frame(cx))
}

/// The data of the next frame.
#[track_caller]
fn data(body: &mut Reading) -> Bytes {
    assert_ready!(poll(body)).unwrap().unwrap().into_data().unwrap()
}

#[track_caller]
fn error(body: &mut Reading) -> String {
    assert_ready!(poll(body)).unwrap().unwrap_err().to_string()
}

/// All that there is to read without waiting.
#[track_caller]
fn rest(body: &mut Reading) -> String {
    let mut whole = Vec::new();
    while let Some(frame) = assert_ready!(poll(body)) {
        whole.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
    }
    String::from_utf8(whole).unwrap()
}

fn clone_request<P>(policy: &mut P, request: &Request<Kept>) -> Request<Kept>
where
    P: Policy<Request<Kept>, Response<()>, BoxError>,
{
    policy.clone_request(request).unwrap()
}

/// A policy that sends again what was refused or unavailable, the request, and its clone.
struct Attempts<P> {
    policy: P,
    first: Reading,
    second: Request<ReplayBody<Script>>,
}

type Kept = ReplayBody<Script>;

impl<P: Policy<Request<Kept>, Response<()>, BoxError>> Attempts<P> {
    fn new(mut policy: P, body: Kept) -> Self {
        let request = Request::new(body);
        let second = clone_request(&mut policy, &request);
        Self { policy, first: task::spawn(request.into_body()), second }
    }

    /// Whether the policy sends the clone after a 401 and a 503.
    fn decides(&mut self) -> bool {
        let answer = Response::builder().status(503).extension(TokenRejected::Renewable).body(()).unwrap();
        self.policy.retry(&mut self.second, &mut Ok(answer)).is_some()
    }

    fn bodies(self) -> (Reading, Reading) {
        (self.first, task::spawn(self.second.into_body()))
    }
}

fn refused_attempt_reads_no_further<P>(policy: P)
where
    P: Policy<Request<Kept>, Response<()>, BoxError> + Clone,
{
    for read in 0..=2 {
        let script = Script::tens(8);
        let polled = Arc::clone(&script.polled);
        let mut attempts = Attempts::new(policy.clone(), ReplayBody::new(script, 20));
        for _ in 0..read {
            data(&mut attempts.first);
        }
        assert!(attempts.decides());
        let (mut first, mut second) = attempts.bodies();
        for _ in 0..4 {
            assert!(error(&mut first).contains("taken it over"));
        }
        assert!(!first.is_end_stream() && first.size_hint().exact().is_none());
        assert_eq!(polled.load(Ordering::Relaxed), read);
        assert_eq!(rest(&mut second), Script::whole(8));
    }
}

#[tokio::test]
async fn the_attempt_that_was_refused_reads_no_further() {
    refused_attempt_reads_no_further(ReauthPolicy::replaying());
    refused_attempt_reads_no_further(RetryPolicy::replaying());
}

fn attempt_whose_answer_is_handed_out_reads_on<P>(policy: P, read: usize)
where
    P: Policy<Request<Kept>, Response<()>, BoxError>,
{
    let mut attempts = Attempts::new(policy, ReplayBody::new(Script::tens(8), 20));
    for _ in 0..read {
        data(&mut attempts.first);
    }
    assert!(!attempts.decides());
    assert_eq!(rest(&mut attempts.first), Script::whole(8)[10 * read..]);
}

#[tokio::test]
async fn the_attempt_whose_answer_is_handed_out_reads_on() {
    attempt_whose_answer_is_handed_out_reads_on(ReauthPolicy::replaying(), 3);
    attempt_whose_answer_is_handed_out_reads_on(RetryPolicy::replaying(), 3);
    let none = tower_keystone::retry::RetryBudget::new(Duration::from_secs(10), 0, 0.0);
    attempt_whose_answer_is_handed_out_reads_on(RetryPolicy::replaying().budget(none), 1);
}

/// All that there is to read, or `None` after an error.
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
fn whoever_is_to_have_the_body_has_it_whole_while_threads_race_for_it() {
    const FRAMES: usize = 200;
    for round in 0..300 {
        let body = ReplayBody::new(Script::tens(FRAMES), 500);
        let Attempts { mut policy, first, mut second } = Attempts::new(ReauthPolicy::replaying(), body);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| read_to_end(first));
            for _ in 0..round {
                std::hint::spin_loop();
            }
            let answer = Response::builder().extension(TokenRejected::Renewable).body(()).unwrap();
            if policy.retry(&mut second, &mut Ok::<_, BoxError>(answer)).is_some() {
                let second = read_to_end(task::spawn(second.into_body()));
                assert_eq!(second.as_deref(), Some(&*Script::whole(FRAMES)));
                assert!(first.join().unwrap().is_none(), "it was taken over");
            } else {
                assert_eq!(first.join().unwrap().as_deref(), Some(&*Script::whole(FRAMES)));
            }
        });
    }
}

#[tokio::test]
async fn policies_around_each_other_take_the_body_over_in_turn() {
    let mut outer = Attempts::new(ReauthPolicy::replaying(), ReplayBody::new(Script::tens(5), 50));
    let mut inner = Attempts::new(RetryPolicy::replaying(), outer.first.into_inner());
    data(&mut inner.first);
    assert!(inner.decides());
    let third = clone_request(&mut inner.policy, &inner.second);
    let (mut first, mut second) = inner.bodies();
    data(&mut second);
    data(&mut second);
    let mut third = task::spawn(third.into_body());
    assert_eq!(data(&mut third), Script::whole(2), "it was made of the one that had taken over");
    outer.first = first;
    assert!(outer.decides());
    let (mut last, mut fourth) = outer.bodies();
    first = task::spawn(fourth.clone());
    for before in [&mut last, &mut second, &mut third] {
        assert!(error(before).contains("taken it over"));
    }
    assert_eq!(rest(&mut fourth), Script::whole(5));
    assert_eq!(rest(&mut first), Script::whole(5));
}

#[test]
fn the_clone_that_begins_to_read_takes_the_stream_over() {
    let steps =
        [Step::Data("one,".into()), Step::Pending, Step::Data("two,".into()), Step::Data("three".into())];
    let mut first = task::spawn(ReplayBody::new(Script::new(steps), 100));
    let mut second = task::spawn(first.clone());
    assert_eq!(data(&mut first), "one,");
    assert_pending!(poll(&mut first));
    assert_eq!(data(&mut second), "one,");
    assert!(first.is_woken(), "its connection has to know");
    assert!(error(&mut first).contains("taken it over"));
    assert_eq!(rest(&mut second), "two,three");
    assert!(error(&mut first).contains("taken it over"));
    assert!(second.is_end_stream() && !first.is_end_stream());
    assert!(second.can_replay() && !first.can_replay());
}

type Look = Arc<dyn Fn() + Send + Sync>;

/// Looks when it is woken and when it is dropped.
struct Looking(Look);

impl Wake for Looking {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl AsRef<[u8]> for Looking {
    fn as_ref(&self) -> &[u8] {
        b"owned"
    }
}

impl fmt::Display for Looking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it failed")
    }
}

impl fmt::Debug for Looking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Looking")
    }
}

impl std::error::Error for Looking {}

#[test]
fn streams_wakers_and_values_may_look_at_the_body_that_they_belong_to() {
    for (cap, fails) in [(100, false), (100, true), (0, false)] {
        let (body, looks) = (Arc::new(OnceLock::<Kept>::new()), Arc::new(AtomicUsize::new(0)));
        let (seen, counted) = (Arc::clone(&body), Arc::clone(&looks));
        let look: Look = Arc::new(move || {
            if let Some(body) = seen.get() {
                let clone = body.clone();
                let _ = (clone.can_replay(), clone.is_end_stream(), clone.size_hint());
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let owned = || Bytes::from_owner(Looking(Arc::clone(&look)));
        let trailer = HeaderValue::from_maybe_shared(owned()).unwrap();
        let last = match fails {
            true => Step::Fail(Looking(Arc::clone(&look)).into()),
            false => Step::Trailers(HeaderMap::from_iter([(HeaderName::from_static("x-sum"), trailer)])),
        };
        let steps = [Step::Data(owned()), Step::Pending, Step::Data(owned()), last];
        let mut script = Script::new(steps);
        script.within = Some(Arc::clone(&look));
        let mut first = ReplayBody::new(script, cap);
        assert!(body.set(first.clone()).is_ok());
        let mut second = first.clone();
        let poll = |body: &mut Kept| {
            let before = looks.load(Ordering::Relaxed);
            let waker = Waker::from(Arc::new(Looking(Arc::clone(&look))));
            let polled = Pin::new(body).poll_frame(&mut Context::from_waker(&waker));
            drop(waker);
            assert!(looks.load(Ordering::Relaxed) > before);
            polled.is_pending()
        };
        assert!(!poll(&mut first) && poll(&mut first));
        for _ in 0..5 {
            assert!(!poll(&mut second));
        }
        assert!(!poll(&mut first));
    }
}

/// A body of these steps, in the first poll of which its clone is polled too.
fn polled_twice(steps: impl IntoIterator<Item = Step>, cap: usize) -> (Reading, Arc<Mutex<Option<Reading>>>) {
    let second: Arc<Mutex<Option<Reading>>> = Arc::default();
    let (clone, polled) = (Arc::clone(&second), AtomicUsize::new(0));
    let within = move || {
        if let Some(second) = &mut *clone.lock().unwrap()
            && polled.fetch_add(1, Ordering::Relaxed) == 0
        {
            assert_pending!(poll(second));
        }
    };
    let mut script = Script::new(steps);
    script.within = Some(Arc::new(within));
    let first = ReplayBody::new(script, cap);
    *second.lock().unwrap() = Some(task::spawn(first.clone()));
    (task::spawn(first), second)
}

#[test]
fn what_was_read_when_the_stream_was_taken_over_is_not_lost() {
    for cap in [5, 100] {
        let (mut first, second) = polled_twice(Script::tens(3).steps.drain(..), cap);
        assert!(error(&mut first).contains("taken it over"));
        let mut second = second.lock().unwrap().take().unwrap();
        assert!(second.is_woken());
        assert_eq!(rest(&mut second), Script::whole(3));
    }
    let (mut first, second) = polled_twice([Step::Fail("it broke".into())], 100);
    assert!(error(&mut first).contains("taken it over"));
    let mut second = second.lock().unwrap().take().unwrap();
    assert!(second.is_woken() && second.can_replay() && !second.is_end_stream());
    assert_eq!(error(&mut second), "it broke");
    assert!(!second.clone().can_replay());
}

#[test]
fn nobody_waits_for_a_stream_that_panicked() {
    let (mut first, second) = polled_twice([Step::Panic], 100);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut first).is_ready())).unwrap_err();
    let mut second = second.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap();
    assert!(second.is_woken());
    assert!(error(&mut second).contains("panicked"));
}

#[test]
fn frames_of_one_byte_and_empty_ones_are_kept_for_what_they_are() {
    let frames = (0..100_000).map(|index| match index % 100 {
        0 => Step::Data("x".into()),
        _ => Step::Data(Bytes::new()),
    });
    let mut first = task::spawn(ReplayBody::new(Script::new(frames), 1_000));
    let mut second = task::spawn(first.clone());
    assert_eq!(rest(&mut first), "x".repeat(1_000));
    assert_eq!(second.size_hint().exact(), Some(1_000));
    assert_eq!(data(&mut second), "x".repeat(1_000), "in one frame");
    assert!(assert_ready!(poll(&mut second)).is_none());
}

#[test]
fn trailers_that_are_longer_than_the_cap_are_not_kept() {
    for (length, kept) in [(94, true), (95, false)] {
        let name = HeaderName::from_static("x-long");
        let value = HeaderValue::try_from("y".repeat(length)).unwrap();
        let steps = [Step::Data("data".into()), Step::Trailers(HeaderMap::from_iter([(name, value)]))];
        let mut first = task::spawn(ReplayBody::new(Script::new(steps), 100));
        let second = first.clone();
        assert_eq!(rest(&mut first), "data");
        assert_eq!(second.can_replay(), kept);
    }
}

/// 100 KiB of which a little comes in each poll of its connection.
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

/// Answers 401 to this token as soon as it has the head of the request, and 200 to another when all 100 KiB have come.
async fn answer(mut stream: TcpStream, refused: String) -> io::Result<()> {
    let mut read = Vec::new();
    let head = loop {
        stream.read_buf(&mut read).await?;
        if let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break head;
        }
    };
    if String::from_utf8_lossy(&read[..head]).contains(&refused) {
        stream.write_all(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n").await?;
        // If the connection ended here, the client might not see the answer.
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
async fn a_refusal_that_comes_before_the_body_was_sent_ends_in_the_answer_or_the_replay() {
    for _ in 0..40 {
        let cloud = cloud();
        let plugin = password(&cloud, cloud.transport());
        let access = plugin.renew().await.unwrap();
        let refused = access.auth_ref().unwrap().auth_token().unwrap().to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, refused.clone()));
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
