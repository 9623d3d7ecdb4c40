//! Failed attempts, and from when on another one may be made.

use std::time::Duration;

use super::{Now, RenewalPolicy, policy::Risk};
use crate::{Error, Secret};

/// An error, and whether it can pass by itself. That is found out when the state is not locked, since it may run code
/// of others.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) passes: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { passes: error.is_transient(), error }
    }
}

/// What is known of the credentials that an attempt is made with.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// Their cache id. It is made of the secrets too, so that it changes with them.
    pub(super) id: Option<Secret>,
    pub(super) can_lock_account: bool,
}

/// Why there is no new token, and from when on another go may be made.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) failed: Now,
    pub(super) pause: Duration,
    /// Whether requests had no token meanwhile, so that they waited for it in vain.
    pub(super) waited: bool,
    /// The credentials that were refused; `None` if the failure can pass by itself.
    pub(super) refused: Option<Tried>,
    /// How many of its kind there were in a row.
    pub(super) transient: u32,
    pub(super) definite: u32,
}

impl Failure {
    /// Whether it is too early for another go.
    pub(super) fn pauses(&self, now: Now) -> bool {
        now.since(self.failed) < self.pause
    }

    /// Whether requests that have no token get this failure, rather than wait for another go.
    pub(super) fn is_final(&self, now: Now, policy: &RenewalPolicy) -> bool {
        self.waited || self.refused.is_some() || self.rest(now) >= policy.wait_timeout
    }

    /// What is left of the time that Keystone asked to wait.
    pub(super) fn rest(&self, now: Now) -> Duration {
        let asked = self.error.retry_after().map_or(Duration::ZERO, |_| self.pause);
        asked.saturating_sub(now.since(self.failed))
    }
}

/// How often credentials that have changed are tried at once, within [`CHANGES_WINDOW`].
///
/// It is for those whose id changes without an end, such as with the time.
const MOST_CHANGES: usize = 3;
const CHANGES_WINDOW: Duration = Duration::from_secs(30 * 60);

/// The history of the credentials.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The id of those that brought the last token.
    proven: Option<Option<Secret>>,
    /// When others were tried at once in place of refused ones.
    changes: Vec<Now>,
}

impl History {
    /// Enters that credentials have brought a token.
    pub(super) fn brought(&mut self, tried: Tried) {
        self.proven = Some(tried.id);
        self.changes.clear();
    }

    /// Returns the pause after the `definite`th failure in a row that does not pass by itself.
    pub(super) fn pause(&self, tried: &Tried, definite: u32, policy: &RenewalPolicy) -> Duration {
        let risk = match &self.proven {
            _ if !tried.can_lock_account => Risk::None,
            Some(id) if *id == tried.id => Risk::Proven,
            _ => Risk::Lockout,
        };
        let too_many = if self.changes.len() < MOST_CHANGES { 0 } else { MOST_CHANGES };
        policy.definite_pause(definite.saturating_add(u32::try_from(too_many).unwrap_or_default()), risk)
    }

    /// Whether credentials with this id are others than the refused ones, to be tried at once.
    pub(super) fn has_changed(&mut self, refused: &Tried, id: &Option<Secret>, now: Now) -> bool {
        if refused.id == *id {
            return false;
        }
        self.changes.retain(|&at| now.since(at) < CHANGES_WINDOW);
        let is_new = self.changes.len() < MOST_CHANGES;
        if is_new {
            self.changes.push(now);
        }
        is_new
    }
}
