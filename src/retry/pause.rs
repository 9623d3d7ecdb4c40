use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

pin_project! {
    /// The pause before a request is sent again by [`RetryPolicy`](super::RetryPolicy).
    #[must_use = "futures do nothing unless polled"]
    pub struct Pause {
        #[pin]
        sleep: Sleep,
    }
}

impl Pause {
    /// Begins now, in a runtime of tokio's.
    pub(super) fn new(length: Duration) -> Self {
        Self { sleep: sleep(length) }
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().sleep.poll(cx)
    }
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.sleep.is_elapsed() { "Pause(over)" } else { "Pause(waiting)" })
    }
}
