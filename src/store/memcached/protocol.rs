//! The commands `gets`, `add` and `cas`, and the responses to them.

use std::{str, time::Duration};

use super::{super::MAX_RECORD, key::Key};

/// The longest line of a response: `VALUE`, a key of 250 bytes, and three numbers.
const MAX_LINE: usize = 512;

/// The longest value that a server with the default settings has. No value of this crate is that long.
const MAX_VALUE: usize = 1024 * 1024;

/// The longest time that is not read as a date: 30 days.
const MAX_SECONDS: u64 = 2_592_000;

/// What is wrong with a response. It has no text of the server, which could be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnexpectedResponse {
    #[error("it requires a username and password, or does not accept these")]
    Unauthenticated,
    #[error("it has not enough memory for the record; start it with more, see its option -m")]
    OutOfMemory,
    #[error("the record is longer than it allows; start it with a larger limit, see its option -I")]
    TooLarge,
    #[error("it has no cas numbers; start it without its option -C")]
    NoCasNumbers,
    #[error("it responded with an error to a command of the text protocol")]
    Error,
    #[error("its response is not one of memcached to this command")]
    Malformed,
}

/// A value, and the number that changes whenever the value does while the server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) value: Vec<u8>,
    pub(super) cas: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Stored,
    /// `NOT_STORED`, `EXISTS` or `NOT_FOUND`: the condition of `add` or `cas` does not hold.
    Not,
}

/// When a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Now,
    After(Duration),
}

impl End {
    /// Returns the time for the server. It is never 0, which means "never".
    ///
    /// The server's clock counts seconds, so that a time of N seconds ends after N - 1 to N.
    fn seconds(self) -> i64 {
        match self {
            Self::Now => -1,
            Self::After(duration) => {
                let up = u64::from(duration.subsec_nanos() > 0);
                duration.as_secs().saturating_add(1 + up).min(MAX_SECONDS) as i64
            }
        }
    }
}

/// Returns the command that asks for a value.
pub(super) fn gets(key: &Key) -> Vec<u8> {
    format!("gets {}\r\n", key.as_str()).into_bytes()
}

/// Returns the command that stores a value if there is none.
pub(super) fn add(key: &Key, end: End, value: &[u8]) -> Vec<u8> {
    debug_assert!(value.len() <= MAX_RECORD);
    with_value(format!("add {} 0 {} {}\r\n", key.as_str(), end.seconds(), value.len()), value)
}

/// Returns the command that replaces a value if it still has this number.
pub(super) fn cas(key: &Key, end: End, value: &[u8], cas: u64) -> Vec<u8> {
    debug_assert!(value.len() <= MAX_RECORD);
    with_value(format!("cas {} 0 {} {} {cas}\r\n", key.as_str(), end.seconds(), value.len()), value)
}

fn with_value(line: String, value: &[u8]) -> Vec<u8> {
    let mut command = line.into_bytes();
    command.reserve_exact(value.len() + 2);
    command.extend_from_slice(value);
    command.extend_from_slice(b"\r\n");
    command
}

/// Reads the response to `gets` from all bytes that have come so far. Returns `None` if more must come.
pub(super) fn read_item(received: &[u8], key: &Key) -> Result<Option<Option<Item>>, UnexpectedResponse> {
    let Some((line, rest)) = split_line(received)? else { return Ok(None) };
    if line == b"END" {
        return if rest.is_empty() { Ok(Some(None)) } else { Err(UnexpectedResponse::Malformed) };
    }
    let Some(fields) = line.strip_prefix(b"VALUE ") else { return Err(error(line)) };
    let (length, cas) = read_fields(fields, key).ok_or(UnexpectedResponse::Malformed)?;
    if cas == 0 {
        return Err(UnexpectedResponse::NoCasNumbers);
    }
    let Some((value, after)) = rest.split_at_checked(length) else { return Ok(None) };
    const AFTER: &[u8] = b"\r\nEND\r\n";
    if after == AFTER {
        Ok(Some(Some(Item { value: value.to_vec(), cas })))
    } else if AFTER.starts_with(after) {
        Ok(None)
    } else {
        Err(UnexpectedResponse::Malformed)
    }
}

/// Reads the response to `add` or `cas` from all bytes that have come so far. Returns `None` if more must come.
pub(super) fn read_stored(received: &[u8]) -> Result<Option<Stored>, UnexpectedResponse> {
    let Some((line, rest)) = split_line(received)? else { return Ok(None) };
    let stored = match line {
        b"STORED" => Stored::Stored,
        b"NOT_STORED" | b"EXISTS" | b"NOT_FOUND" => Stored::Not,
        _ => return Err(error(line)),
    };
    if rest.is_empty() { Ok(Some(stored)) } else { Err(UnexpectedResponse::Malformed) }
}

/// A line without its end, and what comes after it.
type LineAndRest<'a> = (&'a [u8], &'a [u8]);

/// Splits the first line off. Returns `None` if its end has not come yet.
fn split_line(received: &[u8]) -> Result<Option<LineAndRest<'_>>, UnexpectedResponse> {
    let within = received.get(..MAX_LINE).unwrap_or(received);
    match within.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let (line, rest) = (received.get(..end), received.get(end + 1..));
            let line = line.and_then(|line| line.strip_suffix(b"\r"));
            line.zip(rest).map(Some).ok_or(UnexpectedResponse::Malformed)
        }
        None if within.len() == MAX_LINE => Err(UnexpectedResponse::Malformed),
        None => Ok(None),
    }
}

/// Reads the key, flags, length and cas number of a value. Returns the length and the number.
fn read_fields(fields: &[u8], key: &Key) -> Option<(usize, u64)> {
    let fields: Vec<_> = fields.split(|byte| *byte == b' ').collect();
    let [found, flags, length, cas] = fields.as_slice() else { return None };
    let length = usize::try_from(number(length)?).ok().filter(|length| *length <= MAX_VALUE)?;
    u32::try_from(number(flags)?).ok()?;
    (*found == key.as_str().as_bytes()).then_some((length, number(cas)?))
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| str::from_utf8(digits).ok()?.parse().ok())?
}

fn error(line: &[u8]) -> UnexpectedResponse {
    match line {
        b"CLIENT_ERROR unauthenticated" | b"CLIENT_ERROR authentication failure" => {
            UnexpectedResponse::Unauthenticated
        }
        b"SERVER_ERROR out of memory storing object" | b"SERVER_ERROR out of memory" => {
            UnexpectedResponse::OutOfMemory
        }
        b"SERVER_ERROR object too large for cache" => UnexpectedResponse::TooLarge,
        b"ERROR" => UnexpectedResponse::Error,
        _ if line.starts_with(b"CLIENT_ERROR ") || line.starts_with(b"SERVER_ERROR ") => {
            UnexpectedResponse::Error
        }
        _ => UnexpectedResponse::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("key").unwrap()
    }

    fn item(value: &[u8], cas: u64) -> Option<Item> {
        Some(Item { value: value.to_vec(), cas })
    }

    #[test]
    fn commands_have_the_form_of_the_text_protocol() {
        let end = End::After(Duration::from_secs(4));
        assert_eq!(gets(&key()), b"gets key\r\n");
        assert_eq!(add(&key(), end, b"a\r\nb"), b"add key 0 5 4\r\na\r\nb\r\n");
        assert_eq!(cas(&key(), End::Now, b"", 7), b"cas key 0 -1 0 7\r\n\r\n");
    }

    #[test]
    fn times_are_rounded_up_and_never_without_end() {
        for (duration, seconds) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 2),
            (Duration::from_millis(1_001), 3),
            (Duration::from_secs(4), 5),
            (Duration::from_secs(60), 61),
            (Duration::from_secs(2_592_000), 2_592_000),
            (Duration::MAX, 2_592_000),
        ] {
            assert_eq!(End::After(duration).seconds(), seconds, "{duration:?}");
        }
    }

    /// Feeds a response in every possible pair of parts, and byte by byte.
    fn in_parts<T: PartialEq + std::fmt::Debug>(
        response: &[u8],
        read: impl Fn(&[u8]) -> Result<Option<T>, UnexpectedResponse>,
    ) -> T {
        for end in 0..response.len() {
            assert_eq!(read(&response[..end]), Ok(None), "{:?}", response[..end].escape_ascii().to_string());
        }
        read(response).unwrap().unwrap()
    }

    #[test]
    fn responses_are_read_in_parts() {
        let read = |received: &[u8]| read_item(received, &key());
        assert_eq!(in_parts(b"END\r\n", read), None);
        assert_eq!(in_parts(b"VALUE key 0 0 1\r\n\r\nEND\r\n", read), item(b"", 1));
        assert_eq!(in_parts(b"VALUE key 4294967295 5 18446744073709551615\r\nEND\r\n\r\nEND\r\n", read), {
            item(b"END\r\n", u64::MAX)
        });
        assert_eq!(in_parts(b"STORED\r\n", read_stored), Stored::Stored);
        for response in [&b"NOT_STORED\r\n"[..], b"EXISTS\r\n", b"NOT_FOUND\r\n"] {
            assert_eq!(in_parts(response, read_stored), Stored::Not);
        }
    }

    #[test]
    fn other_responses_are_errors() {
        use UnexpectedResponse::{Error, Malformed, NoCasNumbers, OutOfMemory, TooLarge, Unauthenticated};
        let long = [b'x'; MAX_LINE];
        for (response, error) in [
            (&b"END\n"[..], Malformed),
            (b"END\r\nx", Malformed),
            (b"END \r\n", Malformed),
            (b"end\r\n", Malformed),
            (b"\r\n", Malformed),
            (b"STORED\r\n", Malformed),
            (b"VALUE key 0 1\r\n", Malformed),
            (b"VALUE key 0 1 2 3\r\n", Malformed),
            (b"VALUE key  0 1 2\r\n", Malformed),
            (b"VALUE other 0 1 2\r\n", Malformed),
            (b"VALUE key 0 -1 2\r\n", Malformed),
            (b"VALUE key 0 +1 2\r\n", Malformed),
            (b"VALUE key 4294967296 1 2\r\n", Malformed),
            (b"VALUE key 0 1 18446744073709551616\r\n", Malformed),
            (b"VALUE key 0 1048577 2\r\n", Malformed),
            (b"VALUE key 0 99999999999999999999 2\r\n", Malformed),
            (b"VALUE key 0 1 2\r\nabEND\r\n", Malformed),
            (b"VALUE key 0 1 2\r\na\r\nVALUE key 0 1 2\r\na\r\nEND\r\n", Malformed),
            (b"VALUE key 0 1 2\r\na\r\nEND\r\nE", Malformed),
            (b"VALUE key 0 1 0\r\n", NoCasNumbers),
            (b"ERROR\r\n", Error),
            (b"CLIENT_ERROR bad data chunk\r\n", Error),
            (b"CLIENT_ERROR unauthenticated\r\n", Unauthenticated),
            (b"CLIENT_ERROR authentication failure\r\n", Unauthenticated),
            (b"SERVER_ERROR out of memory storing object\r\n", OutOfMemory),
            (b"SERVER_ERROR object too large for cache\r\n", TooLarge),
            (b"HTTP/1.1 400 Bad Request\r\n", Malformed),
            (&long, Malformed),
        ] {
            assert_eq!(read_item(response, &key()), Err(error), "{}", response.escape_ascii());
        }
        for response in [&b"END\r\n"[..], b"STORED\n", b"STORED\r\nS", b"stored\r\n", b"DELETED\r\n", &long] {
            assert_eq!(read_stored(response), Err(Malformed), "{}", response.escape_ascii());
        }
        assert_eq!(read_stored(b"SERVER_ERROR canary\r\n").unwrap_err().to_string().find("canary"), None);
    }
}
