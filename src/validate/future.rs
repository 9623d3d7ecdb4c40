use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

pin_project! {
    /// The response future of [`ValidateToken`](super::ValidateToken).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<T> {
        #[pin]
        inner: T,
    }
}

impl<T> ResponseFuture<T> {
    pub(super) fn inner(inner: T) -> Self {
        Self { inner }
    }
}

impl<T: Future> Future for ResponseFuture<T> {
    type Output = T::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}

impl<T> fmt::Debug for ResponseFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
