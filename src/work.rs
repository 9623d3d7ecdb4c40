//! Work that belongs to none of those who wait for it.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch, time::sleep};

use crate::{Error, timer::Timer};

/// Returns the tokio runtime of the caller.
///
/// # Errors
///
/// [`Error::NoRuntime`] outside of a runtime, and in one without time.
pub(crate) fn runtime() -> Result<Handle, Error> {
    let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
    // Nothing but a panic tells a runtime without time from others.
    catch(|| drop(sleep(Duration::ZERO))).map_err(|_| Error::NoRuntime)?;
    Ok(runtime)
}

/// The code of others panicked, and the panic was caught.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

/// Runs code of others, whose panic is an error.
pub(crate) fn catch<T>(others: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(others)).map_err(|_: Box<dyn Any + Send>| Panicked)
}

/// A future of others. Its panics are errors, whether it is polled or dropped.
pub(crate) struct Caught<T>(Option<BoxFuture<T>>);

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T> Caught<T> {
    /// Catches the panics of `make` too.
    pub(crate) fn new(make: impl FnOnce() -> BoxFuture<T>) -> Self {
        Self(catch(make).ok())
    }
}

impl<T> Future for Caught<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Ready(Err(Panicked)) };
        let output = match catch(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panicked) => Err(panicked),
        };
        let future = self.0.take();
        let dropped = catch(|| drop(future));
        Poll::Ready(output.and_then(|output| dropped.map(|()| output)))
    }
}

impl<T> Drop for Caught<T> {
    fn drop(&mut self) {
        let future = self.0.take();
        let _ = catch(|| drop(future));
    }
}

/// The place where the outcome of work in a task of its own will be. Clones are of the same work.
#[derive(Clone)]
pub(crate) struct Work<T>(watch::Receiver<Option<T>>);

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
    TooLong,
    /// There is no runtime with time here to wait in.
    NoRuntime,
}

impl<T: Clone + Send + Sync + 'static> Work<T> {
    /// Returns new work. This runs no code of others, so that it can be done under a lock.
    pub(crate) fn new() -> (Self, Start<T>) {
        let (sender, receiver) = watch::channel(None);
        (Self(receiver), Start(sender))
    }

    /// Waits for the outcome, up to a time. Each poll may be in another runtime.
    pub(crate) async fn done(&self, longest: Duration) -> Waited<T> {
        let mut receiver = self.0.clone();
        let mut outcome = pin!(async move { receiver.wait_for(Option::is_some).await.ok()?.clone() });
        let mut timer = Timer::new(longest);
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = outcome.as_mut().poll(cx) {
                return Poll::Ready(outcome.map_or(Waited::Lost, Waited::Done));
            }
            Pin::new(&mut timer).poll(cx).map(|over| match over {
                Ok(()) => Waited::TooLong,
                Err(_) => Waited::NoRuntime,
            })
        })
        .await
    }

    /// Whether the two are the same work.
    pub(crate) fn is(&self, other: &Self) -> bool {
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
        panicked: impl FnOnce() -> T + Send + 'static,
    ) {
        let work = Caught::new(|| Box::pin(work));
        runtime.spawn(async move {
            let outcome = work.await.or_else(|Panicked| catch(panicked));
            // A waker of others may panic too.
            let _ = catch(|| outcome.map(|outcome| self.0.send_replace(Some(outcome))));
        });
    }
}
