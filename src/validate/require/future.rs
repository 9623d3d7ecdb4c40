use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use pin_project_lite::pin_project;

pin_project! {
    /// The response future of [`Require`](super::Require).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<T, R> {
        #[pin]
        state: State<T, R>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<T, R> {
        Inner { #[pin] response: T },
        // `None` after completion.
        Rejected { response: Option<Response<R>> },
    }
}

impl<T, R> ResponseFuture<T, R> {
    pub(super) fn inner(response: T) -> Self {
        Self { state: State::Inner { response } }
    }

    pub(super) fn rejected(response: Response<R>) -> Self {
        Self { state: State::Rejected { response: Some(response) } }
    }
}

impl<T, R, E> Future for ResponseFuture<T, R>
where
    T: Future<Output = Result<Response<R>, E>>,
{
    type Output = T::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Inner { response } => response.poll(cx),
            StateProjection::Rejected { response } => {
                Poll::Ready(Ok(response.take().expect("polled after completion")))
            }
        }
    }
}

/// Shows whether the request was rejected.
impl<T, R> fmt::Debug for ResponseFuture<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Inner { .. } => "ResponseFuture(sent)",
            State::Rejected { .. } => "ResponseFuture(rejected)",
        })
    }
}
