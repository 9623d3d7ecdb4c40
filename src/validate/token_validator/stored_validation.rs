//! What a validation takes from the store, and what it writes to it.
//!
//! A record says when Keystone was asked. It counts from then on, as an answer to a question of this process does.

use std::{future::Future, sync::Arc, time::SystemTime};

use http::HeaderValue;
use tracing::debug;

use super::{
    Outcome,
    answer::ValidAnswer,
    in_flight::Question,
    seen_entry::{Seen, SeenEntry, StoreLookup},
    validation_task::ValidationTask,
};
use crate::{
    renewal::Now,
    store::{StoreAway, StoredValidation},
    task::catch_panic,
};

impl ValidationTask {
    /// Looks for a validation in the store that is later than what this process knows of the token.
    ///
    /// A question that allows expired tokens is always one for Keystone.
    pub(super) async fn look(&self, token: &HeaderValue) -> StoreLookup {
        let Some(second_level) = &self.shared.second_level else { return StoreLookup::AskKeystone(None) };
        let entry = second_level.entry(token);
        let answer = match self.question.allow_expired {
            true => None,
            false => second_level.get(&entry).await,
        };
        let Some((version, validation)) = answer else {
            return StoreLookup::AskKeystone(Some(SeenEntry { entry, seen: Seen::NotRead }));
        };
        if let Some(outcome) = validation.and_then(|validation| self.use_stored(validation, token)) {
            return StoreLookup::Found(outcome);
        }
        StoreLookup::AskKeystone(Some(SeenEntry {
            entry,
            seen: version.map_or(Seen::NoRecord, Seen::Record),
        }))
    }

    /// Takes a validation from the store, unless Keystone has to be asked.
    ///
    /// A log subscriber that panics does not change the outcome.
    fn use_stored(&self, validation: StoredValidation, token: &HeaderValue) -> Option<Option<Outcome>> {
        let shared = &self.shared;
        let now = shared.now()?;
        let (asked_at, document) = match validation {
            StoredValidation::Valid { asked_at, document } => (asked_at, Some(document)),
            StoredValidation::Unknown { asked_at } => (asked_at, None),
        };
        let asked_at = moment(asked_at, now).filter(|asked_at| now.since(*asked_at) < shared.valid_time)?;
        let is_valid = document.is_some();
        let outcome = match document {
            None => self.finish_stored_unknown(asked_at, now)?,
            Some(document) => match shared.keystone.read_document(token, document.expose().as_bytes()) {
                Ok(valid) => self.finish_stored_valid(valid, asked_at, now)?,
                Err(error) => {
                    let _ = catch_panic(|| debug!(%error, "a stored validation cannot be read"));
                    return None;
                }
            },
        };
        shared.metrics.record_store_hit();
        let _ = catch_panic(|| debug!(is_valid, "took a validation from the store"));
        Some(outcome)
    }

    fn finish_stored_valid(&self, valid: ValidAnswer, asked_at: Now, now: Now) -> Option<Option<Outcome>> {
        let (token, audit_id) = self.validated_token(valid, asked_at);
        let Question { key, .. } = self.question;
        if token.has_expired(now) {
            return None;
        }
        let cache = &self.shared.cache;
        let mut flights = self.shared.in_flight.lock();
        if !cache.is_news(&key, asked_at) {
            return None;
        }
        if !flights.remove(&self.question, &self.flight) {
            return Some(None);
        }
        cache.insert(key, audit_id, Arc::clone(&token));
        Some(Some(Outcome::Valid(token)))
    }

    /// Keystone is asked again after the time for which this process would remember its own question. Until it answers,
    /// the token is not valid.
    fn finish_stored_unknown(&self, asked_at: Now, now: Now) -> Option<Option<Outcome>> {
        let Question { key, allow_expired } = self.question;
        let cache = &self.shared.cache;
        let mut flights = self.shared.in_flight.lock();
        if !cache.is_news(&key, asked_at) {
            return None;
        }
        cache.insert_unknown(key, allow_expired, asked_at);
        if !cache.is_unknown(&key, allow_expired, now) {
            return None;
        }
        flights.remove(&self.question, &self.flight);
        Some(Some(Outcome::Unknown))
    }

    /// Writes to the store what Keystone has confirmed. Nobody waits for it.
    pub(super) fn share_valid(&self, entry: Option<SeenEntry>, outcome: Option<&Outcome>, now: Now) {
        let (Some(entry), Some(Outcome::Valid(token))) = (entry, outcome) else { return };
        if !self.question.allow_expired && !token.has_expired(now) {
            let (shared, token) = (Arc::clone(&self.shared), Arc::clone(token));
            self.write(entry.write_valid(shared, token));
        }
    }

    /// Writes to the store that Keystone does not know the token. Nobody waits for it.
    pub(super) fn share_unknown(&self, entry: Option<SeenEntry>, asked_at: Now) {
        if let Some(entry) = entry {
            self.write(entry.write_unknown(Arc::clone(&self.shared), asked_at));
        }
    }

    fn write(&self, writing: impl Future<Output = Result<(), StoreAway>> + Send + 'static) {
        if let Some(second_level) = &self.shared.second_level {
            second_level.write(writing);
        }
    }
}

/// Returns a moment in the past, given its time of day: `None` if it is in the future.
fn moment(wall: SystemTime, now: Now) -> Option<Now> {
    let age = now.wall.duration_since(wall).ok()?;
    Some(Now::new(wall, now.monotonic.checked_sub(age)?))
}
