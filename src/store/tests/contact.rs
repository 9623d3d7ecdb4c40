use std::{
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::time::{Instant, advance};

use super::*;
use crate::{
    BoxError, Error,
    log::Log,
    store::{LeaseOwner, StoreAway, StoreFuture, Version},
};

/// A store that does what it is told.
#[derive(Clone, Debug, Default)]
struct Scripted(Arc<Script>);

#[derive(Debug, Default)]
struct Script {
    behavior: Mutex<Behavior>,
    /// The identity of the only names whose server fails or hangs. All names have one server if there is none.
    failing: Mutex<Option<String>>,
    /// The error of the next failure.
    error: Mutex<Option<BoxError>>,
    questions: AtomicUsize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Behavior {
    #[default]
    Answer,
    AnswerAfter(Duration),
    Fail,
    Hang,
    Panic,
    PanicLater,
}

impl Scripted {
    fn set(&self, behavior: Behavior) {
        *self.0.behavior.lock().unwrap() = behavior;
    }

    /// Returns the number of questions since the last call.
    fn questions(&self) -> usize {
        self.0.questions.swap(0, Ordering::SeqCst)
    }

    fn answer<T: Send + 'static>(&self, answer: T) -> StoreFuture<'_, T> {
        self.0.questions.fetch_add(1, Ordering::SeqCst);
        let behavior = *self.0.behavior.lock().unwrap();
        let error = self.0.error.lock().unwrap().take().unwrap_or("the connection was refused".into());
        assert!(!matches!(behavior, Behavior::Panic), "the store panics");
        Box::pin(async move {
            match behavior {
                Behavior::Answer => Ok(answer),
                Behavior::AnswerAfter(time) => {
                    tokio::time::sleep(time).await;
                    Ok(answer)
                }
                Behavior::Fail => Err(error),
                Behavior::Hang => pending().await,
                Behavior::Panic | Behavior::PanicLater => panic!("the store panics later"),
            }
        })
    }
}

impl TokenStore for Scripted {
    fn server(&self, name: &EntryName) -> usize {
        usize::from(self.0.failing.lock().unwrap().as_deref() == Some(name.identity()))
    }

    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        let failing = self.0.failing.lock().unwrap().clone();
        match failing.is_some_and(|failing| failing != name.identity()) {
            true => Box::pin(ready(Ok(None))),
            false => self.answer(None),
        }
    }

    fn publish<'a>(
        &'a self,
        _: &'a EntryName,
        _: Option<&'a Version>,
        _: &'a [u8],
        _: Duration,
    ) -> StoreFuture<'a, bool> {
        self.answer(true)
    }

    fn lease<'a>(&'a self, _: &'a EntryName, _: &'a LeaseOwner, _: Duration) -> StoreFuture<'a, bool> {
        self.answer(true)
    }

    fn extend<'a>(&'a self, _: &'a EntryName, _: &'a LeaseOwner, _: Duration) -> StoreFuture<'a, bool> {
        self.answer(true)
    }

    fn release<'a>(&'a self, _: &'a EntryName, _: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        self.answer(())
    }
}

fn scripted() -> (Scripted, SharedTokens, IdentityEntries) {
    let store = Scripted::default();
    let shared = SharedTokens::new(store.clone(), key(1));
    let entries = shared.identity(&alice());
    (store, shared, entries)
}

async fn is_away(entries: &IdentityEntries) -> bool {
    matches!(entries.token().await, Err(StoreAway))
}

/// Asks, and returns how long that took.
async fn time_of_question(entries: &IdentityEntries) -> Duration {
    let start = Instant::now();
    let _ = entries.token().await;
    start.elapsed()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An error that asks the store when it is dropped.
#[derive(Debug, thiserror::Error)]
#[error("the connection was refused")]
struct AskingError(SharedTokens);

impl Drop for AskingError {
    fn drop(&mut self) {
        let entries = self.0.identity(&alice());
        let _ = tokio_test::task::spawn(entries.token()).poll();
    }
}

#[tokio::test(start_paused = true)]
async fn no_lock_is_held_while_an_error_is_dropped() {
    let (store, shared, entries) = scripted();
    store.set(Behavior::Fail);
    for _ in 0..3 {
        *store.0.error.lock().unwrap() = Some(AskingError(shared.clone()).into());
        assert!(is_away(&entries).await);
        advance(Duration::from_secs(30)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_may_take_longer() {
    let (store, _, entries) = scripted();
    store.set(Behavior::AnswerAfter(millis(900)));
    assert!(!is_away(&entries).await);
    assert!(is_away(&entries).await, "the second one may not");
    store.set(Behavior::AnswerAfter(millis(45)));
    advance(millis(25)).await;
    assert!(!is_away(&entries).await);
    store.set(Behavior::Hang);
    let time = time_of_question(&entries).await;
    assert!((millis(50)..millis(60)).contains(&time), "{time:?}");
    assert_eq!(time_of_question(&entries).await, Duration::ZERO, "it is not asked again at once");
}

#[tokio::test(start_paused = true)]
async fn a_first_answer_that_does_not_come_is_awaited_for_a_second() {
    let (store, _, entries) = scripted();
    store.set(Behavior::Hang);
    let time = time_of_question(&entries).await;
    assert!((millis(1_000)..millis(1_010)).contains(&time), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn the_timeout_can_be_set() {
    let (store, shared, _) = scripted();
    let entries = shared.answer_timeout(Duration::from_secs(5)).identity(&alice());
    store.set(Behavior::AnswerAfter(millis(4_900)));
    assert!(!is_away(&entries).await);
    assert!(!is_away(&entries).await);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_concerns_its_own_entries_only() {
    let (log, _guard) = Log::new();
    let (store, shared, alices) = scripted();
    let bobs = shared.identity(&bob());
    *store.0.failing.lock().unwrap() = Some(name(1, &alice(), "token").identity().to_owned());
    store.set(Behavior::Fail);
    for _ in 0..100 {
        assert!(is_away(&alices).await);
        assert!(!is_away(&bobs).await);
        advance(millis(20)).await;
    }
    assert!(store.questions() < 10, "the answers of the other server do not end the outage");
    assert_eq!(log.take_lines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_asked_less_and_less() {
    let (log, _guard) = Log::new();
    let (store, shared, entries) = scripted();
    let other = shared.clone().name("other").identity(&bob());
    assert!(!is_away(&entries).await);
    store.questions();
    store.set(Behavior::Fail);
    for _ in 0..3 {
        assert!(is_away(&entries).await && is_away(&other).await);
    }
    assert_eq!(store.questions(), 1, "all clones know that it is away");
    let mut delays = Vec::new();
    let mut last = Instant::now();
    while delays.len() < 16 {
        advance(millis(1)).await;
        assert!(is_away(&entries).await);
        if store.questions() > 0 {
            delays.push(last.elapsed());
            last = Instant::now();
        }
    }
    for (expected, delay) in (0..).map(|n| millis((20 << n).min(30_000))).zip(&delays) {
        assert!((expected * 3 / 4..=expected + millis(2)).contains(delay), "{expected:?}: {delays:?}");
    }
    store.set(Behavior::Answer);
    advance(Duration::from_secs(31)).await;
    assert!(!is_away(&other).await && !is_away(&entries).await);

    let lines = log.take_lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("the connection was refused"), "{}", lines[0]);
    assert!(lines[1].contains("INFO") && lines[1].contains("can be used again"), "{}", lines[1]);
    // A store that fails again and again is logged once in a minute.
    for lines in [2, 0, 0] {
        store.set(Behavior::Fail);
        assert!(is_away(&entries).await);
        store.set(Behavior::Answer);
        advance(millis(20)).await;
        assert!(!is_away(&entries).await);
        assert_eq!(log.take_lines().len(), lines);
    }
}

#[tokio::test(start_paused = true)]
async fn one_question_at_a_time_finds_out_whether_it_is_back() {
    let (store, _, entries) = scripted();
    assert!(!is_away(&entries).await);
    store.set(Behavior::Fail);
    assert!(is_away(&entries).await);
    advance(millis(20)).await;
    store.questions();
    store.set(Behavior::Hang);
    let probe = time_of_question(&entries);
    let others = async {
        tokio::task::yield_now().await;
        for _ in 0..3 {
            assert!(is_away(&entries).await);
        }
    };
    tokio::join!(probe, others);
    assert_eq!(store.questions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_does_not_end_the_use_of_the_store() {
    let (store, _, entries) = scripted();
    assert!(!is_away(&entries).await);
    store.set(Behavior::Fail);
    assert!(is_away(&entries).await);
    advance(millis(20)).await;
    store.set(Behavior::Hang);
    let mut probe = Box::pin(entries.token());
    assert!(tokio::time::timeout(millis(1), &mut probe).await.is_err());
    drop(probe);
    store.set(Behavior::Answer);
    advance(millis(50)).await;
    assert!(!is_away(&entries).await);
}

#[tokio::test(start_paused = true)]
async fn questions_that_fail_together_count_as_one_failure() {
    let (store, _, entries) = scripted();
    assert!(!is_away(&entries).await);
    store.set(Behavior::Hang);
    let all = (0..10).map(|_| {
        let entries = entries.clone();
        tokio::spawn(async move { is_away(&entries).await })
    });
    for task in all.collect::<Vec<_>>() {
        assert!(task.await.unwrap());
    }
    store.set(Behavior::Answer);
    advance(millis(20)).await;
    assert!(!is_away(&entries).await);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_away() {
    for behavior in [Behavior::Panic, Behavior::PanicLater] {
        let (store, shared, entries) = scripted();
        store.set(behavior);
        assert!(is_away(&entries).await);
        let error = shared.access_info(&NoCredentials).await.unwrap_err();
        assert!(matches!(error, Error::StoreUnavailable { source: Some(_), .. }), "{error:?}");
    }
}

#[test]
fn without_a_runtime_the_store_is_away() {
    let (store, _, entries) = scripted();
    store.set(Behavior::Hang);
    let mut asking = tokio_test::task::spawn(entries.token());
    assert!(matches!(asking.poll(), std::task::Poll::Ready(Err(StoreAway))));
}

struct NoCredentials;

impl crate::Credentials for NoCredentials {
    fn get_auth_ref(&self, _: crate::Transport) -> crate::AuthRefFuture {
        Box::pin(async { Err(Error::NoToken) })
    }

    fn auth_url(&self) -> &http::Uri {
        static AUTH_URL: std::sync::LazyLock<http::Uri> = std::sync::LazyLock::new(http::Uri::default);
        &AUTH_URL
    }

    fn cache_id(&self) -> Option<String> {
        Some("id".into())
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_says_why_the_store_is_away() {
    let (store, shared, _) = scripted();
    assert!(shared.access_info(&NoCredentials).await.unwrap().is_none());
    store.set(Behavior::Hang);
    let error = shared.access_info(&NoCredentials).await.unwrap_err();
    assert!(matches!(error, Error::StoreUnavailable { source: None }), "{error:?}");
    assert!(error.is_transient());
    advance(millis(20)).await;
    store.set(Behavior::Fail);
    let error = shared.access_info(&NoCredentials).await.unwrap_err();
    assert!(format!("{error:#}").contains("the connection was refused"), "{error:#}");
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_renewals_but_not_for_ever() {
    let shared = SharedTokens::in_memory();
    let mut user = shared.identity(&alice()).add_user().unwrap();
    let renewal = tokio::spawn(async move { user.closed().await });
    let start = Instant::now();
    shared.clone().name("other").close().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    renewal.await.unwrap();
    assert!(shared.identity(&alice()).add_user().is_none());

    let shared = SharedTokens::in_memory();
    let _user = shared.identity(&alice()).add_user().unwrap();
    shared.close().await;
}

#[tokio::test(start_paused = true)]
async fn any_timeout_can_be_set() {
    for timeout in [Duration::ZERO, Duration::MAX] {
        let store = Scripted::default();
        let shared = SharedTokens::new(store.clone(), key(1)).answer_timeout(timeout);
        let entries = shared.identity(&alice());
        store.set(Behavior::Fail);
        for _ in 0..3 {
            assert!(is_away(&entries).await, "{timeout:?}");
            advance(Duration::from_secs(30)).await;
        }
        store.set(Behavior::Answer);
        assert!(!is_away(&entries).await, "{timeout:?}");
    }
}
