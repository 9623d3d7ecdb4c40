//! Reads the input of a target.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};

/// Reads an HTTP response: a status, header lines, an empty line, the body.
pub(crate) fn answer(input: &[u8]) -> Option<Response<Bytes>> {
    let (status, mut rest) = line(input);
    let mut answer = Response::builder().status(std::str::from_utf8(status).ok()?).body(Bytes::new()).ok()?;
    loop {
        let (header, after) = line(rest);
        rest = after;
        if header.is_empty() {
            break;
        }
        let colon = header.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(header.get(..colon)?).ok()?;
        let value = HeaderValue::from_bytes(header.get(colon + 1..)?.trim_ascii_start()).ok()?;
        answer.headers_mut().append(name, value);
    }
    *answer.body_mut() = Bytes::copy_from_slice(rest);
    Some(answer)
}

/// Splits off the first line.
pub(crate) fn line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[]),
    }
}

/// Returns the next line of a text, or an empty one.
pub(crate) fn next<'a>(lines: &mut std::str::Lines<'a>) -> &'a str {
    lines.next().unwrap_or_default()
}
