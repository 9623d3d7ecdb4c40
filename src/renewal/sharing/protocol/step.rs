//! What a renewal does next, and what it is told.

use std::time::{Duration, SystemTime};

/// How urgent a renewal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// The token of this process still works, and no request waits.
    Soft,
    /// Requests wait for a token.
    Needed,
}

/// A token that this process has or had.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KnownToken<V> {
    /// The version of its record, if it came from the store or was published.
    pub version: Option<V>,
    /// When Keystone issued it, by Keystone's clock.
    pub issued_at: SystemTime,
}

/// What is in the token entry of the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entry<V> {
    /// Nothing, or a record that cannot be read.
    NoToken {
        /// The version of the record, if there is one.
        version: Option<V>,
    },
    /// A tombstone.
    Tombstone {
        /// The version of the record.
        version: V,
        /// When the token was issued that a service has refused.
        issued_at: SystemTime,
    },
    /// A token.
    Token {
        /// The version of the record.
        version: V,
        /// When Keystone issued the token.
        issued_at: SystemTime,
        /// How close the token is to its expiry.
        freshness: Freshness,
    },
}

impl<V: Clone> Entry<V> {
    /// Returns the version that a publisher has to compare with.
    pub(super) fn version(&self) -> Option<V> {
        match self {
            Self::NoToken { version } => version.clone(),
            Self::Tombstone { version, .. } | Self::Token { version, .. } => Some(version.clone()),
        }
    }

    /// Returns when the token was issued that is, or was, in the entry.
    pub(super) fn issued_at(&self) -> Option<SystemTime> {
        match self {
            Self::NoToken { .. } => None,
            Self::Tombstone { issued_at, .. } | Self::Token { issued_at, .. } => Some(*issued_at),
        }
    }
}

/// How close a token is to its expiry, by the policy of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// It is used and not renewed yet.
    Fresh,
    /// It is used, and renewed in the background.
    Due,
    /// It is about to expire, or has expired.
    Expiring,
}

/// A failed login of the fleet, the delay after which is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeenFailure {
    /// Whether the failure is transient.
    pub is_transient: bool,
    /// The whole delay after the failure.
    pub delay: Duration,
}

/// The result of an attempt to bury a refused token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Burial {
    /// There is a tombstone now.
    Done,
    /// Another record is there.
    Changed,
    /// The fleet has used all its refusals.
    NoneLeft,
}

/// What a renewal does next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step<V> {
    /// Read the token entry, and call [`Renewal::looked`].
    Look,
    /// Read the entry of a failed login, and call [`Renewal::looked_for_failure`].
    LookForFailure,
    /// Let the credentials obtain what their login needs, and call [`Renewal::prepared`].
    Prepare,
    /// Ask for the lease with a new owner, and call [`Renewal::leased`].
    Lease,
    /// Take a refusal of the fleet, replace the record of this version by a tombstone, and call [`Renewal::buried`].
    Bury {
        /// The version of the refused token.
        version: V,
        /// When it was issued.
        issued_at: SystemTime,
    },
    /// Log in, and call [`Renewal::logged_in`] or [`Renewal::login_failed`].
    LogIn {
        /// Timeout of the login.
        timeout: Duration,
        /// When to extend the lease and call [`Renewal::extended`]. The login goes on meanwhile.
        extend_at: Option<Duration>,
    },
    /// Log in as often as a process without a store would, and call [`Renewal::logged_in`] or
    /// [`Renewal::login_failed`].
    LogInWithoutStore,
    /// Publish the token, and call [`Renewal::published`].
    Publish {
        /// The version that the entry must still have.
        seen: Option<V>,
    },
    /// Publish the failure of the login, and call [`Renewal::published_failure`].
    PublishFailure,
    /// Give the lease back, and call [`Renewal::released`]. It need not be awaited.
    Release,
    /// Wait until this time, and call [`Renewal::waited`].
    Wait {
        /// The time.
        until: Duration,
    },
    /// The renewal is done.
    Done(Outcome),
}

/// How a renewal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// This process uses the token of the last look.
    TakeOver,
    /// This process uses the token of its own login.
    UseOwn {
        /// Whether it is in the store.
        is_published: bool,
    },
    /// This process goes on using the token that was refused, because the fleet has used all its refusals.
    KeepRefused,
    /// The requests get the error of the login of this process.
    Failed,
    /// The requests get the error of the login of another process.
    FailedElsewhere,
}
