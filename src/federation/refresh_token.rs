use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Secret, task::catch_panic};

/// A function that stores a refresh token that the provider has issued in place of an older one.
pub(super) type OnRotation = Arc<dyn Fn(&Secret) + Send + Sync>;

/// The newest refresh token of a login.
pub(super) struct CurrentRefreshToken(Mutex<State>);

struct State {
    token: Secret,
    on_rotation: Option<OnRotation>,
}

impl CurrentRefreshToken {
    pub(super) fn new(token: Secret) -> Self {
        Self(Mutex::new(State { token, on_rotation: None }))
    }

    pub(super) fn get(&self) -> Secret {
        self.lock().token.clone()
    }

    /// Calls this function with each token that replaces another one.
    pub(super) fn on_rotation(&self, store: OnRotation) {
        let last = self.lock().on_rotation.replace(store);
        drop(last);
    }

    /// Replaces the token by one that the provider has issued.
    ///
    /// The function of the program is called without a lock. If it panics, the token is kept all the same.
    pub(super) fn replace(&self, token: &Secret) {
        let on_rotation = {
            let mut state = self.lock();
            state.token = token.clone();
            state.on_rotation.clone()
        };
        if let Some(store) = on_rotation {
            let _ = catch_panic(|| store(token));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
