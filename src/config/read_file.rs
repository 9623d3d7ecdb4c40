//! Reads the files of the configuration.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{
    options::ReadFile,
    trust::{Protection, SourceFile},
};
use crate::error::{ConfigError, ConfigErrorKind, ConfigLocation};

/// Maximum size of a file, in bytes.
const MAX_SIZE: u64 = 1024 * 1024;

/// A file whose settings have no effect. It is not a regular file.
const EMPTY_FILE: &str = "/dev/null";

/// A file that was read.
pub(super) struct ReadableFile {
    pub(super) source: SourceFile,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// Reads the first of the candidates that can be read. Files that do not exist or may not be read, and directories, are
/// skipped.
pub(super) fn read_first(
    candidates: Vec<PathBuf>,
    read_file: Option<&ReadFile>,
    working_directory: &Path,
) -> Result<Option<ReadableFile>, ConfigError> {
    for path in candidates {
        let content = match read_file {
            Some(read) => read(&path).map(|bytes| (bytes, Protection::PROVIDED)),
            None => read_from_disk(&path, working_directory),
        };
        let path: Arc<Path> = path.into();
        match content {
            Ok((bytes, protection)) => {
                let bytes = Zeroizing::new(bytes);
                if bytes.len() as u64 > MAX_SIZE {
                    return Err(unreadable(path, "the file is longer than 1 MiB"));
                }
                return Ok(Some(ReadableFile { source: SourceFile { path, protection }, bytes }));
            }
            Err(error) if is_skipped(&error) => {}
            Err(error) => return Err(unreadable(path, format!("the file cannot be read: {error}"))),
        }
    }
    Ok(None)
}

fn is_skipped(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
    )
}

/// Reads a regular file up to one byte more than [`MAX_SIZE`].
///
/// Opening a named pipe would wait for a writer, so the kind of the file is looked at first.
fn read_from_disk(path: &Path, working_directory: &Path) -> io::Result<(Vec<u8>, Protection)> {
    if path == Path::new(EMPTY_FILE) {
        return Ok((Vec::new(), Protection::PROVIDED));
    }
    check_kind(&path.metadata()?)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    check_kind(&metadata)?;
    let protection = Protection::of(&file, path, working_directory)?;
    // The buffer has its final size at once, so that no copy of a secret is left behind in a smaller one.
    let size = metadata.len().min(MAX_SIZE).saturating_add(1);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(MAX_SIZE.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes, protection))
}

fn check_kind(metadata: &std::fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else if metadata.is_file() {
        Ok(())
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

fn unreadable(path: Arc<Path>, reason: impl Into<Box<str>>) -> ConfigError {
    let location = ConfigLocation::File { path, line: 1, column: 1 };
    ConfigError::new(ConfigErrorKind::Syntax { reason: reason.into() }).at(&location)
}
