use std::time::{Duration, SystemTime};

use super::{SharedTokens, StoreAway, Version};
use crate::Secret;

/// The entry of one token that a service has validated.
///
/// Its name and its seal have derived keys of their own. Older keys are not tried: under their names, a record could
/// outlive the one that replaced it.
#[derive(Clone)]
pub(crate) struct ValidationEntry {
    #[allow(dead_code)]
    shared: SharedTokens,
}

/// What Keystone has said about a token. The time is that of the question, by the clock of the process that asked. It
/// is stored in milliseconds, rounded down.
#[derive(Clone, Debug)]
pub(crate) enum StoredValidation {
    Valid { asked_at: SystemTime, document: Secret },
    Unknown { asked_at: SystemTime },
}

#[allow(dead_code, clippy::unused_self, unused_variables)]
impl SharedTokens {
    /// Returns the entry of a token. The record is bound to `subject`: the token, and what the question depends on.
    pub(crate) fn validation(&self, subject: &Secret) -> ValidationEntry {
        todo!()
    }

    /// Returns how long an answer of the store is awaited after the first contact.
    pub(crate) fn timeout(&self) -> Duration {
        todo!()
    }
}

#[allow(dead_code, clippy::unused_self, clippy::unused_async, unused_variables)]
impl ValidationEntry {
    /// Returns the version of the record, if there is one, and what is in it, if it can be read.
    pub(crate) async fn get(&self) -> Result<(Option<Version>, Option<StoredValidation>), StoreAway> {
        todo!()
    }

    /// Publishes a record, and returns true, if the entry still has the version that was seen. A record that is too long
    /// is not published.
    pub(crate) async fn publish(
        &self,
        seen: Option<&Version>,
        validation: &StoredValidation,
        time_to_live: Duration,
    ) -> Result<bool, StoreAway> {
        todo!()
    }
}
