use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
};

use rustix::fs::{Dir, OFlags};
use zeroize::Zeroizing;

use super::{
    checks::check_file,
    directory::Directory,
    file_error::FileError,
    temporary::{self, Temporary},
};
use crate::store::{StoreKey, store_key::KEY_LENGTH};

const NAME: &str = "key";

/// Reads the key of the directory, and makes one if there is none.
///
/// A new key gets its name when it is whole, and only if no other file has this name, so processes that start at the
/// same time agree on one.
pub(super) fn read_or_create(directory: &Directory) -> Result<StoreKey, FileError> {
    if let Some(file) = directory.open_unchecked(NAME, OFlags::RDONLY)? {
        return read(directory, &file);
    }
    let key = StoreKey::random();
    let new = Temporary::create(directory)?;
    new.write(key.as_bytes())?;
    // Unlike an entry, a key that is empty after a loss of power would have to be repaired by hand.
    new.with("written", File::sync_all)?;
    let is_first = new.link(NAME)?;
    drop(new);
    if is_first {
        return Ok(key);
    }
    let file = directory.open_unchecked(NAME, OFlags::RDONLY)?;
    let path = directory.path_of(NAME);
    let file = file.ok_or_else(|| FileError::io(&path, "opened", io::ErrorKind::NotFound))?;
    read(directory, &file)
}

fn read(directory: &Directory, file: &File) -> Result<StoreKey, FileError> {
    let path = directory.path_of(NAME);
    let examined = || file.metadata().map_err(|error| FileError::io(&path, "examined", error));
    if examined()?.nlink() > 1 {
        remove_temporary_names(directory, file)?;
    }
    check_file(&path, &examined()?)?;
    // A buffer that grows would leave copies of the key in freed memory.
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    if examined()?.len() != KEY_LENGTH as u64 {
        return Err(FileError::new(&path, "is not a key of 32 bytes").repaired_by("rm"));
    }
    let mut file = file;
    file.read_exact(&mut *key).map_err(|error| FileError::io(&path, "read", error))?;
    Ok(StoreKey::new(*key))
}

/// Removes the temporary name of the key, which it has for a moment, or until now if its process was killed then.
fn remove_temporary_names(directory: &Directory, key: &File) -> Result<(), FileError> {
    let failed = |error: io::Error| FileError::io(&directory.path_of(NAME), "examined", error);
    let key = key.metadata().map_err(failed)?;
    let entries = Dir::read_from(directory.descriptor()).map_err(|error| failed(error.into()))?;
    for entry in entries {
        let entry = entry.map_err(|error| failed(error.into()))?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !name.starts_with(temporary::PREFIX) {
            continue;
        }
        let Ok(Some(file)) = directory.open_unchecked(name, OFlags::RDONLY) else { continue };
        let other = file.metadata().map_err(failed)?;
        if (other.dev(), other.ino()) == (key.dev(), key.ino()) {
            directory.remove(name)?;
        }
    }
    Ok(())
}
