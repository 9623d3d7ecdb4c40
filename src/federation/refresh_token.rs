use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "store")]
use std::time::Duration;

use crate::{Error, Secret, task::catch_panic};
#[cfg(feature = "store")]
use crate::{
    error::{FederatedLoginFailed, LoginStep},
    store::{IdentityEntries, LeaseOwner, StoreAway, Version},
};

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
    #[cfg(feature = "store")]
    shared: Option<Shared>,
}

/// What a login under the lease knows of the store.
#[cfg(feature = "store")]
struct Shared {
    entries: IdentityEntries,
    /// The version that was seen under the lease.
    seen: Option<Version>,
    owner: LeaseOwner,
    is_in_use: bool,
    /// Whether the provider has accepted the token, and has issued the newest one.
    is_accepted: bool,
}

/// A token that was used, and whose successor is not in the store yet.
#[cfg(feature = "store")]
pub(super) struct Unpublished {
    /// The version of the token that was used.
    seen: Option<Version>,
}

/// Calls the function of the program with a new token when it is dropped, without a lock.
struct Rotation {
    on_rotation: OnRotation,
    token: Secret,
}

/// How long a lease lasts if it is not extended.
#[cfg(feature = "store")]
pub(super) const TERM: Duration = Duration::from_secs(4);

/// How long it lasts when the token is in use, so that no other process uses it if the store cannot be reached before its
/// successor is published.
#[cfg(feature = "store")]
pub(super) const TERM_IN_USE: Duration = Duration::from_secs(60);

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

    /// Returns the token, which is sent to the provider at once.
    ///
    /// # Errors
    ///
    /// A transient error if the token is shared, and the lease has been lost.
    pub(super) async fn get_to_use(&self) -> Result<Secret, Error> {
        #[cfg(feature = "store")]
        {
            let lease = self.lock().shared.as_mut().map(|shared| {
                shared.is_in_use = true;
                (shared.entries.clone(), shared.owner.clone())
            });
            if let Some((entries, owner)) = lease
                && entries.extend(&owner, TERM_IN_USE).await != Ok(true)
            {
                return Err(no_lease());
            }
        }
        Ok(self.lock().token.clone())
    }

    /// Calls this function with each token that replaces another one.
    pub(super) fn on_rotation(&self, store: OnRotation) {
        let last = self.lock().on_rotation.replace(store);
        drop(last);
    }

    /// Notes that the provider has accepted the token, and has issued `new` in its place, if there is one.
    ///
    /// A new token is published in the store, if the login runs under its lease, before the function of the program is
    /// called: that may take longer than the lease lasts.
    pub(super) async fn set_used(&self, new: Option<&Secret>) {
        let _called_at_the_end = new.and_then(|new| self.replace(new));
        #[cfg(feature = "store")]
        self.publish().await;
    }

    /// Replaces the token. The caller must not hold a lock when it drops the result.
    #[must_use]
    fn replace(&self, token: &Secret) -> Option<Rotation> {
        let mut state = self.lock();
        let is_other = state.token != *token;
        state.is_newest |= is_other;
        state.token = token.clone();
        let on_rotation = state.on_rotation.clone().filter(|_| is_other)?;
        Some(Rotation { on_rotation, token: token.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// If the function panics, the token is kept all the same.
impl Drop for Rotation {
    fn drop(&mut self) {
        let _ = catch_panic(|| (self.on_rotation)(&self.token));
    }
}

#[cfg(feature = "store")]
impl CurrentRefreshToken {
    /// Takes the token of the store before a login under the lease, unless that of this process is newer.
    pub(super) async fn begin_sharing(
        &self,
        entries: &IdentityEntries,
        owner: &LeaseOwner,
    ) -> Result<(), StoreAway> {
        let (seen, stored) = entries.refresh_token().await?;
        let shared = Shared {
            entries: entries.clone(),
            seen,
            owner: owner.clone(),
            is_in_use: false,
            is_accepted: false,
        };
        let (last, stored) = {
            let mut state = self.lock();
            (state.shared.replace(shared), stored.filter(|_| !state.is_newest))
        };
        // It can contain the last reference to a store of the program, which is not dropped with the lock held.
        drop(last);
        if let Some(stored) = stored {
            let rotation = self.replace(&stored);
            self.lock().is_newest = false;
            drop(rotation);
        }
        Ok(())
    }

    /// Returns for how long the lease is extended.
    pub(super) fn lease_term(&self) -> Duration {
        let is_in_use = self.lock().shared.as_ref().is_some_and(|shared| shared.is_in_use);
        if is_in_use { TERM_IN_USE } else { TERM }
    }

    /// Notes that the login under the lease has ended. Returns what is to be published later.
    pub(super) fn end_sharing(&self) -> Option<Unpublished> {
        let mut state = self.lock();
        let shared = state.shared.take();
        let is_newest = state.is_newest;
        drop(state);
        let Shared { seen, is_accepted, .. } = shared?;
        (is_accepted && is_newest).then_some(Unpublished { seen })
    }

    /// Publishes the token, if it is newer than that of the store.
    async fn publish(&self) {
        let (token, entries, seen) = {
            let mut state = self.lock();
            let (is_newest, token) = (state.is_newest, state.token.clone());
            let Some(shared) = state.shared.as_mut().filter(|_| is_newest) else { return };
            shared.is_accepted = true;
            (token, shared.entries.clone(), shared.seen)
        };
        if entries.publish_refresh_token(seen.as_ref(), &token).await == Ok(true) {
            self.lock().is_newest = false;
        }
    }

    /// Publishes the token after an earlier attempt has failed, or its answer was lost.
    ///
    /// If another token than the one that was used is in the store, that of this process remains the newest for it, and
    /// its next login publishes it.
    pub(super) async fn publish_later(
        &self,
        entries: &IdentityEntries,
        Unpublished { seen }: &Unpublished,
    ) -> Result<(), StoreAway> {
        let (version, stored) = entries.refresh_token().await?;
        let token = {
            let state = self.lock();
            if !state.is_newest {
                return Ok(());
            }
            state.token.clone()
        };
        let is_published = stored.is_some_and(|stored| stored == token)
            || version == *seen && entries.publish_refresh_token(version.as_ref(), &token).await?;
        let mut state = self.lock();
        if is_published && state.token == token {
            state.is_newest = false;
        }
        Ok(())
    }
}

/// Returns the error of a login that may not use its refresh token.
#[cfg(feature = "store")]
pub(super) fn no_lease() -> Error {
    let hint = "the refresh token is used only under a lease of the token store, which did not give one; check the \
                store, or try again later";
    FederatedLoginFailed::new(LoginStep::Token, "".into(), hint, true).into()
}
