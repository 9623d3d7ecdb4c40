use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "store")]
use crate::store::{IdentityEntries, StoreAway, Version};
use crate::{Secret, task::catch_panic};

/// A function that stores a refresh token that the provider has issued in place of an older one.
pub(super) type OnRotation = Arc<dyn Fn(&Secret) + Send + Sync>;

/// The newest refresh token of a login.
pub(super) struct CurrentRefreshToken(Mutex<State>);

struct State {
    token: Secret,
    /// Whether the token is newer than that of the store, if there is one.
    #[cfg_attr(not(feature = "store"), allow(dead_code, reason = "there is no store"))]
    is_newest: bool,
    on_rotation: Option<OnRotation>,
    /// The entries of the store during a login under the lease, and the version that was seen under it.
    #[cfg(feature = "store")]
    shared: Option<(IdentityEntries, Option<Version>)>,
}

impl CurrentRefreshToken {
    /// Creates the token of a login. `is_newest` says that a person has logged in just now, so that the token of the store
    /// is an older one.
    pub(super) fn new(token: Secret, is_newest: bool) -> Self {
        Self(Mutex::new(State {
            token,
            is_newest,
            on_rotation: None,
            #[cfg(feature = "store")]
            shared: None,
        }))
    }

    pub(super) fn get(&self) -> Secret {
        self.lock().token.clone()
    }

    /// Calls this function with each token that replaces another one.
    pub(super) fn on_rotation(&self, store: OnRotation) {
        let last = self.lock().on_rotation.replace(store);
        drop(last);
    }

    /// Notes that the provider has accepted the token, and has issued `new` in its place, if there is one.
    ///
    /// A new token is published in the store, if the login runs under its lease.
    pub(super) async fn set_used(&self, new: Option<&Secret>) {
        if let Some(new) = new {
            self.replace(new);
        }
        #[cfg(feature = "store")]
        self.publish().await;
    }

    /// Replaces the token, and calls the function of the program without a lock. If that panics, the token is kept all the
    /// same.
    fn replace(&self, token: &Secret) {
        let on_rotation = {
            let mut state = self.lock();
            let is_other = state.token != *token;
            state.is_newest |= is_other;
            state.token = token.clone();
            state.on_rotation.clone().filter(|_| is_other)
        };
        if let Some(store) = on_rotation {
            let _ = catch_panic(|| store(token));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "store")]
impl CurrentRefreshToken {
    /// Takes the token of the store before a login under the lease, unless that of this process is newer.
    pub(super) async fn begin_sharing(&self, entries: &IdentityEntries) -> Result<(), StoreAway> {
        let (version, stored) = entries.refresh_token().await?;
        let stored = {
            let mut state = self.lock();
            state.shared = Some((entries.clone(), version));
            stored.filter(|_| !state.is_newest)
        };
        if let Some(stored) = stored {
            self.replace(&stored);
            self.lock().is_newest = false;
        }
        Ok(())
    }

    /// Notes that the login under the lease has ended.
    pub(super) fn end_sharing(&self) {
        let shared = self.lock().shared.take();
        drop(shared);
    }

    /// Publishes the token, if it is newer than that of the store. If that is not possible, the next login does it.
    async fn publish(&self) {
        let (token, shared) = {
            let mut state = self.lock();
            if !state.is_newest {
                return;
            }
            (state.token.clone(), state.shared.take())
        };
        let Some((entries, seen)) = shared else { return };
        if entries.publish_refresh_token(seen.as_ref(), &token).await == Ok(true) {
            self.lock().is_newest = false;
        }
    }
}
