use std::{
    error::Error as StdError,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::Error;

/// What is wrong with a file or a directory of the store, and the command that repairs it.
#[derive(Debug)]
pub(super) struct FileError {
    path: PathBuf,
    problem: String,
    /// A command without its last argument, which is the path.
    repair: Option<String>,
    source: Option<Arc<io::Error>>,
}

impl FileError {
    pub(super) fn new(path: &Path, problem: impl Into<String>) -> Self {
        Self { path: path.to_owned(), problem: problem.into(), repair: None, source: None }
    }

    /// An operation that the operating system has refused. `action` completes "cannot".
    pub(super) fn io(path: &Path, action: &str, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let source = Some(Arc::new(error));
        Self { path: path.to_owned(), problem: format!("cannot be {action}"), repair: None, source }
    }

    pub(super) fn repaired_by(self, command: impl Into<String>) -> Self {
        Self { repair: Some(command.into()), ..self }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path.display(), self.problem)?;
        if let Some(command) = &self.repair {
            write!(f, "; repair it with `{command} {}`", quoted(&self.path))?;
        }
        Ok(())
    }
}

impl StdError for FileError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        let source = error.source.clone().map(|source| source as Arc<dyn StdError + Send + Sync>);
        Self::InvalidStore { reason: error.to_string().into(), source }
    }
}

/// The path as a word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(is_plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
