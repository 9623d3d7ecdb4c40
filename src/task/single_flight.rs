//! A shared background task: its result outlives any single waiter.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};

use super::{CatchPanic, Panicked, Timer, catch_panic};

/// The place where the outcome of work in a task of its own will be. Clones are of the same work.
#[derive(Clone)]
pub(crate) struct SingleFlight<T>(watch::Receiver<Option<T>>);

/// Work that is still to be started. If it is dropped instead, whoever waits for its outcome is told so.
pub(crate) struct Start<T>(watch::Sender<Option<T>>);

/// What comes of waiting for work.
#[derive(Debug)]
pub(crate) enum Waited<T> {
    /// The outcome of the work.
    Done(T),
    /// There is no outcome and there will be none, because the runtime of the work was shut down.
    Lost,
    /// The wait took too long, because nobody drives the runtime of the work.
    TimedOut,
    /// There is no runtime with time here to wait in.
    NoRuntime,
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// Returns new work. This runs no code of others, so that it can be done under a lock.
    pub(crate) fn new() -> (Self, Start<T>) {
        let (sender, receiver) = watch::channel(None);
        (Self(receiver), Start(sender))
    }

    /// Waits for the outcome, up to a time. Each poll may be in another runtime.
    pub(crate) async fn wait(&self, timeout: Duration) -> Waited<T> {
        let mut receiver = self.0.clone();
        let mut outcome = pin!(async move { receiver.wait_for(Option::is_some).await.ok()?.clone() });
        let mut timer = Timer::new(timeout);
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = outcome.as_mut().poll(cx) {
                return Poll::Ready(outcome.map_or(Waited::Lost, Waited::Done));
            }
            Pin::new(&mut timer).poll(cx).map(|over| match over {
                Ok(()) => Waited::TimedOut,
                Err(_) => Waited::NoRuntime,
            })
        })
        .await
    }

    /// Whether the two are the same work.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

impl<T: Send + Sync + 'static> Start<T> {
    /// Starts the work as a task of this runtime. If it panics, `panicked` says what the outcome is.
    ///
    /// Must not be called with a lock held: a runtime that is shut down drops the work at once.
    pub(crate) fn run(
        self,
        runtime: &Handle,
        work: impl Future<Output = T> + Send + 'static,
        on_panic: impl FnOnce() -> T + Send + 'static,
    ) {
        let work = CatchPanic::new(|| Box::pin(work));
        runtime.spawn(async move {
            let outcome = work.await.or_else(|Panicked| catch_panic(on_panic));
            // A waker of others may panic too.
            let _ = catch_panic(|| outcome.map(|outcome| self.0.send_replace(Some(outcome))));
        });
    }
}
