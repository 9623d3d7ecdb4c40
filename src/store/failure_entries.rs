//! The entries of failed logins: while there is one, nobody logs in.

use std::time::Duration;

use super::{
    IdentityEntries, SharedTokens,
    contact::StoreAway,
    record::{Kind, Miss},
    sealed_entries::REMOVED_LIFETIME,
};
use crate::{Credentials, Error};

/// A login that failed in some process of the fleet. The entry ends when the next login may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedFailure {
    /// The error, without secrets.
    pub(crate) message: Box<str>,
    pub(crate) is_transient: bool,
    /// The delay after the failure before the next login.
    pub(crate) delay: Duration,
}

/// Numbers of failed logins in a row of the whole fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailureCounts {
    pub(crate) transient: u32,
    pub(crate) permanent: u32,
}

const FAILURE: &str = "failure";
const FAILURE_COUNTS: &str = "failures";

/// How long the numbers of failed logins are remembered after the last one.
const FAILURE_COUNTS_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// Maximum length of the text of a failure, in characters. What to do about it is at its end.
const MAX_MESSAGE: usize = 512;

impl SharedTokens {
    /// Forgets the failed logins of these credentials, for example when a disabled user is enabled again. The next
    /// plugin that needs a token logs in without a delay.
    ///
    /// They are found by [`Credentials::cache_id`], or by [`Credentials::public_id`] if the store is not sealed.
    /// Without an id, or with a [name](crate::RenewingPlugin::stored_as) in a store that is not sealed, call
    /// [`RenewingPlugin::reset`](crate::RenewingPlugin::reset) instead. A plugin that has met the failure already keeps
    /// to its delay, unless it is reset.
    ///
    /// # Errors
    ///
    /// [`Error::StoreUnavailable`] if the store cannot be asked.
    pub async fn forget_failures(&self, credentials: &impl Credentials) -> Result<(), Error> {
        let Some(identity) = self.identity_of(credentials) else { return Ok(()) };
        let entries = self.identity(&identity);
        entries.clear_failures().await.map_err(|StoreAway| entries.failures.unavailable_error(FAILURE))
    }
}

impl IdentityEntries {
    /// Returns the failure after which no process of the fleet may log in yet.
    pub(crate) async fn failure(&self) -> Result<Option<SharedFailure>, StoreAway> {
        let Some(record) = self.failures.current(FAILURE, Kind::Failure).await? else { return Ok(None) };
        let failure = SharedFailure::from_bytes(&record.content);
        if failure.is_none() {
            self.failures.log(FAILURE, Miss::Content);
        }
        Ok(failure)
    }

    /// Publishes a failure. Its entry ends after its delay.
    pub(crate) async fn publish_failure(&self, failure: &SharedFailure) -> Result<(), StoreAway> {
        self.failures.overwrite(FAILURE, Kind::Failure, failure.delay, &failure.to_bytes()).await
    }

    /// Removes the failure and the counts, after a login that succeeded or when the program asks for it.
    pub(crate) async fn clear_failures(&self) -> Result<(), StoreAway> {
        for (part, kind) in [(FAILURE, Kind::Failure), (FAILURE_COUNTS, Kind::FailureCounts)] {
            self.failures.remove(part, kind, REMOVED_LIFETIME).await?;
        }
        Ok(())
    }

    pub(crate) async fn failure_counts(&self) -> Result<FailureCounts, StoreAway> {
        let Some(record) = self.failures.current(FAILURE_COUNTS, Kind::FailureCounts).await? else {
            return Ok(FailureCounts::default());
        };
        let counts = FailureCounts::from_bytes(&record.content);
        if counts.is_none() {
            self.failures.log(FAILURE_COUNTS, Miss::Content);
        }
        Ok(counts.unwrap_or_default())
    }

    pub(crate) async fn publish_failure_counts(&self, counts: FailureCounts) -> Result<(), StoreAway> {
        self.failures
            .overwrite(FAILURE_COUNTS, Kind::FailureCounts, FAILURE_COUNTS_LIFETIME, &counts.to_bytes())
            .await
    }
}

impl SharedFailure {
    fn to_bytes(&self) -> Vec<u8> {
        let delay = u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX);
        let message = truncated(&self.message);
        [&[u8::from(self.is_transient)], delay.to_be_bytes().as_slice(), message.as_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (is_transient, rest) = bytes.split_first()?;
        let (delay, message) = rest.split_first_chunk()?;
        Some(Self {
            message: truncated(std::str::from_utf8(message).ok()?),
            is_transient: *is_transient != 0,
            delay: Duration::from_millis(u64::from_be_bytes(*delay)),
        })
    }
}

/// Returns the text of an error, with an ellipsis in place of what is too long.
fn truncated(message: &str) -> Box<str> {
    let end = message.char_indices().nth(MAX_MESSAGE).map(|(end, _)| end);
    match end.and_then(|end| message.get(..end)) {
        Some(start) => format!("{start}…").into(),
        None => message.into(),
    }
}

impl FailureCounts {
    fn to_bytes(self) -> [u8; 8] {
        ((u64::from(self.transient) << 32) | u64::from(self.permanent)).to_be_bytes()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let both = u64::from_be_bytes(bytes.try_into().ok()?);
        Some(Self { transient: (both >> 32) as u32, permanent: both as u32 })
    }
}
