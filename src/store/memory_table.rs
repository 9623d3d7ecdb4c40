use std::{collections::BTreeMap, fmt, time::Duration};

use super::{EntryName, LeaseOwner, MAX_RECORD, Version};

/// Maximum number of records, and of leases.
const MAX_ENTRIES: usize = 10_000;

/// Maximum length of all records together, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What a [`MemoryStore`](super::MemoryStore) contains: records and leases by name, each with an end.
///
/// It has no clock and no lock. `now` is the time since any moment, which must not go back. If a table is full, what ends
/// first is evicted.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Table {
    records: BTreeMap<EntryName, Ending<Box<[u8]>>>,
    leases: BTreeMap<EntryName, Ending<LeaseOwner>>,
}

/// Something that ends.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Ending<T> {
    value: T,
    /// The first moment at which it is no longer there.
    end: Duration,
}

impl Table {
    /// Returns the record of a name.
    pub fn get(&self, now: Duration, name: &EntryName) -> Option<&[u8]> {
        current(&self.records, now, name).map(|record| &**record)
    }

    /// Replaces the record of a name if the current one has the version `seen`. Returns whether it did.
    pub fn publish(
        &mut self,
        now: Duration,
        name: &EntryName,
        seen: Option<&Version>,
        record: &[u8],
        time_to_live: Duration,
    ) -> bool {
        let current = self.get(now, name).map(Version::of);
        if current.as_ref() != seen || record.len() > MAX_RECORD {
            return false;
        }
        self.records.remove(name);
        self.make_room(now, record.len());
        let end = now.saturating_add(time_to_live);
        self.records.insert(name.clone(), Ending { value: record.into(), end });
        true
    }

    /// Takes the lease of a name if nobody holds it. Returns whether it did.
    pub fn lease(&mut self, now: Duration, name: &EntryName, owner: &LeaseOwner, term: Duration) -> bool {
        if current(&self.leases, now, name).is_some() {
            return false;
        }
        remove_ended(&mut self.leases, now);
        if self.leases.len() >= MAX_ENTRIES {
            remove_first_to_end(&mut self.leases);
        }
        self.leases.insert(name.clone(), Ending { value: owner.clone(), end: now.saturating_add(term) });
        true
    }

    /// Makes the lease end after `term` from now if `owner` holds it. Returns whether it did.
    pub fn extend(&mut self, now: Duration, name: &EntryName, owner: &LeaseOwner, term: Duration) -> bool {
        let is_held = current(&self.leases, now, name) == Some(owner);
        if let Some(lease) = self.leases.get_mut(name).filter(|_| is_held) {
            lease.end = now.saturating_add(term);
        }
        is_held
    }

    /// Removes the lease of a name if `owner` holds it.
    pub fn release(&mut self, now: Duration, name: &EntryName, owner: &LeaseOwner) {
        if current(&self.leases, now, name) == Some(owner) {
            self.leases.remove(name);
        }
    }

    /// Makes room for one more record of this length.
    fn make_room(&mut self, now: Duration, length: usize) {
        let bytes = |records: &BTreeMap<_, Ending<Box<[u8]>>>| -> usize {
            records.values().map(|record| record.value.len()).sum()
        };
        remove_ended(&mut self.records, now);
        while self.records.len() >= MAX_ENTRIES || bytes(&self.records) > MAX_BYTES - length {
            remove_first_to_end(&mut self.records);
        }
    }
}

fn current<'a, T>(
    entries: &'a BTreeMap<EntryName, Ending<T>>,
    now: Duration,
    name: &EntryName,
) -> Option<&'a T> {
    entries.get(name).filter(|entry| now < entry.end).map(|entry| &entry.value)
}

fn remove_ended<T>(entries: &mut BTreeMap<EntryName, Ending<T>>, now: Duration) {
    entries.retain(|_, entry| now < entry.end);
}

fn remove_first_to_end<T>(entries: &mut BTreeMap<EntryName, Ending<T>>) {
    let first = entries.iter().min_by_key(|(_, entry)| entry.end).map(|(name, _)| name.clone());
    if let Some(first) = first {
        entries.remove(&first);
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("records", &self.records.len())
            .field("leases", &self.leases.len())
            .finish()
    }
}
