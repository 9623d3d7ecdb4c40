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

/// Maximum number of bytes that are read of an error body.
const MAX_BODY: usize = 64 * 1024;

/// Maximum number of body frames that one poll reads, so that other tasks can run.
const FRAMES_PER_POLL: usize = 32;

/// Maximum number of body frames without data that are read.
const MAX_EMPTY_FRAMES: usize = 1024;

pin_project! {
    /// The response future of [`RaiseForStatus`](super::RaiseForStatus).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, B> {
        #[pin]
        response: F,
        #[pin]
        error: Option<ErrorResponse<B>>,
        secrets: Vec<HeaderValue>,
    }
}

pin_project! {
    /// An error response while its body is read.
    struct ErrorResponse<B> {
        parts: Parts,
        #[pin]
        body: B,
        read: Vec<u8>,
        empty_frames: usize,
        secrets: Vec<HeaderValue>,
    }
}

impl<B: Body> ErrorResponse<B> {
    fn poll_error(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Error> {
        let mut this = self.project();
        let mut frames = 0;
        let is_truncated = loop {
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
        let caller_secrets = this.secrets.iter().flat_map(secrets_in);
        let sent_with: Option<&SentWith> = extensions.get();
        let layer_secrets = sent_with.into_iter().flat_map(SentWith::secrets);
        let secrets = caller_secrets.chain(layer_secrets);
        let mut error = HttpError::read(*status, headers, this.read, is_truncated, secrets);
        error.token_renewable = extensions.get().map(|rejected: &TokenRejected| !rejected.is_final());
        Poll::Ready(Error::Service(Arc::new(error)))
    }
}

impl<F, B> ResponseFuture<F, B> {
    pub(super) fn new(response: F, secrets: Vec<HeaderValue>) -> Self {
        Self { response, error: None, secrets }
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
            if let Some(error_response) = this.error.as_mut().as_pin_mut() {
                return error_response.poll_error(cx).map(|error| Err(error.into()));
            }
            let response = ready!(this.response.as_mut().poll(cx)).map_err(Into::into)?;
            if response.status().as_u16() < 400 {
                return Poll::Ready(Ok(response));
            }
            let (parts, body) = response.into_parts();
            let secrets = mem::take(this.secrets);
            this.error.set(Some(ErrorResponse { parts, body, read: Vec::new(), empty_frames: 0, secrets }));
        }
    }
}

/// Shows whether the future waits for the response or reads an error body.
impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.error {
            None => "ResponseFuture(sent)",
            Some(_) => "ResponseFuture(reading the error body)",
        })
    }
}
