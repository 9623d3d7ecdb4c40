//! What is known of the token, and what follows from it. No I/O, no waiting, no clock of its own.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{Now, RenewalPolicy, lifetime::Readings, refusals::Refusals};
use crate::{Access, AccessInfo, Error, endpoint::Origin};

/// The number of a flight: one go at obtaining a token.
pub(super) type FlightId = u64;

/// The token at hand, the flight under way and the last failure.
#[derive(Debug)]
pub(super) struct State {
    policy: RenewalPolicy,
    random: fastrand::Rng,
    current: Option<Held>,
    /// The flight under way, and when it was started.
    flight: Option<(FlightId, Now)>,
    flights: FlightId,
    failure: Option<Failure>,
    refusals: Refusals,
    /// Where the last catalog has endpoints.
    origins: Option<Arc<HashSet<Origin>>>,
}

/// A token, and when it becomes soft, hard and expired.
#[derive(Debug)]
struct Held {
    access: Arc<Access>,
    soft: Now,
    hard: Now,
    end: Now,
}

/// Why there is no new token, and from when on another go may be made.
#[derive(Debug)]
struct Failure {
    error: Error,
    failed: Now,
    pause: Duration,
    /// Whether requests had no token meanwhile, so that they waited for it in vain.
    waited: bool,
    /// How many of its kind there were in a row.
    transient: u32,
    definite: u32,
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
    Use(Arc<Access>),
    /// Go on with this access, and start this flight beside it.
    UseAndStart(Arc<Access>, FlightId),
    /// Wait for the flight under way.
    Join,
    /// Start this flight and wait for it.
    Start(FlightId),
    /// There is no token, and to wait for one is of no use yet.
    Fail(Error),
}

impl State {
    pub(super) fn new(policy: RenewalPolicy, random: fastrand::Rng) -> Self {
        Self {
            policy,
            random,
            current: None,
            flight: None,
            flights: 0,
            failure: None,
            refusals: Refusals::default(),
            origins: None,
        }
    }

    pub(super) fn policy(&self) -> &RenewalPolicy {
        &self.policy
    }

    pub(super) fn set_policy(&mut self, policy: RenewalPolicy) {
        self.policy = policy;
    }

    pub(super) fn seed(&mut self, seed: u64) {
        self.random.seed(seed);
    }

    /// What a request that comes now is to do. A flight that is to be started counts as under way.
    #[inline(always)]
    pub(super) fn decide(&mut self, now: Now) -> Decision {
        let age = self.age(now);
        if let (Some(held), Age::Fresh) = (&self.current, age) {
            return Decision::Use(Arc::clone(&held.access));
        }
        let paused = self.failure.as_ref().filter(|failure| now.since(failure.failed) < failure.pause);
        match (&self.current, age, self.under_way(now), paused) {
            (Some(held), Age::Soft, None, None) => {
                let access = Arc::clone(&held.access);
                Decision::UseAndStart(access, self.start(now))
            }
            (Some(held), Age::Soft, _, _) | (Some(held), Age::Hard, None, Some(_)) => {
                Decision::Use(Arc::clone(&held.access))
            }
            (_, _, Some(_), _) => Decision::Join,
            (_, _, None, Some(failure)) if failure.is_final(now, &self.policy) => {
                Decision::Fail(failure.error.clone())
            }
            (_, _, None, _) => Decision::Start(self.start(now)),
        }
    }

    /// The access at hand, if it may still be sent.
    pub(super) fn usable(&self, now: Now) -> Option<Arc<Access>> {
        let held = self.current.as_ref().filter(|_| self.age(now) < Age::Expired)?;
        Some(Arc::clone(&held.access))
    }

    /// How long a request that cannot go on at once waits for a flight: half of the time in which the access
    /// at hand may still be sent. Without such an access, as long as a flight can take.
    pub(super) fn patience(&self, now: Now) -> Duration {
        let left = self.current.as_ref().map_or(Duration::ZERO, |held| now.until(held.end));
        if left.is_zero() { self.policy.longest_flight() } else { left / 2 }
    }

    /// Whether this access is the one at hand and may no longer be sent.
    pub(super) fn is_expired(&self, access: &Arc<Access>, now: Now) -> bool {
        self.current().is_some_and(|current| Arc::ptr_eq(current, access)) && self.age(now) == Age::Expired
    }

    /// The access at hand, whatever its age.
    pub(super) fn current(&self) -> Option<&Arc<Access>> {
        self.current.as_ref().map(|held| &held.access)
    }

    /// Why there is no new token, or no good one.
    pub(super) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref().map(|failure| &failure.error)
    }

    /// Whether a request that comes now would have a new token fetched.
    pub(super) fn needs_renewal(&self, now: Now) -> bool {
        self.age(now) > Age::Fresh
    }

    /// Starts a flight, whatever the age of the token and the last failure. `None` if one is under way.
    pub(super) fn force(&mut self, now: Now) -> Option<FlightId> {
        self.failure = None;
        self.under_way(now).is_none().then(|| self.start(now))
    }

    /// How long a flight that starts now is to wait first: as long as Keystone has asked for.
    pub(super) fn wait(&self, now: Now) -> Duration {
        self.failure.as_ref().map_or(Duration::ZERO, |failure| failure.rest(now))
    }

    /// Whether the flight is worth another attempt after this error, and after which pause: if it can
    /// pass by itself, requests have nothing else to be sent with, and there is time `left` for it.
    pub(super) fn attempt_failed(
        &mut self,
        id: FlightId,
        attempts: u32,
        error: &Error,
        now: Now,
        left: Duration,
    ) -> Option<Duration> {
        if !self.is_flight(id) || self.age(now) != Age::Expired || !error.is_transient() {
            return None;
        }
        let pause = self.policy.pause(attempts, error, self.random.f64());
        match error.retry_after() {
            Some(_) => (pause < left).then_some(pause),
            // All of the time is made use of: the pauses get shorter towards its end.
            None => (left / 2 >= self.policy.first_pause).then(|| pause.min(left / 2)),
        }
    }

    /// A flight has ended. What it brought becomes the current access, unless it is no longer the one
    /// under way. The outcome is that of all who waited for it.
    pub(super) fn landed(
        &mut self,
        id: FlightId,
        asked_for: Now,
        brought: Result<AccessInfo, Error>,
        now: Now,
    ) -> Result<Arc<Access>, Error> {
        let held = brought.and_then(|auth_ref| self.held(auth_ref, asked_for, now));
        if !self.is_flight(id) {
            return held.map(|held| held.access);
        }
        self.flight = None;
        let waited = self.age(now) == Age::Expired;
        match held {
            Ok(held) => {
                let access = Arc::clone(&held.access);
                // A token that will be old at once is no reason to ask again at once.
                self.failure = (held.soft.since(asked_for) < self.policy.least_interval).then(|| Failure {
                    error: Error::ShortLived,
                    failed: asked_for,
                    pause: self.policy.least_interval,
                    waited: true,
                    transient: 0,
                    definite: 0,
                });
                let past = now.has_reached(held.end);
                self.hold(held);
                if past { Err(Error::ShortLived) } else { Ok(access) }
            }
            Err(error) => {
                let (mut transient, mut definite) =
                    self.failure.as_ref().map_or((0, 0), |failure| (failure.transient, failure.definite));
                let pause = if error.is_transient() {
                    transient += 1;
                    let pause = self.policy.pause(transient, &error, self.random.f64());
                    // Unless Keystone asks for it, no token gets too old for want of another go.
                    let most = self.until_older(now).filter(|_| error.retry_after().is_none());
                    most.map_or(pause, |most| pause.min(most))
                } else {
                    definite += 1;
                    self.policy.definite_pause(definite)
                };
                self.failure =
                    Some(Failure { error: error.clone(), failed: now, pause, waited, transient, definite });
                Err(error)
            }
        }
    }

    /// A flight is gone without an outcome: its runtime was shut down.
    pub(super) fn lost(&mut self, id: FlightId) {
        if self.is_flight(id) {
            self.flight = None;
        }
    }

    /// The service at `by` refused `used`, which it may have `accepted` before. Drops it if it is the current access and
    /// another one may help.
    pub(super) fn refused(&mut self, used: &Arc<Access>, by: &Origin, accepted: bool, now: Now) {
        if !self.current.as_ref().is_some_and(|held| Arc::ptr_eq(&held.access, used)) {
            return;
        }
        if !self.refusals.drops(used, by, accepted, now, &self.policy) {
            return;
        }
        self.current = None;
        if matches!(&self.failure, Some(Failure { error: Error::ShortLived, .. })) {
            self.failure = None;
        }
    }

    /// Forgets the token, the failures and the flight, whose outcome will not be taken.
    pub(super) fn reset(&mut self) {
        self.current = None;
        self.flight = None;
        self.failure = None;
        self.refusals.clear();
        self.origins = None;
    }

    /// Takes over an access info that was stored.
    pub(super) fn restore(&mut self, auth_ref: AccessInfo, now: Now) -> Result<(), Error> {
        // It was asked for at a time that nobody knows, so that its expiry has to be taken at its word.
        let lifetime = match auth_ref.expires()? {
            None => self.policy.unknown_lifetime,
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
        self.current = Some(held);
    }

    fn start(&mut self, now: Now) -> FlightId {
        self.flights += 1;
        self.flight = Some((self.flights, now));
        self.flights
    }

    /// The flight under way. One that takes longer than it can is none: nobody drives its runtime.
    #[inline]
    fn under_way(&self, now: Now) -> Option<FlightId> {
        let (id, started) = self.flight?;
        (now.since(started) < self.policy.longest_flight()).then_some(id)
    }

    fn is_flight(&self, id: FlightId) -> bool {
        self.flight.is_some_and(|(flight, _)| flight == id)
    }

    #[inline(always)]
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
        self.with_lifetime(auth_ref, asked_for, lifetime.unwrap_or(self.policy.unknown_lifetime))
    }

    fn with_lifetime(
        &mut self,
        auth_ref: AccessInfo,
        asked_for: Now,
        lifetime: Duration,
    ) -> Result<Held, Error> {
        let access = Access::from_auth_ref(auth_ref)?.with_previous_origins(self.origins.clone());
        let access = Arc::new(access);
        let (soft, hard) = self.policy.ages(lifetime, self.random.f64());
        let [soft, hard, end] = [soft, hard, lifetime].map(|age| asked_for.after(age));
        Ok(Held { access, soft, hard, end })
    }
}

impl Failure {
    /// Whether requests that have no token get this failure, rather than wait for another go.
    fn is_final(&self, now: Now, policy: &RenewalPolicy) -> bool {
        self.waited || !self.error.is_transient() || self.rest(now) >= policy.load_timeout
    }

    /// What is left of the time that Keystone asked to wait.
    fn rest(&self, now: Now) -> Duration {
        let asked = self.error.retry_after().map_or(Duration::ZERO, |_| self.pause);
        asked.saturating_sub(now.since(self.failed))
    }
}
