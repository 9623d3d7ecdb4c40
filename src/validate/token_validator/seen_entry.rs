//! The entry of a token in the store, as it was before Keystone was asked, and what is written to it afterwards.

use std::{sync::Arc, time::Duration};

use super::{Outcome, ValidatedToken, shared::Shared};
use crate::{
    renewal::Now,
    store::{StoreAway, StoredValidation, ValidationEntry, Version},
};

/// Maximum number of attempts to write that a token is unknown: another process may write in between.
const MAX_WRITES: usize = 3;

/// Maximum time for which a record is kept.
const MAX_TIME_TO_LIVE: Duration = Duration::from_secs(24 * 60 * 60);

/// The result of looking for a token in the store.
pub(super) enum StoreLookup {
    /// The outcome for those who wait: `None` if they have to ask again.
    Found(Option<Outcome>),
    /// Keystone has to be asked, and its answer belongs in this entry.
    AskKeystone(Option<SeenEntry>),
}

/// The entry of a token, as it was before Keystone was asked.
pub(super) struct SeenEntry {
    pub(super) entry: ValidationEntry,
    pub(super) seen: Seen,
}

/// What was in an entry.
pub(super) enum Seen {
    Record(Version),
    NoRecord,
    /// The store was not asked, or did not answer in time.
    NotRead,
}

impl SeenEntry {
    /// Writes that a token is valid, unless another process has written meanwhile: its record is about as good.
    pub(super) async fn write_valid(
        self,
        shared: Arc<Shared>,
        token: Arc<ValidatedToken>,
    ) -> Result<(), StoreAway> {
        let seen = match &self.seen {
            Seen::Record(version) => Some(version),
            Seen::NoRecord => None,
            Seen::NotRead => return Ok(()),
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
    pub(super) async fn write_unknown(mut self, shared: Arc<Shared>, asked_at: Now) -> Result<(), StoreAway> {
        let validation = StoredValidation::Unknown { asked_at: asked_at.wall };
        for _ in 0..MAX_WRITES {
            let Some(now) = shared.now() else { break };
            let seen = match self.seen {
                Seen::Record(version) => Some(version),
                Seen::NoRecord => None,
                Seen::NotRead => match self.entry.get().await? {
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
            self.seen = Seen::NotRead;
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
