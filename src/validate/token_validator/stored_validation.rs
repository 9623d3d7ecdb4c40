//! What a validation takes from the store, and what it writes to it.
//!
//! A record says when Keystone was asked. It counts from then on, as an answer to a question of this process does.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderValue;
use tracing::debug;

use super::{
    Outcome, ValidatedToken,
    answer::ValidAnswer,
    in_flight::Question,
    second_level::{Looked, Seen, SeenEntry},
    shared::Shared,
    validation_task::ValidationTask,
};
use crate::{
    renewal::Now,
    store::{StoreAway, StoredValidation},
    task::catch_panic,
};

/// Maximum number of attempts to write that a token is unknown: another process may write in between.
const MAX_WRITES: usize = 3;

/// Maximum time for which a record is kept.
const MAX_TIME_TO_LIVE: Duration = Duration::from_secs(24 * 60 * 60);

impl ValidationTask {
    /// Looks for a validation in the store that is later than what this process knows of the token.
    ///
    /// A question that allows expired tokens is always one for Keystone.
    pub(super) async fn look(&self, token: &HeaderValue) -> Looked {
        let Some(second_level) = &self.shared.second_level else { return Looked::Ask(None) };
        let entry = second_level.entry(token);
        let answer = match self.question.allow_expired {
            true => None,
            false => second_level.get(&entry).await,
        };
        let Some((version, validation)) = answer else {
            return Looked::Ask(Some(SeenEntry { entry, seen: Seen::Nothing }));
        };
        if let Some(outcome) = validation.and_then(|validation| self.use_stored(validation, token)) {
            return Looked::Known(outcome);
        }
        Looked::Ask(Some(SeenEntry { entry, seen: version.map_or(Seen::NoRecord, Seen::Record) }))
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

impl SeenEntry {
    /// Writes that a token is valid, unless another process has written meanwhile: its record is about as good.
    async fn write_valid(self, shared: Arc<Shared>, token: Arc<ValidatedToken>) -> Result<(), StoreAway> {
        let seen = match &self.seen {
            Seen::Record(version) => Some(version),
            Seen::NoRecord => None,
            Seen::Nothing => return Ok(()),
        };
        let Some(now) = shared.now() else { return Ok(()) };
        let time_to_live = token.time_left(now, shared.valid_time).min(MAX_TIME_TO_LIVE);
        if time_to_live.as_millis() == 0 {
            return Ok(());
        }
        let asked_at = token.asked_at().wall;
        let validation = StoredValidation::Valid { asked_at, document: token.access_info().body() };
        self.entry.publish(seen, &validation, time_to_live).await.map(drop)
    }

    /// Writes that a token is unknown, unless another process has asked later.
    async fn write_unknown(mut self, shared: Arc<Shared>, asked_at: Now) -> Result<(), StoreAway> {
        let validation = StoredValidation::Unknown { asked_at: asked_at.wall };
        for _ in 0..MAX_WRITES {
            let Some(now) = shared.now() else { break };
            let seen = match self.seen {
                Seen::Record(version) => Some(version),
                Seen::NoRecord => None,
                Seen::Nothing => match self.entry.get().await? {
                    (_, Some(stored)) if is_later(&stored, asked_at, now) => break,
                    (version, _) => version,
                },
            };
            let mut time_to_live =
                shared.valid_time.saturating_sub(now.since(asked_at)).min(MAX_TIME_TO_LIVE);
            if seen.is_none() {
                // All validations that are in flight now end within this time. Tokens that somebody makes up must not
                // fill the store.
                time_to_live = time_to_live.min(shared.cache.unknown_time().saturating_add(shared.timeout));
            }
            if time_to_live.as_millis() == 0
                || self.entry.publish(seen.as_ref(), &validation, time_to_live).await?
            {
                break;
            }
            self.seen = Seen::Nothing;
        }
        Ok(())
    }
}

/// Returns whether a record stays although Keystone did not know the token at this time.
///
/// The time of a record is no evidence if it is in the future.
fn is_later(stored: &StoredValidation, asked_at: Now, now: Now) -> bool {
    match stored {
        StoredValidation::Valid { asked_at: later, .. } => *later > asked_at.wall && *later <= now.wall,
        StoredValidation::Unknown { .. } => true,
    }
}

/// Returns a moment in the past, given its time of day: `None` if it is in the future.
fn moment(wall: SystemTime, now: Now) -> Option<Now> {
    let age = now.wall.duration_since(wall).ok()?;
    Some(Now::new(wall, now.monotonic.checked_sub(age)?))
}
