//! A timer that can be polled in more than one runtime.

use std::{
    future::{Future, pending},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::{Panicked, catch_panic};
use crate::Error;

/// A timer that runs on the runtime of its last poll.
///
/// The runtime of an earlier poll may have been shut down, or may no longer be driven.
pub(crate) struct Timer {
    started: Instant,
    duration: Duration,
    /// The tokio timer of the last poll, which wakes the task.
    tokio_timer: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Timer {
    /// Starts a timer.
    pub(crate) fn new(duration: Duration) -> Self {
        Self { started: Instant::now(), duration, tokio_timer: None }
    }

    /// Returns whether the duration has elapsed.
    pub(crate) fn is_elapsed(&self) -> bool {
        self.remaining().is_zero()
    }

    fn remaining(&self) -> Duration {
        self.duration.saturating_sub(self.started.elapsed())
    }
}

/// Resolves to [`Error::NoRuntime`] outside of a runtime, and in a runtime that was built without `enable_time`.
impl Future for Timer {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let remaining = self.remaining();
        if remaining.is_zero() {
            return Poll::Ready(Ok(()));
        }
        if Handle::try_current().is_err() {
            return Poll::Ready(Err(Error::NoRuntime));
        }
        let mut timer = Box::pin(async move {
            let _ = timeout(remaining, pending::<()>()).await;
        });
        // Tokio's timer panics in a runtime without `enable_time`, and in a runtime that is shut down.
        match catch_panic(|| timer.as_mut().poll(cx)) {
            Ok(poll) => {
                self.tokio_timer = Some(timer);
                ready!(poll);
                Poll::Ready(Ok(()))
            }
            Err(Panicked) => Poll::Ready(Err(Error::NoRuntime)),
        }
    }
}
