//! What every store has to do. Each test takes two handles to the same place, as two processes have them.
//!
//! Call [`check`] in a test of the store. A store on a server needs no special state: all names are random.

use std::{future::Future, pin::Pin, time::Duration};

use tower_keystone::store::{EntryName, LeaseOwner, MAX_RECORD, TokenStore, Version};

/// The future of [`Clock::pass`].
pub(crate) type ClockFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The clock of a store.
pub(crate) trait Clock: Sync {
    /// Lets time pass for the store: advances its clock, or waits.
    fn pass(&self, time: Duration) -> ClockFuture<'_>;

    /// The unit in which the store counts time. Something that ends after a number of units ends at most one unit early.
    fn unit(&self) -> Duration {
        Duration::from_millis(1)
    }
}

/// The clock of a real store. Only what *has* ended is checked after a wait, because a wait can take longer than it should.
#[allow(dead_code, reason = "for stores on a server")]
pub(crate) struct RealClock {
    pub(crate) unit: Duration,
}

impl Clock for RealClock {
    fn pass(&self, time: Duration) -> ClockFuture<'_> {
        Box::pin(tokio::time::sleep(time))
    }

    fn unit(&self) -> Duration {
        self.unit
    }
}

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

/// Runs all tests.
pub(crate) async fn check(one: &dyn TokenStore, other: &dyn TokenStore, clock: &dyn Clock) {
    records_are_replaced_by_comparison(one, other).await;
    garbage_of_every_length_is_kept_and_replaced(one, other).await;
    entries_are_separate(one, other).await;
    records_end(one, other, clock).await;
    an_ended_record_is_absent_for_a_publisher(one, other, clock).await;
    one_of_many_publishers_wins(one, other).await;
    one_of_many_owners_gets_the_lease(one, other).await;
    a_lease_has_one_owner(one, other).await;
    a_lease_ends_and_is_extended(one, other, clock).await;
    a_lease_and_a_record_are_separate(one, other).await;
    large_records_are_kept(one, other).await;
}

/// Returns a name that no other test uses.
pub(crate) fn name() -> EntryName {
    let random = format!("{}{}", LeaseOwner::random().as_str(), LeaseOwner::random().as_str());
    EntryName::parse(&format!("{}.token", &random[..43])).unwrap()
}

/// Returns a record with this number in its version.
fn record(number: u8, length: usize) -> Vec<u8> {
    let mut record = vec![number; length];
    for (index, byte) in record.iter_mut().enumerate().skip(Version::MAX_LENGTH) {
        *byte = index as u8;
    }
    record
}

async fn get(store: &dyn TokenStore, name: &EntryName) -> Option<Vec<u8>> {
    store.get(name).await.unwrap()
}

async fn publish(store: &dyn TokenStore, name: &EntryName, seen: Option<&[u8]>, record: &[u8]) -> bool {
    store.publish(name, seen.map(Version::from_record).as_ref(), record, LONG).await.unwrap()
}

pub(crate) async fn records_are_replaced_by_comparison(one: &dyn TokenStore, other: &dyn TokenStore) {
    let (name, a, b, c) = (name(), record(1, 900), record(2, 70), record(3, 64));
    assert_eq!(get(one, &name).await, None);
    assert!(!publish(one, &name, Some(&a), &b).await, "there is none");
    assert_eq!(get(other, &name).await, None);
    assert!(publish(one, &name, None, &a).await);
    assert_eq!(get(other, &name).await, Some(a.clone()));
    assert!(!publish(other, &name, None, &b).await, "there is one");
    assert!(!publish(other, &name, Some(&b), &c).await, "another one is there");
    assert_eq!(get(one, &name).await, Some(a.clone()));
    assert!(publish(other, &name, Some(&a), &b).await);
    assert!(!publish(one, &name, Some(&a), &c).await, "it was replaced by the other handle");
    assert_eq!(get(one, &name).await, Some(b.clone()));
    // The same version with another content, as a store that was restored from a copy could have.
    let mut same = b.clone();
    *same.last_mut().unwrap() ^= 1;
    assert!(publish(one, &name, Some(&b), &same).await);
    assert_eq!(get(other, &name).await, Some(same));
}

pub(crate) async fn garbage_of_every_length_is_kept_and_replaced(
    one: &dyn TokenStore,
    other: &dyn TokenStore,
) {
    for length in 0..=60 {
        let name = name();
        // Bytes that a protocol of text or a script could stumble over.
        let garbage: Vec<u8> =
            b"\r\n\0 END\r\n\xff\x80VALUE %s'\"".iter().copied().cycle().take(length).collect();
        assert!(publish(one, &name, None, &garbage).await, "{length}");
        assert_eq!(get(other, &name).await.as_deref(), Some(&*garbage), "{length}");
        let longer = [&garbage[..], b"x"].concat();
        if length < Version::MAX_LENGTH {
            assert!(!publish(other, &name, Some(&longer), b"new").await, "{length}");
        }
        if let Some(shorter) = garbage.get(1..).filter(|_| length <= Version::MAX_LENGTH) {
            assert!(!publish(other, &name, Some(shorter), b"new").await, "{length}");
        }
        assert!(!publish(other, &name, None, b"new").await, "{length}: an empty record is a record");
        assert!(publish(other, &name, Some(&garbage), b"new").await, "{length}");
        assert_eq!(get(one, &name).await.as_deref(), Some(&b"new"[..]), "{length}");
    }
}

pub(crate) async fn entries_are_separate(one: &dyn TokenStore, other: &dyn TokenStore) {
    let name = name();
    let part = |part| EntryName::parse(&format!("{}.{part}", name.identity())).unwrap();
    let parts = ["token", "failure", "failures", "refusal-0", "refusal-1", "validation", "lease"].map(part);
    for (number, name) in (1..).zip(&parts) {
        assert!(publish(one, name, None, &record(number, 100)).await, "{name:?}");
    }
    for (number, name) in (1..).zip(&parts) {
        assert_eq!(get(other, name).await, Some(record(number, 100)), "{name:?}");
        assert!(one.lease(name, &LeaseOwner::random(), LONG).await.unwrap(), "{name:?}");
        assert!(!other.lease(name, &LeaseOwner::random(), LONG).await.unwrap(), "{name:?}");
    }
}

pub(crate) async fn records_end(one: &dyn TokenStore, other: &dyn TokenStore, clock: &dyn Clock) {
    let (short, long, unit) = (name(), name(), clock.unit());
    assert!(one.publish(&short, None, &record(1, 100), 2 * unit).await.unwrap());
    assert!(one.publish(&long, None, &record(2, 100), LONG).await.unwrap());
    clock.pass(3 * unit).await;
    assert_eq!(get(other, &short).await, None);
    assert_eq!(get(other, &long).await, Some(record(2, 100)));
    // The end is that of the last record, not of the first.
    assert!(publish(one, &short, None, &record(1, 100)).await);
    let seen = Version::from_record(&record(1, 100));
    assert!(one.publish(&short, Some(&seen), &record(3, 100), 2 * unit).await.unwrap());
    let seen = Version::from_record(&record(2, 100));
    assert!(one.publish(&long, Some(&seen), &record(4, 100), 2 * unit).await.unwrap());
    let seen = Version::from_record(&record(4, 100));
    if one.publish(&long, Some(&seen), &record(5, 100), LONG).await.unwrap() {
        clock.pass(3 * unit).await;
        assert_eq!(get(other, &long).await, Some(record(5, 100)));
    } else {
        // The wait for the processor was longer than the lifetime.
        clock.pass(3 * unit).await;
        assert_eq!(get(other, &long).await, None);
    }
    assert_eq!(get(other, &short).await, None);
}

pub(crate) async fn an_ended_record_is_absent_for_a_publisher(
    one: &dyn TokenStore,
    other: &dyn TokenStore,
    clock: &dyn Clock,
) {
    let (name, unit, old) = (name(), clock.unit(), record(1, 100));
    assert!(one.publish(&name, None, &old, 2 * unit).await.unwrap());
    clock.pass(3 * unit).await;
    assert!(!publish(one, &name, Some(&old), &record(2, 100)).await);
    assert!(publish(other, &name, None, &record(2, 100)).await);
    assert_eq!(get(one, &name).await, Some(record(2, 100)));
}

/// Polls both futures until both are ready.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    tokio::join!(a, b)
}

pub(crate) async fn one_of_many_publishers_wins(one: &dyn TokenStore, other: &dyn TokenStore) {
    let name = name();
    let mut seen: Option<Vec<u8>> = None;
    for round in 0..20 {
        let (a, b) = (record(2 * round + 1, 300), record(2 * round + 2, 300));
        let seen_now = seen.as_deref();
        let (first, second) =
            both(publish(one, &name, seen_now, &a), publish(other, &name, seen_now, &b)).await;
        assert!(first != second, "round {round}: {first} {second}");
        seen = Some(if first { a } else { b });
        assert_eq!(get(one, &name).await, seen, "round {round}");
        assert_eq!(get(other, &name).await, seen, "round {round}");
    }
}

pub(crate) async fn one_of_many_owners_gets_the_lease(one: &dyn TokenStore, other: &dyn TokenStore) {
    for round in 0..20 {
        let (name, a, b) = (name(), LeaseOwner::random(), LeaseOwner::random());
        let (first, second) = both(one.lease(&name, &a, LONG), other.lease(&name, &b, LONG)).await;
        assert!(first.unwrap() != second.unwrap(), "round {round}");
    }
}

pub(crate) async fn a_lease_has_one_owner(one: &dyn TokenStore, other: &dyn TokenStore) {
    let (name, a, b) = (name(), LeaseOwner::random(), LeaseOwner::random());
    assert!(!one.extend(&name, &a, LONG).await.unwrap(), "nobody holds it");
    one.release(&name, &a).await.unwrap();
    assert!(one.lease(&name, &a, LONG).await.unwrap());
    assert!(!one.lease(&name, &b, LONG).await.unwrap());
    assert!(!other.lease(&name, &b, LONG).await.unwrap());
    assert!(!other.extend(&name, &b, LONG).await.unwrap());
    other.release(&name, &b).await.unwrap();
    assert!(!other.lease(&name, &b, LONG).await.unwrap(), "another owner cannot give it back");
    assert!(one.extend(&name, &a, LONG).await.unwrap());
    one.release(&name, &a).await.unwrap();
    assert!(!one.extend(&name, &a, LONG).await.unwrap(), "it was given back");
    assert!(other.lease(&name, &b, LONG).await.unwrap());
    assert!(!one.extend(&name, &a, LONG).await.unwrap());
    one.release(&name, &a).await.unwrap();
    assert!(other.extend(&name, &b, LONG).await.unwrap(), "the old owner cannot give it back");
    other.release(&name, &b).await.unwrap();
}

pub(crate) async fn a_lease_ends_and_is_extended(
    one: &dyn TokenStore,
    other: &dyn TokenStore,
    clock: &dyn Clock,
) {
    let (name, a, b, unit) = (name(), LeaseOwner::random(), LeaseOwner::random(), clock.unit());
    assert!(one.lease(&name, &a, 2 * unit).await.unwrap());
    clock.pass(3 * unit).await;
    assert!(other.lease(&name, &b, 2 * unit).await.unwrap(), "the owner is gone");
    assert!(!one.extend(&name, &a, LONG).await.unwrap());
    one.release(&name, &a).await.unwrap();
    if other.extend(&name, &b, LONG).await.unwrap() {
        clock.pass(3 * unit).await;
        assert!(!one.lease(&name, &a, LONG).await.unwrap(), "it was extended");
        // An extension can also shorten the term.
        assert!(other.extend(&name, &b, 2 * unit).await.unwrap());
        clock.pass(3 * unit).await;
        assert!(one.lease(&name, &a, LONG).await.unwrap());
    }
    one.release(&name, &a).await.unwrap();
}

pub(crate) async fn a_lease_and_a_record_are_separate(one: &dyn TokenStore, other: &dyn TokenStore) {
    let (name, owner) = (name(), LeaseOwner::random());
    assert!(one.lease(&name, &owner, LONG).await.unwrap());
    assert_eq!(get(other, &name).await, None);
    assert!(publish(other, &name, None, &record(1, 100)).await, "a lease does not prevent it");
    assert!(one.extend(&name, &owner, LONG).await.unwrap());
    one.release(&name, &owner).await.unwrap();
    assert_eq!(get(one, &name).await, Some(record(1, 100)));
}

pub(crate) async fn large_records_are_kept(one: &dyn TokenStore, other: &dyn TokenStore) {
    let name = name();
    let mut seen = None;
    for (number, length) in (1..).zip([10_000, 100_000, MAX_RECORD]) {
        let large = record(number, length);
        assert!(publish(one, &name, seen.as_deref(), &large).await, "{length}");
        assert!(get(other, &name).await.as_ref() == Some(&large), "{length}");
        seen = Some(large);
    }
    let too_long = record(9, MAX_RECORD + 1);
    assert!(!publish(other, &name, seen.as_deref(), &too_long).await);
    assert!(get(other, &name).await == seen, "the old record is kept");
    assert!(publish(one, &name, seen.as_deref(), b"small").await);
    assert_eq!(get(other, &name).await.as_deref(), Some(&b"small"[..]));
}
