//! The content of a store in memory, without a clock and a lock.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{EntryName, LeaseOwner, MAX_RECORD, Version};

/// Maximum number of records, and of leases.
const MAX_ENTRIES: usize = 10_000;

/// Maximum length of all records together, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What a [`MemoryStore`](super::MemoryStore) contains: records and leases by name, each with an end.
///
/// It has no clock and no lock. `now` is the time since any moment, which must not go back. If a table is full, what
/// ends first is evicted.
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
        let current = self.get(now, name).map(Version::from_record);
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn name(number: usize) -> EntryName {
        EntryName::parse(&format!("{number:043}.token")).unwrap()
    }

    #[test]
    fn records_and_leases_end() {
        let mut table = Table::default();
        let owner = LeaseOwner::random();
        assert!(table.publish(SECOND, &name(1), None, b"record", 2 * SECOND));
        assert!(table.lease(SECOND, &name(1), &owner, 2 * SECOND));
        assert_eq!(table.get(3 * SECOND - Duration::from_nanos(1), &name(1)), Some(&b"record"[..]));
        assert_eq!(table.get(3 * SECOND, &name(1)), None);
        assert!(!table.extend(3 * SECOND, &name(1), &owner, SECOND));
        assert!(
            table.publish(SECOND, &name(2), None, b"record", Duration::MAX),
            "an end is not too far away"
        );
        // What has ended is removed when something is added.
        assert!(table.publish(3 * SECOND, &name(3), None, b"record", SECOND));
        assert!(table.lease(3 * SECOND, &name(3), &owner, SECOND));
        assert_eq!((table.records.len(), table.leases.len()), (2, 1));
    }

    #[test]
    fn a_full_table_evicts_what_ends_first() {
        let mut table = Table::default();
        let end = |number: usize| SECOND * (20_000 - number as u32);
        for number in 0..MAX_ENTRIES {
            table.records.insert(name(number), Ending { value: Box::default(), end: end(number) });
            let value = LeaseOwner::random();
            table.leases.insert(name(number), Ending { value, end: end(number) });
        }
        let new = name(MAX_ENTRIES);
        assert!(table.publish(SECOND, &new, None, b"new", SECOND));
        assert!(table.lease(SECOND, &new, &LeaseOwner::random(), SECOND));
        assert_eq!((table.records.len(), table.leases.len()), (MAX_ENTRIES, MAX_ENTRIES));
        assert_eq!(table.get(SECOND, &new), Some(&b"new"[..]));
        assert_eq!(table.get(SECOND, &name(MAX_ENTRIES - 1)), None);
        assert!(table.get(SECOND, &name(MAX_ENTRIES - 2)).is_some());
        // A record that is replaced evicts no other.
        assert!(table.publish(SECOND, &new, Some(&Version::from_record(b"new")), b"newer", SECOND));
        assert!(table.get(SECOND, &name(MAX_ENTRIES - 2)).is_some());
    }

    #[test]
    fn the_bytes_of_all_records_are_limited() {
        let mut table = Table::default();
        let record = vec![1; MAX_RECORD];
        for number in 0..100 {
            assert!(table.publish(SECOND, &name(number), None, &record, SECOND * (number as u32 + 1)));
        }
        let bytes: usize = table.records.values().map(|record| record.value.len()).sum();
        assert!((MAX_BYTES - MAX_RECORD..=MAX_BYTES).contains(&bytes), "{bytes}");
        assert!(table.get(SECOND, &name(99)).is_some() && table.get(SECOND, &name(0)).is_none());
    }
}
