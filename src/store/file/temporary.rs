use std::{
    fs::File,
    io::{self, Write as _},
};

use rustix::{
    fs::{AtFlags, OFlags, linkat, openat, renameat},
    io::Errno,
};

use super::{
    directory::{Directory, PRIVATE_FILE},
    file_error::FileError,
};

/// A new file under a random name. It is removed when it is dropped, unless it was renamed.
pub(super) struct Temporary<'a> {
    directory: &'a Directory,
    name: String,
    file: Option<File>,
}

/// What the name of a temporary file begins with.
pub(super) const PREFIX: &str = "new-";

impl<'a> Temporary<'a> {
    pub(super) fn create(directory: &'a Directory) -> Result<Self, FileError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = format!("{PREFIX}{:016x}", fastrand::u64(..));
            match openat(directory.descriptor(), &name, flags, PRIVATE_FILE) {
                Ok(file) => return Ok(Self { directory, name, file: Some(File::from(file)) }),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(FileError::io(&directory.path_of(&name), "created", error)),
            }
        }
    }

    /// Calls a function with the open file.
    pub(super) fn with<T>(
        &self,
        action: &str,
        use_file: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T, FileError> {
        let file = self.file.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        file.and_then(use_file).map_err(|error| self.failed(action, error))
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), FileError> {
        self.with("written", |mut file| file.write_all(bytes))
    }

    /// Gives the file this name, and takes it from another file that has it.
    pub(super) fn rename(mut self, name: &str) -> Result<File, FileError> {
        let descriptor = self.directory.descriptor();
        renameat(descriptor, &self.name, descriptor, name).map_err(|error| self.failed("renamed", error))?;
        self.file.take().ok_or_else(|| self.failed("renamed", io::ErrorKind::NotFound))
    }

    /// Gives the file this name too, unless another file has it. Returns whether it did.
    pub(super) fn link(&self, name: &str) -> Result<bool, FileError> {
        let descriptor = self.directory.descriptor();
        match linkat(descriptor, &self.name, descriptor, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(self.failed("linked", error)),
        }
    }

    fn failed(&self, action: &str, error: impl Into<io::Error>) -> FileError {
        FileError::io(&self.directory.path_of(&self.name), action, error)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // A file that stays is removed by the next sweep.
            let _ = self.directory.remove(&self.name);
        }
    }
}
