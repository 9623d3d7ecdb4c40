//! The validations in flight: at most one for each question.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::sync::Semaphore;

use super::{
    Outcome, ValidatorSettings,
    key::{BuildKeyHasher, TokenKey},
};
use crate::{renewal::Now, task::SingleFlight};

/// What Keystone is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) key: TokenKey,
    pub(super) allow_expired: bool,
}

/// Whether requests wait for a validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Foreground,
    /// The cached token is still used meanwhile.
    Background,
}

/// A validation that requests can wait for.
///
/// Its result is `None` if the token was removed from the cache after Keystone had been asked: then the answer is too
/// old, and those who wait ask again.
pub(super) type Flight = SingleFlight<Option<Outcome>>;

/// All validations in flight.
pub(super) struct InFlight {
    flights: Mutex<Flights>,
    max_flights: usize,
    foreground: Semaphore,
    background: Semaphore,
}

/// What the lock guards.
#[derive(Default)]
pub(super) struct Flights {
    entries: HashMap<Question, Entry, BuildKeyHasher>,
    foreground: usize,
    background: usize,
}

struct Entry {
    flight: Flight,
    kind: Kind,
    asked_at: AskedAt,
}

/// When the question was sent. Empty while the validation waits for a permit.
pub(super) type AskedAt = Arc<OnceLock<Now>>;

impl InFlight {
    pub(super) fn new(settings: &ValidatorSettings) -> Self {
        let permits = settings.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            flights: Mutex::default(),
            max_flights: permits.saturating_add(settings.max_waiting),
            foreground: Semaphore::new(permits),
            background: Semaphore::new(permits.div_ceil(4)),
        }
    }

    /// Locks the flights. No code outside this crate may run meanwhile.
    pub(super) fn lock(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the permits for questions to Keystone.
    pub(super) fn permits(&self, kind: Kind) -> &Semaphore {
        match kind {
            Kind::Foreground => &self.foreground,
            Kind::Background => &self.background,
        }
    }

    /// Returns how many validations of a kind there may be, with those that wait for a permit.
    pub(super) fn max_flights(&self) -> usize {
        self.max_flights
    }
}

impl Flights {
    /// Returns the validation for a question.
    pub(super) fn get(&self, question: &Question) -> Option<&Flight> {
        self.entries.get(question).map(|entry| &entry.flight)
    }

    /// Returns the validation that a request joins. It joins none in the background that still waits for a permit: there
    /// are fewer of those permits.
    pub(super) fn to_join(&self, question: &Question) -> Option<&Flight> {
        let entry = self.entries.get(question)?;
        let is_asked = entry.kind == Kind::Foreground || entry.asked_at.get().is_some();
        is_asked.then_some(&entry.flight)
    }

    /// Adds a validation. Returns false if there are `max` of its kind already.
    pub(super) fn insert(
        &mut self,
        question: Question,
        flight: &Flight,
        asked_at: &AskedAt,
        kind: Kind,
        max: usize,
    ) -> bool {
        if *self.count(kind) >= max {
            return false;
        }
        let entry = Entry { flight: flight.clone(), kind, asked_at: Arc::clone(asked_at) };
        if let Some(old) = self.entries.insert(question, entry) {
            *self.count(old.kind) -= 1;
        }
        *self.count(kind) += 1;
        true
    }

    /// Removes a validation. Returns false if it has been removed already.
    pub(super) fn remove(&mut self, question: &Question, flight: &Flight) -> bool {
        match self.get(question) {
            Some(current) if current.is_same(flight) => {
                self.remove_question(question);
                true
            }
            _ => false,
        }
    }

    /// Removes the validations of a token for which Keystone has been asked already.
    pub(super) fn remove_asked(&mut self, key: TokenKey) {
        for allow_expired in [false, true] {
            let question = Question { key, allow_expired };
            if self.entries.get(&question).is_some_and(|entry| entry.asked_at.get().is_some()) {
                self.remove_question(&question);
            }
        }
    }

    fn remove_question(&mut self, question: &Question) {
        if let Some(entry) = self.entries.remove(question) {
            *self.count(entry.kind) -= 1;
        }
    }

    fn count(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Foreground => &mut self.foreground,
            Kind::Background => &mut self.background,
        }
    }
}
