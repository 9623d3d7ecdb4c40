//! The task that validates a token.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use tokio::{runtime::Handle, time::timeout};

#[cfg(feature = "store")]
use super::seen_entry::StoreLookup;
use super::{
    Outcome, ValidatedToken,
    answer::{Answer, Failure, ValidAnswer},
    in_flight::{AskedAt, Flight, Kind, Question},
    key::TokenKey,
    outcome::RETRY_AFTER,
    report,
    shared::Shared,
    validated_token::Lifetime,
};
use crate::{
    renewal::Now,
    task::{Start, catch_panic},
    validate::metrics::ValidationResult,
};

/// The limits of the time after which a request should be sent again, which Keystone can name.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Minimum number of validations in the background that can be made in the lifetime of a cached token during an outage.
/// So a token that is in steady use outlives a short outage, even if its lifetime is short.
const MIN_REFRESHES: u32 = 20;

/// A validation in flight.
///
/// Dropping it takes it out of the flights, however it ended.
pub(super) struct ValidationTask {
    pub(super) shared: Arc<Shared>,
    pub(super) question: Question,
    pub(super) flight: Flight,
    pub(super) asked_at: AskedAt,
    pub(super) kind: Kind,
    /// The cached token that is validated in the background.
    pub(super) due: Option<Arc<ValidatedToken>>,
    pub(super) started_at: Now,
}

impl Shared {
    fn finish_panicked(&self, kind: Kind, now: Now) -> Outcome {
        let failure = Failure::new("code outside this crate panicked: an HTTP client, a plugin or a clock");
        self.record(ValidationResult::Unavailable, None, kind, Some(&failure), now);
        Outcome::Unavailable(RETRY_AFTER)
    }

    /// Counts and logs a validation.
    pub(super) fn record(
        &self,
        result: ValidationResult,
        latency: Option<Duration>,
        kind: Kind,
        failure: Option<&Failure>,
        now: Now,
    ) {
        self.metrics.record_result(result);
        if let Some(latency) = latency {
            self.metrics.record_latency(latency);
        }
        // A log subscriber that panics must not change the outcome.
        let _ = catch_panic(|| {
            report::log_validation(result, latency, kind, failure);
            match failure {
                Some(failure) => self.outage_log.log_failure(&self.keystone, failure, now),
                None => self.outage_log.log_answer(&self.keystone, result == ValidationResult::Valid),
            }
        });
    }
}

impl ValidationTask {
    /// Spawns the task. No lock may be held, because the validation is dropped at once if the runtime is shut down.
    pub(super) fn spawn(self, runtime: &Handle, start: Start<Option<Outcome>>, token: &HeaderValue) {
        let (shared, kind, started_at) = (Arc::clone(&self.shared), self.kind, self.started_at);
        start.run(runtime, self.run(token.clone()), move || Some(shared.finish_panicked(kind, started_at)));
    }

    /// Validates the token, and returns the outcome for those who wait: `None` if they have to ask again.
    async fn run(self, token: HeaderValue) -> Option<Outcome> {
        let _in_flight = self.shared.metrics.enter_flight();
        #[cfg(feature = "store")]
        let entry = match self.look(&token).await {
            StoreLookup::Found(outcome) => return outcome,
            StoreLookup::AskKeystone(entry) => entry,
        };
        let answer = match timeout(self.shared.timeout, self.ask(&token)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Unavailable(self.timed_out().await),
        };
        let now = self.shared.clock.now();
        let latency = self.asked_at.get().map(|&asked_at| now.since(asked_at));
        let asked_at = self.asked_at.get().copied().unwrap_or(now);
        let (result, failure, outcome) = match answer {
            Answer::Valid(valid) => {
                let (result, outcome) = self.finish_valid(*valid, asked_at, now);
                #[cfg(feature = "store")]
                self.share_valid(entry, outcome.as_ref(), now);
                (result, None, outcome)
            }
            Answer::Unknown => {
                #[cfg(feature = "store")]
                self.share_unknown(entry, asked_at);
                (ValidationResult::Unknown, None, self.finish_unknown(asked_at))
            }
            Answer::Unavailable(failure) => {
                let outcome = self.finish_unavailable(&failure, now);
                (ValidationResult::Unavailable, Some(failure), outcome)
            }
        };
        self.shared.record(result, latency, self.kind, failure.as_ref(), now);
        outcome
    }

    /// Waits for a permit and asks Keystone.
    async fn ask(&self, token: &HeaderValue) -> Answer {
        // It is never closed.
        let _permit = self.shared.in_flight.permits(self.kind).acquire().await;
        let _ = self.asked_at.set(self.shared.clock.now());
        self.shared.keystone.ask(token, self.question.allow_expired).await
    }

    /// Returns what the validation waited for when its time was over.
    async fn timed_out(&self) -> Failure {
        let limit = self.shared.timeout;
        match self.asked_at.get() {
            Some(_) => self.shared.keystone.timed_out(limit).await,
            None => Failure::new(format!("no permit was free within {} ms", limit.as_millis())),
        }
    }

    fn finish_valid(
        &self,
        valid: ValidAnswer,
        asked_at: Now,
        now: Now,
    ) -> (ValidationResult, Option<Outcome>) {
        let Question { key, allow_expired } = self.question;
        let shared = &self.shared;
        let has_expiry = valid.expires.is_some();
        let (token, audit_id) = self.validated_token(valid, asked_at);
        let has_expired = token.has_expired(now);
        if has_expired && !allow_expired {
            return (ValidationResult::Unknown, self.finish_unknown(asked_at));
        }
        let mut flights = shared.in_flight.lock();
        // The answer about an expired token is not cached, so a removal from the cache does not concern it.
        if !flights.remove(&self.question, &self.flight) && !has_expired {
            return (ValidationResult::Valid, None);
        }
        let may_have_expired = has_expired || (allow_expired && !has_expiry);
        if !may_have_expired && !shared.valid_time.is_zero() {
            shared.cache.insert(key, audit_id, Arc::clone(&token));
        }
        (ValidationResult::Valid, Some(Outcome::Valid(token)))
    }

    /// Returns the token that Keystone has confirmed, and the key of its audit id.
    pub(super) fn validated_token(
        &self,
        valid: ValidAnswer,
        asked_at: Now,
    ) -> (Arc<ValidatedToken>, Option<TokenKey>) {
        let ValidAnswer { access_info, access, expires } = valid;
        let shared = &self.shared;
        let audit_id = access_info.audit_id().map(|id| shared.keys.key(id.as_bytes()));
        let lifetime = Lifetime::new(asked_at, shared.valid_time, shared.outage_grace, fastrand::f64());
        let token = ValidatedToken::new(
            access_info,
            access,
            expires,
            lifetime,
            self.question.key,
            Arc::downgrade(shared) as _,
            Arc::clone(&shared.keystone),
        );
        (Arc::new(token), audit_id)
    }

    fn finish_unknown(&self, asked_at: Now) -> Option<Outcome> {
        let Question { key, allow_expired } = self.question;
        let mut flights = self.shared.in_flight.lock();
        if flights.remove(&self.question, &self.flight) {
            flights.remove_asked(key);
            self.shared.cache.insert_unknown(key, allow_expired, asked_at);
        }
        Some(Outcome::Unknown)
    }

    /// Leaves the cache as it is. Within the grace for outages, the cached token is the outcome.
    fn finish_unavailable(&self, failure: &Failure, now: Now) -> Option<Outcome> {
        let retry_after = failure.retry_after.unwrap_or(RETRY_AFTER).clamp(MIN_RETRY_AFTER, MAX_RETRY_AFTER);
        let cached = self.shared.cache.get(&self.question.key);
        if let Some(token) = &cached {
            let pause = retry_after.min(self.shared.valid_time / MIN_REFRESHES);
            token.fail_refresh(now, pause);
        }
        Some(match cached.filter(|token| token.is_usable(now)) {
            Some(token) => Outcome::Valid(token),
            None => Outcome::Unavailable(retry_after),
        })
    }
}

impl Drop for ValidationTask {
    fn drop(&mut self) {
        self.shared.in_flight.lock().remove(&self.question, &self.flight);
        if let Some(due) = &self.due {
            due.end_refresh(self.started_at);
        }
    }
}
