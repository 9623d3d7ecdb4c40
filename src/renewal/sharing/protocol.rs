//! The protocol by which the processes of a fleet share one token in a store.
//!
//! The goal is one login per life of a token for the whole fleet, and no request that is lost or that waits long if a
//! process dies, stops or loses the store. The store is a convenience: without it, each process logs in by itself.
//!
//! A [`Renewal`] is one renewal in one process. It does no I/O, and has no clock and no random numbers. Its user calls
//! [`step`](Renewal::step), does what that says, and reports the result with one of the other methods, which is named
//! in the docs of each [`Step`]. Times are counted from the start of the renewal by a clock that goes on while the
//! machine sleeps. A random number is from 0 to 1.
//!
//! # The steps of a renewal
//!
//! ```text
//! Look -> LookForFailure -> Prepare -> Lease -> Look again -> LookForFailure -> LogIn -> Publish -> Release -> Done
//! ```
//!
//! 1. **Look**: if the store has a usable token, it is taken over, and the renewal is done. A token is usable if it is
//!    not the one to be replaced, if no service has refused it to this process, and if it was not issued before those.
//!    A token that is due for renewal is usable if requests wait for a token.
//! 2. **LookForFailure**: while the entry of a failed login exists, nobody logs in. Its end is the end of the delay.
//! 3. **Lease**: one process gets the lease. The others wait by looking. If nobody needs a token at once, they look
//!    again after 1 to 2 s, otherwise after 25 to 250 ms.
//! 4. **Look again**, under the lease: another process may have been faster. The version that is seen here is the one
//!    that a publication compares with.
//! 5. **LogIn**: one attempt. The lease is extended meanwhile. If that fails, the login goes on.
//! 6. **Publish**, by comparing. If another record is there, the later token wins.
//! 7. **Release** the lease.
//!
//! - A process whose [`patience`](Settings::patience) is over logs in without the lease. The patience differs between
//!   processes, so the first of them can publish a token before the others lose theirs. After a failed login of the
//!   fleet, nobody does this: another login would fail too.
//! - A holder of the lease that was stopped for longer than its term gives it back and begins again. A token that it
//!   publishes late is compared with what is in the store.
//! - A failed login under the lease is published. Then its process waits as all others do.
//! - A token that a service has refused is replaced by a tombstone, under the lease. The fleet has a limited number of
//!   these in a time. If none is left, the refused token stays in use.
//! - If the store is away, the renewal goes on without it, and publishes its token at the end if the store is back.

mod settings;
mod step;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

pub use settings::Settings;
pub use step::{Burial, Entry, Freshness, KnownToken, Need, Outcome, SeenFailure, Step};

/// Minimum time that is left for another login after a failed one.
const MIN_ATTEMPT: Duration = Duration::from_secs(1);

/// How long a process whose login has failed lets the others go first, after the end of the delay.
///
/// The reason may be on its side, such as its network. It is longer than the time between two looks of the others.
const STAND_BACK: Duration = Duration::from_millis(500);

/// One renewal in one process. See the module docs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Renewal<V> {
    settings: Settings,
    need: Need,
    /// The token that the renewal replaces.
    held: Option<KnownToken<V>>,
    /// The last token that a service has refused to this process.
    refused: Option<KnownToken<V>>,
    /// Whether the token of the first look is to be replaced too.
    is_forced: bool,
    ignores_failure: bool,
    is_prepared: bool,
    /// Whether it has tried to bury the refused token.
    has_buried: bool,
    state: State<V>,
    /// When this process asked for the lease that it holds, or for its last extension.
    lease: Option<Duration>,
    /// The version of the entry at the last look, and when it was seen.
    seen: Option<(Option<V>, Duration)>,
    /// Number of waits in a row.
    waits: u32,
    /// Whether the fleet failed to log in during this renewal.
    has_seen_failure: bool,
    has_failed: bool,
    /// Until when this process lets others log in first, after its own login has failed.
    stands_back_until: Duration,
    /// When the last login began.
    login_started: Option<Duration>,
    /// When the token of the own login was issued. `None` if it cannot be stored.
    own_issued_at: Option<SystemTime>,
    /// Whether the publication follows a look after the login, so that it is the last one.
    is_published_again: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State<V> {
    Look,
    LookForFailure,
    Prepare,
    Lease,
    Bury { version: V, issued_at: SystemTime },
    LogIn { timeout: Duration },
    LogInWithoutStore,
    Publish { seen: Option<V> },
    LookAfterLogin,
    PublishFailure { is_transient: bool },
    Release(After),
    Wait { until: Duration },
    Done(Outcome),
}

/// What follows when the lease has been given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum After {
    Look,
    Wait { until: Duration },
    Done(Outcome),
}

impl<V: Clone + PartialEq> Renewal<V> {
    /// Starts a renewal at time 0.
    ///
    /// `held` is the token that it replaces, `refused` the last one that a service has refused to this process.
    pub fn new(
        settings: Settings,
        need: Need,
        held: Option<KnownToken<V>>,
        refused: Option<KnownToken<V>>,
    ) -> Self {
        Self {
            settings,
            need,
            held,
            refused,
            is_forced: false,
            ignores_failure: false,
            is_prepared: false,
            has_buried: false,
            state: State::Look,
            lease: None,
            seen: None,
            waits: 0,
            has_seen_failure: false,
            has_failed: false,
            stands_back_until: Duration::ZERO,
            login_started: None,
            own_issued_at: None,
            is_published_again: false,
        }
    }

    /// Does not take over the token that is in the store now, because the program asks for a new one.
    #[must_use]
    pub fn forced(self) -> Self {
        Self { is_forced: true, ..self }
    }

    /// Logs in even if the delay after a failed login is not over, once.
    #[must_use]
    pub fn ignoring_failure(self) -> Self {
        Self { ignores_failure: true, ..self }
    }

    /// Returns the times and limits.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Reports that the token to be replaced is in the record of this version.
    ///
    /// Its publication may have been done although its answer was lost.
    pub fn found_held(&mut self, version: V) {
        if let Some(held) = &mut self.held {
            held.version = Some(version);
        }
    }

    /// Reports that the refused token is in the record of this version.
    pub fn found_refused(&mut self, version: V) {
        if let Some(refused) = &mut self.refused {
            refused.version = Some(version);
        }
    }

    /// Changes how urgent the renewal is.
    pub fn set_need(&mut self, need: Need) {
        self.need = need;
    }

    /// Returns what to do next.
    pub fn step(&self) -> Step<V> {
        match &self.state {
            State::Look | State::LookAfterLogin => Step::Look,
            State::LookForFailure => Step::LookForFailure,
            State::Prepare => Step::Prepare,
            State::Lease => Step::Lease,
            State::Bury { version, issued_at } => {
                Step::Bury { version: version.clone(), issued_at: *issued_at }
            }
            State::LogIn { timeout } => {
                let extend_at = self.lease.map(|asked_at| asked_at.saturating_add(self.settings.beat));
                Step::LogIn { timeout: *timeout, extend_at }
            }
            State::LogInWithoutStore => Step::LogInWithoutStore,
            State::Publish { seen } => Step::Publish { seen: seen.clone() },
            State::PublishFailure { .. } => Step::PublishFailure,
            State::Release(_) => Step::Release,
            State::Wait { until } => Step::Wait { until: *until },
            State::Done(outcome) => Step::Done(*outcome),
        }
    }

    /// Returns whether this process holds the lease, as far as it knows.
    pub fn holds_lease(&self) -> bool {
        self.lease.is_some()
    }

    /// Reports what a look has found.
    pub fn looked(&mut self, now: Duration, entry: &Entry<V>) {
        if self.state == State::LookAfterLogin {
            return self.looked_after_login(now, entry);
        }
        if self.is_lease_over(now) {
            return self.release(After::Look);
        }
        if let Entry::Token { version, issued_at, .. } = entry {
            if self.is_forced {
                let held_issued_at = self.held.as_ref().map_or(*issued_at, |held| held.issued_at);
                let issued_at = held_issued_at.max(*issued_at);
                self.held = Some(KnownToken { version: Some(version.clone()), issued_at });
            }
            if self.is_usable(entry) {
                return self.release(After::Done(Outcome::TakeOver));
            }
            if self.holds_lease() && !self.has_buried && is_same(self.refused.as_ref(), version) {
                self.has_buried = true;
                self.state = State::Bury { version: version.clone(), issued_at: *issued_at };
                return;
            }
        }
        self.is_forced = false;
        self.seen = Some((entry.version(), now));
        self.state = State::LookForFailure;
        if self.ignores_failure {
            self.looked_for_failure(now, None, 0.0);
        }
    }

    /// Reports the entry of a failed login.
    pub fn looked_for_failure(&mut self, now: Duration, failure: Option<SeenFailure>, random: f64) {
        let Some(failure) = failure else {
            return if now < self.stands_back_until.min(self.last_start()) {
                self.wait(now, random);
            } else if self.is_lease_over(now) {
                self.release(After::Look);
            } else if self.holds_lease() {
                self.log_in(now);
            } else {
                self.state = if self.is_prepared { State::Lease } else { State::Prepare };
            };
        };
        // A permanent failure of another process says more than a transient one of this process.
        self.has_failed &= failure.is_transient;
        self.wait_after_failure(now, failure, random);
    }

    /// Waits for the end of the delay after a failure, or ends the renewal.
    fn wait_after_failure(&mut self, now: Duration, failure: SeenFailure, random: f64) {
        self.has_seen_failure = true;
        if self.may_wait(now, failure) {
            self.wait(now, random);
        } else {
            self.release(After::Done(self.failed()));
        }
    }

    /// Waits before the next look, after a failed login.
    fn wait(&mut self, now: Duration, random: f64) {
        let until = now.saturating_add(self.look_delay(random)).min(self.last_start());
        self.release(After::Wait { until });
    }

    /// Reports whether the credentials could obtain what their login needs.
    pub fn prepared(&mut self, is_prepared: bool) {
        self.is_prepared = is_prepared;
        self.state = if is_prepared { State::Lease } else { State::Done(Outcome::Failed) };
    }

    /// Reports a failure that says nothing to other processes: the credentials could not obtain what their login needs,
    /// or they have changed.
    ///
    /// The renewal goes on as without a store.
    pub fn failed_apart(&mut self, now: Duration, is_transient: bool) {
        self.has_failed = true;
        self.go_on_alone(now, is_transient);
    }

    /// Reports whether this process got the lease for which it asked at `asked_at`.
    pub fn leased(&mut self, asked_at: Duration, now: Duration, is_leased: bool, random: f64) {
        if is_leased {
            self.lease = Some(asked_at);
            self.state = State::Look;
        } else if now >= self.settings.patience && !self.has_seen_failure {
            self.log_in(now);
        } else if self.has_seen_failure && now >= self.last_start() {
            self.state = State::Done(self.failed());
        } else {
            let last = if self.has_seen_failure { self.last_start() } else { self.settings.patience };
            self.state = State::Wait { until: now.saturating_add(self.look_delay(random)).min(last) };
        }
    }

    /// Reports an attempt to bury the refused token.
    pub fn buried(&mut self, burial: Burial) {
        match burial {
            Burial::Done | Burial::Changed => self.state = State::Look,
            Burial::NoneLeft => self.release(After::Done(Outcome::KeepRefused)),
        }
    }

    /// Reports whether the lease could be extended at `asked_at`.
    pub fn extended(&mut self, asked_at: Duration, is_extended: bool) {
        self.lease = is_extended.then_some(asked_at);
    }

    /// Reports a token that was issued at this time. `None` if it cannot be stored.
    pub fn logged_in(&mut self, now: Duration, issued_at: Option<SystemTime>) {
        self.own_issued_at = issued_at;
        if issued_at.is_none() {
            return self.use_own(false);
        }
        self.state = match self.seen.take() {
            Some((seen, at)) if now.saturating_sub(at) <= self.settings.publish_limit => {
                State::Publish { seen }
            }
            _ => State::LookAfterLogin,
        };
    }

    /// Reports a failed login. `is_conclusive` is false if it had less than the whole timeout.
    pub fn login_failed(&mut self, is_transient: bool, is_conclusive: bool) {
        self.has_failed = true;
        if self.state == State::LogInWithoutStore || !is_conclusive {
            return self.release(After::Done(Outcome::Failed));
        }
        self.state = State::PublishFailure { is_transient };
    }

    /// Reports that the failure is published, with the delay after it.
    pub fn published_failure(&mut self, now: Duration, delay: Duration, random: f64) {
        let State::PublishFailure { is_transient } = self.state else { return };
        self.waits = 0;
        self.stands_back_until = now.saturating_add(delay).saturating_add(STAND_BACK);
        self.wait_after_failure(now, SeenFailure { is_transient, delay }, random);
    }

    /// Reports whether the token could be published.
    pub fn published(&mut self, is_published: bool) {
        if is_published || self.is_published_again {
            self.use_own(is_published);
        } else {
            self.state = State::LookAfterLogin;
        }
    }

    /// Reports that the lease is given back, or will be.
    pub fn released(&mut self) {
        self.lease = None;
        if let State::Release(after) = self.state {
            self.go_on(after);
        }
    }

    /// Reports that the time of [`Step::Wait`] has come.
    pub fn waited(&mut self) {
        self.state = State::Look;
    }

    /// Reports that the store could not be used for the last step, or for an extension.
    pub fn store_away(&mut self, now: Duration) {
        match &self.state {
            State::LogIn { .. } => self.lease = None,
            State::Release(_) => self.released(),
            State::Publish { .. } | State::LookAfterLogin => self.use_own(false),
            State::PublishFailure { is_transient } => self.go_on_alone(now, *is_transient),
            State::Done(_) => {}
            _ => {
                self.lease = None;
                self.login_started = Some(now);
                self.state = State::LogInWithoutStore;
            }
        }
    }

    /// Logs in again without the store after a failure, if there is time for it.
    fn go_on_alone(&mut self, now: Duration, is_transient: bool) {
        let may_retry = self.may_wait(now, SeenFailure { is_transient, delay: Duration::ZERO });
        self.lease = None;
        self.state = if may_retry { State::LogInWithoutStore } else { State::Done(Outcome::Failed) };
    }

    /// Looks after the own login, when the store could not be compared before it, or another record was there.
    fn looked_after_login(&mut self, now: Duration, entry: &Entry<V>) {
        let Some(own) = self.own_issued_at else { return self.use_own(false) };
        if entry.issued_at().is_some_and(|issued_at| issued_at > own) && self.is_usable(entry) {
            return self.release(After::Done(Outcome::TakeOver));
        }
        let started = self.login_started.unwrap_or_default();
        let is_late = now.saturating_sub(started) > self.settings.publish_limit;
        if is_late || entry.issued_at().is_some_and(|issued_at| issued_at >= own) {
            return self.use_own(false);
        }
        self.is_published_again = true;
        self.state = State::Publish { seen: entry.version() };
    }

    /// Returns whether this process can take over what is in the entry.
    fn is_usable(&self, entry: &Entry<V>) -> bool {
        let Entry::Token { version, issued_at, freshness } = entry else { return false };
        let is_fresh_enough = match self.need {
            Need::Soft => *freshness == Freshness::Fresh,
            Need::Needed => *freshness != Freshness::Expiring,
        };
        let replaces =
            |known: &KnownToken<V>| known.version.as_ref() != Some(version) && *issued_at >= known.issued_at;
        // If the refused token was never in the store, one that was refused before it may still be there.
        let may_be_refused =
            |refused: &KnownToken<V>| refused.version.is_none() && *issued_at <= refused.issued_at;
        is_fresh_enough
            && [&self.held, &self.refused].into_iter().flatten().all(replaces)
            && !self.refused.as_ref().is_some_and(may_be_refused)
    }

    /// Starts a login.
    fn log_in(&mut self, now: Duration) {
        let attempt_timeout = self.settings.attempt_timeout;
        let left = self.settings.wait_timeout.saturating_sub(now);
        // The first login of the fleet gets the whole timeout.
        let timeout = if self.has_seen_failure { attempt_timeout.min(left) } else { attempt_timeout };
        self.ignores_failure = false;
        self.login_started = Some(now);
        self.state = State::LogIn { timeout };
    }

    /// Returns whether the renewal waits for the end of the delay after a failure.
    fn may_wait(&self, now: Duration, failure: SeenFailure) -> bool {
        self.need == Need::Needed
            && failure.is_transient
            && !self.settings.fail_fast
            && failure.delay < self.settings.wait_timeout
            && now < self.last_start()
    }

    /// Returns when the last login after a failed one may start.
    fn last_start(&self) -> Duration {
        self.settings.wait_timeout.saturating_sub(MIN_ATTEMPT)
    }

    /// Returns how the renewal ends if no further login is made.
    fn failed(&self) -> Outcome {
        if self.has_failed { Outcome::Failed } else { Outcome::FailedElsewhere }
    }

    /// Returns the delay before the next look, and counts it.
    fn look_delay(&mut self, random: f64) -> Duration {
        let Settings { first_look_delay, max_look_delay, soft_look_delay, .. } = self.settings;
        let doubled = first_look_delay.saturating_mul(1 << self.waits.min(16));
        self.waits = self.waits.saturating_add(1);
        match self.need {
            Need::Soft => soft_look_delay.mul_f64(1.0 + random),
            Need::Needed => doubled.min(max_look_delay).mul_f64(0.5 + random),
        }
    }

    /// Returns whether this process was stopped so long that its lease may belong to another one.
    ///
    /// When the patience is over, that does not matter any more: then the renewal logs in anyway.
    fn is_lease_over(&self, now: Duration) -> bool {
        let is_over = |asked_at: Duration| now >= asked_at.saturating_add(self.settings.term);
        self.lease.is_some_and(is_over) && now < self.settings.patience
    }

    fn use_own(&mut self, is_published: bool) {
        self.release(After::Done(Outcome::UseOwn { is_published }));
    }

    /// Gives the lease back, if this process holds it, and goes on.
    fn release(&mut self, after: After) {
        if self.holds_lease() {
            self.state = State::Release(after);
        } else {
            self.go_on(after);
        }
    }

    fn go_on(&mut self, after: After) {
        self.state = match after {
            After::Look => State::Look,
            After::Wait { until } => State::Wait { until },
            After::Done(outcome) => State::Done(outcome),
        };
    }
}

/// Returns whether a record with this version has the known token.
fn is_same<V: PartialEq>(known: Option<&KnownToken<V>>, version: &V) -> bool {
    known.is_some_and(|known| known.version.as_ref() == Some(version))
}
