use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    SharedTokens, StoreAway, Version,
    record::{Kind, Miss},
    sealed_entries::{NewRecord, Record, SealedEntries},
    sealer::{Purpose, Times},
};
use crate::Secret;

/// The entry of one token that a service has validated.
///
/// Its name and its seal have derived keys of their own. Older keys are not tried: under their names, a record could
/// outlive the one that replaced it.
#[derive(Clone)]
pub(crate) struct ValidationEntry(Arc<SealedEntries>);

/// What Keystone has said about a token. The time is that of the question, by the clock of the process that asked. It
/// is stored in milliseconds, rounded down.
#[derive(Clone, Debug)]
pub(crate) enum StoredValidation {
    Valid { asked_at: SystemTime, document: Secret },
    Unknown { asked_at: SystemTime },
}

const VALIDATION: &str = "validation";

impl SharedTokens {
    /// Returns the entry of a token. The record is bound to `subject`: the token, and what the question depends on.
    pub(crate) fn validation(&self, subject: &Secret) -> ValidationEntry {
        ValidationEntry(Arc::new(SealedEntries::new(self.clone(), Purpose::Validations, subject.clone())))
    }
}

impl ValidationEntry {
    /// Returns the version of the record, if there is one, and what is in it, if it can be read.
    pub(crate) async fn get(&self) -> Result<(Option<Version>, Option<StoredValidation>), StoreAway> {
        let found = self.0.get(VALIDATION, &[Kind::Validation, Kind::UnknownToken]).await?;
        Ok((found.version, found.record.and_then(|record| self.validation(&record))))
    }

    /// Publishes a record, and returns true, if the entry still has the version that was seen. A record that is too
    /// long is not published.
    pub(crate) async fn publish(
        &self,
        seen: Option<&Version>,
        validation: &StoredValidation,
        time_to_live: Duration,
    ) -> Result<bool, StoreAway> {
        let (kind, asked_at, content) = match validation {
            StoredValidation::Valid { asked_at, document } => {
                (Kind::Validation, *asked_at, document.expose())
            }
            StoredValidation::Unknown { asked_at } => (Kind::UnknownToken, *asked_at, ""),
        };
        let expires_at = asked_at.checked_add(time_to_live).unwrap_or(asked_at);
        let times = Times { issued_at: asked_at, expires_at };
        let new = NewRecord { kind, times, content: content.as_bytes(), time_to_live };
        Ok(self.0.publish(VALIDATION, seen, new).await?.is_some())
    }

    fn validation(&self, record: &Record) -> Option<StoredValidation> {
        let asked_at = record.header.issued_at;
        if record.header.kind == Kind::UnknownToken {
            return Some(StoredValidation::Unknown { asked_at });
        }
        let document = std::str::from_utf8(&record.content).ok().map(Secret::new);
        if document.is_none() {
            self.0.log(VALIDATION, Miss::Content);
        }
        Some(StoredValidation::Valid { asked_at, document: document? })
    }
}
