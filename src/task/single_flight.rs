//! A shared background task: its result outlives any single waiter.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};

use super::{CatchPanic, Panicked, Timer, catch_panic};

/// A handle to the result of a background task. Clones share the same task.
#[derive(Clone)]
pub(crate) struct SingleFlight<T>(watch::Receiver<Option<T>>);

/// Starts the task of a [`SingleFlight`]. If it is dropped instead, each wait returns [`Waited::Lost`].
pub(crate) struct Start<T>(watch::Sender<Option<T>>);

/// How a wait for a task ended.
#[derive(Debug)]
pub(crate) enum Waited<T> {
    /// The task returned this result.
    Done(T),
    /// There will be no result, because the task was never started or its runtime was shut down.
    Lost,
    /// The wait timed out, for example because the runtime of the task is not driven.
    TimedOut,
    /// The waiting code does not run in a tokio runtime with time enabled.
    NoRuntime,
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// Creates a task that is not started yet.
    ///
    /// This runs no code outside this crate, so it may be called with a lock held.
    pub(crate) fn new() -> (Self, Start<T>) {
        let (sender, receiver) = watch::channel(None);
        (Self(receiver), Start(sender))
    }

    /// Waits for the result until the timeout. Each poll may run in another runtime.
    pub(crate) async fn wait(&self, timeout: Duration) -> Waited<T> {
        let mut receiver = self.0.clone();
        let mut result = pin!(async move { receiver.wait_for(Option::is_some).await.ok()?.clone() });
        let mut timer = Timer::new(timeout);
        poll_fn(|cx| {
            if let Poll::Ready(result) = result.as_mut().poll(cx) {
                return Poll::Ready(result.map_or(Waited::Lost, Waited::Done));
            }
            Pin::new(&mut timer).poll(cx).map(|elapsed| match elapsed {
                Ok(()) => Waited::TimedOut,
                Err(_) => Waited::NoRuntime,
            })
        })
        .await
    }

    /// Returns whether both are handles to the same task.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

impl<T: Send + Sync + 'static> Start<T> {
    /// Spawns the task on a runtime. If it panics, `on_panic` returns the result.
    ///
    /// Must not be called with a lock held: a runtime that is shut down drops the task at once, and this can run code
    /// outside this crate.
    pub(crate) fn run(
        self,
        runtime: &Handle,
        task: impl Future<Output = T> + Send + 'static,
        on_panic: impl FnOnce() -> T + Send + 'static,
    ) {
        let task = CatchPanic::new(|| Box::pin(task));
        runtime.spawn(async move {
            let result = task.await.or_else(|Panicked| catch_panic(on_panic));
            // A waker of a waiting task can panic too.
            let _ = catch_panic(|| result.map(|result| self.0.send_replace(Some(result))));
        });
    }
}
