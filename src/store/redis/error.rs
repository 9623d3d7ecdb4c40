use std::{error, fmt};

use redis::{ErrorKind, ServerErrorKind};

use crate::error::printable;

/// An error of a Redis or Valkey server, or of the connection to it. It contains no password and no part of a record.
#[derive(Clone, Debug)]
pub(super) struct ServerFailure {
    message: Box<str>,
}

/// What servers put before a copy of the arguments of a command that they do not know.
const ARGUMENTS: &str = ", with args";

impl ServerFailure {
    pub(super) fn new(message: impl Into<Box<str>>) -> Self {
        Self { message: message.into() }
    }

    /// Adds what was done, and what the user of the server needs, to an error.
    pub(super) fn context(self, context: impl fmt::Display) -> Self {
        Self::new(format!("{context}: {self}"))
    }
}

impl From<&redis::RedisError> for ServerFailure {
    fn from(error: &redis::RedisError) -> Self {
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Self::new("the server rejects the user or the password");
        }
        if error.is_timeout() {
            return Self::new("the server did not answer in time");
        }
        let text = match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => format!("{code} {detail}"),
            _ => error.to_string(),
        };
        let text = text.split_once(ARGUMENTS).map_or(text.as_str(), |(before, _)| before);
        Self::new(printable(text.trim()))
    }
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for ServerFailure {}

/// Returns whether the user may not run a command, or the server does not know it or one of its arguments.
pub(super) fn is_not_permitted(error: &redis::RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => true,
        ErrorKind::Server(ServerErrorKind::ResponseError) => error.detail().is_some_and(|detail| {
            let is = |beginning: &str| {
                detail.get(..beginning.len()).is_some_and(|text| text.eq_ignore_ascii_case(beginning))
            };
            is("unknown command") || is("ACL failure in script") || is("syntax error")
        }),
        _ => false,
    }
}
