use std::{path::Path, sync::Arc};

use crate::error::{ConfigError, ConfigErrorKind, ConfigLocation};

/// Maximum size of a file in bytes.
const MAX_SIZE: usize = 1 << 20;

/// The text of a file, and its path for locations.
pub(super) struct Source<'a> {
    /// The text without a byte order mark.
    pub(super) text: &'a str,
    path: &'a Arc<Path>,
}

/// A position in a text: byte offset, and line and column from 1.
#[derive(Clone, Copy)]
pub(super) struct Position {
    offset: usize,
    line: usize,
    column: usize,
}

impl<'a> Source<'a> {
    /// Checks the size and the encoding of a file.
    pub(super) fn new(bytes: &'a [u8], path: &'a Arc<Path>) -> Result<Self, ConfigError> {
        let source = Self { text: "", path };
        if bytes.len() > MAX_SIZE {
            return Err(source.error_at(Position::START, "the file is larger than 1 MiB"));
        }
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(source.error_at(Position::START, "the file is in UTF-16; save it in UTF-8"));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains('\0') => {
                let end = Position::START.advance(text, text.find('\0').unwrap_or_default());
                Err(source.error_at(end, "there is a NUL character; remove it, or save the file in UTF-8"))
            }
            Ok(text) => Ok(Self { text: text.strip_prefix('\u{feff}').unwrap_or(text), path }),
            Err(error) => {
                let valid = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
                let end = Position::START.advance(valid, valid.len());
                Err(source.error_at(end, "the file is not in UTF-8; save it in UTF-8"))
            }
        }
    }

    /// Returns the location of a line and a column, both from 1.
    pub(super) fn location(&self, line: usize, column: usize) -> ConfigLocation {
        ConfigLocation::File { path: Arc::clone(self.path), line, column }
    }

    pub(super) fn location_at(&self, position: Position) -> ConfigLocation {
        self.location(position.line, position.column)
    }

    pub(super) fn error_at(&self, position: Position, reason: &str) -> ConfigError {
        error(&self.location_at(position), reason)
    }
}

/// Logs that a member occurs twice.
pub(super) fn warn_duplicate(location: &ConfigLocation, name: &str) {
    tracing::warn!(%location, member = name, "the member occurs twice in the mapping; the last one counts");
}

/// Creates an error about the syntax of a file. The reason must not contain text of the file.
pub(super) fn error(location: &ConfigLocation, reason: &str) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Syntax { reason: reason.into() }).at(location)
}

impl Position {
    pub(super) const START: Self = Self { offset: 0, line: 1, column: 1 };

    /// Returns the position of a byte of the text. It counts from this position, unless that is after the byte.
    pub(super) fn advance(self, text: &str, offset: usize) -> Self {
        let mut position = if self.offset <= offset { self } else { Self::START };
        for character in text.get(position.offset..).unwrap_or_default().chars() {
            if position.offset + character.len_utf8() > offset {
                break;
            }
            position.offset += character.len_utf8();
            if character == '\n' {
                position.line += 1;
                position.column = 1;
            } else {
                position.column += 1;
            }
        }
        position
    }
}
