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

/// A body that keeps what was sent of it, up to a cap, so that its clone can send it again.
///
/// A clone that begins to read takes the stream over: it reads what was kept and then the rest of the stream, and the
/// attempt before it gets an error in place of the rest. [`ReauthPolicy::replaying`](super::ReauthPolicy::replaying)
/// and [`RetryPolicy::replaying`](super::RetryPolicy::replaying) take it over when they decide to send the request
/// again, so that the attempt which was refused cannot read past the cap meanwhile.
///
/// If more data was sent than the cap allows, or the stream has failed, nothing is kept, and no clone can be used
/// ([`can_replay`](Self::can_replay)). The data is copied into one buffer of at most the cap, whatever the size of its
/// frames. Trailers are kept beside it if their names and values are not longer than the cap either.
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
    /// Keeps up to `cap` bytes of this body.
    pub fn new(body: B, cap: usize) -> Self {
        Self { stream: Arc::new(SharedStream::new(body, cap)), reader: Reader::default() }
    }

    /// Returns whether this body can still be sent from where it is: from its beginning, if nothing was read here.
    ///
    /// This can change whenever another attempt reads the same stream.
    pub fn can_replay(&self) -> bool {
        self.stream.can_read(&self.reader)
    }

    /// Takes the stream over, unless its beginning is gone. From then on only this body and its later clones can
    /// read it, or one that claims it in turn.
    pub(crate) fn claim(&mut self) -> bool {
        self.stream.claim(&mut self.reader)
    }
}

impl<B: Body> Body for ReplayBody<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    /// # Errors
    ///
    /// Those of the body; and an error in place of the rest if another attempt has taken the stream over, or if the
    /// beginning is gone.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { stream: shared, reader } = &mut *self;
        let mut stream = match shared.next(reader, cx.waker().clone()) {
            Next::Return(next) => return Poll::Ready(next),
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

/// A clone begins where this one is: at the beginning, if it is made before anything is read.
impl<B> Clone for ReplayBody<B> {
    fn clone(&self) -> Self {
        Self { stream: Arc::clone(&self.stream), reader: self.reader.unread() }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").field("position", &self.reader.position()).finish_non_exhaustive()
    }
}
