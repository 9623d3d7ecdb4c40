//! Codes that are valid for one login.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{Error, Secret};

/// A code that is valid for one login. Clones are the same code.
///
/// It is not sent again after a login with it has succeeded: a provider takes a second use for theft, and can revoke
/// the tokens of the first (RFC 6749, section 4.1.2).
#[derive(Clone)]
pub(in crate::federation) struct OneTime {
    code: Secret,
    is_used: Arc<AtomicBool>,
}

impl OneTime {
    pub(in crate::federation) fn new(code: Secret) -> Self {
        Self { code, is_used: Arc::default() }
    }

    /// Returns the code, for ids.
    pub(in crate::federation) fn expose(&self) -> &str {
        self.code.expose()
    }

    /// Returns whether a login with the code has succeeded.
    pub(super) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Acquire)
    }

    /// Returns the code, or [`Error::LoginEnded`] if a login with it has succeeded.
    pub(super) fn get(&self) -> Result<&str, Error> {
        if self.is_used() { Err(Error::LoginEnded) } else { Ok(self.code.expose()) }
    }

    /// Notes that a login with the code has succeeded.
    pub(super) fn set_used(&self) {
        self.is_used.store(true, Ordering::Release);
    }
}
