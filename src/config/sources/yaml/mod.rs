//! Reads YAML or JSON into a [`Value`].
//!
//! - `source` checks the text of a file, and makes locations and errors.
//! - `composer` builds values from the events of the YAML parser, with `tag` and `reason` for its tags and errors.
//! - `json` builds values from JSON.
//! - `budget` limits what both build.

mod budget;
mod composer;
mod json;
mod reason;
mod source;
mod tag;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use self::source::Source;
use crate::{config::value::Value, error::ConfigError};

/// Reads one YAML document, or a JSON text if the path ends in `json`. An empty document is null.
///
/// `path` is named in locations and errors. No error contains text of the file.
pub(crate) fn read(bytes: &[u8], path: &Arc<Path>) -> Result<Value, ConfigError> {
    let source = Source::new(bytes, path)?;
    if path.as_os_str().as_encoded_bytes().ends_with(b"json") {
        json::read(&source)
    } else {
        composer::compose(&source)
    }
}
