use std::{fs::File, io, os::unix::fs::FileExt as _, time::Duration};

use super::{
    boot_clock::{Now, millis},
    directory::Directory,
    file_error::FileError,
    lease_record::{LENGTH, LeaseRecord},
    mutex::{try_lock, unlock},
    temporary::Temporary,
};

/// A lease that this process holds. It is given back when it is dropped.
///
/// It is a locked file that says when the lease ends. The kernel releases the lock when its process ends, so a lease is
/// free at once if its holder was killed. A holder that was stopped keeps the lock. Then the next process waits for the
/// end in the file, and puts another file in its place. The late holder sees that the name is no longer that of its
/// file.
#[derive(Debug)]
pub(super) struct Lease {
    file: File,
}

/// What the name of a lease's file ends with.
pub(super) const SUFFIX: &str = ".lease";

impl Lease {
    /// Takes the lease of a name, or returns `None` if another one holds it. The mutex of the directory must be locked.
    pub(super) fn take(directory: &Directory, name: &str, term: Duration) -> Result<Option<Self>, FileError> {
        let name = file_name(name);
        let path = directory.path_of(&name);
        if let Some(file) = directory.open_to_write(&name)? {
            if try_lock(&file).map_err(|error| FileError::io(&path, "locked", error))? {
                let lease = Self { file };
                write(&lease.file, term).map_err(|error| FileError::io(&path, "written", error))?;
                return Ok(Some(lease));
            }
            if !has_ended(&file, Now::read()).map_err(|error| FileError::io(&path, "read", error))? {
                return Ok(None);
            }
        }
        let new = Temporary::create(directory)?;
        new.with("locked", |file| try_lock(file).map_err(io::Error::from))?;
        new.with("written", |file| write(file, term))?;
        Ok(Some(Self { file: new.rename(&name)? }))
    }

    /// Makes the lease end after `term` from now. Returns false if it has ended or another one has taken it. The mutex
    /// of the directory must be locked.
    pub(super) fn extend(
        &self,
        directory: &Directory,
        name: &str,
        term: Duration,
    ) -> Result<bool, FileError> {
        let name = file_name(name);
        let path = directory.path_of(&name);
        let has_ended =
            has_ended(&self.file, Now::read()).map_err(|error| FileError::io(&path, "read", error))?;
        if has_ended || !directory.is_named(&name, &self.file)? {
            return Ok(false);
        }
        write(&self.file, term).map_err(|error| FileError::io(&path, "written", error))?;
        Ok(true)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        unlock(&self.file);
    }
}

/// Removes the file of a lease that nobody holds, and returns whether it did. The mutex of the directory must be
/// locked.
pub(super) fn remove_free(directory: &Directory, file_name: &str) -> Result<bool, FileError> {
    let Some(file) = directory.open_to_write(file_name)? else { return Ok(true) };
    let failed = |error| FileError::io(&directory.path_of(file_name), "locked", error);
    if !try_lock(&file).map_err(failed)? {
        return Ok(false);
    }
    directory.remove(file_name)?;
    Ok(true)
}

fn file_name(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

fn write(file: &File, term: Duration) -> io::Result<()> {
    let now = Now::read();
    let record = LeaseRecord { boot_id: now.boot_id, begin: now.boot, term: millis(term) };
    file.write_all_at(&record.to_bytes(), 0)
}

pub(super) fn has_ended(file: &File, now: Now) -> io::Result<bool> {
    let mut bytes = [0; LENGTH];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(LeaseRecord::parse(&bytes).is_none_or(|record| record.has_ended(now))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(true),
        Err(error) => Err(error),
    }
}
