use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::task::Timer;

/// The pause before a request is sent again by [`RetryPolicy`](super::RetryPolicy).
///
/// It may move from one tokio runtime to another. It is over at once where there is none with time.
#[must_use = "futures do nothing unless polled"]
pub struct RetryDelay(Timer);

impl RetryDelay {
    /// Begins now.
    pub(super) fn new(length: Duration) -> Self {
        Self(Timer::new(length))
    }
}

impl Future for RetryDelay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

impl fmt::Debug for RetryDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_elapsed() { "RetryDelay(over)" } else { "RetryDelay(waiting)" })
    }
}
