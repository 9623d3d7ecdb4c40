use std::{
    fs::{DirBuilder, File, symlink_metadata},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat},
    io::Errno,
};

use super::{
    checks::{check_directory, check_file, check_kind},
    file_error::FileError,
};

/// The open directory of the store, which only this user can use.
///
/// All checks are made on what is open, so nothing can be exchanged between a check and its use. Each operation opens
/// the directory anew: one that was removed while the program runs is created again.
pub(super) struct Directory {
    path: PathBuf,
    descriptor: File,
}

/// How a file is opened. Waiting for the other end of a named pipe would block, and a symbolic link is not followed.
const FILE_FLAGS: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

pub(super) const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

impl Directory {
    /// Opens the directory. Returns `None` if there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = match openat(CWD, path, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(not_opened(path, error, check_directory)),
        };
        let metadata = descriptor.metadata().map_err(|error| FileError::io(path, "examined", error))?;
        check_directory(path, &metadata)?;
        Ok(Some(Self { path: path.to_owned(), descriptor }))
    }

    /// Opens the directory, and creates it and those above it if there is none.
    pub(super) fn open_or_create(path: &Path) -> Result<Self, FileError> {
        let not_created = |error| FileError::io(path, "created", error);
        if let Some(directory) = Self::open(path)? {
            return Ok(directory);
        }
        DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(not_created)?;
        Self::open(path)?.ok_or_else(|| not_created(io::ErrorKind::NotFound.into()))
    }

    pub(super) fn descriptor(&self) -> &File {
        &self.descriptor
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file for reading. Returns `None` if there is none.
    pub(super) fn open_to_read(&self, name: &str) -> Result<Option<File>, FileError> {
        self.open_checked(name, OFlags::RDONLY)
    }

    /// Opens a file for reading and writing. Returns `None` if there is none.
    pub(super) fn open_to_write(&self, name: &str) -> Result<Option<File>, FileError> {
        self.open_checked(name, OFlags::RDWR)
    }

    /// Opens a file for reading and writing, and creates an empty one if there is none.
    pub(super) fn open_or_create_file(&self, name: &str) -> Result<File, FileError> {
        let created = self.open_checked(name, OFlags::RDWR | OFlags::CREATE)?;
        created.ok_or_else(|| FileError::io(&self.path_of(name), "created", io::ErrorKind::NotFound))
    }

    /// Opens a file that may have several names. Returns `None` if there is none.
    pub(super) fn open_unchecked(&self, name: &str, flags: OFlags) -> Result<Option<File>, FileError> {
        match openat(&self.descriptor, name, flags | FILE_FLAGS, PRIVATE_FILE) {
            Ok(descriptor) => Ok(Some(File::from(descriptor))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(not_opened(&self.path_of(name), error, check_kind)),
        }
    }

    /// Returns whether the name is that of this open file.
    pub(super) fn is_named(&self, name: &str, file: &File) -> Result<bool, FileError> {
        let Some(named) = self.open_to_read(name)? else { return Ok(false) };
        let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let failed = |error| FileError::io(&self.path_of(name), "examined", error);
        Ok(identity(&named).map_err(failed)? == identity(file).map_err(failed)?)
    }

    /// Removes a file, if there is one.
    pub(super) fn remove(&self, name: &str) -> Result<(), FileError> {
        match unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(FileError::io(&self.path_of(name), "removed", error)),
        }
    }

    fn open_checked(&self, name: &str, flags: OFlags) -> Result<Option<File>, FileError> {
        let Some(file) = self.open_unchecked(name, flags)? else { return Ok(None) };
        let path = self.path_of(name);
        let metadata = file.metadata().map_err(|error| FileError::io(&path, "examined", error))?;
        // A name that is given to another file meanwhile leaves this one without any: what was read is whole all the
        // same.
        check_file(&path, &metadata)?;
        Ok(Some(file))
    }
}

/// Says what is in the place of a file or directory that was not opened: only the text depends on it.
fn not_opened(
    path: &Path,
    error: Errno,
    check: fn(&Path, &std::fs::Metadata) -> Result<(), FileError>,
) -> FileError {
    let found = symlink_metadata(path).ok().and_then(|metadata| check(path, &metadata).err());
    found.unwrap_or_else(|| FileError::io(path, "opened", error))
}
