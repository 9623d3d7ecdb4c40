//! What the state knows about tokens that are shared by a store.

use std::{mem, sync::Arc, time::Duration};

use http::Uri;

use super::{RenewalId, State, lifetime_of_login};
use crate::{
    AccessInfo, Credentials, Error, Secret, ServiceAccess,
    renewal::{
        Now,
        current_access::{CurrentAccess, Phase, StoredRecord},
        failure::{AttemptError, CredentialsInfo, Failure},
        sharing::protocol::{Freshness, KnownToken, Need},
    },
    store::{FailureCounts, IdentityEntries, SharedTokens, StoredToken, Version},
};

/// Minimum time since the first renewal of a plugin before it renews a token of another process in the background.
///
/// A program that ends soon would take the lease, and end before it has logged in.
const MIN_AGE: Duration = Duration::from_secs(10);

/// Maximum time after a failure that is shared before the store is asked again.
const MAX_RENEWAL_DELAY: Duration = Duration::from_secs(5);

/// Where the token of a plugin is shared.
#[derive(Clone)]
pub(in crate::renewal) struct Sharing {
    pub(in crate::renewal) tokens: SharedTokens,
    /// The name under which the program shares the token, in place of an id of the credentials.
    pub(in crate::renewal) name: Option<Secret>,
}

/// What the state keeps for a token that is shared.
#[derive(Default)]
pub(super) struct SharedToken {
    tokens: Option<SharedTokens>,
    name: Option<Secret>,
    /// The token that was rejected last.
    rejected: Option<CurrentAccess>,
    pub(super) first_renewal: Option<Now>,
    /// Whether the next renewal does not take over the token that is in the store.
    is_forced: bool,
    /// Whether the next renewal logs in during the delay after a failure.
    ignores_failure: bool,
}

/// From what a renewal begins.
pub(in crate::renewal) struct RenewalBasis {
    pub(in crate::renewal) held: Option<KnownAccess>,
    pub(in crate::renewal) rejected: Option<KnownAccess>,
    pub(in crate::renewal) is_forced: bool,
    pub(in crate::renewal) ignores_failure: bool,
    pub(in crate::renewal) max_rejections: usize,
    pub(in crate::renewal) rejection_window: Duration,
    /// A random number, from which the renewal gets its own.
    pub(in crate::renewal) seed: u64,
}

/// A token that this plugin has or had.
pub(in crate::renewal) struct KnownAccess {
    pub(in crate::renewal) token: KnownToken<Version>,
    access: Arc<ServiceAccess>,
}

impl Sharing {
    /// Returns whether the token is stored by the cache id of the credentials.
    pub(in crate::renewal) fn is_named_by_cache_id(&self) -> bool {
        self.name.is_none() && self.tokens.is_sealed()
    }

    /// Returns whether failed logins are stored by the cache id of the credentials.
    pub(in crate::renewal) fn has_failures_by_cache_id(&self) -> bool {
        self.tokens.is_sealed()
    }

    /// Returns the entries of these credentials, or `None` if they have no id.
    pub(in crate::renewal) fn entries(
        &self,
        credentials: &impl Credentials,
        cache_id: Option<&Secret>,
    ) -> Option<IdentityEntries> {
        let cache_id = cache_id.filter(|_| self.tokens.is_sealed());
        let name = self.name.as_ref().map(|name| named_identity(name, credentials.auth_url()));
        Some(match (&name, cache_id) {
            (None, None) if self.tokens.is_sealed() => return None,
            (None, None) => self.tokens.identity(&Secret::new(credentials.public_id()?)),
            (None, Some(cache_id)) => self.tokens.identity(cache_id),
            (Some(name), None) => self.tokens.identity(name),
            (Some(name), Some(cache_id)) => self.tokens.identity(name).with_failures_of(cache_id),
        })
    }
}

/// Returns the identity of a name of the program. Each Keystone has its own, because the token of one is useless at
/// another.
fn named_identity(name: &Secret, auth_url: &Uri) -> Secret {
    let auth_url = auth_url.to_string();
    // A URL has no line break, so this tells where it ends.
    Secret::new([auth_url.trim_end_matches('/'), name.expose()].join("\n"))
}

impl KnownAccess {
    fn new(current: &CurrentAccess) -> Option<Self> {
        let issued_at = current.access.auth_ref()?.issued().ok()??;
        let version = current.record.map(|record| record.version);
        Some(Self { token: KnownToken { version, issued_at }, access: Arc::clone(&current.access) })
    }

    /// Returns whether this is the token of an access info.
    pub(in crate::renewal) fn is_token_of(&self, access_info: &AccessInfo) -> bool {
        self.access.auth_ref().is_some_and(|known| known.auth_token() == access_info.auth_token())
    }
}

impl State {
    /// Sets the store in which the token is shared.
    pub(in crate::renewal) fn set_store(&mut self, tokens: SharedTokens) {
        if let Some(old) = self.shared_token.tokens.replace(tokens) {
            self.drop_later(old);
        }
    }

    /// Sets the name under which the token is shared.
    pub(in crate::renewal) fn set_stored_name(&mut self, name: Secret) {
        self.shared_token.name = Some(name);
    }

    /// Returns where the token is shared.
    pub(in crate::renewal) fn sharing(&self) -> Option<Sharing> {
        let SharedToken { tokens, name, .. } = &self.shared_token;
        Some(Sharing { tokens: tokens.clone()?, name: name.clone() })
    }

    /// Makes the next renewal obtain a token that is not in the store yet.
    pub(in crate::renewal) fn force_login(&mut self) {
        (self.shared_token.is_forced, self.shared_token.ignores_failure) = (true, true);
    }

    /// Makes the next renewal log in even during the delay after a failure of the fleet.
    pub(in crate::renewal) fn ignore_shared_failure(&mut self) {
        self.shared_token.ignores_failure = true;
    }

    /// Returns from what a renewal begins, and forgets what the program has asked of the next renewal.
    pub(in crate::renewal) fn take_basis(&mut self) -> RenewalBasis {
        let seed = self.rng.u64(..);
        let SharedToken { rejected, is_forced, ignores_failure, .. } = &mut self.shared_token;
        RenewalBasis {
            held: self.current.as_ref().and_then(KnownAccess::new),
            rejected: rejected.as_ref().and_then(KnownAccess::new),
            is_forced: mem::take(is_forced),
            ignores_failure: mem::take(ignores_failure),
            max_rejections: self.policy.max_rejections,
            rejection_window: self.policy.rejection_window,
            seed,
        }
    }

    /// Returns how urgent a renewal is.
    pub(in crate::renewal) fn need(&self, now: Now) -> Need {
        if self.phase(now) < Phase::Expiring { Need::Soft } else { Need::Needed }
    }

    /// Returns how close a token in the store is to its expiry.
    pub(in crate::renewal) fn freshness(&self, access_info: &AccessInfo, now: Now) -> Freshness {
        let times = self.age_and_lifetime(access_info, now);
        let Some((age, lifetime)) = times.ok().filter(|_| access_info.auth_token().is_some()) else {
            return Freshness::Expiring;
        };
        let (due, expiring) = self.policy.phases(lifetime, 0.0);
        if age < due {
            Freshness::Fresh
        } else if age < expiring {
            Freshness::Due
        } else {
            Freshness::Expiring
        }
    }

    /// Returns how long a new token lives on, or `None` if its times are missing or implausible.
    pub(in crate::renewal) fn time_left(
        access_info: &AccessInfo,
        requested_at: Now,
        now: Now,
    ) -> Option<Duration> {
        access_info.issued().ok()??;
        let lifetime = lifetime_of_login(access_info, access_info.expires().ok()??, now)?;
        Some(lifetime.saturating_sub(now.since(requested_at))).filter(|left| !left.is_zero())
    }

    /// Returns the delay for the whole fleet after a failed login, and counts the failure.
    pub(in crate::renewal) fn shared_failure_delay(
        &mut self,
        AttemptError { error, is_transient }: &AttemptError,
        credentials: &CredentialsInfo,
        counts: &mut FailureCounts,
    ) -> Duration {
        if *is_transient {
            counts.transient = counts.transient.saturating_add(1);
            self.policy.backoff(counts.transient, error, self.rng.f64())
        } else {
            counts.permanent = counts.permanent.saturating_add(1);
            self.history.permanent_failure_delay(credentials, counts.permanent, &self.policy)
        }
    }

    /// Returns the permanent error after which this process may not log in yet.
    pub(in crate::renewal) fn login_forbidden(&self, now: Now) -> Option<Error> {
        let failure = self.failure.as_ref().filter(|failure| failure.failed_credentials.is_some())?;
        (now.since(failure.failed_at) < failure.delay).then(|| failure.error.clone())
    }

    /// Finishes a renewal with a token of the store.
    pub(in crate::renewal) fn finish_with_stored(
        &mut self,
        id: RenewalId,
        StoredToken { version, access_info, .. }: StoredToken,
        credentials: Option<CredentialsInfo>,
        now: Now,
    ) -> Result<(), Error> {
        if !self.end_renewal(id) {
            return Ok(());
        }
        let (age, lifetime) = self.age_and_lifetime(&access_info, now)?;
        let mut new = self.stored_access(access_info, now)?;
        new.record = Some(StoredRecord { version, is_taken_over: true });
        let is_short_lived = self.policy.phases(lifetime, 0.0).0 < self.policy.min_renewal_interval;
        self.set_failure(is_short_lived.then(|| self.short_lived_token(now, age)));
        if let Some(credentials) = credentials {
            self.history.record_success(credentials);
        }
        self.replace_current(new);
        Ok(())
    }

    /// Finishes a renewal with the token that was rejected last.
    pub(in crate::renewal) fn finish_with_rejected(&mut self, id: RenewalId) {
        if self.end_renewal(id)
            && let Some(rejected) = self.shared_token.rejected.take()
        {
            self.replace_current(rejected);
        }
    }

    /// Finishes a renewal with a failure that all processes share.
    pub(in crate::renewal) fn finish_with_shared_failure(
        &mut self,
        id: RenewalId,
        AttemptError { error, is_transient }: AttemptError,
        delay: Duration,
        credentials: CredentialsInfo,
        now: Now,
    ) -> Result<(), Error> {
        if !self.end_renewal(id) {
            self.drop_later(error);
            return Ok(());
        }
        let last = self.failure.as_ref();
        let failures =
            last.map(|last| (last.transient_failures, last.permanent_failures)).unwrap_or_default();
        let failure = Failure {
            error: error.clone(),
            failed_at: now,
            delay,
            renewal_delay: delay.min(MAX_RENEWAL_DELAY),
            had_no_token: self.phase(now) == Phase::Expired,
            failed_credentials: (!is_transient).then_some(credentials),
            transient_failures: failures.0.saturating_add(u32::from(is_transient)),
            permanent_failures: failures.1.saturating_add(u32::from(!is_transient)),
        };
        self.set_failure(Some(failure));
        Err(error)
    }

    /// Finishes a renewal that may not log in yet, after an earlier permanent failure.
    pub(in crate::renewal) fn finish_without_login(&mut self, id: RenewalId, now: Now) -> Result<(), Error> {
        if self.end_renewal(id)
            && let Some(failure) = &mut self.failure
        {
            let asked_after = now.since(failure.failed_at);
            failure.renewal_delay = asked_after.saturating_add(MAX_RENEWAL_DELAY).min(failure.delay);
            return Err(failure.error.clone());
        }
        Ok(())
    }

    /// Records that the current token is in the store.
    pub(in crate::renewal) fn set_published(&mut self, version: Option<Version>) {
        if let Some(current) = &mut self.current {
            current.record = version.map(|version| StoredRecord { version, is_taken_over: false });
        }
    }

    /// Keeps the current token, which is rejected: a renewal has to bury it in the store.
    pub(super) fn keep_rejected(&mut self) {
        if self.shared_token.tokens.is_some()
            && let Some(old) = mem::replace(&mut self.shared_token.rejected, self.current.take())
        {
            self.drop_later(old);
        }
    }

    /// Forgets the rejected token.
    pub(super) fn reset_shared_token(&mut self) {
        if let Some(rejected) = self.shared_token.rejected.take() {
            self.drop_later(rejected);
        }
        self.shared_token.is_forced = false;
    }

    /// Returns whether the current token was taken over and this plugin is too young to renew it in the background.
    pub(super) fn leaves_renewal_to_others(&self, now: Now) -> bool {
        let is_young = |first: Now| now.since(first) < MIN_AGE;
        let record = self.current.as_ref().and_then(|current| current.record);
        record.is_some_and(|record| record.is_taken_over)
            && self.shared_token.first_renewal.is_some_and(is_young)
    }
}
