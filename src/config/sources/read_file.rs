//! Reads the files of the configuration.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::trust::{Protection, SourceFile};
use crate::{
    config::options::ReadFile,
    error::{ConfigError, ConfigErrorKind, ConfigLocation},
};

/// Maximum size of a file, in bytes.
const MAX_SIZE: u64 = 1024 * 1024;

/// A file whose settings have no effect. It is not a regular file.
const EMPTY_FILE: &str = "/dev/null";

/// A file that was read.
pub(crate) struct ReadableFile {
    pub(crate) source: SourceFile,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

/// The result of reading the candidates for a file.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) file: Option<ReadableFile>,
    /// Earlier candidates that exist, but that this user may not read.
    pub(crate) forbidden: Vec<Arc<Path>>,
}

/// Reads the first of the candidates that can be read.
///
/// Files that do not exist or that this user may not read are skipped, and so are directories.
pub(crate) fn read_first(
    candidates: Vec<PathBuf>,
    read_file: Option<&ReadFile>,
    working_directory: &Path,
) -> Result<Found, ConfigError> {
    let mut found = Found::default();
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
                found.file = Some(ReadableFile { source: SourceFile { path, protection }, bytes });
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => found.forbidden.push(path),
            Err(error) if is_skipped(&error) => {}
            Err(error) => return Err(unreadable(path, format!("the file cannot be read: {error}"))),
        }
    }
    Ok(found)
}

fn is_skipped(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory
    )
}

/// Reads a regular file up to one byte more than [`MAX_SIZE`].
///
/// The kind of the file is checked before the file is opened, because opening a named pipe would wait for a writer.
fn read_from_disk(path: &Path, working_directory: &Path) -> io::Result<(Vec<u8>, Protection)> {
    if path == Path::new(EMPTY_FILE) {
        return Ok((Vec::new(), Protection::PROVIDED));
    }
    check_kind(&path.metadata().map_err(absent_if_unknown)?)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    check_kind(&metadata)?;
    let protection = Protection::of(&file, path, working_directory)?;
    // The buffer has its final size from the beginning: a buffer that grows would leave copies of secrets in memory.
    let size = metadata.len().min(MAX_SIZE).saturating_add(1);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(MAX_SIZE.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes, protection))
}

/// Whether a file exists is unknown if its directory may not be searched. It counts as absent then.
fn absent_if_unknown(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => io::ErrorKind::NotFound.into(),
        _ => error,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::temp_dir::TempDir;

    fn read(candidates: &[&Path]) -> Result<Option<ReadableFile>, ConfigError> {
        let candidates = candidates.iter().map(|path| path.to_path_buf()).collect();
        read_first(candidates, None, Path::new("/")).map(|found| found.file)
    }

    #[test]
    fn files_that_do_not_exist_and_directories_are_skipped() {
        let directory = TempDir::new();
        let file = directory.write("clouds.yaml", "text");
        let below_file = file.join("x");
        let absent = directory.path().join("absent");
        let found = read(&[&absent, directory.path(), &below_file, &file]).unwrap().unwrap();
        assert_eq!((&*found.source.path, found.bytes.as_slice()), (&*file, &b"text"[..]));
        assert!(read(&[&absent]).unwrap().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_may_not_be_read_is_skipped() {
        let directory = TempDir::new();
        let secret = directory.write("a", "text");
        crate::config::temp_dir::set_mode(&secret, 0o000);
        // Root may read every file.
        let is_skipped = File::open(&secret).is_err();
        assert_eq!(read(&[&secret]).unwrap().is_none(), is_skipped);
    }

    #[test]
    fn the_function_of_the_program_reads_instead_of_the_disk() {
        let read: ReadFile = Arc::new(|path| match path.to_str() {
            Some("/a") => Err(io::ErrorKind::PermissionDenied.into()),
            Some("/b") => Ok("text".into()),
            _ => Err(io::Error::other("the disk is broken")),
        });
        let first = |paths: &[&str]| {
            read_first(paths.iter().map(PathBuf::from).collect(), Some(&read), Path::new("/"))
        };
        let Found { file, forbidden } = first(&["/a", "/b", "/c"]).unwrap();
        assert_eq!(forbidden, [Arc::from(Path::new("/a"))]);
        let found = file.unwrap();
        assert_eq!((&*found.source.path, found.bytes.as_slice()), (Path::new("/b"), &b"text"[..]));
        let error = first(&["/a", "/c", "/b"]).err().unwrap();
        assert_eq!(error.to_string(), "/c:1:1: the file cannot be read: the disk is broken");
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let directory = TempDir::new();
        let limit = "x".repeat(1024 * 1024);
        let allowed = directory.write("allowed", &limit);
        assert_eq!(read(&[&allowed]).unwrap().unwrap().bytes.len(), limit.len());

        let too_long = directory.write("too_long", &(limit + "x"));
        let error = read(&[&too_long, &allowed]).err().unwrap().to_string();
        assert!(error.ends_with("too_long:1:1: the file is longer than 1 MiB"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_named_pipe_is_an_error_and_does_not_block() {
        let directory = TempDir::new();
        let pipe = directory.path().join("clouds.yaml");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = read(&[&pipe]).err().unwrap().to_string();
        assert!(error.ends_with("the file cannot be read: it is not a regular file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn the_null_device_is_an_empty_file() {
        let found = read(&[Path::new("/dev/null"), Path::new("/")]).unwrap().unwrap();
        assert!(found.bytes.is_empty());
    }
}
