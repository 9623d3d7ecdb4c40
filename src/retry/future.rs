use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use crate::task::Timer;

/// The delay before [`RetryPolicy`](super::RetryPolicy) sends a request again.
///
/// The future can be polled in different tokio runtimes. Without a runtime with time enabled, it is ready at once.
#[must_use = "futures do nothing unless polled"]
pub struct RetryDelay(Timer);

impl RetryDelay {
    /// Starts the delay.
    pub(super) fn new(duration: Duration) -> Self {
        Self(Timer::new(duration))
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
