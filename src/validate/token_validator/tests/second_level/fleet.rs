//! Replicas with one Keystone and one store, and a store that a test scripts.

use std::{
    collections::HashMap,
    fmt,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep};

use super::super::{super::TokenValidator, stub::*};
use crate::{
    SharedTokens, StoreKey, TokenStore,
    renewal::{Clock, Now},
    store::{EntryName, LeaseOwner, StoreFuture, Version},
    validate::token_validator::ValidatorSettings,
};

/// How long the replicas cache a token.
pub(super) const LIFETIME: Duration = Duration::from_secs(100);

/// A Keystone and a store, and the time at the start.
pub(super) struct Fleet {
    pub(super) stub: Stub,
    pub(super) store: TestStore,
    start: Instant,
}

impl Fleet {
    /// Creates a fleet whose Keystone confirms these tokens.
    pub(super) fn knowing(tokens: &[&str]) -> Self {
        Self::new(Stub::knowing(tokens))
    }

    pub(super) fn new(stub: Stub) -> Self {
        Self { stub, store: TestStore::default(), start: Instant::now() }
    }

    /// Starts a replica.
    pub(super) fn replica(&self) -> TokenValidator {
        self.replica_with(|_| {})
    }

    /// Starts this many replicas.
    pub(super) fn replicas<const N: usize>(&self) -> [TokenValidator; N] {
        std::array::from_fn(|_| self.replica())
    }

    /// Starts a replica whose clock is this many seconds ahead, or behind.
    pub(super) fn replica_ahead(&self, seconds: i64) -> TokenValidator {
        let clock = FleetClock { start: self.start, ahead: seconds };
        self.replica_with(|settings| settings.clock = Arc::new(clock))
    }

    /// Starts a replica with other settings.
    pub(super) fn replica_with(&self, change: impl FnOnce(&mut ValidatorSettings)) -> TokenValidator {
        validator_with(&self.stub, |settings| {
            settings.clock = Arc::new(FleetClock { start: self.start, ahead: 0 });
            settings.token_cache_time = LIFETIME;
            settings.store = Some(self.tokens());
            change(settings);
        })
    }

    /// Returns a connection to the store with the key of the fleet.
    pub(super) fn tokens(&self) -> SharedTokens {
        SharedTokens::new(self.store.clone(), StoreKey::new([7; 32])).name("validations")
    }
}

/// Validates a token at each replica, and lets them write to the store.
pub(super) async fn validate_at(replicas: &[TokenValidator], token: &str) -> Vec<&'static str> {
    let mut outcomes = Vec::new();
    for replica in replicas {
        outcomes.push(validate(replica, token).await);
        settle().await;
    }
    outcomes
}

/// Lets tasks run that wait for nothing.
pub(super) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Lets this many seconds pass, and then tasks run.
pub(super) async fn pass_and_settle(seconds: u64) {
    pass(seconds).await;
    settle().await;
}

/// Lets a validation in the background end.
pub(super) async fn finish_refresh() {
    pass_and_settle(1).await;
}

pub(super) fn store_hits(replica: &TokenValidator) -> u64 {
    replica.metrics().snapshot().store_hits
}

struct FleetClock {
    start: Instant,
    ahead: i64,
}

impl Clock for FleetClock {
    fn now(&self) -> Now {
        let start =
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_478_400_u64.strict_add_signed(self.ahead));
        Now::new(start + self.start.elapsed(), Instant::now().into_std())
    }
}

/// What the store does with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Up,
    Down,
    Late(Duration),
    /// Does what it is asked to do after this time, but nobody learns of it.
    Forgotten(Duration),
    Hang,
    Panic,
}

/// A store in memory that can fail, and whose records a test can exchange.
#[derive(Clone)]
pub(super) struct TestStore(Arc<State>);

struct State {
    records: Mutex<HashMap<String, (Vec<u8>, Instant)>>,
    mode: Mutex<Mode>,
    reads: AtomicUsize,
    writes: AtomicUsize,
}

impl Default for TestStore {
    fn default() -> Self {
        let (records, reads, writes) = Default::default();
        Self(Arc::new(State { records, mode: Mutex::new(Mode::Up), reads, writes }))
    }
}

impl TestStore {
    pub(super) fn set(&self, mode: Mode) {
        *self.0.mode.lock().unwrap() = mode;
    }

    pub(super) fn reads(&self) -> usize {
        self.0.reads.swap(0, Ordering::Relaxed)
    }

    /// Returns the number of records that were written since the last call.
    pub(super) fn writes(&self) -> usize {
        self.0.writes.swap(0, Ordering::Relaxed)
    }

    /// Returns the records, with the time that is left for each.
    pub(super) fn records(&self) -> HashMap<String, (Vec<u8>, Duration)> {
        let (records, now) = (self.0.records.lock().unwrap(), Instant::now());
        let left = |end: Instant| end.saturating_duration_since(now);
        let records = records.iter().filter(|(_, (_, end))| now < *end);
        records.map(|(name, (record, end))| (name.clone(), (record.clone(), left(*end)))).collect()
    }

    /// Returns the only record, and the time that is left for it.
    pub(super) fn only_record(&self) -> (Vec<u8>, Duration) {
        let records = self.records();
        assert_eq!(records.len(), 1);
        records.into_values().next().unwrap()
    }

    /// Writes records as somebody without the key can.
    pub(super) fn put(&self, name: &str, record: Vec<u8>, time_to_live: Duration) {
        self.0.records.lock().unwrap().insert(name.to_owned(), (record, Instant::now() + time_to_live));
    }

    pub(super) fn clear(&self) {
        self.0.records.lock().unwrap().clear();
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let records = self.0.records.lock().unwrap();
        records.get(name).filter(|(_, end)| Instant::now() < *end).map(|(record, _)| record.clone())
    }

    fn write(&self, name: &str, seen: Option<Version>, record: Vec<u8>, time_to_live: Duration) -> bool {
        if self.read(name).map(|record| Version::from_record(&record)) != seen {
            return false;
        }
        self.0.writes.fetch_add(1, Ordering::Relaxed);
        self.put(name, record, time_to_live);
        true
    }

    /// Does something in the mode that is set.
    fn act<'a, T: Send + 'static>(&self, action: impl FnOnce() -> T + Send + 'static) -> StoreFuture<'a, T> {
        let mode = *self.0.mode.lock().unwrap();
        Box::pin(async move {
            match mode {
                Mode::Up => {}
                Mode::Down => return Err("the store is down".into()),
                Mode::Late(delay) => sleep(delay).await,
                Mode::Forgotten(delay) => {
                    tokio::spawn(async move {
                        sleep(delay).await;
                        action();
                    });
                    return pending().await;
                }
                Mode::Hang => pending().await,
                Mode::Panic => panic!("the store panics"),
            }
            Ok(action())
        })
    }
}

impl TokenStore for TestStore {
    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        let (store, name) = (self.clone(), name.as_str().to_owned());
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        self.act(move || store.read(&name))
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        let (store, name, seen) = (self.clone(), name.as_str().to_owned(), seen.copied());
        let record = record.to_vec();
        self.act(move || store.write(&name, seen, record, time_to_live))
    }

    fn lease<'a>(&'a self, _: &'a EntryName, _: &'a LeaseOwner, _: Duration) -> StoreFuture<'a, bool> {
        panic!("validations have no lease");
    }

    fn extend<'a>(&'a self, _: &'a EntryName, _: &'a LeaseOwner, _: Duration) -> StoreFuture<'a, bool> {
        panic!("validations have no lease");
    }

    fn release<'a>(&'a self, _: &'a EntryName, _: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        panic!("validations have no lease");
    }
}

impl fmt::Debug for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestStore")
    }
}
