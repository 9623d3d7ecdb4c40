//! Codes that are valid for one login.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Error, Secret};

/// A code that is valid for one login. Clones are the same code.
///
/// It is not sent again after a login with it has succeeded: a provider takes a second use for theft, and can revoke
/// the tokens of the first (RFC 6749, section 4.1.2).
#[derive(Clone)]
pub(in crate::federation) struct OneTime {
    code: Secret,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_used: bool,
    /// The bearer that the provider has issued for the code, until Keystone has accepted or rejected it.
    bearer: Option<Secret>,
}

impl OneTime {
    pub(in crate::federation) fn new(code: Secret) -> Self {
        Self { code, state: Arc::default() }
    }

    /// Returns the code, for ids.
    pub(in crate::federation) fn expose(&self) -> &str {
        self.code.expose()
    }

    /// Returns whether a login with the code is possible, or can go on.
    pub(super) fn can_log_in(&self) -> bool {
        let state = self.lock();
        !state.is_used || state.bearer.is_some()
    }

    /// Returns the bearer of a login that could not go on to its end.
    pub(super) fn bearer(&self) -> Option<Secret> {
        self.lock().bearer.clone()
    }

    /// Returns the code, or [`Error::LoginEnded`] if a login with it has succeeded.
    pub(super) fn get(&self) -> Result<&str, Error> {
        if self.lock().is_used { Err(Error::LoginEnded) } else { Ok(self.code.expose()) }
    }

    /// Notes that the provider has accepted the code, and has issued this bearer for it.
    pub(super) fn set_used(&self, bearer: &Secret) {
        *self.lock() = State { is_used: true, bearer: Some(bearer.clone()) };
    }

    /// Notes that Keystone has accepted the bearer, or will never do so.
    pub(in crate::federation) fn forget_bearer(&self) {
        let last = self.lock().bearer.take();
        drop(last);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
