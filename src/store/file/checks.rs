use std::{
    fs::Metadata,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use super::file_error::FileError;

/// Checks that only this user can use an open directory.
pub(super) fn check_directory(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    if !metadata.is_dir() {
        return Err(FileError::new(path, format!("is {}, not a directory", kind(metadata))).repaired_by("rm"));
    }
    check_owner(path, metadata)?;
    check_mode(path, metadata, "chmod 700")
}

/// Checks that only this user can use an open file, and that it has no second name.
pub(super) fn check_file(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    check_kind(path, metadata)?;
    check_owner(path, metadata)?;
    check_mode(path, metadata, "rm")?;
    if metadata.nlink() > 1 {
        let problem =
            format!("has {} hard links, and another name may be where others can read it", metadata.nlink());
        return Err(FileError::new(path, problem).repaired_by("rm"));
    }
    Ok(())
}

pub(super) fn check_kind(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    if metadata.is_file() {
        return Ok(());
    }
    let repair = if metadata.is_dir() { "rm -r" } else { "rm" };
    Err(FileError::new(path, format!("is {}, not a file", kind(metadata))).repaired_by(repair))
}

fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    let user = rustix::process::geteuid();
    let (owner, user_id) = (metadata.uid(), user.as_raw());
    if owner == user_id {
        return Ok(());
    }
    let problem = format!("belongs to the user {owner}, not to {user_id}, who runs this program");
    if user.is_root() {
        // It is that of somebody who uses `sudo`, who would lose it by another owner.
        return Err(FileError::new(
            path,
            problem + "; set `XDG_CACHE_HOME` or the path to another directory",
        ));
    }
    Err(FileError::new(path, problem).repaired_by(format!("sudo chown -R {user_id}")))
}

fn check_mode(path: &Path, metadata: &Metadata, repair: &'static str) -> Result<(), FileError> {
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let problem = format!("has the mode {mode:04o}, which lets others use it");
    Err(FileError::new(path, problem).repaired_by(repair))
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_dir() => "a directory",
        () if kind.is_file() => "a file",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}
