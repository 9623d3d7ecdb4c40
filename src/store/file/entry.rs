use std::{
    fs::File,
    io::{self, Read as _},
    time::Duration,
};

use super::{
    boot_clock::{BootId, Now, millis},
    directory::Directory,
    file_error::FileError,
    temporary::Temporary,
};
use crate::store::{MAX_RECORD, Version};

/// When a record was written, by both clocks, and how long it lives. These are the first bytes of its file.
///
/// Its age is measured by the clock that runs since the machine was started, and after another start by the clock of
/// the machine. A record that seems to come from the future has ended: a clock that was wrong once makes no record live
/// longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    written: Now,
    /// Milliseconds.
    time_to_live: u64,
}

pub(super) const HEADER_LENGTH: usize = 48;

const MAGIC: [u8; 8] = *b"tk-file\x01";

impl Header {
    pub(super) fn new(written: Now, time_to_live: Duration) -> Self {
        Self { written, time_to_live: millis(time_to_live) }
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        let parts: [&[u8]; 5] = [
            &MAGIC,
            &self.written.wall.to_be_bytes(),
            &self.written.boot_id.0,
            &self.written.boot.to_be_bytes(),
            &self.time_to_live.to_be_bytes(),
        ];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// Reads a header, and returns what follows it. Returns `None` for anything else, such as a file that was empty
    /// when the machine lost its power.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (wall, rest) = rest.split_first_chunk()?;
        let (boot_id, rest) = rest.split_first_chunk()?;
        let (boot, rest) = rest.split_first_chunk()?;
        let (time_to_live, rest) = rest.split_first_chunk()?;
        let written = Now {
            wall: u64::from_be_bytes(*wall),
            boot: u64::from_be_bytes(*boot),
            boot_id: BootId(*boot_id),
        };
        Some((Self { written, time_to_live: u64::from_be_bytes(*time_to_live) }, rest))
    }

    pub(super) fn has_ended(&self, now: Now) -> bool {
        let same_start = now.boot_id == self.written.boot_id && now.boot_id != BootId::UNKNOWN;
        let age = if same_start {
            now.boot.checked_sub(self.written.boot)
        } else {
            now.wall.checked_sub(self.written.wall)
        };
        age.is_none_or(|age| age >= self.time_to_live)
    }
}

/// Reads the record of a name. Garbage and a record that has ended are none.
///
/// It takes no lock: a file gets its name when it is whole. The clock is read after the file, which may have been written a
/// moment ago: otherwise it would seem to come from the future.
pub(super) fn read(directory: &Directory, name: &str) -> Result<Option<Vec<u8>>, FileError> {
    let Some(file) = directory.open_to_read(name)? else { return Ok(None) };
    let bytes = read_at_most(&file, HEADER_LENGTH + MAX_RECORD + 1)
        .map_err(|error| FileError::io(&directory.path_of(name), "read", error))?;
    let alive = Header::parse(&bytes).filter(|(header, _)| !header.has_ended(Now::read()));
    Ok(alive.map(|(_, record)| record).filter(|record| record.len() <= MAX_RECORD).map(<[u8]>::to_vec))
}

/// Replaces the record of a name, if it still has this version. The mutex of the directory must be locked.
pub(super) fn publish(
    directory: &Directory,
    name: &str,
    seen: Option<&Version>,
    record: &[u8],
    time_to_live: Duration,
) -> Result<bool, FileError> {
    let current = read(directory, name)?.map(|record| Version::from_record(&record));
    if current.as_ref() != seen {
        return Ok(false);
    }
    let new = Temporary::create(directory)?;
    new.write(&Header::new(Now::read(), time_to_live).to_bytes())?;
    new.write(record)?;
    // It is not synchronized with the disk: an entry that is lost when the machine loses its power costs one login.
    new.rename(name)?;
    Ok(true)
}

/// Returns whether a file holds no record that is alive.
pub(super) fn is_dead(file: &File) -> io::Result<bool> {
    let bytes = read_at_most(file, HEADER_LENGTH)?;
    Ok(Header::parse(&bytes).is_none_or(|(header, _)| header.has_ended(Now::read())))
}

fn read_at_most(file: &File, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
