//! Reading the body of a response into memory, up to a limit.

use std::pin::pin;

use bytes::{Buf, BufMut, Bytes};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::task::yield_now;
use zeroize::Zeroizing;

use crate::BoxError;

/// How many frames are read before other tasks get a turn.
const FRAMES_PER_TURN: usize = 32;

/// Maximum number of frames without data in one body.
const MAX_EMPTY_FRAMES: usize = 1024;

/// Why a body was not read to its end.
pub(super) enum Stopped {
    /// It is longer than the limit.
    TooLong,
    /// It has frames without data and no end.
    Empty,
    /// The connection failed.
    Broken(BoxError),
}

/// Reads a body up to `limit` bytes. Returns what was read, and why it is not all of it.
///
/// Many small frames take no more memory than one large frame, and no more time in one poll. One frame is not
/// copied; where several are put together, the memory that is left behind is wiped.
pub(super) async fn read_body<B>(body: B, limit: usize) -> (Bytes, Result<(), Stopped>)
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut read = Zeroizing::new(Vec::new());
    let (mut frames, mut empty) = (0_usize, 0_usize);
    let end = loop {
        let data = match body.frame().await {
            None => break Ok(()),
            Some(Err(error)) => break Err(Stopped::Broken(error.into())),
            Some(Ok(frame)) => frame.into_data().ok().filter(Buf::has_remaining),
        };
        match data {
            Some(data) => {
                let room = limit.saturating_sub(first.len()).saturating_sub(read.len());
                if room == 0 {
                    break Err(Stopped::TooLong);
                }
                let is_too_long = data.remaining() > room;
                let mut data = data.take(room);
                if first.is_empty() && read.is_empty() {
                    first = data.copy_to_bytes(data.remaining());
                } else {
                    append(&mut read, &mut std::mem::take(&mut first), limit);
                    append(&mut read, &mut data, limit);
                }
                if is_too_long {
                    break Err(Stopped::TooLong);
                }
            }
            None if empty == MAX_EMPTY_FRAMES => break Err(Stopped::Empty),
            None => empty += 1,
        }
        frames = frames.wrapping_add(1);
        if frames.is_multiple_of(FRAMES_PER_TURN) {
            yield_now().await;
        }
    };
    let read = if first.is_empty() { std::mem::take(&mut *read).into() } else { first };
    (read, end)
}

/// Adds data to a buffer that grows up to `limit`, and wipes what it outgrows.
fn append(buffer: &mut Zeroizing<Vec<u8>>, data: &mut impl Buf, limit: usize) {
    let needed = buffer.len().saturating_add(data.remaining());
    if needed > buffer.capacity() {
        let capacity = buffer.capacity().saturating_mul(2).min(limit).max(needed);
        let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
    buffer.put(data);
}
