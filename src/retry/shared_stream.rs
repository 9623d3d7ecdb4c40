//! The stream that a [`ReplayBody`](super::ReplayBody) and its clones share.

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

/// Maximum size of a frame of buffered data, in bytes.
const MAX_FRAME: usize = 64 * 1024;

const TAKEN_OVER: &str =
    "the rest of the body cannot be read: another attempt to send the request has taken it over";
const NOT_BUFFERED: &str = "the body cannot be sent again, because its beginning is no longer buffered; if it is \
                            longer than the cap of the ReplayBody, raise the cap";
const PANICKED: &str = "the request body panicked when it was polled";

type PollFrame = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// A stream that several readers share, and a buffer of the data that was read from it.
///
/// Only one reader is active at a time. A reader becomes active when it begins to read or takes the stream over. The
/// reader that was active before gets an error from then on.
///
/// The lock is not held while code from outside this crate runs: polls of the stream, wakers, and the `Drop` of values
/// from outside.
pub(super) struct SharedStream<B>(Mutex<State<B>>);

struct State<B> {
    stream: Stream<B>,
    hints: Hints,
    /// `None` after more data was read than the cap allows, or after the stream failed.
    buffer: Option<Buffer>,
    cap: usize,
    /// The turn of the active reader. Turns are numbered in the order in which readers become active.
    turn: usize,
    /// The turn of the last reader that took the stream over. Readers with an earlier turn cannot become active.
    last_take_over: usize,
    /// The waker of the active reader.
    waker: Option<Waker>,
}

/// What the stream said about its remaining data when it was last polled.
pub(super) struct Hints {
    size_hint: SizeHint,
    is_end: bool,
}

enum Stream<B> {
    Idle(Pin<Box<B>>),
    /// A reader is polling it.
    Polled,
    Ended,
    /// It panicked, or it failed while it was polled by a reader that was no longer active. The active reader gets the
    /// error.
    Failed(BoxError),
}

#[derive(Default)]
struct Buffer {
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// The position of one reader in the stream.
#[derive(Clone, Copy, Default)]
pub(super) struct Reader {
    /// Number of bytes that were read.
    position: usize,
    /// Whether the trailers or the end were read.
    is_at_end: bool,
    /// The turn of this reader if it has begun to read, otherwise the turn of the reader that it was cloned from.
    turn: usize,
    has_begun: bool,
}

/// What a reader does next.
pub(super) enum Next<B> {
    /// Return this frame.
    Return(Option<Result<Frame<Bytes>, BoxError>>),
    /// Poll the stream, and put it back.
    Poll(Pin<Box<B>>),
    /// Wait until another reader has put the stream back.
    Wait,
}

/// What a poll of the stream returned.
pub(super) enum Read {
    Data(Bytes),
    Trailers(HeaderMap),
    Error(BoxError),
    End,
}

impl Reader {
    /// Returns a reader at the same position that has not begun to read.
    pub(super) fn for_clone(&self) -> Self {
        Self { has_begun: false, ..*self }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }
}

impl Read {
    fn new<D: Buf, E: Into<BoxError>>(frame: Option<Result<Frame<D>, E>>) -> Self {
        match frame {
            None => Self::End,
            Some(Err(error)) => Self::Error(error.into()),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(mut data) => Self::Data(data.copy_to_bytes(data.remaining())),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Self::Trailers(trailers),
                    // A kind of frame that is unknown today.
                    Err(_) => Self::Data(Bytes::new()),
                },
            },
        }
    }
}

impl Hints {
    fn new(stream: &impl Body) -> Self {
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
            hints: Hints::new(&body),
            stream: Stream::Idle(Box::pin(body)),
            buffer: Some(Buffer::default()),
            cap,
            turn: 0,
            last_take_over: 0,
            waker: None,
        }))
    }

    /// Returns whether the reader can read the data, or the end, at its position.
    pub(super) fn can_read(&self, reader: &Reader) -> bool {
        self.lock().can_read(reader)
    }

    /// Makes this reader the active one. Returns false if it cannot read at its position.
    pub(super) fn take_over(&self, reader: &mut Reader) -> bool {
        let mut state = self.lock();
        if !state.can_read(reader) {
            return false;
        }
        state.turn += 1;
        state.last_take_over = state.turn;
        (reader.turn, reader.has_begun) = (state.turn, true);
        let old_waker = state.waker.take();
        drop(state);
        old_waker.into_iter().for_each(Waker::wake);
        true
    }

    /// Returns what the reader does next. The waker is that of the reader's task.
    pub(super) fn next(&self, reader: &mut Reader, waker: Waker) -> Next<B> {
        let mut state = self.lock();
        let turn = state.turn;
        if let Err(reason) = state.begin(reader) {
            drop(state);
            return Next::Return(Some(Err(reason.into())));
        }
        let old_waker = state.waker.replace(waker);
        let mut dropped_buffer = None;
        let next = state.next(reader, &mut dropped_buffer);
        let has_begun = state.turn != turn;
        drop(state);
        drop(dropped_buffer);
        // The reader that was active before has to notice that it no longer is.
        old_waker.into_iter().filter(|_| has_begun).for_each(Waker::wake);
        next
    }

    /// Polls the stream. If it panics, the stream counts as failed.
    pub(super) fn poll(&self, stream: &mut Pin<Box<B>>, cx: &mut Context<'_>) -> (Poll<Read>, Hints)
    where
        B::Error: Into<BoxError>,
    {
        let guard = FailOnPanic(self);
        let polled = stream.as_mut().poll_frame(cx).map(Read::new);
        let hints = Hints::new(&**stream);
        mem::forget(guard);
        (polled, hints)
    }

    /// Puts the stream back with the result of a poll, and returns what the reader gets.
    ///
    /// If the reader is no longer active, the result is kept for the active one.
    pub(super) fn put_back(
        &self,
        reader: &mut Reader,
        stream: Pin<Box<B>>,
        (polled, hints): (Poll<Read>, Hints),
    ) -> PollFrame {
        let mut stream = Some(stream);
        let mut trailers_to_buffer = match &polled {
            Poll::Ready(Read::Trailers(trailers)) => Some(trailers.clone()),
            _ => None,
        };

        let mut state = self.lock();
        let is_taken_over = reader.turn != state.turn;
        state.hints = hints;
        state.stream = match stream.take_if(|_| matches!(polled, Poll::Pending | Poll::Ready(Read::Data(_))))
        {
            Some(stream) => Stream::Idle(stream),
            None => Stream::Ended,
        };
        // Dropped after the lock is released.
        let mut dropped_buffer = None;
        let mut frame = Poll::Pending;
        if let Poll::Ready(read) = polled {
            frame = Poll::Ready(match read {
                Read::Data(data) => {
                    dropped_buffer = state.buffer_data(&data, is_taken_over);
                    reader.position = reader.position.saturating_add(data.len());
                    Some(Ok(Frame::data(data)))
                }
                Read::Trailers(trailers) => {
                    dropped_buffer = state.buffer_trailers(&mut trailers_to_buffer, is_taken_over);
                    reader.is_at_end = true;
                    Some(Ok(Frame::trailers(trailers)))
                }
                Read::Error(error) if is_taken_over => {
                    state.stream = Stream::Failed(error);
                    None
                }
                Read::Error(error) => {
                    dropped_buffer = state.buffer.take();
                    Some(Err(error))
                }
                Read::End => {
                    reader.is_at_end = true;
                    None
                }
            });
        }
        let active_waker = if is_taken_over { state.waker.take() } else { None };
        drop(state);
        drop((dropped_buffer, stream));
        active_waker.into_iter().for_each(Waker::wake);
        if is_taken_over { Poll::Ready(Some(Err(TAKEN_OVER.into()))) } else { frame }
    }

    /// Returns whether the reader has read everything.
    pub(super) fn is_end(&self, reader: &Reader) -> bool {
        let state = self.lock();
        // A body that cannot be read must not look like an empty one, or it would be sent as such.
        state.can_read(reader)
            && (reader.is_at_end
                || state.buffered_len(reader) == 0 && !state.has_trailers() && state.is_at_end())
    }

    pub(super) fn size_hint(&self, reader: &Reader) -> SizeHint {
        let state = self.lock();
        if !state.can_read(reader) {
            return SizeHint::default();
        }
        let buffered = state.buffered_len(reader);
        let rest = &state.hints.size_hint;
        let (lower, upper) = if state.is_at_end() { (0, Some(0)) } else { (rest.lower(), rest.upper()) };
        let mut hint = SizeHint::new();
        hint.set_lower(lower.saturating_add(buffered));
        if let Some(upper) = upper {
            hint.set_upper(upper.saturating_add(buffered));
        }
        hint
    }
}

/// Marks the stream as failed if it is dropped, which happens if a poll of the stream panics.
struct FailOnPanic<'a, B>(&'a SharedStream<B>);

impl<B> Drop for FailOnPanic<'_, B> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.stream = Stream::Failed(PANICKED.into());
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<B> State<B> {
    fn can_read(&self, reader: &Reader) -> bool {
        if reader.has_begun { reader.turn == self.turn } else { self.buffer.is_some() }
    }

    /// Makes this reader the active one if it has not begun to read yet. Fails with the reason why it cannot be.
    fn begin(&mut self, reader: &mut Reader) -> Result<(), &'static str> {
        let is_taken_over =
            if reader.has_begun { reader.turn != self.turn } else { reader.turn < self.last_take_over };
        if is_taken_over {
            return Err(TAKEN_OVER);
        }
        if !self.can_read(reader) {
            return Err(NOT_BUFFERED);
        }
        if !reader.has_begun {
            self.turn += 1;
            (reader.turn, reader.has_begun) = (self.turn, true);
        }
        Ok(())
    }

    /// Returns what the active reader does next. If the buffer is no longer needed, moves it to `dropped_buffer`.
    fn next(&mut self, reader: &mut Reader, dropped_buffer: &mut Option<Buffer>) -> Next<B> {
        if reader.is_at_end {
            return Next::Return(None);
        }
        let unread = self.buffer.as_ref().and_then(|buffer| buffer.data.get(reader.position..));
        if let Some(unread) = unread.filter(|unread| !unread.is_empty()) {
            let data = Bytes::copy_from_slice(unread.get(..MAX_FRAME).unwrap_or(unread));
            reader.position += data.len();
            return Next::Return(Some(Ok(Frame::data(data))));
        }
        match mem::replace(&mut self.stream, Stream::Polled) {
            Stream::Idle(stream) => Next::Poll(stream),
            Stream::Polled => Next::Wait,
            Stream::Ended => {
                self.stream = Stream::Ended;
                reader.is_at_end = true;
                let trailers = self.buffer.as_ref().and_then(|buffer| buffer.trailers.clone());
                Next::Return(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Stream::Failed(error) => {
                self.stream = Stream::Ended;
                *dropped_buffer = self.buffer.take();
                Next::Return(Some(Err(error)))
            }
        }
    }

    /// Adds data to the buffer. If it would exceed the cap, removes and returns the buffer.
    ///
    /// With `ignore_cap`, the data is added in any case, because the active reader still has to read it.
    fn buffer_data(&mut self, data: &[u8], ignore_cap: bool) -> Option<Buffer> {
        let buffer = self.buffer.as_mut()?;
        let room = self.cap.saturating_sub(buffer.data.len());
        if data.len() > room && !ignore_cap {
            return self.buffer.take();
        }
        if buffer.data.capacity() - buffer.data.len() < data.len() {
            // Doubles the capacity, up to the cap.
            let additional = buffer.data.len().min(room).max(data.len());
            buffer.data.reserve_exact(additional);
        }
        buffer.data.extend_from_slice(data);
        None
    }

    /// Adds trailers to the buffer. If they are longer than the cap, removes and returns the buffer.
    ///
    /// With `ignore_cap`, they are added in any case, because the active reader still has to read them.
    fn buffer_trailers(&mut self, trailers: &mut Option<HeaderMap>, ignore_cap: bool) -> Option<Buffer> {
        let buffer = self.buffer.as_mut()?;
        let len = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        let sum: usize = trailers.iter().flatten().map(len).sum();
        if sum > self.cap && !ignore_cap {
            return self.buffer.take();
        }
        buffer.trailers = trailers.take();
        None
    }

    /// Returns the number of buffered bytes that the reader has not read.
    fn buffered_len(&self, reader: &Reader) -> u64 {
        let len = self.buffer.as_ref().map_or(0, |buffer| buffer.data.len());
        len.saturating_sub(reader.position) as u64
    }

    fn has_trailers(&self) -> bool {
        self.buffer.as_ref().is_some_and(|buffer| buffer.trailers.is_some())
    }

    /// Returns whether the stream has ended, or will end without another frame.
    fn is_at_end(&self) -> bool {
        match self.stream {
            Stream::Idle(_) | Stream::Polled => self.hints.is_end,
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
    fn the_buffer_takes_no_more_memory_than_the_cap() {
        for (cap, frame) in [(1_000, 1), (1_000, 7), (1_000, 1_000), (1_025, 1_024), (0, 0)] {
            let shared = SharedStream::new(Full::<Bytes>::default(), cap);
            let mut state = shared.lock();
            let mut buffered = 0;
            // A frame can be a small part of a large allocation. The buffer must not keep that allocation.
            let allocation = Bytes::from(vec![b'x'; 1 << 20]);
            while frame > 0 && buffered + frame <= cap {
                assert!(state.buffer_data(&allocation.slice(..frame), false).is_none());
                buffered += frame;
            }
            assert!(state.buffer_data(&[], false).is_none() && allocation.is_unique());
            let data = &state.buffer.as_ref().unwrap().data;
            assert!(data.len() == buffered && data.capacity() <= cap, "{} of {cap}", data.capacity());
            let too_much = vec![b'x'; cap - buffered + 1];
            assert!(state.buffer_data(&too_much, false).is_some() && state.buffer.is_none());
        }
    }
}
