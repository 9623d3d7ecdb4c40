use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::shared_stream::{Next, Reader, SharedStream};
use crate::BoxError;

/// A request body that buffers the data that is sent, up to a cap, so that a clone of it can send it again.
///
/// The body and its clones share one stream, and only one of them reads it at a time. When a clone begins to read, it
/// takes the stream over: it gets the buffered data first, and then the rest of the stream. The body that read the
/// stream before gets an error in place of the rest.
///
/// [`ReauthPolicy::replaying`](super::ReauthPolicy::replaying) and
/// [`RetryPolicy::replaying`](super::RetryPolicy::replaying) take the stream over when they decide to retry.
/// Otherwise a failed attempt that is still sending the body could read past the cap, and the buffer would be dropped.
///
/// The data is copied into one buffer. The cap limits the memory of the buffer, however large the frames are. Trailers
/// are buffered separately, with the same cap for their names and values. If the data or the trailers are longer than
/// the cap, or the stream fails, the buffer is dropped, and no clone can be sent ([`can_replay`](Self::can_replay)).
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::{BodyExt, Full};
/// use tower_keystone::ReplayBody;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_keystone::BoxError> {
/// let first = ReplayBody::new(Full::new(Bytes::from("once more")), 64 * 1024);
/// let second = first.clone();
/// assert_eq!(first.collect().await?.to_bytes(), "once more");
/// assert!(second.can_replay());
/// assert_eq!(second.collect().await?.to_bytes(), "once more");
/// # Ok(())
/// # }
/// ```
pub struct ReplayBody<B> {
    stream: Arc<SharedStream<B>>,
    reader: Reader,
}

impl<B: Body> ReplayBody<B> {
    /// Wraps a body, and buffers up to `cap` bytes of it.
    pub fn new(body: B, cap: usize) -> Self {
        Self { stream: Arc::new(SharedStream::new(body, cap)), reader: Reader::default() }
    }

    /// Returns whether this body can still be read from its current position.
    ///
    /// For a clone that has not been read yet, that is the beginning. The result can change whenever another clone
    /// reads the stream.
    pub fn can_replay(&self) -> bool {
        self.stream.can_read(&self.reader)
    }

    /// Takes the stream over. Returns false if its beginning is no longer buffered.
    ///
    /// Afterwards only this body and its later clones can read the stream, until another clone takes it over.
    pub(crate) fn take_over(&mut self) -> bool {
        self.stream.take_over(&mut self.reader)
    }
}

impl<B: Body> Body for ReplayBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    /// Reads the next frame.
    ///
    /// # Errors
    ///
    /// The errors of the wrapped body. It is also an error to read this body after a clone has taken the stream over,
    /// or to begin to read it when the beginning is no longer buffered.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { stream: shared, reader } = &mut *self;
        let mut stream = match shared.next(reader, cx.waker().clone()) {
            Next::Return(frame) => return Poll::Ready(frame),
            Next::Wait => return Poll::Pending,
            Next::Poll(stream) => stream,
        };
        let polled = shared.poll(&mut stream, cx);
        shared.put_back(reader, stream, polled)
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end(&self.reader)
    }

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint(&self.reader)
    }
}

/// A clone starts at the position of the original, which is the beginning if nothing has been read yet.
impl<B> Clone for ReplayBody<B> {
    fn clone(&self) -> Self {
        Self { stream: Arc::clone(&self.stream), reader: self.reader.for_clone() }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").field("position", &self.reader.position()).finish_non_exhaustive()
    }
}
