use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Uri};
use tokio::{runtime::Handle, time::Instant};

#[cfg(feature = "store")]
use super::second_level::SecondLevel;
use super::{
    Outcome, ValidatedToken, ValidatorSettings,
    answer::Failure,
    cache::TokenCache,
    in_flight::{AskedAt, Flight, InFlight, Kind, Question},
    key::{KeyMaker, TokenKey},
    keystone::Keystone,
    outcome::RETRY_AFTER,
    report::OutageLog,
    shared::Shared,
    validated_token::Judgement,
    validation_task::ValidationTask,
};
use crate::{
    renewal::{Clock, Now, SystemClock},
    task::{SingleFlight, Waited, catch_panic, runtime},
    validate::{ValidationMetrics, metrics::ValidationResult},
};

/// Maximum number of validations that a request waits for.
///
/// One may not be enough: the token may be removed meanwhile, or the runtime of the validation may be shut down.
const MAX_VALIDATIONS: usize = 3;

/// Why a token gets no validation.
const TOO_MANY: &str = "too many validations are in flight or waiting (max_validations)";

/// Why a request cannot wait for a validation.
const NO_RUNTIME: &str = "no tokio runtime with time: run the service in one";

/// How much longer requests wait for a validation than its timeout. A validation that has not ended by then runs on a
/// runtime that is not driven.
const WAIT_GRACE: Duration = Duration::from_secs(1);

/// Validates tokens. Clones share the cache.
#[derive(Clone)]
pub(in crate::validate) struct TokenValidator(Arc<Shared>);

/// The outcome of a validation in flight.
///
/// It can be dropped at any time: the validation goes on, and others may wait for it.
#[must_use = "futures do nothing unless polled"]
pub(in crate::validate) struct PendingOutcome {
    outcome: Pin<Box<dyn Future<Output = Outcome> + Send>>,
    waiting_since: Instant,
}

/// What the cache says about a token.
struct Known {
    outcome: Outcome,
    /// The token to validate in the background.
    due: Option<Arc<ValidatedToken>>,
}

/// How a request gets its outcome.
enum Next {
    Known(Outcome),
    Wait(Flight),
}

impl TokenValidator {
    pub(in crate::validate) fn new(settings: &ValidatorSettings, metrics: ValidationMetrics) -> Self {
        let cache = Arc::new(TokenCache::new(settings));
        let measured = Arc::clone(&cache);
        let keystone = Arc::new(Keystone::new(settings));
        metrics.set_cache_size(move || measured.size());
        Self(Arc::new(Shared {
            clock: Arc::clone(&settings.clock),
            keys: KeyMaker::new(),
            cache,
            in_flight: InFlight::new(settings),
            #[cfg(feature = "store")]
            second_level: SecondLevel::new(settings, &keystone),
            keystone,
            metrics,
            valid_time: settings.token_cache_time,
            outage_grace: settings.outage_grace,
            timeout: settings.validation_timeout,
            outage_log: OutageLog::default(),
        }))
    }

    /// Returns the outcome for a token if it is cached, or the future that resolves to it.
    ///
    /// `allow_expired` asks for an expired token too: a service token with a service role allows that. Such an outcome
    /// is never cached as if the token were alive.
    ///
    /// A request that waited for its other token before says since when: it waits no longer for both than for one.
    ///
    /// The token must not have blanks around it.
    #[inline]
    pub(in crate::validate) fn validate(
        &self,
        token: &HeaderValue,
        allow_expired: bool,
        waiting_since: Option<Instant>,
    ) -> Result<Outcome, PendingOutcome> {
        let shared = &self.0;
        let key = shared.keys.key(token.as_bytes());
        let Some(now) = shared.now() else { return Ok(Outcome::Unavailable(RETRY_AFTER)) };
        match shared.cache.get(&key) {
            Some(token) if token.is_fresh(now) => {
                shared.metrics.record_hit();
                Ok(Outcome::Valid(token))
            }
            cached => shared.look_closer(Question { key, allow_expired }, cached, token, waiting_since, now),
        }
    }

    /// Returns a token that can be used without a closer look: it is cached, and its lifetime has not nearly ended.
    ///
    /// `None` says nothing about the token: call [`validate`](Self::validate).
    #[inline]
    pub(in crate::validate) fn fresh(&self, token: &HeaderValue) -> Option<Arc<ValidatedToken>> {
        let shared = &self.0;
        let cached = shared.cache.get(&shared.keys.key(token.as_bytes()))?;
        cached.is_fresh(shared.now()?).then_some(cached)
    }

    /// Records that a token of [`fresh`](Self::fresh) was used.
    #[inline]
    pub(in crate::validate) fn record_hit(&self) {
        self.0.metrics.record_hit();
    }

    /// Returns the time, by the clock of the layer.
    pub(in crate::validate) fn now(&self) -> Now {
        self.0.now().unwrap_or_else(|| SystemClock.now())
    }

    /// Returns the URL of Keystone, for the challenge of a 401.
    pub(in crate::validate) fn auth_url(&self) -> Option<&Uri> {
        self.0.keystone.auth_url()
    }

    pub(in crate::validate) fn metrics(&self) -> ValidationMetrics {
        self.0.metrics.clone()
    }
}

impl Shared {
    /// Returns the outcome for a token that is not cached, or not fresh.
    #[cold]
    #[inline(never)]
    fn look_closer(
        self: &Arc<Self>,
        question: Question,
        cached: Option<Arc<ValidatedToken>>,
        token: &HeaderValue,
        waiting_since: Option<Instant>,
        now: Now,
    ) -> Result<Outcome, PendingOutcome> {
        if let Some(Known { outcome, due }) = self.known(&question, cached, now) {
            self.record_known(&outcome);
            if let Some(due) = due {
                self.refresh(due, question.key, token, now);
            }
            return Ok(outcome);
        }
        if token.is_empty() || !token.as_bytes().iter().all(u8::is_ascii_graphic) {
            // Such a text is no token of Keystone's, and servers differ in how they read it.
            return Ok(Outcome::Unknown);
        }
        match runtime().map(|runtime| self.next(&runtime, question, token, now)) {
            Ok(Next::Known(outcome)) => Ok(outcome),
            Ok(Next::Wait(flight)) => Err(self.pending(question, token, waiting_since, Some(flight))),
            Err(_) => Err(self.pending(question, token, waiting_since, None)),
        }
    }

    /// Returns what the cache says about a token.
    fn known(&self, question: &Question, cached: Option<Arc<ValidatedToken>>, now: Now) -> Option<Known> {
        let &Question { key, allow_expired } = question;
        let known = |outcome| Some(Known { outcome, due: None });
        if let Some(token) = cached {
            match token.judge(allow_expired, now) {
                Judgement::Use => return known(Outcome::Valid(token)),
                Judgement::UseAndRefresh => {
                    return Some(Known { outcome: Outcome::Valid(Arc::clone(&token)), due: Some(token) });
                }
                Judgement::Expired => return known(Outcome::Expired),
                Judgement::Validate => {}
            }
        }
        if self.cache.is_unknown(&key, allow_expired, now) { known(Outcome::Unknown) } else { None }
    }

    fn record_known(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Valid(_) => self.metrics.record_hit(),
            _ => self.metrics.record_unknown_hit(),
        }
    }

    /// Returns the outcome if it is known meanwhile, or the validation to wait for, which is started if there is none.
    fn next(self: &Arc<Self>, runtime: &Handle, question: Question, token: &HeaderValue, now: Now) -> Next {
        let (flight, start) = SingleFlight::new();
        let asked_at = AskedAt::default();
        let is_inserted = {
            let mut flights = self.in_flight.lock();
            // A validation may have ended since the first look.
            if let Some(known) = self.known(&question, self.cache.get(&question.key), now) {
                self.record_known(&known.outcome);
                return Next::Known(known.outcome);
            }
            self.metrics.record_miss();
            if let Some(flight) = flights.to_join(&question) {
                self.metrics.record_coalesced();
                return Next::Wait(flight.clone());
            }
            let max = self.in_flight.max_flights();
            flights.insert(question, &flight, &asked_at, Kind::Foreground, max)
        };
        if !is_inserted {
            self.metrics.record_refused();
            self.log_refused(TOO_MANY);
            return Next::Known(Outcome::Overloaded(RETRY_AFTER));
        }
        let (shared, kind, waiting) = (Arc::clone(self), Kind::Foreground, flight.clone());
        let validation =
            ValidationTask { shared, question, flight, asked_at, kind, due: None, started_at: now };
        validation.spawn(runtime, start, token);
        Next::Wait(waiting)
    }

    /// Logs that a token is not validated for a request, although Keystone may be available.
    fn log_refused(&self, reason: &str) {
        // A clock or a log subscriber that panics must not change the outcome.
        let _ = catch_panic(|| self.outage_log.log_refused(&self.keystone, reason, self.clock.now()));
    }

    /// Counts and logs a validation that cannot be started outside a runtime.
    fn fail_without_runtime(&self, now: Now) {
        self.metrics.record_miss();
        let failure = Failure::new(NO_RUNTIME);
        self.record(ValidationResult::Unavailable, None, Kind::Foreground, Some(&failure), now);
    }

    /// Validates a cached token in the background.
    fn refresh(self: &Arc<Self>, due: Arc<ValidatedToken>, key: TokenKey, token: &HeaderValue, now: Now) {
        if !due.start_refresh(now) {
            return;
        }
        let Ok(runtime) = runtime() else { return due.end_refresh(now) };
        let question = Question { key, allow_expired: false };
        let (flight, start) = SingleFlight::new();
        let asked_at = AskedAt::default();
        let is_inserted = {
            let mut flights = self.in_flight.lock();
            let max = self.in_flight.max_flights();
            flights.get(&question).is_none()
                && flights.insert(question, &flight, &asked_at, Kind::Background, max)
        };
        if is_inserted {
            self.metrics.record_background();
            let (shared, kind, due) = (Arc::clone(self), Kind::Background, Some(due));
            let validation =
                ValidationTask { shared, question, flight, asked_at, kind, due, started_at: now };
            validation.spawn(&runtime, start, token);
        } else {
            due.end_refresh(now);
        }
    }

    fn pending(
        self: &Arc<Self>,
        question: Question,
        token: &HeaderValue,
        waiting_since: Option<Instant>,
        first: Option<Flight>,
    ) -> PendingOutcome {
        let outcome = Box::pin(Arc::clone(self).wait(question, token.clone(), waiting_since, first));
        PendingOutcome { outcome, waiting_since: waiting_since.unwrap_or_else(Instant::now) }
    }

    /// Waits for a validation, and for another one if the first one has no result.
    async fn wait(
        self: Arc<Self>,
        question: Question,
        token: HeaderValue,
        waiting_since: Option<Instant>,
        mut first: Option<Flight>,
    ) -> Outcome {
        let _waiting = self.metrics.enter_wait();
        let started_at = waiting_since.unwrap_or_else(Instant::now);
        let time_left = || self.timeout.saturating_sub(started_at.elapsed());
        // The first validation ends by itself, with its own outcome.
        let mut limit = match waiting_since {
            None => self.timeout.saturating_add(WAIT_GRACE),
            Some(_) => time_left(),
        };
        for _ in 0..MAX_VALIDATIONS {
            let next = match first.take() {
                Some(flight) => Next::Wait(flight),
                None => match (runtime(), self.now()) {
                    (Ok(runtime), Some(now)) => self.next(&runtime, question, &token, now),
                    (Err(_), Some(now)) => {
                        self.fail_without_runtime(now);
                        break;
                    }
                    (_, None) => break,
                },
            };
            let flight = match next {
                Next::Known(outcome) => return outcome,
                Next::Wait(flight) => flight,
            };
            match flight.wait(limit).await {
                Waited::Done(Some(outcome)) => return outcome,
                Waited::Done(None) => {}
                Waited::Lost => drop(self.in_flight.lock().remove(&question, &flight)),
                Waited::TimedOut if limit > self.timeout => {
                    self.in_flight.lock().remove(&question, &flight);
                    break;
                }
                Waited::NoRuntime => {
                    self.log_refused(NO_RUNTIME);
                    break;
                }
                Waited::TimedOut => break,
            }
            limit = time_left();
        }
        Outcome::Unavailable(RETRY_AFTER)
    }
}

impl PendingOutcome {
    /// Returns since when the request waits.
    pub(in crate::validate) fn waiting_since(&self) -> Instant {
        self.waiting_since
    }
}

impl Future for PendingOutcome {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcome.as_mut().poll(cx)
    }
}
