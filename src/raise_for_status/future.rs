use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut};
use http::{HeaderValue, Response, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{
    BoxError, Error, TokenRejected,
    auth::SentWith,
    error::{HttpError, secrets_in},
};

/// The most that is read of the body of an answer that is an error, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// How many of its frames are read before other tasks get a turn.
const FRAMES_PER_POLL: usize = 32;

/// Maximum number of its frames without data.
const MAX_EMPTY_FRAMES: usize = 1024;

pin_project! {
    /// The response future of [`RaiseForStatus`](super::RaiseForStatus).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, B> {
        #[pin]
        response: F,
        #[pin]
        failed: Option<Failed<B>>,
        secrets: Vec<HeaderValue>,
    }
}

pin_project! {
    /// An answer that is an error, while its body is read.
    struct Failed<B> {
        parts: Parts,
        #[pin]
        body: B,
        read: Vec<u8>,
        empty_frames: usize,
        secrets: Vec<HeaderValue>,
    }
}

impl<B: Body> Failed<B> {
    fn poll_error(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Error> {
        let mut this = self.project();
        let mut frames = 0;
        let is_cut = loop {
            if this.read.len() == MAX_BODY {
                break true;
            }
            if frames == FRAMES_PER_POLL {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            frames += 1;
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data().ok().filter(Buf::has_remaining) {
                    Some(data) => this.read.put(data.take(MAX_BODY - this.read.len())),
                    None if *this.empty_frames == MAX_EMPTY_FRAMES => break true,
                    None => *this.empty_frames += 1,
                },
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        let Parts { status, headers, extensions, .. } = &*this.parts;
        let of_caller = this.secrets.iter().flat_map(secrets_in);
        let sent_with: Option<&SentWith> = extensions.get();
        let of_layer = sent_with.into_iter().flat_map(|SentWith(access)| access.secrets());
        let mut error = HttpError::read(*status, headers, this.read, is_cut, of_caller.chain(of_layer));
        error.token_renewable = extensions.get().map(|rejected: &TokenRejected| !rejected.is_final());
        Poll::Ready(Error::Service(Arc::new(error)))
    }
}

impl<F, B> ResponseFuture<F, B> {
    pub(super) fn new(response: F, secrets: Vec<HeaderValue>) -> Self {
        Self { response, failed: None, secrets }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(failed) = this.failed.as_mut().as_pin_mut() {
                return failed.poll_error(cx).map(|error| Err(error.into()));
            }
            let response = ready!(this.response.as_mut().poll(cx)).map_err(Into::into)?;
            if response.status().as_u16() < 400 {
                return Poll::Ready(Ok(response));
            }
            let (parts, body) = response.into_parts();
            let secrets = mem::take(this.secrets);
            this.failed.set(Some(Failed { parts, body, read: Vec::new(), empty_frames: 0, secrets }));
        }
    }
}

/// Whether the answer is there, and is an error.
impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.failed {
            None => "ResponseFuture(sent)",
            Some(_) => "ResponseFuture(reading what is wrong)",
        })
    }
}
