use std::{
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use crate::BoxError;

/// A body that keeps what was sent of it, up to a cap, so that its clone can send it again.
///
/// What the first attempt did not read yet, the clone reads from the same stream. Once more was sent
/// than the cap allows, nothing is kept, and the clone cannot be used ([`can_replay`](Self::can_replay)).
/// Of a body and its clones, one is to be read at a time.
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
    shared: Arc<Mutex<Shared<B>>>,
    /// How many of the frames were read here.
    position: usize,
}

struct Shared<B> {
    rest: Pin<Box<B>>,
    /// What was read of the stream so far; nothing once it was too much.
    sent: Vec<Sent>,
    /// The room that is left for it, in bytes. `None` once it was too much, or the stream broke: what was read
    /// cannot be had again.
    room: Option<usize>,
    /// How many frames were read of the stream.
    read: usize,
    ended: bool,
    /// Who waits for the stream, which itself wakes only whoever polled it last.
    waiting: Vec<Waker>,
}

#[derive(Clone)]
enum Sent {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

impl<B: Body> ReplayBody<B> {
    /// Keeps up to `cap` bytes of this body.
    pub fn new(body: B, cap: usize) -> Self {
        let shared = Shared {
            rest: Box::pin(body),
            sent: Vec::new(),
            room: Some(cap),
            read: 0,
            ended: false,
            waiting: Vec::new(),
        };
        Self { shared: Arc::new(Mutex::new(shared)), position: 0 }
    }

    /// Whether this body can still be sent from where it is: from its beginning, if nothing was read here.
    pub fn can_replay(&self) -> bool {
        !self.lock().is_gone(self.position)
    }
}

impl<B> ReplayBody<B> {
    fn lock(&self) -> MutexGuard<'_, Shared<B>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Shared<B> {
    /// Whether what comes at this position cannot be had any more.
    fn is_gone(&self, position: usize) -> bool {
        self.room.is_none() && position != self.read
    }
}

impl<B: Body> Shared<B> {
    /// What one has found at the stream, `pending` or not, is the others' affair too.
    fn was_polled(&mut self, pending: bool, waker: &Waker) {
        self.waiting.retain(|other| !other.will_wake(waker));
        match pending {
            true => self.waiting.push(waker.clone()),
            false => self.waiting.drain(..).for_each(Waker::wake),
        }
    }

    /// Keeps a frame that is read for the first time, if there is room for it.
    fn keep(&mut self, frame: Sent) {
        let bytes = match &frame {
            Sent::Data(data) => data.len(),
            Sent::Trailers(_) => 0,
        };
        self.read += 1;
        self.room = self.room.and_then(|room| room.checked_sub(bytes));
        match self.room {
            Some(_) => self.sent.push(frame),
            None => self.sent = Vec::new(),
        }
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
    /// Those of the body, and one of its own rather than the rest of a body whose beginning is gone.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { shared, position } = &mut *self;
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.is_gone(*position) {
            return Poll::Ready(Some(
                Err("the body cannot be sent again: its beginning was not kept".into()),
            ));
        }
        if let Some(sent) = shared.sent.get(*position) {
            let sent = sent.clone();
            *position += 1;
            return Poll::Ready(Some(Ok(sent.into())));
        }
        while !shared.ended {
            let polled = shared.rest.as_mut().poll_frame(cx);
            shared.was_polled(polled.is_pending(), cx.waker());
            let sent = match ready!(polled) {
                None => {
                    shared.ended = true;
                    break;
                }
                Some(Err(error)) => {
                    shared.read += 1;
                    shared.room = None;
                    shared.sent = Vec::new();
                    return Poll::Ready(Some(Err(error.into())));
                }
                Some(Ok(frame)) => Sent::read(frame),
            };
            if let Some(sent) = sent {
                shared.keep(sent.clone());
                *position += 1;
                return Poll::Ready(Some(Ok(sent.into())));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.lock();
        // Whoever believed that a body has ended whose beginning is gone would send an empty one.
        !shared.is_gone(self.position)
            && self.position >= shared.sent.len()
            && (shared.ended || shared.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.lock();
        if shared.is_gone(self.position) {
            return SizeHint::default();
        }
        let kept: u64 = shared.sent.iter().skip(self.position).map(Sent::len).sum();
        let rest = if shared.ended { SizeHint::with_exact(0) } else { shared.rest.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(kept.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(kept.saturating_add(upper));
        }
        hint
    }
}

impl Sent {
    /// `None` for a frame of a kind that is not known today.
    fn read<D: Buf>(frame: Frame<D>) -> Option<Self> {
        match frame.into_data() {
            Ok(mut data) => Some(Self::Data(data.copy_to_bytes(data.remaining()))),
            Err(frame) => frame.into_trailers().ok().map(Self::Trailers),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Trailers(_) => 0,
        }
    }
}

impl From<Sent> for Frame<Bytes> {
    fn from(sent: Sent) -> Self {
        match sent {
            Sent::Data(data) => Self::data(data),
            Sent::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

/// It may have been the one that the stream wakes.
impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        let waiting = mem::take(&mut self.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// A clone begins where this one is: at the beginning, if it is made before anything is read.
impl<B> Clone for ReplayBody<B> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), position: self.position }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").field("position", &self.position).finish_non_exhaustive()
    }
}
