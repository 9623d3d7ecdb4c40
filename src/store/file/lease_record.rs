use super::boot_clock::{BootId, Now};

/// The content of the file of a lease: when it ends, if its holder is stopped and so keeps the lock.
///
/// It is measured by the clock that runs since the machine was started. After another start of the machine, it has
/// ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseRecord {
    pub(super) boot_id: BootId,
    /// Milliseconds of the boot clock when the lease was taken or extended.
    pub(super) begin: u64,
    /// Milliseconds.
    pub(super) term: u64,
}

const MAGIC: [u8; 8] = *b"tklease\x01";

pub(super) const LENGTH: usize = 40;

impl LeaseRecord {
    pub(super) fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let parts: [&[u8]; 4] =
            [&MAGIC, &self.boot_id.0, &self.begin.to_be_bytes(), &self.term.to_be_bytes()];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (boot_id, rest) = bytes.strip_prefix(&MAGIC)?.split_first_chunk()?;
        let (begin, rest) = rest.split_first_chunk()?;
        let (term, _) = rest.split_first_chunk()?;
        Some(Self {
            boot_id: BootId(*boot_id),
            begin: u64::from_be_bytes(*begin),
            term: u64::from_be_bytes(*term),
        })
    }

    pub(super) fn has_ended(&self, now: Now) -> bool {
        let age = now.boot.checked_sub(self.begin);
        self.boot_id != now.boot_id || age.is_none_or(|age| age >= self.term)
    }
}
