//! Reads a response body into memory, up to a limit.

use std::pin::pin;

use bytes::{Buf, BufMut, Bytes};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::task::yield_now;
use zeroize::Zeroizing;

use crate::BoxError;

/// Maximum size of a response body, in bytes. A token response contains the whole service catalog.
pub(super) const MAX_BODY: usize = 4 * 1024 * 1024;

/// Maximum size of the body of a response with a status of 400 or above, in bytes.
pub(crate) const MAX_ERROR_BODY: usize = 64 * 1024;

/// Number of frames to read before yielding to other tasks.
const FRAMES_PER_TURN: usize = 32;

/// Maximum number of frames without data in one body.
const MAX_EMPTY_FRAMES: usize = 1024;

/// Why a body was not read to its end.
pub(super) enum ReadBodyError {
    /// The body is longer than the limit.
    TooLong,
    /// The body has more than [`MAX_EMPTY_FRAMES`] frames without data.
    TooManyEmptyFrames,
    /// The body failed, for example because the connection was closed.
    Body(BoxError),
}

/// Reads a body up to `limit` bytes. Returns the data that was read, and an error if it is not the whole body.
///
/// A body of many small frames takes no more memory than one large frame. Every [`FRAMES_PER_TURN`] frames, other tasks
/// can run. A single frame is not copied. When several frames are joined, buffers that became too small are wiped.
pub(super) async fn read_body<B>(body: B, limit: usize) -> (Bytes, Result<(), ReadBodyError>)
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut joined = Zeroizing::new(Vec::new());
    let (mut frames, mut empty_frames) = (0_usize, 0_usize);
    let result = loop {
        let data = match body.frame().await {
            None => break Ok(()),
            Some(Err(error)) => break Err(ReadBodyError::Body(error.into())),
            Some(Ok(frame)) => frame.into_data().ok().filter(Buf::has_remaining),
        };
        match data {
            Some(data) => {
                let remaining = limit.saturating_sub(first.len()).saturating_sub(joined.len());
                if remaining == 0 {
                    break Err(ReadBodyError::TooLong);
                }
                let is_too_long = data.remaining() > remaining;
                let mut data = data.take(remaining);
                if first.is_empty() && joined.is_empty() {
                    first = data.copy_to_bytes(data.remaining());
                } else {
                    append(&mut joined, &mut std::mem::take(&mut first), limit);
                    append(&mut joined, &mut data, limit);
                }
                if is_too_long {
                    break Err(ReadBodyError::TooLong);
                }
            }
            None if empty_frames == MAX_EMPTY_FRAMES => break Err(ReadBodyError::TooManyEmptyFrames),
            None => empty_frames += 1,
        }
        frames = frames.wrapping_add(1);
        if frames.is_multiple_of(FRAMES_PER_TURN) {
            yield_now().await;
        }
    };
    let data = if first.is_empty() { std::mem::take(&mut *joined).into() } else { first };
    (data, result)
}

/// Appends data to a buffer that grows up to `limit` bytes. A buffer that is replaced by a larger one is wiped.
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
