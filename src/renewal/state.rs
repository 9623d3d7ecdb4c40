//! What is known of the token, and what follows from it. No I/O, no waiting, no clock of its own.

use std::{any::Any, mem, sync::Arc, time::Duration};

use super::{
    Now, RenewalPolicy,
    failure::{Failed, Failure, History, Tried},
    lifetime::Readings,
    rejections::Refusals,
};
use crate::{AccessInfo, Error, Secret, ServiceAccess, access::KnownOrigins, endpoint::Origin};

/// The number of a flight: one go at obtaining a token.
pub(super) type FlightId = u64;

/// How many flights in a row a reset may overtake before the next one waits first: code that resets the plugin which it
/// waits for would have it log in without end.
const RESETS: u32 = 3;

/// The token at hand, the flight under way and the last failure.
pub(super) struct State {
    policy: RenewalPolicy,
    random: fastrand::Rng,
    current: Option<Held>,
    /// The flight under way, and when it was started.
    flight: Option<(FlightId, Now)>,
    flights: FlightId,
    /// How many flights in a row a reset overtook.
    overtaken: u32,
    failure: Option<Failure>,
    history: History,
    /// Whether the outage that was told passes by itself; `None` if there is none.
    told: Option<bool>,
    refusals: Refusals,
    /// Where the last catalog has endpoints.
    origins: Option<Arc<KnownOrigins>>,
    /// What is no longer of use, to be dropped when the state is not locked: that may run code of others.
    discarded: Vec<Discarded>,
}

/// A value to be dropped.
pub(super) type Discarded = Box<dyn Any + Send + Sync>;

/// A token, and when it becomes soft, hard and expired.
#[derive(Debug)]
struct Held {
    access: Arc<ServiceAccess>,
    soft: Now,
    hard: Now,
    end: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Fresh,
    Soft,
    Hard,
    Expired,
}

/// What a request is to do.
#[derive(Debug)]
pub(super) enum Decision {
    /// Go on with this access.
    Use(Arc<ServiceAccess>),
    /// Go on with this access, and start a flight beside it.
    UseAndStart(Arc<ServiceAccess>),
    /// Wait for the flight under way.
    Join,
    /// Start a flight and wait for it.
    Start,
    /// There is no token, and to wait for one is of no use yet.
    Fail(Error),
}

impl State {
    pub(super) fn new(policy: RenewalPolicy, random: fastrand::Rng) -> Self {
        Self {
            policy: policy.within_limits(),
            random,
            current: None,
            flight: None,
            flights: 0,
            overtaken: 0,
            failure: None,
            history: History::default(),
            told: None,
            refusals: Refusals::default(),
            origins: None,
            discarded: Vec::new(),
        }
    }

    pub(super) fn policy(&self) -> &RenewalPolicy {
        &self.policy
    }

    pub(super) fn set_policy(&mut self, policy: RenewalPolicy) {
        self.policy = policy.within_limits();
    }

    pub(super) fn seed(&mut self, seed: u64) {
        self.random.seed(seed);
    }

    /// Returns the current access if it is fresh: then there is nothing to decide.
    #[inline(always)]
    pub(super) fn fresh(&self, now: Now) -> Option<Arc<ServiceAccess>> {
        let held = self.current.as_ref().filter(|held| !now.has_reached(held.soft))?;
        Some(Arc::clone(&held.access))
    }

    /// What a request that comes now is to do.
    pub(super) fn decide(&self, now: Now) -> Decision {
        if let Some(access) = self.fresh(now) {
            return Decision::Use(access);
        }
        let age = self.age(now);
        let paused = self.failure.as_ref().filter(|failure| failure.pauses(now));
        match (&self.current, age, self.under_way(now), paused) {
            // The last flight stands still: its runtime is driven only while requests wait.
            (Some(_), Age::Soft, None, None) if self.flight.is_some() => Decision::Start,
            (Some(held), Age::Soft, None, None) => Decision::UseAndStart(Arc::clone(&held.access)),
            (Some(held), Age::Soft, _, _) | (Some(held), Age::Hard, None, Some(_)) => {
                Decision::Use(Arc::clone(&held.access))
            }
            (_, _, Some(_), _) => Decision::Join,
            (_, _, None, Some(failure)) if failure.is_final(now, &self.policy) => {
                Decision::Fail(failure.error.clone())
            }
            (_, _, None, _) => Decision::Start,
        }
    }

    /// The access at hand, if it may still be sent.
    pub(super) fn usable(&self, now: Now) -> Option<Arc<ServiceAccess>> {
        let held = self.current.as_ref().filter(|_| self.age(now) < Age::Expired)?;
        Some(Arc::clone(&held.access))
    }

    /// How long a request that cannot go on at once waits for a flight: half of the time in which the access
    /// at hand may still be sent. Without such an access, as long as a flight can take.
    pub(super) fn patience(&self, now: Now) -> Duration {
        let left = self.current.as_ref().map_or(Duration::ZERO, |held| now.until(held.end));
        let longest = self.policy.longest_flight();
        if left.is_zero() { longest } else { longest.min(left / 2) }
    }

    /// The access at hand, whatever its age.
    pub(super) fn current(&self) -> Option<&Arc<ServiceAccess>> {
        self.current.as_ref().map(|held| &held.access)
    }

    /// Returns what is shown of it: the access at hand, why there is no new one, and whether one is on its way.
    pub(super) fn shown(&self) -> (Option<Arc<ServiceAccess>>, Option<Error>, bool) {
        let error = self.failure.as_ref().map(|failure| failure.error.clone());
        (self.current().cloned(), error, self.flight.is_some())
    }

    /// Whether the credentials were refused.
    pub(super) fn is_refused(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.refused.is_some())
    }

    /// Forgets the last failure if it was that of other credentials.
    pub(super) fn forget_others(&mut self, id: &Option<Secret>, now: Now) {
        let refused = self.failure.as_ref().and_then(|failure| failure.refused.as_ref());
        if refused.is_some_and(|refused| self.history.has_changed(refused, id, now)) {
            self.set_failure(None);
        }
    }

    /// Whether a failed attempt is to be told: it is the first one since there was a good token, or the first one that
    /// does not pass by itself.
    pub(super) fn is_news(&mut self, passes: bool) -> bool {
        let is_news = self.told.is_none_or(|told| told && !passes);
        if is_news {
            self.told = Some(passes);
        }
        is_news
    }

    /// Returns the last failure if it is still to be told.
    pub(super) fn news(&mut self) -> Option<Failed> {
        let failure = self.failure.as_ref()?;
        let failed = Failed { error: failure.error.clone(), passes: failure.refused.is_none() };
        self.is_news(failed.passes).then_some(failed)
    }

    /// Whether good tokens can be had again, after an outage that was told.
    pub(super) fn is_over(&mut self) -> bool {
        self.failure.is_none() && self.told.take().is_some()
    }

    /// Whether a request that comes now would have a new token fetched.
    pub(super) fn needs_renewal(&self, now: Now) -> bool {
        self.age(now) > Age::Fresh
    }

    /// Forgets the last failure.
    pub(super) fn forget_failure(&mut self) {
        self.set_failure(None);
    }

    /// How long a flight that starts now is to wait first: as long as Keystone has asked for.
    pub(super) fn wait(&self, now: Now) -> Duration {
        let asked = self.failure.as_ref().map_or(Duration::ZERO, |failure| failure.rest(now));
        match self.overtaken.saturating_sub(RESETS) {
            0 => asked,
            more => asked.max(self.policy.pause(more, &Error::Abandoned, 1.0)),
        }
    }

    /// Whether the flight is worth another attempt after this error, and after which pause: if it can
    /// pass by itself, requests have nothing else to be sent with, and there is time `left` for it.
    pub(super) fn attempt_failed(
        &mut self,
        id: FlightId,
        attempts: u32,
        Failed { error, passes }: &Failed,
        now: Now,
        left: Duration,
    ) -> Option<Duration> {
        if !self.is_under_way(id) || self.age(now) != Age::Expired || !passes || self.policy.fail_fast {
            return None;
        }
        let pause = self.policy.pause(attempts, error, self.random.f64());
        match error.retry_after() {
            Some(_) => (pause < left).then_some(pause),
            // All of the time is made use of: the pauses get shorter towards its end.
            None => (left / 2 >= self.policy.initial_backoff).then(|| pause.min(left / 2)),
        }
    }

    /// A flight has ended. What it brought becomes the current access, unless it is no longer the one
    /// under way. An error is that of all who waited for it; else they look at the state again.
    pub(super) fn landed(
        &mut self,
        id: FlightId,
        asked_for: Now,
        brought: Result<AccessInfo, Failed>,
        tried: Tried,
        now: Now,
    ) -> Result<(), Error> {
        if !self.is_under_way(id) {
            self.discard(brought);
            return Ok(());
        }
        let held = brought.and_then(|auth_ref| Ok(self.held(auth_ref, asked_for, now)?));
        self.flight = None;
        self.overtaken = 0;
        let waited = self.age(now) == Age::Expired;
        match held {
            Ok(held) => {
                // A token that will be old at once is no reason to ask again at once.
                let short = held.soft.since(asked_for) < self.policy.min_renewal_interval;
                self.set_failure(short.then(|| Failure {
                    error: Error::ExpiredOnArrival,
                    failed: asked_for,
                    pause: self.policy.min_renewal_interval,
                    waited: true,
                    refused: None,
                    transient: 0,
                    definite: 0,
                }));
                self.history.brought(tried);
                let past = now.has_reached(held.end);
                self.hold(held);
                if past { Err(Error::ExpiredOnArrival) } else { Ok(()) }
            }
            Err(Failed { error, passes }) => {
                let (mut transient, mut definite) =
                    self.failure.as_ref().map_or((0, 0), |failure| (failure.transient, failure.definite));
                let pause = if passes {
                    transient = transient.saturating_add(1);
                    let pause = self.policy.pause(transient, &error, self.random.f64());
                    // Unless Keystone asks for it, no token gets too old for want of another go.
                    let most = self.until_older(now).filter(|_| error.retry_after().is_none());
                    most.map_or(pause, |most| pause.min(most))
                } else {
                    definite = definite.saturating_add(1);
                    self.history.pause(&tried, definite, &self.policy)
                };
                self.set_failure(Some(Failure {
                    error: error.clone(),
                    failed: now,
                    pause,
                    waited,
                    refused: (!passes).then_some(tried),
                    transient,
                    definite,
                }));
                Err(error)
            }
        }
    }

    /// A flight is gone without an outcome: its runtime was shut down.
    pub(super) fn lost(&mut self, id: FlightId) {
        if self.is_under_way(id) {
            self.flight = None;
        }
    }

    /// The service at `by` refused `used`, which it may have `accepted` before. Drops it if it is the current access and
    /// another one may help.
    pub(super) fn refused(&mut self, used: &Arc<ServiceAccess>, by: &Origin, accepted: bool, now: Now) {
        if !self.current.as_ref().is_some_and(|held| Arc::ptr_eq(&held.access, used)) {
            return;
        }
        if !self.refusals.drops(used, by, accepted, now, &self.policy) {
            return;
        }
        self.set_current(None);
        if matches!(&self.failure, Some(Failure { error: Error::ExpiredOnArrival, .. })) {
            self.set_failure(None);
        }
    }

    /// Forgets the token, the failures and the flight, whose outcome will not be taken.
    pub(super) fn reset(&mut self) {
        self.set_current(None);
        if self.flight.take().is_some() {
            self.overtaken = self.overtaken.saturating_add(1);
        }
        self.set_failure(None);
        self.history = History::default();
        self.told = None;
        self.refusals.clear();
        self.origins = None;
    }

    /// Takes over an access info that was stored.
    pub(super) fn restore(&mut self, auth_ref: AccessInfo, now: Now) -> Result<(), Error> {
        // It was asked for at a time that nobody knows, so that its expiry has to be taken at its word.
        let lifetime = match auth_ref.expires()? {
            None => self.policy.default_lifetime,
            Some(expires) => {
                let left = expires.duration_since(now.wall).unwrap_or_default();
                // A clock that is slow makes no token live longer than it does by Keystone's own.
                let issued = auth_ref.issued().ok().flatten();
                issued
                    .and_then(|issued| expires.duration_since(issued).ok())
                    .map_or(left, |all| left.min(all))
            }
        };
        let held = self.with_lifetime(auth_ref, now, lifetime)?;
        self.reset();
        self.hold(held);
        Ok(())
    }

    fn hold(&mut self, held: Held) {
        self.origins = held.access.origins().cloned();
        self.set_current(Some(held));
    }

    fn set_current(&mut self, held: Option<Held>) {
        if let Some(before) = mem::replace(&mut self.current, held) {
            self.discard(before);
        }
    }

    fn set_failure(&mut self, failure: Option<Failure>) {
        if let Some(before) = mem::replace(&mut self.failure, failure) {
            self.discard(before);
        }
    }

    /// Keeps a value until it can be dropped.
    pub(super) fn discard(&mut self, value: impl Any + Send + Sync) {
        self.discarded.push(Box::new(value));
    }

    /// Returns what is to be dropped once the state is not locked any more.
    pub(super) fn take_discarded(&mut self) -> Vec<Discarded> {
        mem::take(&mut self.discarded)
    }

    /// Starts a flight.
    pub(super) fn start(&mut self, now: Now) -> FlightId {
        self.flights += 1;
        self.flight = Some((self.flights, now));
        self.flights
    }

    /// The flight under way. One that takes longer than it can is none: nobody drives its runtime.
    pub(super) fn under_way(&self, now: Now) -> Option<FlightId> {
        let (id, started) = self.flight?;
        (now.since(started) < self.policy.longest_flight()).then_some(id)
    }

    /// Whether this flight is the one under way: nothing has overtaken it.
    pub(super) fn is_under_way(&self, id: FlightId) -> bool {
        self.flight.is_some_and(|(flight, _)| flight == id)
    }

    fn age(&self, now: Now) -> Age {
        let Some(held) = &self.current else { return Age::Expired };
        if !now.has_reached(held.soft) {
            Age::Fresh
        } else if !now.has_reached(held.hard) {
            Age::Soft
        } else if !now.has_reached(held.end) {
            Age::Hard
        } else {
            Age::Expired
        }
    }

    /// How long it is until the access at hand is hard, or expires if it is hard.
    fn until_older(&self, now: Now) -> Option<Duration> {
        let held = self.current.as_ref()?;
        [held.hard, held.end].into_iter().map(|at| now.until(at)).find(|left| !left.is_zero())
    }

    fn held(&mut self, auth_ref: AccessInfo, asked_for: Now, now: Now) -> Result<Held, Error> {
        let lifetime = match auth_ref.expires()? {
            None => None,
            Some(expires) => {
                let issued = auth_ref.issued().ok().flatten();
                Readings { issued, date: auth_ref.date(), local: now.wall }.lifetime(expires)
            }
        };
        self.with_lifetime(auth_ref, asked_for, lifetime.unwrap_or(self.policy.default_lifetime))
    }

    fn with_lifetime(
        &mut self,
        auth_ref: AccessInfo,
        asked_for: Now,
        lifetime: Duration,
    ) -> Result<Held, Error> {
        let access = ServiceAccess::from_auth_ref(auth_ref)?.with_previous_origins(self.origins.clone());
        let access = Arc::new(access);
        let (soft, hard) = self.policy.ages(lifetime, self.random.f64());
        let [soft, hard, end] = [soft, hard, lifetime].map(|age| asked_for.after(age));
        Ok(Held { access, soft, hard, end })
    }
}
