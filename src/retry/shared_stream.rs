//! The stream that a [`ReplayBody`](super::ReplayBody) and its clones read in turn.

use std::{
    mem,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use crate::BoxError;

/// Maximum size of a frame of kept data, in bytes.
const PIECE: usize = 64 * 1024;

const TAKEN_OVER: &str = "the body cannot be read on: another attempt to send the request has taken it over";
const GONE: &str = "the body cannot be sent again: its beginning was not kept";
const PANICKED: &str = "the body panicked while it was read";

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// A stream, and what was read of it.
///
/// The lock is never held while code of others runs: the stream, wakers, and the drop of what they are made of.
pub(super) struct SharedStream<B>(Mutex<State<B>>);

struct State<B> {
    stream: Stream<B>,
    rest: Rest,
    /// `None` once more was read than the cap allows, or the stream failed.
    kept: Option<Kept>,
    cap: usize,
    /// Whose turn it is to read. Turns are counted.
    turn: usize,
    /// The last turn that was claimed. Who was made before it cannot begin to read.
    claimed: usize,
    /// Wakes the one whose turn it is.
    waiting: Option<Waker>,
}

/// What the stream said of its rest when it was polled last.
pub(super) struct Rest {
    size_hint: SizeHint,
    is_end: bool,
}

enum Stream<B> {
    Idle(Pin<Box<B>>),
    /// One of the readers is polling it.
    Polled,
    Ended,
    /// It failed when it was polled by one whose turn was over.
    Failed(BoxError),
}

#[derive(Default)]
struct Kept {
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// Where one of those who share the stream is.
#[derive(Clone, Copy, Default)]
pub(super) struct Reader {
    /// How much of the kept data was read, in bytes.
    position: usize,
    /// Whether the trailers or the end were reached.
    ended: bool,
    /// Its turn once it has begun to read; before, the turn in which it was made.
    turn: usize,
    begun: bool,
}

/// What a reader gets next.
pub(super) enum Next<B> {
    Return(Option<Result<Frame<Bytes>, BoxError>>),
    /// The stream, to be polled and put back.
    Poll(Pin<Box<B>>),
    /// The reader is woken when the stream was put back.
    Wait,
}

/// What was read of the stream.
pub(super) enum Read {
    Data(Bytes),
    Trailers(HeaderMap),
    Error(BoxError),
    End,
}

impl Reader {
    /// One at the same place that has not begun to read.
    pub(super) fn unread(&self) -> Self {
        Self { begun: false, ..*self }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }
}

impl Read {
    pub(super) fn of<D: Buf, E: Into<BoxError>>(read: Option<Result<Frame<D>, E>>) -> Self {
        match read {
            None => Self::End,
            Some(Err(error)) => Self::Error(error.into()),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(mut data) => Self::Data(data.copy_to_bytes(data.remaining())),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Self::Trailers(trailers),
                    // Of a kind that is not known today.
                    Err(_) => Self::Data(Bytes::new()),
                },
            },
        }
    }
}

impl Rest {
    fn of(stream: &impl Body) -> Self {
        Self { size_hint: stream.size_hint(), is_end: stream.is_end_stream() }
    }
}

impl<B> SharedStream<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body> SharedStream<B> {
    pub(super) fn new(body: B, cap: usize) -> Self {
        Self(Mutex::new(State {
            rest: Rest::of(&body),
            stream: Stream::Idle(Box::pin(body)),
            kept: Some(Kept::default()),
            cap,
            turn: 0,
            claimed: 0,
            waiting: None,
        }))
    }

    /// Whether there is something to be read from where the reader is, or an end.
    pub(super) fn can_read(&self, reader: &Reader) -> bool {
        self.lock().can_read(reader)
    }

    /// Makes it this reader's turn, unless the beginning is gone.
    pub(super) fn claim(&self, reader: &mut Reader) -> bool {
        let mut state = self.lock();
        if !state.can_read(reader) {
            return false;
        }
        state.turn += 1;
        state.claimed = state.turn;
        (reader.turn, reader.begun) = (state.turn, true);
        let before = state.waiting.take();
        drop(state);
        before.into_iter().for_each(Waker::wake);
        true
    }

    /// What the reader gets next. The waker is its own.
    pub(super) fn next(&self, reader: &mut Reader, waker: Waker) -> Next<B> {
        let mut state = self.lock();
        let turn = state.turn;
        if let Err(reason) = state.begin(reader) {
            drop(state);
            return Next::Return(Some(Err(reason.into())));
        }
        let before = state.waiting.replace(waker);
        let mut gone = None;
        let next = state.next(reader, &mut gone);
        let has_begun = state.turn != turn;
        drop(state);
        drop(gone);
        // Who waited before finds that its turn is over.
        before.into_iter().filter(|_| has_begun).for_each(Waker::wake);
        next
    }

    /// Polls the stream. If it panics, it has failed.
    pub(super) fn poll(&self, stream: &mut Pin<Box<B>>, cx: &mut Context<'_>) -> (Poll<Read>, Rest)
    where
        B::Error: Into<BoxError>,
    {
        let guard = IfItPanics(self);
        let polled = stream.as_mut().poll_frame(cx).map(Read::of);
        let rest = Rest::of(&**stream);
        mem::forget(guard);
        (polled, rest)
    }

    /// Takes the stream back, and what was read of it: for the reader, or if its turn is over, for the next one.
    pub(super) fn put_back(
        &self,
        reader: &mut Reader,
        stream: Pin<Box<B>>,
        (read, rest): (Poll<Read>, Rest),
    ) -> Polled {
        let mut stream = Some(stream);
        let mut copy = match &read {
            Poll::Ready(Read::Trailers(trailers)) => Some(trailers.clone()),
            _ => None,
        };

        let mut state = self.lock();
        let is_over = reader.turn != state.turn;
        state.rest = rest;
        state.stream = match stream.take_if(|_| matches!(read, Poll::Pending | Poll::Ready(Read::Data(_)))) {
            Some(stream) => Stream::Idle(stream),
            None => Stream::Ended,
        };
        // What is not kept any more, to be dropped when the lock is released.
        let mut gone = None;
        let mut polled = Poll::Pending;
        if let Poll::Ready(read) = read {
            polled = Poll::Ready(match read {
                Read::Data(data) => {
                    gone = state.keep(&data, is_over);
                    reader.position = reader.position.saturating_add(data.len());
                    Some(Ok(Frame::data(data)))
                }
                Read::Trailers(trailers) => {
                    gone = state.keep_trailers(&mut copy, is_over);
                    reader.ended = true;
                    Some(Ok(Frame::trailers(trailers)))
                }
                Read::Error(error) if is_over => {
                    state.stream = Stream::Failed(error);
                    None
                }
                Read::Error(error) => {
                    gone = state.kept.take();
                    Some(Err(error))
                }
                Read::End => {
                    reader.ended = true;
                    None
                }
            });
        }
        let next = if is_over { state.waiting.take() } else { None };
        drop(state);
        drop((gone, stream));
        next.into_iter().for_each(Waker::wake);
        if is_over { Poll::Ready(Some(Err(TAKEN_OVER.into()))) } else { polled }
    }

    /// Whether the reader has read all.
    pub(super) fn is_end(&self, reader: &Reader) -> bool {
        let state = self.lock();
        // Who believed that a body has ended whose beginning is gone would send an empty one.
        state.can_read(reader)
            && (reader.ended || state.kept_len(reader) == 0 && !state.has_trailers() && state.is_at_end())
    }

    pub(super) fn size_hint(&self, reader: &Reader) -> SizeHint {
        let state = self.lock();
        if !state.can_read(reader) {
            return SizeHint::default();
        }
        let kept = state.kept_len(reader);
        let rest = if state.is_at_end() { SizeHint::with_exact(0) } else { state.rest.size_hint };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(kept));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint
    }
}

/// Dropped by a panic while the stream is polled, and with it the stream.
struct IfItPanics<'a, B>(&'a SharedStream<B>);

impl<B> Drop for IfItPanics<'_, B> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.stream = Stream::Failed(PANICKED.into());
        let waiting = state.waiting.take();
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl<B> State<B> {
    fn can_read(&self, reader: &Reader) -> bool {
        if reader.begun { reader.turn == self.turn } else { self.kept.is_some() }
    }

    /// Makes it this reader's turn if it has not begun yet; or says why it is not.
    fn begin(&mut self, reader: &mut Reader) -> Result<(), &'static str> {
        let is_over = if reader.begun { reader.turn != self.turn } else { reader.turn < self.claimed };
        if is_over {
            return Err(TAKEN_OVER);
        }
        if !self.can_read(reader) {
            return Err(GONE);
        }
        if !reader.begun {
            self.turn += 1;
            (reader.turn, reader.begun) = (self.turn, true);
        }
        Ok(())
    }

    /// What the reader gets next, whose turn it is. What is not kept any more goes into `gone`.
    fn next(&mut self, reader: &mut Reader, gone: &mut Option<Kept>) -> Next<B> {
        if reader.ended {
            return Next::Return(None);
        }
        let piece = self.kept.as_ref().and_then(|kept| kept.data.get(reader.position..));
        if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
            let piece = Bytes::copy_from_slice(piece.get(..PIECE).unwrap_or(piece));
            reader.position += piece.len();
            return Next::Return(Some(Ok(Frame::data(piece))));
        }
        match mem::replace(&mut self.stream, Stream::Polled) {
            Stream::Idle(stream) => Next::Poll(stream),
            Stream::Polled => Next::Wait,
            Stream::Ended => {
                self.stream = Stream::Ended;
                reader.ended = true;
                let trailers = self.kept.as_ref().and_then(|kept| kept.trailers.clone());
                Next::Return(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Stream::Failed(error) => {
                self.stream = Stream::Ended;
                *gone = self.kept.take();
                Next::Return(Some(Err(error)))
            }
        }
    }

    /// Keeps data if there is room for it, or if it `must` be kept for the next reader. Returns what is not kept any
    /// more.
    fn keep(&mut self, data: &[u8], must: bool) -> Option<Kept> {
        let kept = self.kept.as_mut()?;
        let room = self.cap.saturating_sub(kept.data.len());
        if data.len() > room && !must {
            return self.kept.take();
        }
        if kept.data.capacity() - kept.data.len() < data.len() {
            // Twice as much as before, as a rule, but no more than the cap.
            let more = kept.data.len().min(room).max(data.len());
            kept.data.reserve_exact(more);
        }
        kept.data.extend_from_slice(data);
        None
    }

    /// The same for trailers.
    fn keep_trailers(&mut self, trailers: &mut Option<HeaderMap>, must: bool) -> Option<Kept> {
        let kept = self.kept.as_mut()?;
        let len = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        let sum: usize = trailers.iter().flatten().map(len).sum();
        if sum > self.cap && !must {
            return self.kept.take();
        }
        kept.trailers = trailers.take();
        None
    }

    /// How much of what is kept the reader has not read, in bytes.
    fn kept_len(&self, reader: &Reader) -> u64 {
        let len = self.kept.as_ref().map_or(0, |kept| kept.data.len());
        len.saturating_sub(reader.position) as u64
    }

    fn has_trailers(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.trailers.is_some())
    }

    /// Whether the stream has ended, or will without another frame.
    fn is_at_end(&self) -> bool {
        match self.stream {
            Stream::Idle(_) | Stream::Polled => self.rest.is_end,
            Stream::Ended => true,
            Stream::Failed(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[test]
    fn what_is_kept_takes_no_more_memory_than_the_cap() {
        for (cap, frame) in [(1_000, 1), (1_000, 7), (1_000, 1_000), (1_025, 1_024), (0, 0)] {
            let shared = SharedStream::new(Full::<Bytes>::default(), cap);
            let mut state = shared.lock();
            let mut kept = 0;
            // A frame may be a small part of a large buffer, which is not to be held for it.
            let buffer = Bytes::from(vec![b'x'; 1 << 20]);
            while frame > 0 && kept + frame <= cap {
                assert!(state.keep(&buffer.slice(..frame), false).is_none());
                kept += frame;
            }
            assert!(state.keep(&[], false).is_none() && buffer.is_unique());
            let data = &state.kept.as_ref().unwrap().data;
            assert!(data.len() == kept && data.capacity() <= cap, "{} of {cap}", data.capacity());
            assert!(state.keep(&vec![b'x'; cap - kept + 1], false).is_some() && state.kept.is_none());
        }
    }
}
