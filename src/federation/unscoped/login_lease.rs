//! The lease of a login.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use crate::{
    federation::refresh_token::{CurrentRefreshToken, TERM, TERM_IN_USE, Unpublished},
    renewal::LeaseGuard,
    store::{IdentityEntries, StoreAway},
    task::{Either, either},
};

/// How often the lease is extended during a login.
const BEAT: Duration = Duration::from_secs(1);

/// Delay before a refresh token is published once more. It doubles with each failure, up to [`BEAT`].
const FIRST_DELAY: Duration = Duration::from_millis(25);

/// How long it is tried to publish a refresh token. After that, the next login does it.
const MAX_OUTAGE: Duration = Duration::from_secs(15 * 60);

/// The lease of a login, and the refresh token that is used under it.
///
/// When it is dropped, the lease is given back: at once, or as soon as a new refresh token is in the store. Until then,
/// another process would use the old one.
pub(super) struct LoginLease<'a> {
    entries: IdentityEntries,
    lease: Option<LeaseGuard>,
    refresh_token: Option<&'a Arc<CurrentRefreshToken>>,
    runtime: Handle,
}

impl<'a> LoginLease<'a> {
    /// Takes the refresh token of the store.
    pub(super) async fn begin(
        entries: IdentityEntries,
        lease: LeaseGuard,
        refresh_token: Option<&'a Arc<CurrentRefreshToken>>,
        runtime: Handle,
    ) -> Result<Self, StoreAway> {
        if let Some(token) = refresh_token {
            token.begin_sharing(&entries, lease.owner()).await?;
        }
        Ok(Self { entries, lease: Some(lease), refresh_token, runtime })
    }

    /// Extends the lease until a login ends. The login goes on if the lease is lost.
    pub(super) async fn keep<T>(&self, login: impl Future<Output = T>) -> T {
        let mut login = pin!(login);
        loop {
            let beat = async {
                sleep(BEAT).await;
                let Some(lease) = &self.lease else { return };
                let term = self.refresh_token.map_or(TERM, |token| token.lease_term());
                let _ = self.entries.extend(lease.owner(), term).await;
            };
            if let Either::First(output) = either(login.as_mut(), pin!(beat)).await {
                return output;
            }
        }
    }
}

impl Drop for LoginLease<'_> {
    fn drop(&mut self) {
        let Some(token) = self.refresh_token else { return };
        if let (Some(unpublished), Some(lease)) = (token.end_sharing(), self.lease.take()) {
            let (token, entries) = (Arc::clone(token), self.entries.clone());
            self.runtime.spawn(publish_later(token, unpublished, entries, lease));
        }
    }
}

/// Tries to publish a refresh token again and again.
async fn publish_later(
    token: Arc<CurrentRefreshToken>,
    unpublished: Unpublished,
    entries: IdentityEntries,
    lease: LeaseGuard,
) {
    let (started_at, mut delay) = (Instant::now(), FIRST_DELAY);
    while started_at.elapsed() < MAX_OUTAGE {
        sleep(delay).await;
        delay = BEAT.min(delay * 2);
        if token.publish_later(&entries, &unpublished).await.is_ok() {
            return;
        }
        let _ = entries.extend(lease.owner(), TERM_IN_USE).await;
    }
}
