use std::{
    fs::{File, symlink_metadata},
    sync::Mutex,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use rustix::fs::{Dir, OFlags};

use super::{
    boot_clock::Now, directory::Directory, entry, file_error::FileError, lease, mutex::Locked, temporary,
};
use crate::store::EntryName;

/// Decides when the directory is swept, and bounds the space that it takes.
#[derive(Debug)]
pub(super) struct Sweeps {
    next: Mutex<Option<Instant>>,
    /// Bytes that the last sweep has left, and those published since.
    space: AtomicU64,
    /// Bytes published since the last sweep.
    published: AtomicU64,
}

/// Time between two sweeps, if not so much is published.
const INTERVAL: Duration = Duration::from_secs(60);

/// Bytes after whose publication the directory is swept early.
const MAX_PUBLISHED: u64 = 64 << 20;

/// Space from which on nothing is published, in bytes.
pub(super) const MAX_SPACE: u64 = 256 << 20;

/// Space that a small file takes, in bytes.
const BLOCK: u64 = 4_096;

/// Age from which on a temporary file is a leftover. Otherwise it lives for microseconds.
const LEFTOVER_AGE: Duration = Duration::from_secs(600);

impl Sweeps {
    pub(super) fn new() -> Self {
        Self { next: Mutex::new(None), space: AtomicU64::new(0), published: AtomicU64::new(0) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.space.load(Ordering::Relaxed) >= MAX_SPACE
    }

    pub(super) fn count_published(&self, length: u64) {
        self.space.fetch_add(length.max(BLOCK), Ordering::Relaxed);
        self.published.fetch_add(length.max(BLOCK), Ordering::Relaxed);
    }

    pub(super) fn set_space(&self, space: u64) {
        self.space.store(space, Ordering::Relaxed);
    }

    /// Returns whether the caller has to sweep now. The first call returns true.
    pub(super) fn take_turn(&self, now: Instant) -> bool {
        let Ok(mut next) = self.next.lock() else { return false };
        let is_due =
            next.is_none_or(|next| now >= next) || self.published.load(Ordering::Relaxed) >= MAX_PUBLISHED;
        if is_due {
            *next = now.checked_add(INTERVAL);
            self.published.store(0, Ordering::Relaxed);
        }
        is_due
    }
}

/// Removes records that have ended, leases that nobody holds, and leftovers of killed processes. Returns the space of
/// what is left, in bytes.
///
/// Only names that this store makes are touched. What is wrong with a file is found when it is used.
pub(super) fn sweep(directory: &Directory, has_locks: bool) -> Result<u64, FileError> {
    let failed = |error: rustix::io::Errno| FileError::io(&directory.path_of(""), "listed", error);
    let mut space: u64 = 0;
    for listed in Dir::read_from(directory.descriptor()).map_err(failed)? {
        let listed = listed.map_err(failed)?;
        let Ok(name) = listed.file_name().to_str() else { continue };
        let Some(kind) = Kind::from_name(name) else { continue };
        let is_removed = kind.is_over(directory, name) && kind.remove(directory, name, has_locks);
        if !is_removed {
            space = space.saturating_add(space_of(directory, name));
        }
    }
    Ok(space)
}

fn space_of(directory: &Directory, name: &str) -> u64 {
    let length = symlink_metadata(directory.path_of(name)).map_or(0, |metadata| metadata.len());
    length.max(BLOCK)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Record,
    Lease,
    Temporary,
}

impl Kind {
    /// Returns what a file of this name is, or `None` if it is not one that is swept.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let is_random =
            |random: &str| random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
        if name.strip_prefix(temporary::PREFIX).is_some_and(is_random) {
            return Some(Self::Temporary);
        }
        let leased = name.strip_suffix(lease::SUFFIX).and_then(EntryName::parse);
        if leased.is_some() {
            return Some(Self::Lease);
        }
        EntryName::parse(name).map(|_| Self::Record)
    }

    fn is_over(self, directory: &Directory, name: &str) -> bool {
        let opened = match self {
            Self::Record | Self::Lease => directory.open_to_read(name),
            Self::Temporary => directory.open_unchecked(name, OFlags::RDONLY),
        };
        let Ok(Some(file)) = opened else { return false };
        match self {
            Self::Record => entry::is_dead(&file).unwrap_or(false),
            Self::Lease => lease::has_ended(&file, Now::read()).unwrap_or(false),
            Self::Temporary => is_leftover(&file),
        }
    }

    /// Removes a file, if it is still over. Returns false if that cannot be done now.
    fn remove(self, directory: &Directory, name: &str, has_locks: bool) -> bool {
        // The lock is taken for each file anew, so that nobody waits until all are done.
        let locked = if has_locks { Locked::try_new(directory) } else { Ok(None) };
        if has_locks && !matches!(locked, Ok(Some(_))) {
            return false;
        }
        if !self.is_over(directory, name) {
            return false;
        }
        match self {
            Self::Lease => lease::remove_free(directory, name).unwrap_or(false),
            Self::Record | Self::Temporary => directory.remove(name).is_ok(),
        }
    }
}

/// A file from the future is one too: its clock was wrong.
fn is_leftover(file: &File) -> bool {
    let Ok(modified) = file.metadata().and_then(|metadata| metadata.modified()) else { return false };
    let age = SystemTime::now().duration_since(modified).unwrap_or_else(|error| error.duration());
    age >= LEFTOVER_AGE
}
