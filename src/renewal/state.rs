//! The state of a plugin: its token, its renewal and its last failure. It does no I/O and has no clock.

use std::{
    any::Any,
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Now, RenewalPolicy,
    current_access::{CurrentAccess, Phase},
    failure::{AttemptError, CredentialsHistory, CredentialsInfo, Failure},
    lifetime::{self, ClockReadings},
    rejections::Rejections,
};
use crate::{AccessInfo, Error, Secret, ServiceAccess, access::KnownOrigins, endpoint::Origin};

#[cfg(feature = "store")]
mod shared_token;

#[cfg(feature = "store")]
pub(super) use shared_token::{KnownAccess, RenewalBasis, Sharing};

/// Identifies a renewal of a plugin.
pub(super) type RenewalId = u64;

/// Maximum number of renewals in a row that are cancelled by a reset before the next one starts with a delay.
///
/// Without the delay, code that resets the plugin while it waits for a token would log in endlessly.
const MAX_CANCELLED_WITHOUT_DELAY: u32 = 3;

/// The state of a plugin.
pub(super) struct State {
    policy: RenewalPolicy,
    rng: fastrand::Rng,
    current: Option<CurrentAccess>,
    /// The renewal in flight, and when it was started.
    renewal: Option<(RenewalId, Now)>,
    /// The id of the last renewal.
    last_renewal: RenewalId,
    /// How many renewals in a row were cancelled by a reset.
    cancelled_in_a_row: u32,
    failure: Option<Failure>,
    history: CredentialsHistory,
    /// Whether the failure that was logged last in this outage is transient; `None` if no outage was logged.
    logged_failure_is_transient: Option<bool>,
    rejections: Rejections,
    /// The origins of the last service catalog.
    last_origins: Option<Arc<KnownOrigins>>,
    /// Values to drop after the state is unlocked, because their `Drop` may run code from outside this crate.
    deferred_drops: Vec<DeferredDrop>,
    #[cfg(feature = "store")]
    shared_token: shared_token::SharedToken,
}

/// A value to drop later.
pub(super) type DeferredDrop = Box<dyn Any + Send + Sync>;

/// What a request does to get its access.
#[derive(Debug)]
pub(super) enum Decision {
    /// Use this access.
    Use(Arc<ServiceAccess>),
    /// Use this access, and start a renewal in the background.
    UseAndRenew(Arc<ServiceAccess>),
    /// Wait for the renewal in flight.
    Wait,
    /// Start a renewal and wait for it.
    Renew,
    /// Fail: there is no token, and it is too early for another attempt.
    Fail(Error),
}

impl State {
    pub(super) fn new(policy: RenewalPolicy, rng: fastrand::Rng) -> Self {
        Self {
            policy: policy.within_limits(),
            rng,
            current: None,
            renewal: None,
            last_renewal: 0,
            cancelled_in_a_row: 0,
            failure: None,
            history: CredentialsHistory::default(),
            logged_failure_is_transient: None,
            rejections: Rejections::default(),
            last_origins: None,
            deferred_drops: Vec::new(),
            #[cfg(feature = "store")]
            shared_token: shared_token::SharedToken::default(),
        }
    }

    pub(super) fn policy(&self) -> &RenewalPolicy {
        &self.policy
    }

    pub(super) fn set_policy(&mut self, policy: RenewalPolicy) {
        self.policy = policy.within_limits();
    }

    pub(super) fn seed(&mut self, seed: u64) {
        self.rng.seed(seed);
    }

    /// Returns the current access if its token is fresh.
    #[inline(always)]
    pub(super) fn fresh_access(&self, now: Now) -> Option<Arc<ServiceAccess>> {
        let current = self.current.as_ref().filter(|current| !now.has_reached(current.due_at))?;
        Some(Arc::clone(&current.access))
    }

    /// Decides how a request gets its access.
    pub(super) fn decide(&self, now: Now) -> Decision {
        if let Some(access) = self.fresh_access(now) {
            return Decision::Use(access);
        }
        let backing_off = self.failure.as_ref().filter(|failure| failure.is_backing_off(now));
        match (&self.current, self.phase(now), self.renewal_in_flight(now), backing_off) {
            #[cfg(feature = "store")]
            (Some(current), Phase::Due, _, _) if self.leaves_renewal_to_others(now) => {
                Decision::Use(Arc::clone(&current.access))
            }
            // The last renewal has exceeded its maximum time, because its runtime is driven only while requests wait.
            // So this request waits for a new one.
            (Some(_), Phase::Due, None, None) if self.renewal.is_some() => Decision::Renew,
            (Some(current), Phase::Due, None, None) => Decision::UseAndRenew(Arc::clone(&current.access)),
            (Some(current), Phase::Due, _, _) | (Some(current), Phase::Expiring, None, Some(_)) => {
                Decision::Use(Arc::clone(&current.access))
            }
            (_, _, Some(_), _) => Decision::Wait,
            (_, _, None, Some(failure)) if failure.fails_requests(now, &self.policy) => {
                Decision::Fail(failure.error.clone())
            }
            (_, _, None, _) => Decision::Renew,
        }
    }

    /// Returns the current access if its token has not expired.
    pub(super) fn unexpired_access(&self, now: Now) -> Option<Arc<ServiceAccess>> {
        let current = self.current.as_ref().filter(|_| self.phase(now) < Phase::Expired)?;
        Some(Arc::clone(&current.access))
    }

    /// Returns how long a request waits for a renewal.
    ///
    /// That is half of the time until the current token expires or, without an unexpired token, the maximum time that a
    /// renewal takes.
    pub(super) fn max_wait(&self, now: Now) -> Duration {
        let left = self.current.as_ref().map_or(Duration::ZERO, |current| now.until(current.expired_at));
        let longest = self.policy.max_renewal_time();
        if left.is_zero() { longest } else { longest.min(left / 2) }
    }

    /// Returns the current access in any phase of its token.
    pub(super) fn current_access(&self) -> Option<&Arc<ServiceAccess>> {
        self.current.as_ref().map(|current| &current.access)
    }

    /// Returns whether the token is due for renewal, has expired or does not exist.
    pub(super) fn needs_renewal(&self, now: Now) -> bool {
        self.phase(now) > Phase::Fresh
    }

    /// Returns what `Debug` shows: the current access, the error of the last failure, and whether a renewal is in
    /// flight.
    pub(super) fn debug_fields(&self) -> (Option<Arc<ServiceAccess>>, Option<Error>, bool) {
        let error = self.failure.as_ref().map(|failure| failure.error.clone());
        (self.current_access().cloned(), error, self.renewal.is_some())
    }

    /// Returns the id of the renewal in flight.
    ///
    /// A renewal that has exceeded its maximum time is ignored, because nobody drives its runtime.
    pub(super) fn renewal_in_flight(&self, now: Now) -> Option<RenewalId> {
        let (id, started_at) = self.renewal?;
        (now.since(started_at) < self.policy.max_renewal_time()).then_some(id)
    }

    /// Returns whether this renewal is the current one. It is not if another one has replaced it or a reset has
    /// cancelled it.
    pub(super) fn is_current_renewal(&self, id: RenewalId) -> bool {
        self.renewal.is_some_and(|(current, _)| current == id)
    }

    /// Registers a new renewal and returns its id.
    pub(super) fn start_renewal(&mut self, now: Now) -> RenewalId {
        self.last_renewal += 1;
        #[cfg(feature = "store")]
        self.shared_token.first_renewal.get_or_insert(now);
        self.renewal = Some((self.last_renewal, now));
        self.last_renewal
    }

    /// Returns how long a renewal that starts now waits before its first attempt.
    ///
    /// That is the rest of the delay that Keystone has asked for, or the delay after resets if that is longer.
    pub(super) fn initial_delay(&self, now: Now) -> Duration {
        let failure = self.failure.as_ref();
        let requested = failure.map_or(Duration::ZERO, |failure| failure.remaining_retry_after(now));
        requested.max(self.delay_after_resets())
    }

    /// Returns the back-off after more than [`MAX_CANCELLED_WITHOUT_DELAY`] cancelled renewals in a row.
    pub(super) fn delay_after_resets(&self) -> Duration {
        match self.cancelled_in_a_row.saturating_sub(MAX_CANCELLED_WITHOUT_DELAY) {
            0 => Duration::ZERO,
            excess => self.policy.backoff(excess, &Error::Abandoned, 1.0),
        }
    }

    /// Returns the delay before the next attempt of a renewal, or `None` if it makes no further attempt.
    ///
    /// It makes another attempt if the error is transient, requests have no other token to use, and there is enough
    /// `time_left`.
    pub(super) fn retry_delay(
        &mut self,
        id: RenewalId,
        attempts: u32,
        AttemptError { error, is_transient }: &AttemptError,
        now: Now,
        time_left: Duration,
    ) -> Option<Duration> {
        let has_token = self.phase(now) != Phase::Expired;
        if !self.is_current_renewal(id) || has_token || !is_transient || self.policy.fail_fast {
            return None;
        }
        let backoff = self.policy.backoff(attempts, error, self.rng.f64());
        match error.retry_after() {
            Some(_) => (backoff < time_left).then_some(backoff),
            // The delays get shorter towards the end, so that all of the time is used.
            None => (time_left / 2 >= self.policy.initial_backoff).then(|| backoff.min(time_left / 2)),
        }
    }

    /// Finishes a renewal with its result.
    ///
    /// A new token becomes the current one, unless the renewal was replaced or cancelled. Waiting requests get the
    /// returned error. If there is none, they look at the state again.
    pub(super) fn finish_renewal(
        &mut self,
        id: RenewalId,
        requested_at: Now,
        result: Result<AccessInfo, AttemptError>,
        credentials: CredentialsInfo,
        now: Now,
    ) -> Result<(), Error> {
        if !self.end_renewal(id) {
            self.drop_later(result);
            return Ok(());
        }
        let new = result.and_then(|auth_ref| Ok(self.new_access(auth_ref, requested_at, now)?));
        let had_no_token = self.phase(now) == Phase::Expired;
        match new {
            Ok(new) => {
                // If the token is due for renewal too soon, this failure delays the next login.
                let is_short_lived = new.due_at.since(requested_at) < self.policy.min_renewal_interval;
                self.set_failure(
                    is_short_lived.then(|| self.short_lived_token(requested_at, Duration::ZERO)),
                );
                self.history.record_success(credentials);
                let has_expired = now.has_reached(new.expired_at);
                self.replace_current(new);
                if has_expired { Err(Error::ExpiredOnArrival) } else { Ok(()) }
            }
            Err(AttemptError { error, is_transient }) => {
                let failure = self.failure_after(error.clone(), is_transient, had_no_token, credentials, now);
                self.set_failure(Some(failure));
                Err(error)
            }
        }
    }

    /// Removes a renewal that is finished. Returns whether it was the current one.
    fn end_renewal(&mut self, id: RenewalId) -> bool {
        let is_current = self.is_current_renewal(id);
        if is_current {
            self.renewal = None;
            self.cancelled_in_a_row = 0;
        }
        is_current
    }

    /// Removes a renewal that will have no result, because its runtime was shut down or is not driven.
    pub(super) fn remove_lost_renewal(&mut self, id: RenewalId) {
        if self.is_current_renewal(id) {
            self.renewal = None;
        }
    }

    /// Returns whether the last failure is permanent.
    pub(super) fn has_failed_permanently(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.failed_credentials.is_some())
    }

    /// Clears the last failure.
    pub(super) fn clear_failure(&mut self) {
        self.set_failure(None);
    }

    /// Clears the last failure if it is permanent and the credentials have changed since.
    pub(super) fn clear_failure_of_changed_credentials(&mut self, cache_id: &Option<Secret>, now: Now) {
        let failed = self.failure.as_ref().and_then(|failure| failure.failed_credentials.as_ref());
        if failed.is_some_and(|failed| self.history.allow_immediate_retry(failed, cache_id, now)) {
            self.set_failure(None);
            #[cfg(feature = "store")]
            self.ignore_shared_failure();
        }
    }

    /// Returns whether to log a failed attempt, and records that it is logged.
    ///
    /// Only the first failure of an outage is logged, and the first permanent one after transient ones.
    pub(super) fn should_log_failure(&mut self, is_transient: bool) -> bool {
        let should_log =
            self.logged_failure_is_transient.is_none_or(|was_transient| was_transient && !is_transient);
        if should_log {
            self.logged_failure_is_transient = Some(is_transient);
        }
        should_log
    }

    /// Returns the last failure if it is still to be logged, and records that it is logged.
    pub(super) fn take_failure_to_log(&mut self) -> Option<AttemptError> {
        let failure = self.failure.as_ref()?;
        let is_transient = failure.failed_credentials.is_none();
        let error = AttemptError { error: failure.error.clone(), is_transient };
        self.should_log_failure(is_transient).then_some(error)
    }

    /// Returns whether to log that an outage is over, and records that it is logged.
    pub(super) fn should_log_recovery(&mut self) -> bool {
        self.failure.is_none() && self.logged_failure_is_transient.take().is_some()
    }

    /// Records that `origin` has rejected the token of `access`.
    ///
    /// Drops the token if it is the current one and another one may help. `was_accepted` says whether the origin has
    /// accepted it since its last rejection.
    pub(super) fn record_rejection(
        &mut self,
        access: &Arc<ServiceAccess>,
        origin: &Origin,
        was_accepted: bool,
        now: Now,
    ) {
        if !self.current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.access, access)) {
            return;
        }
        if !self.rejections.record(access, origin, was_accepted, now, &self.policy) {
            return;
        }
        #[cfg(feature = "store")]
        self.keep_rejected();
        self.set_current(None);
        if matches!(&self.failure, Some(Failure { error: Error::ExpiredOnArrival, .. })) {
            self.set_failure(None);
        }
    }

    /// Forgets the token and all failures, and cancels the renewal: its result is dropped.
    pub(super) fn reset(&mut self) {
        self.set_current(None);
        if self.renewal.take().is_some() {
            self.cancelled_in_a_row = self.cancelled_in_a_row.saturating_add(1);
        }
        self.set_failure(None);
        self.history = CredentialsHistory::default();
        self.logged_failure_is_transient = None;
        self.rejections.clear();
        self.last_origins = None;
        #[cfg(feature = "store")]
        self.reset_shared_token();
    }

    /// Resets the state and makes a stored access info the current one.
    pub(super) fn restore(&mut self, auth_ref: AccessInfo, now: Now) -> Result<(), Error> {
        let current = self.stored_access(auth_ref, now)?;
        self.reset();
        self.replace_current(current);
        Ok(())
    }

    /// Keeps a value until it can be dropped without the lock.
    pub(super) fn drop_later(&mut self, value: impl Any + Send + Sync) {
        self.deferred_drops.push(Box::new(value));
    }

    /// Returns the values to drop after the state is unlocked.
    pub(super) fn take_deferred_drops(&mut self) -> Vec<DeferredDrop> {
        mem::take(&mut self.deferred_drops)
    }

    fn phase(&self, now: Now) -> Phase {
        self.current.as_ref().map_or(Phase::Expired, |current| current.phase(now))
    }

    fn replace_current(&mut self, new: CurrentAccess) {
        self.last_origins = new.access.origins().cloned();
        self.set_current(Some(new));
    }

    fn set_current(&mut self, new: Option<CurrentAccess>) {
        if let Some(old) = mem::replace(&mut self.current, new) {
            self.drop_later(old);
        }
    }

    fn set_failure(&mut self, new: Option<Failure>) {
        if let Some(old) = mem::replace(&mut self.failure, new) {
            self.drop_later(old);
        }
    }

    /// Returns the failure of a renewal, with the delay before the next one.
    fn failure_after(
        &mut self,
        error: Error,
        is_transient: bool,
        had_no_token: bool,
        credentials: CredentialsInfo,
        now: Now,
    ) -> Failure {
        let last = self.failure.as_ref();
        let mut transient_failures = last.map_or(0, |failure| failure.transient_failures);
        let mut permanent_failures = last.map_or(0, |failure| failure.permanent_failures);
        let delay = if is_transient {
            transient_failures = transient_failures.saturating_add(1);
            let backoff = self.policy.backoff(transient_failures, &error, self.rng.f64());
            // The delay ends when the next phase of the token begins, unless Keystone has asked for a delay.
            let max = self.until_next_phase(now).filter(|_| error.retry_after().is_none());
            max.map_or(backoff, |max| backoff.min(max))
        } else {
            permanent_failures = permanent_failures.saturating_add(1);
            self.history.permanent_failure_delay(&credentials, permanent_failures, &self.policy)
        };
        Failure {
            error,
            failed_at: now,
            delay,
            renewal_delay: delay,
            had_no_token,
            failed_credentials: (!is_transient).then_some(credentials),
            transient_failures,
            permanent_failures,
        }
    }

    fn until_next_phase(&self, now: Now) -> Option<Duration> {
        self.current.as_ref()?.until_next_phase(now)
    }

    /// Creates the access of a login.
    fn new_access(
        &mut self,
        auth_ref: AccessInfo,
        requested_at: Now,
        now: Now,
    ) -> Result<CurrentAccess, Error> {
        let lifetime = match auth_ref.expires()? {
            None => None,
            Some(expires) => lifetime_of_login(&auth_ref, expires, now),
        };
        self.access_with_lifetime(auth_ref, requested_at, lifetime.unwrap_or(self.policy.default_lifetime))
    }

    fn access_with_lifetime(
        &mut self,
        auth_ref: AccessInfo,
        requested_at: Now,
        lifetime: Duration,
    ) -> Result<CurrentAccess, Error> {
        self.access_of_age(auth_ref, requested_at, Duration::ZERO, lifetime)
    }

    /// Creates the access of a token that was issued some time ago, by another process or before it was stored.
    fn stored_access(&mut self, auth_ref: AccessInfo, now: Now) -> Result<CurrentAccess, Error> {
        let (age, lifetime) = self.age_and_lifetime(&auth_ref, now)?;
        self.access_of_age(auth_ref, now, age, lifetime)
    }

    /// Returns the age and the lifetime of a token that was issued some time ago.
    fn age_and_lifetime(&self, auth_ref: &AccessInfo, now: Now) -> Result<(Duration, Duration), Error> {
        let Some(expires_at) = auth_ref.expires()? else {
            return Ok((Duration::ZERO, self.policy.default_lifetime));
        };
        let left = expires_at.duration_since(now.wall).unwrap_or_default();
        // If the clock of this machine is slow, `left` is too long. Keystone's own times limit it.
        Ok(match lifetime::since_issued_at(auth_ref.issued().ok().flatten(), expires_at) {
            Some(lifetime) => (lifetime.saturating_sub(left), lifetime),
            None => (Duration::ZERO, left),
        })
    }

    /// Creates the access of a token that has this age now.
    fn access_of_age(
        &mut self,
        auth_ref: AccessInfo,
        now: Now,
        age: Duration,
        lifetime: Duration,
    ) -> Result<CurrentAccess, Error> {
        let access = ServiceAccess::from_auth_ref(auth_ref)?.with_previous_origins(self.last_origins.clone());
        let access = Arc::new(access);
        let (due, expiring) = self.policy.phases(lifetime, self.rng.f64());
        let [due_at, expiring_at, expired_at] =
            [due, expiring, lifetime].map(|start| now.after(start.saturating_sub(age)));
        Ok(CurrentAccess {
            access,
            due_at,
            expiring_at,
            expired_at,
            #[cfg(feature = "store")]
            record: None,
        })
    }

    /// Returns the failure that delays the next login if a token has to be renewed too soon.
    ///
    /// The token was `age` old at the time `since`.
    fn short_lived_token(&self, since: Now, age: Duration) -> Failure {
        let delay = self.policy.min_renewal_interval.saturating_sub(age);
        Failure {
            error: Error::ExpiredOnArrival,
            failed_at: since,
            delay,
            renewal_delay: delay,
            had_no_token: true,
            failed_credentials: None,
            transient_failures: 0,
            permanent_failures: 0,
        }
    }
}

/// Returns the lifetime of a new token, counted from its request. `None` if its times are implausible.
fn lifetime_of_login(auth_ref: &AccessInfo, expires_at: SystemTime, now: Now) -> Option<Duration> {
    let issued_at = auth_ref.issued().ok().flatten();
    ClockReadings { issued_at, date: auth_ref.date(), local: now.wall }.lifetime(expires_at)
}
