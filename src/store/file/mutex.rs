use std::fs::File;

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{directory::Directory, file_error::FileError};

/// The lock under which a record is compared and replaced, for microseconds.
///
/// The kernel releases it when its process ends. It belongs to the open file, so two threads of one process, which each
/// open it, exclude each other as two processes do.
pub(super) struct Locked(File);

const NAME: &str = "lock";

impl Locked {
    /// Takes the lock, or returns `None` if another one has it. It never waits: a thread that waits in the kernel
    /// cannot be cancelled.
    pub(super) fn try_new(directory: &Directory) -> Result<Option<Self>, FileError> {
        let file = directory.open_or_create_file(NAME)?;
        if !try_lock(&file).map_err(|error| FileError::io(&directory.path_of(NAME), "locked", error))? {
            return Ok(None);
        }
        let locked = Self(file);
        // A lock on a file that was removed meanwhile excludes nobody.
        Ok(directory.is_named(NAME, &locked.0)?.then_some(locked))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        unlock(&self.0);
    }
}

/// Locks an open file, and returns false if it is locked by another one.
pub(super) fn try_lock(file: &File) -> Result<bool, Errno> {
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Unlocks an open file. To close it would not be enough while a child process that was just started has a copy of the
/// descriptor.
pub(super) fn unlock(file: &File) {
    let _ = flock(file, FlockOperation::Unlock);
}
