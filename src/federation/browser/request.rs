//! Reads the HTTP/1.1 request of a browser from the bytes of a connection.

use bytes::{BufMut, buf::Limit};
use http::StatusCode;
use zeroize::Zeroizing;

/// Maximum size of the request line and the headers, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Maximum size of the body, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Maximum number of headers.
const MAX_HEADERS: usize = 100;

/// Collects the bytes of a connection until they contain a request. Its memory is wiped.
///
/// Bytes after the first request are ignored.
pub(super) struct RequestReader {
    received: Zeroizing<Vec<u8>>,
    /// Where the search for the end of the head goes on.
    searched: usize,
    /// The length of the head and of the body, when the head has arrived.
    lengths: Option<(usize, usize)>,
}

impl RequestReader {
    pub(super) fn new() -> Self {
        // With capacity for the whole head, because growing would leave copies behind that are not wiped.
        Self { received: Zeroizing::new(Vec::with_capacity(MAX_HEAD)), searched: 0, lengths: None }
    }

    /// Returns the memory for the next bytes. It is never empty before the request is complete or refused.
    pub(super) fn room(&mut self) -> Limit<&mut Vec<u8>> {
        let room = self.received.capacity() - self.received.len();
        (&mut *self.received).limit(room)
    }

    /// Looks at what has arrived in the [`room`](Self::room), and returns whether the request is complete.
    ///
    /// # Errors
    ///
    /// The status of the response to a request that is malformed or too large.
    pub(super) fn is_complete(&mut self) -> Result<bool, StatusCode> {
        if self.lengths.is_none() {
            // A method is in upper case. This also refuses TLS at once.
            if self.received.first().is_some_and(|first| !first.is_ascii_uppercase()) {
                return Err(StatusCode::BAD_REQUEST);
            }
            let mut rest = self.received.get(self.searched..).unwrap_or_default().windows(4);
            let Some(end) = rest.position(|bytes| bytes == b"\r\n\r\n").map(|end| self.searched + end) else {
                self.searched = self.received.len().saturating_sub(3);
                let is_full = self.received.len() == self.received.capacity();
                return if is_full { Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE) } else { Ok(false) };
            };
            let head_len = end + 4;
            let body_len = Head::read(self.received.get(..end).unwrap_or_default())?.body_len()?;
            self.lengths = Some((head_len, body_len));
            if self.received.capacity() < head_len + body_len {
                let mut larger = Zeroizing::new(Vec::with_capacity(head_len + body_len));
                larger.extend_from_slice(&self.received);
                self.received = larger;
            }
        }
        let (head_len, body_len) = self.lengths.unwrap_or_default();
        Ok(self.received.len() >= head_len + body_len)
    }

    /// Returns the request, if it is complete.
    pub(super) fn request(&self) -> Option<Request<'_>> {
        let (head_len, body_len) = self.lengths?;
        let head = Head::read(self.received.get(..head_len - 4)?).ok()?;
        Some(Request { head, body: self.received.get(head_len..head_len + body_len)? })
    }
}

/// A request with its whole body.
pub(super) struct Request<'a> {
    head: Head<'a>,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn method(&self) -> &'a str {
        self.head.method
    }

    /// Returns the path, without the query.
    pub(super) fn path(&self) -> &'a str {
        self.head.target.split_once('?').map_or(self.head.target, |(path, _)| path)
    }

    pub(super) fn query(&self) -> &'a str {
        self.head.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Returns the value of a header, or an error if there are two of them or the value is not ASCII.
    pub(super) fn header(&self, name: &str) -> Result<Option<&'a str>, StatusCode> {
        self.head.header(name)
    }

    pub(super) fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// The request line and the headers.
struct Head<'a> {
    method: &'a str,
    /// The path and the query.
    target: &'a str,
    headers: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Head<'a> {
    /// Reads a head, without the empty line at its end.
    fn read(head: &'a [u8]) -> Result<Self, StatusCode> {
        let malformed = StatusCode::BAD_REQUEST;
        let mut lines = Lines(Some(head));
        let request_line = str::from_utf8(lines.next().ok_or(malformed)?).map_err(|_| malformed)?;
        let mut words = request_line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed);
        };
        let is_path = target.starts_with('/')
            && target.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\'));
        if !(1..=16).contains(&method.len())
            || !method.bytes().all(|byte| byte.is_ascii_uppercase())
            || !is_path
        {
            return Err(malformed);
        }
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
            return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
        }
        let mut headers = Vec::new();
        for line in lines {
            if headers.len() == MAX_HEADERS {
                return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            }
            headers.push(header(line).ok_or(malformed)?);
        }
        Ok(Self { method, target, headers })
    }

    fn header(&self, name: &str) -> Result<Option<&'a str>, StatusCode> {
        let mut values = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
        let value = values.next().map(|(_, value)| *value);
        match (value, values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) if value.is_ascii() => {
                str::from_utf8(value).map(Some).map_err(|_| StatusCode::BAD_REQUEST)
            }
            _ => Err(StatusCode::BAD_REQUEST),
        }
    }

    /// Returns the length of the body. Only `Content-Length` announces one.
    fn body_len(&self) -> Result<usize, StatusCode> {
        if self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"transfer-encoding")) {
            return Err(StatusCode::LENGTH_REQUIRED);
        }
        let Some(length) = self.header("content-length")? else {
            // A form without a length is as if it were chunked.
            return if self.method == "POST" { Err(StatusCode::LENGTH_REQUIRED) } else { Ok(0) };
        };
        if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(StatusCode::BAD_REQUEST);
        }
        match length.parse() {
            Ok(length @ ..=MAX_BODY) => Ok(length),
            _ => Err(StatusCode::PAYLOAD_TOO_LARGE),
        }
    }
}

/// Splits a header into its name and its value, without the space around it.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
    let is_name = !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    let value = value.get(1..)?.trim_ascii();
    let is_value = value.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t');
    (is_name && is_value).then_some((name, value))
}

/// The lines of a head, without their ends.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n");
        self.0 = end.and_then(|end| rest.get(end + 2..));
        rest.get(..end.unwrap_or(rest.len()))
    }
}

#[cfg(test)]
mod tests;
