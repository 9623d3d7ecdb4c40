//! Timers that move from runtime to runtime.

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

/// A timer that goes with the runtime that polls it. That of an earlier poll may be shut down, or nobody may drive it.
pub(crate) struct Timer {
    begun: Instant,
    length: Duration,
    of_last_poll: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Timer {
    /// Begins now.
    pub(crate) fn new(length: Duration) -> Self {
        Self { begun: Instant::now(), length, of_last_poll: None }
    }

    fn left(&self) -> Duration {
        self.length.saturating_sub(self.begun.elapsed())
    }

    /// Whether the time is over.
    pub(crate) fn is_elapsed(&self) -> bool {
        self.left().is_zero()
    }
}

/// [`Error::NoRuntime`] outside of a runtime, and in one without time.
impl Future for Timer {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let left = self.left();
        if left.is_zero() {
            return Poll::Ready(Ok(()));
        }
        if Handle::try_current().is_err() {
            return Poll::Ready(Err(Error::NoRuntime));
        }
        let mut timer = Box::pin(async move {
            let _ = timeout(left, pending::<()>()).await;
        });
        // It panics in a runtime without time, and in one that is shut down.
        match catch_panic(|| timer.as_mut().poll(cx)) {
            Ok(poll) => {
                self.of_last_poll = Some(timer);
                ready!(poll);
                Poll::Ready(Ok(()))
            }
            Err(Panicked) => Poll::Ready(Err(Error::NoRuntime)),
        }
    }
}
