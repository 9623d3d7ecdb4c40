//! Sharing of the unscoped token of a login, and of its refresh token, with other processes by a store.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{NewToken, UnscopedLogin, UnscopedToken, kept::KeptToken, login_lease::LoginLease};
use crate::{
    AccessInfo, Error, RenewalPolicy, Transport,
    federation::refresh_token::{CurrentRefreshToken, TERM, no_lease},
    renewal::LeaseGuard,
    store::{IdentityEntries, StoreAway, Version},
    task::runtime,
};

/// How long a process waits for the holder of the lease before it logs in by itself. A random part of up to a half is
/// added, so that the first of many processes can publish its token.
const PATIENCE: Duration = Duration::from_secs(8);

/// Delay before the second look. It doubles with each look.
const FIRST_LOOK_DELAY: Duration = Duration::from_millis(25);

/// Maximum of that delay.
const MAX_LOOK_DELAY: Duration = Duration::from_millis(250);

/// Maximum time in which no process of the fleet logs in after a permanent failure. Only another secret ends it earlier.
const MAX_FAILURE_DELAY: Duration = Duration::from_secs(300);

/// A login whose unscoped token is shared.
pub(super) struct SharedLogin<'a> {
    pub(super) login: &'a dyn UnscopedLogin,
    pub(super) transport: Transport,
    pub(super) entries: IdentityEntries,
    /// Whether records are sealed. Refresh tokens are not stored otherwise, and neither are failures: the entries of a
    /// store without a key are the same after a wrong password is corrected.
    pub(super) is_sealed: bool,
    /// The last token of this process. The store may still have it, or an older one.
    pub(super) last: Option<AccessInfo>,
    /// The id of the user whose entries these are, if that was found out by a login. The next login may be that of
    /// another user.
    pub(super) user: Option<Box<str>>,
    /// Whether a token of the store is taken.
    pub(super) takes_stored: bool,
}

impl SharedLogin<'_> {
    /// Takes a token from the store that is newer than the last one, or logs in under the lease.
    ///
    /// If the store is away, or another process holds the lease for too long, this logs in without the lease. A refresh
    /// token is not used without it: the provider would take that for theft, if another process uses it too.
    pub(super) async fn obtain(self) -> Result<NewToken, Error> {
        let (started_at, patience) = (Instant::now(), PATIENCE.mul_f64(1.0 + fastrand::f64() / 2.0));
        let mut delay = FIRST_LOOK_DELAY;
        loop {
            match self.obtain_from_store().await {
                Ok(Some(result)) => return result,
                Ok(None) if started_at.elapsed() < patience => {}
                Ok(None) | Err(StoreAway) => return self.log_in_without_store().await,
            }
            sleep(delay.mul_f64(0.5 + fastrand::f64())).await;
            delay = MAX_LOOK_DELAY.min(delay * 2);
        }
    }

    /// Takes a token from the store, or logs in under the lease. `None` means that another process has the lease.
    async fn obtain_from_store(&self) -> Result<Option<Result<NewToken, Error>>, StoreAway> {
        let (Some(user), Ok(runtime)) = (self.entries.add_user(), runtime()) else { return Err(StoreAway) };
        if let (_, Some(token)) = self.look().await? {
            return Ok(Some(Ok(token)));
        }
        // If the answer is lost, the lease is given back.
        let lease = LeaseGuard::new(self.entries.clone(), user, runtime.clone()).ok_or(StoreAway)?;
        if !self.entries.lease(lease.owner(), TERM).await? {
            lease.forget();
            return Ok(None);
        }
        let (seen, token) = self.look().await?;
        if let Some(token) = token {
            return Ok(Some(Ok(token)));
        }
        if self.is_sealed
            && let Some(failure) = self.entries.failure().await?
        {
            let (message, transient) = (failure.message, failure.is_transient);
            return Ok(Some(Err(Error::SharedLoginFailed { message, transient })));
        }
        let (entries, refresh_token) = (self.entries.clone(), self.shared_refresh_token());
        let lease = LoginLease::begin(entries, lease, refresh_token, runtime).await?;
        let result = lease.keep(self.login.log_in(self.transport.clone())).await;
        self.publish(seen.as_ref(), &result).await;
        Ok(Some(result.map(NewToken::Own)))
    }

    /// Returns the version of the record in the store, and the token, if it can be used.
    async fn look(&self) -> Result<(Option<Version>, Option<NewToken>), StoreAway> {
        let (version, stored) = self.entries.unscoped_token().await?;
        // The times of the documents, because the header of a record has a lower resolution.
        let issued_at = |access_info: &AccessInfo| access_info.issued().ok().flatten();
        let token = stored.filter(|_| self.takes_stored).filter(|stored| {
            self.last.as_ref().is_none_or(|last| {
                let stored = &stored.access_info;
                last.auth_token() != stored.auth_token() && issued_at(last) <= issued_at(stored)
            })
        });
        let token = token.map(|stored| UnscopedToken {
            access_info: stored.access_info,
            auth_url: stored.auth_url.into(),
        });
        let token = token.filter(|token| KeptToken::stored(token.clone(), 0).is_young());
        Ok((version, token.map(NewToken::Stored)))
    }

    /// Publishes the token of a login, or its failure. It does not matter if that is not possible.
    async fn publish(&self, seen: Option<&Version>, result: &Result<UnscopedToken, Error>) {
        match result {
            Ok(token)
                if self.user.as_deref().is_some_and(|user| token.access_info.user_id() != Some(user)) => {}
            Ok(token) => {
                let left = KeptToken::new(token.clone(), 0).left();
                let auth_url = token.auth_url.uri().to_string();
                if !left.is_zero() {
                    let _ =
                        self.entries.publish_unscoped_token(seen, &auth_url, &token.access_info, left).await;
                }
                if self.is_sealed {
                    let _ = self.entries.clear_failures().await;
                }
            }
            Err(error) if self.is_sealed && !error.is_transient() && self.login.refresh_token().is_none() => {
                let _ = self.publish_failure(error).await;
            }
            Err(_) => {}
        }
    }

    /// Publishes a permanent failure, with the delay that a plugin waits after it.
    async fn publish_failure(&self, error: &Error) -> Result<(), StoreAway> {
        let mut counts = self.entries.failure_counts().await?;
        let policy = RenewalPolicy::default();
        let delays = match self.login.can_lock_account() {
            true => policy.permanent_failure_delays,
            false => policy.permanent_failure_delays_without_lockout,
        };
        let delay = delays.get(counts.permanent as usize).copied().unwrap_or(MAX_FAILURE_DELAY);
        counts.permanent = counts.permanent.saturating_add(1);
        self.entries.publish_login_failure(error.to_string(), delay.min(MAX_FAILURE_DELAY)).await?;
        self.entries.publish_failure_counts(counts).await
    }

    async fn log_in_without_store(&self) -> Result<NewToken, Error> {
        if self.shared_refresh_token().is_some() {
            return Err(no_lease());
        }
        self.login.log_in(self.transport.clone()).await.map(NewToken::Own)
    }

    /// Returns the refresh token of the login, if it is shared.
    fn shared_refresh_token(&self) -> Option<&Arc<CurrentRefreshToken>> {
        self.login.refresh_token().filter(|_| self.is_sealed)
    }
}
