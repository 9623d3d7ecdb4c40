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

use std::time::{Duration, SystemTime};

/// The times and limits of a renewal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Timeout of one login.
    pub attempt_timeout: Duration,
    /// How long a renewal goes on after failed logins of the fleet.
    pub wait_timeout: Duration,
    /// How long a renewal waits for the holder of the lease before it logs in by itself.
    pub patience: Duration,
    /// How long a lease lasts if it is not extended.
    pub term: Duration,
    /// How often the lease is extended during a login.
    pub beat: Duration,
    /// Delay before the second look, if requests wait for the token. It doubles with each look.
    pub first_look_delay: Duration,
    /// Maximum of that delay.
    pub max_look_delay: Duration,
    /// Minimum delay before the next look, if no request waits for the token.
    pub soft_look_delay: Duration,
    /// Maximum time between the look under the lease and the publication.
    ///
    /// It is shorter than the life of a tombstone. So a token that was published and buried in between can be seen.
    pub publish_limit: Duration,
    /// Whether the first failure ends the renewal.
    pub fail_fast: bool,
}

/// Minimum time that is left for another login after a failed one.
const MIN_ATTEMPT: Duration = Duration::from_secs(1);

/// How long a process whose login has failed lets the others go first, after the end of the delay.
///
/// The reason may be on its side, such as its network. It is longer than the time between two looks of the others.
const STAND_BACK: Duration = Duration::from_millis(500);

/// Maximum random part of the patience.
const PATIENCE_SPREAD: Duration = Duration::from_secs(8);

impl Settings {
    /// Creates the settings that belong to these timeouts.
    pub fn new(attempt_timeout: Duration, wait_timeout: Duration, fail_fast: bool, random: f64) -> Self {
        let max_patience = wait_timeout.saturating_sub(attempt_timeout);
        // With a larger spread, many processes would have no patience at all.
        let spread = PATIENCE_SPREAD.min(max_patience / 2);
        Self {
            attempt_timeout,
            wait_timeout,
            patience: max_patience.saturating_sub(spread.mul_f64(random)),
            term: Duration::from_secs(4),
            beat: Duration::from_secs(1),
            first_look_delay: Duration::from_millis(25),
            max_look_delay: Duration::from_millis(250),
            soft_look_delay: Duration::from_secs(1),
            publish_limit: Duration::from_secs(120),
            fail_fast,
        }
    }
}

/// How urgent a renewal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// The token of this process still works, and no request waits.
    Soft,
    /// Requests wait for a token.
    Needed,
}

/// A token that this process has or had.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KnownToken<V> {
    /// The version of its record, if it came from the store or was published.
    pub version: Option<V>,
    /// When Keystone issued it, by Keystone's clock.
    pub issued_at: SystemTime,
}

/// What is in the token entry of the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entry<V> {
    /// Nothing, or a record that cannot be read.
    NoToken {
        /// The version of the record, if there is one.
        version: Option<V>,
    },
    /// A tombstone.
    Tombstone {
        /// The version of the record.
        version: V,
        /// When the token was issued that a service has refused.
        issued_at: SystemTime,
    },
    /// A token.
    Token {
        /// The version of the record.
        version: V,
        /// When Keystone issued the token.
        issued_at: SystemTime,
        /// How close the token is to its expiry.
        freshness: Freshness,
    },
}

impl<V: Clone> Entry<V> {
    /// Returns the version that a publisher has to compare with.
    fn version(&self) -> Option<V> {
        match self {
            Self::NoToken { version } => version.clone(),
            Self::Tombstone { version, .. } | Self::Token { version, .. } => Some(version.clone()),
        }
    }

    /// Returns when the token was issued that is, or was, in the entry.
    fn issued_at(&self) -> Option<SystemTime> {
        match self {
            Self::NoToken { .. } => None,
            Self::Tombstone { issued_at, .. } | Self::Token { issued_at, .. } => Some(*issued_at),
        }
    }
}

/// How close a token is to its expiry, by the policy of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// It is used and not renewed yet.
    Fresh,
    /// It is used, and renewed in the background.
    Due,
    /// It is about to expire, or has expired.
    Expiring,
}

/// A failed login of the fleet, the delay after which is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeenFailure {
    /// Whether the failure is transient.
    pub is_transient: bool,
    /// The whole delay after the failure.
    pub delay: Duration,
}

/// The result of an attempt to bury a refused token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Burial {
    /// There is a tombstone now.
    Done,
    /// Another record is there.
    Changed,
    /// The fleet has used all its refusals.
    NoneLeft,
}

/// What a renewal does next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step<V> {
    /// Read the token entry, and call [`Renewal::looked`].
    Look,
    /// Read the entry of a failed login, and call [`Renewal::looked_for_failure`].
    LookForFailure,
    /// Let the credentials obtain what their login needs, and call [`Renewal::prepared`].
    Prepare,
    /// Ask for the lease with a new owner, and call [`Renewal::leased`].
    Lease,
    /// Take a refusal of the fleet, replace the record of this version by a tombstone, and call [`Renewal::buried`].
    Bury {
        /// The version of the refused token.
        version: V,
        /// When it was issued.
        issued_at: SystemTime,
    },
    /// Log in, and call [`Renewal::logged_in`] or [`Renewal::login_failed`].
    LogIn {
        /// Timeout of the login.
        timeout: Duration,
        /// When to extend the lease and call [`Renewal::extended`]. The login goes on meanwhile.
        extend_at: Option<Duration>,
    },
    /// Log in as often as a process without a store would, and call [`Renewal::logged_in`] or
    /// [`Renewal::login_failed`].
    LogInWithoutStore,
    /// Publish the token, and call [`Renewal::published`].
    Publish {
        /// The version that the entry must still have.
        seen: Option<V>,
    },
    /// Publish the failure of the login, and call [`Renewal::published_failure`].
    PublishFailure,
    /// Give the lease back, and call [`Renewal::released`]. It need not be awaited.
    Release,
    /// Wait until this time, and call [`Renewal::waited`].
    Wait {
        /// The time.
        until: Duration,
    },
    /// The renewal is done.
    Done(Outcome),
}

/// How a renewal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// This process uses the token of the last look.
    TakeOver,
    /// This process uses the token of its own login.
    UseOwn {
        /// Whether it is in the store.
        is_published: bool,
    },
    /// This process goes on using the token that was refused, because the fleet has used all its refusals.
    KeepRefused,
    /// The requests get the error of the login of this process.
    Failed,
    /// The requests get the error of the login of another process.
    FailedElsewhere,
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn issued_at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn known(version: u32, second: u64) -> KnownToken<u32> {
        KnownToken { version: Some(version), issued_at: issued_at(second) }
    }

    fn token(version: u32, second: u64) -> Entry<u32> {
        Entry::Token { version, issued_at: issued_at(second), freshness: Freshness::Fresh }
    }

    fn due(version: u32, second: u64) -> Entry<u32> {
        Entry::Token { version, issued_at: issued_at(second), freshness: Freshness::Due }
    }

    const NOTHING: Entry<u32> = Entry::NoToken { version: None };

    fn renewal() -> Renewal<u32> {
        renewal_of(Need::Needed, None, None)
    }

    fn renewal_of(
        need: Need,
        held: Option<KnownToken<u32>>,
        refused: Option<KnownToken<u32>>,
    ) -> Renewal<u32> {
        Renewal::new(Settings::new(10 * SECOND, 30 * SECOND, false, 0.0), need, held, refused)
    }

    /// Gets the lease, and looks again.
    fn lease(renewal: &mut Renewal<u32>, now: Duration, entry: &Entry<u32>) {
        ask_for_lease(renewal, now, entry);
        renewal.leased(now, now, true, 0.5);
        assert_eq!(renewal.step(), Step::Look);
        renewal.looked(now, entry);
    }

    fn ask_for_lease(renewal: &mut Renewal<u32>, now: Duration, entry: &Entry<u32>) {
        assert_eq!(renewal.step(), Step::Look);
        renewal.looked(now, entry);
        assert_eq!(renewal.step(), Step::LookForFailure);
        renewal.looked_for_failure(now, None, 0.5);
        if renewal.step() == Step::Prepare {
            renewal.prepared(true);
        }
        assert_eq!(renewal.step(), Step::Lease);
    }

    fn log_in(renewal: &mut Renewal<u32>, now: Duration, entry: &Entry<u32>) {
        lease(renewal, now, entry);
        assert_eq!(renewal.step(), Step::LookForFailure);
        renewal.looked_for_failure(now, None, 0.5);
        assert!(matches!(renewal.step(), Step::LogIn { .. }));
    }

    fn assert_done(renewal: &mut Renewal<u32>, outcome: Outcome) {
        if renewal.step() == Step::Release {
            renewal.released();
        }
        assert_eq!(renewal.step(), Step::Done(outcome));
    }

    fn transient(seconds: u64) -> Option<SeenFailure> {
        Some(SeenFailure { is_transient: true, delay: Duration::from_secs(seconds) })
    }

    #[test]
    fn a_token_in_the_store_is_taken_over() {
        for entry in [token(1, 0), due(1, 0)] {
            let mut renewal = renewal();
            renewal.looked(Duration::ZERO, &entry);
            assert_done(&mut renewal, Outcome::TakeOver);
        }
    }

    #[test]
    fn a_token_that_is_known_older_or_about_to_expire_is_not_taken_over() {
        let expiring = Entry::Token { version: 3, issued_at: issued_at(9), freshness: Freshness::Expiring };
        for need in [Need::Soft, Need::Needed] {
            for entry in [&token(1, 5), &token(2, 4), &expiring] {
                let mut renewal = renewal_of(need, Some(known(1, 5)), None);
                renewal.looked(Duration::ZERO, entry);
                assert_eq!(renewal.step(), Step::LookForFailure, "{entry:?}");
                let mut renewal = renewal_of(Need::Needed, None, Some(known(1, 5)));
                renewal.looked(Duration::ZERO, entry);
                assert_eq!(renewal.step(), Step::LookForFailure, "{entry:?}");
            }
        }
    }

    #[test]
    fn another_token_of_the_same_second_is_taken_over() {
        let mut renewal = renewal_of(Need::Needed, None, Some(known(1, 5)));
        renewal.looked(Duration::ZERO, &token(2, 5));
        assert_done(&mut renewal, Outcome::TakeOver);
        let unpublished = KnownToken { version: None, issued_at: issued_at(5) };
        let mut renewal = renewal_of(Need::Needed, None, Some(unpublished));
        renewal.looked(Duration::ZERO, &token(2, 5));
        assert_eq!(renewal.step(), Step::LookForFailure, "it may have been refused before");
    }

    #[test]
    fn a_soft_renewal_takes_over_only_fresh_tokens() {
        let mut renewal = renewal_of(Need::Soft, Some(known(1, 5)), None);
        renewal.looked(Duration::ZERO, &due(2, 6));
        assert_eq!(renewal.step(), Step::LookForFailure);
        renewal.looked_for_failure(Duration::ZERO, None, 0.0);
        renewal.prepared(true);
        renewal.leased(Duration::ZERO, Duration::ZERO, false, 0.5);
        assert_eq!(renewal.step(), Step::Wait { until: SECOND * 3 / 2 });
        renewal.waited();
        renewal.looked(SECOND * 3 / 2, &token(3, 6));
        assert_done(&mut renewal, Outcome::TakeOver);
    }

    #[test]
    fn a_holder_of_the_lease_looks_again_logs_in_publishes_and_releases() {
        let mut renewal = renewal();
        log_in(&mut renewal, SECOND, &NOTHING);
        assert_eq!(renewal.step(), Step::LogIn { timeout: 10 * SECOND, extend_at: Some(2 * SECOND) });
        renewal.extended(2 * SECOND, true);
        assert_eq!(renewal.step(), Step::LogIn { timeout: 10 * SECOND, extend_at: Some(3 * SECOND) });
        renewal.logged_in(3 * SECOND, Some(issued_at(3)));
        assert_eq!(renewal.step(), Step::Publish { seen: None });
        renewal.published(true);
        assert_eq!(renewal.step(), Step::Release);
        assert_done(&mut renewal, Outcome::UseOwn { is_published: true });
    }

    #[test]
    fn a_token_that_came_before_the_lease_is_taken_over_and_the_lease_is_given_back() {
        let mut renewal = renewal();
        ask_for_lease(&mut renewal, SECOND, &NOTHING);
        renewal.leased(SECOND, SECOND, true, 0.5);
        renewal.looked(SECOND, &token(1, 0));
        assert_eq!(renewal.step(), Step::Release);
        assert_done(&mut renewal, Outcome::TakeOver);
    }

    #[test]
    fn a_holder_that_was_stopped_before_its_login_begins_again() {
        let mut looking = renewal();
        ask_for_lease(&mut looking, SECOND, &NOTHING);
        looking.leased(SECOND, SECOND, true, 0.5);
        looking.looked(5 * SECOND, &NOTHING);
        let mut looking_for_failure = renewal();
        lease(&mut looking_for_failure, SECOND, &NOTHING);
        looking_for_failure.looked_for_failure(5 * SECOND, None, 0.5);
        for mut renewal in [looking, looking_for_failure] {
            assert_eq!(renewal.step(), Step::Release);
            renewal.released();
            log_in(&mut renewal, 6 * SECOND, &NOTHING);
        }
    }

    #[test]
    fn a_lost_lease_does_not_end_the_login() {
        for is_away in [false, true] {
            let mut renewal = renewal();
            log_in(&mut renewal, SECOND, &token_that_expires());
            if is_away {
                renewal.store_away(2 * SECOND);
            } else {
                renewal.extended(2 * SECOND, false);
            }
            assert_eq!(renewal.step(), Step::LogIn { timeout: 10 * SECOND, extend_at: None });
            renewal.logged_in(9 * SECOND, Some(issued_at(9)));
            assert_eq!(renewal.step(), Step::Publish { seen: Some(7) });
            renewal.published(true);
            assert_done(&mut renewal, Outcome::UseOwn { is_published: true });
        }
    }

    fn token_that_expires() -> Entry<u32> {
        Entry::Token { version: 7, issued_at: issued_at(0), freshness: Freshness::Expiring }
    }

    #[test]
    fn the_later_of_two_tokens_wins() {
        let not_published = Step::Done(Outcome::UseOwn { is_published: false });
        let tombstone = |second| Entry::Tombstone { version: 8, issued_at: issued_at(second) };
        for (entry, next) in [
            (token(8, 4), Step::Done(Outcome::TakeOver)),
            (token(8, 3), not_published.clone()),
            (token(8, 2), Step::Publish { seen: Some(8) }),
            (tombstone(4), not_published.clone()),
            (tombstone(3), not_published.clone()),
            (tombstone(2), Step::Publish { seen: Some(8) }),
            (NOTHING, Step::Publish { seen: None }),
        ] {
            let mut renewal = renewal();
            log_in(&mut renewal, SECOND, &token_that_expires());
            renewal.extended(SECOND, false);
            renewal.logged_in(3 * SECOND, Some(issued_at(3)));
            renewal.published(false);
            renewal.looked(3 * SECOND, &entry);
            assert_eq!(renewal.step(), next, "{entry:?}");
            if matches!(next, Step::Publish { .. }) {
                renewal.published(false);
                assert_eq!(renewal.step(), not_published);
            }
        }
    }

    #[test]
    fn a_token_is_not_published_long_after_the_look() {
        let mut renewal = renewal();
        log_in(&mut renewal, SECOND, &NOTHING);
        renewal.logged_in(122 * SECOND, Some(issued_at(3)));
        assert_eq!(renewal.step(), Step::Look);
        renewal.looked(122 * SECOND, &NOTHING);
        assert_done(&mut renewal, Outcome::UseOwn { is_published: false });
    }

    #[test]
    fn a_token_without_dates_is_not_published() {
        let mut renewal = renewal();
        log_in(&mut renewal, SECOND, &NOTHING);
        renewal.logged_in(2 * SECOND, None);
        assert_eq!(renewal.step(), Step::Release);
        assert_done(&mut renewal, Outcome::UseOwn { is_published: false });
    }

    #[test]
    fn a_process_waits_for_the_holder_and_loses_patience() {
        for need in [Need::Soft, Need::Needed] {
            let (mut renewal, mut now, mut waits) =
                (renewal_of(need, None, None), Duration::ZERO, Vec::new());
            loop {
                ask_for_lease(&mut renewal, now, &NOTHING);
                renewal.leased(now, now, false, 0.5);
                let Step::Wait { until } = renewal.step() else { break };
                waits.push((until - now).as_millis());
                now = until;
                renewal.waited();
            }
            assert_eq!(now, 20 * SECOND);
            assert_eq!(renewal.step(), Step::LogIn { timeout: 10 * SECOND, extend_at: None });
            match need {
                Need::Soft => assert_eq!(waits[..3], [1500, 1500, 1500]),
                Need::Needed => assert_eq!(waits[..6], [25, 50, 100, 200, 250, 250]),
            }
            renewal.logged_in(now, Some(issued_at(1)));
            assert_eq!(renewal.step(), Step::Publish { seen: None });
        }
    }

    #[test]
    fn the_patience_is_spread_and_never_negative() {
        let patience = |wait, random| Settings::new(10 * SECOND, wait * SECOND, false, random).patience;
        assert_eq!((patience(30, 0.0), patience(30, 1.0)), (20 * SECOND, 12 * SECOND));
        assert_eq!(
            (patience(12, 0.0), patience(12, 1.0), patience(5, 0.0)),
            (2 * SECOND, SECOND, Duration::ZERO)
        );
    }

    #[test]
    fn a_refused_token_is_buried_under_the_lease() {
        let mut renewal = renewal_of(Need::Needed, None, Some(known(1, 5)));
        lease(&mut renewal, SECOND, &token(1, 5));
        assert_eq!(renewal.step(), Step::Bury { version: 1, issued_at: issued_at(5) });
        renewal.buried(Burial::Done);
        renewal.looked(SECOND, &Entry::Tombstone { version: 2, issued_at: issued_at(5) });
        renewal.looked_for_failure(SECOND, None, 0.5);
        renewal.logged_in(2 * SECOND, Some(issued_at(6)));
        assert_eq!(renewal.step(), Step::Publish { seen: Some(2) });
    }

    #[test]
    fn a_refused_token_is_buried_once() {
        let mut renewal = renewal_of(Need::Needed, None, Some(known(1, 5)));
        lease(&mut renewal, SECOND, &token(1, 5));
        renewal.buried(Burial::Changed);
        renewal.looked(SECOND, &token(1, 5));
        assert_eq!(renewal.step(), Step::LookForFailure);
    }

    #[test]
    fn a_refused_token_is_kept_if_the_fleet_has_no_refusal_left() {
        let mut renewal = renewal_of(Need::Needed, None, Some(known(1, 5)));
        lease(&mut renewal, SECOND, &token(1, 5));
        renewal.buried(Burial::NoneLeft);
        assert_eq!(renewal.step(), Step::Release);
        assert_done(&mut renewal, Outcome::KeepRefused);
    }

    #[test]
    fn a_failure_ends_a_renewal_that_does_not_wait_for_its_end() {
        let permanent = Some(SeenFailure { is_transient: false, delay: SECOND });
        let hurried = Settings::new(10 * SECOND, 30 * SECOND, true, 0.0);
        for (mut renewal, failure) in [
            (renewal(), permanent),
            (renewal(), transient(30)),
            (renewal_of(Need::Soft, Some(known(1, 5)), None), transient(1)),
            (Renewal::new(hurried, Need::Needed, None, None), transient(1)),
        ] {
            renewal.looked(SECOND, &NOTHING);
            renewal.looked_for_failure(SECOND, failure, 0.5);
            assert_done(&mut renewal, Outcome::FailedElsewhere);
        }
    }

    #[test]
    fn a_transient_failure_is_waited_for() {
        let mut renewal = renewal();
        log_in(&mut renewal, SECOND, &NOTHING);
        renewal.login_failed(true, true);
        assert_eq!(renewal.step(), Step::PublishFailure);
        renewal.published_failure(2 * SECOND, 4 * SECOND, 0.5);
        assert_eq!(renewal.step(), Step::Release);
        renewal.released();
        assert_eq!(renewal.step(), Step::Wait { until: Duration::from_millis(2025) });
        renewal.waited();
        renewal.looked(3 * SECOND, &NOTHING);
        renewal.looked_for_failure(3 * SECOND, transient(4), 0.5);
        assert_eq!(renewal.step(), Step::Wait { until: Duration::from_millis(3050) });
        renewal.waited();
        log_in(&mut renewal, 28 * SECOND, &NOTHING);
        assert_eq!(renewal.step(), Step::LogIn { timeout: 2 * SECOND, extend_at: Some(29 * SECOND) });
        renewal.login_failed(true, false);
        assert_eq!(renewal.step(), Step::Release, "a login without its whole timeout says nothing to others");
        assert_done(&mut renewal, Outcome::Failed);
    }

    #[test]
    fn a_process_whose_login_has_failed_lets_others_go_first() {
        let mut renewal = renewal();
        log_in(&mut renewal, SECOND, &NOTHING);
        renewal.login_failed(true, true);
        renewal.published_failure(SECOND, SECOND, 0.5);
        renewal.released();
        for (now, next) in [(2400, Step::Wait { until: Duration::from_millis(2450) }), (2500, Step::Lease)] {
            let now = Duration::from_millis(now);
            renewal.waited();
            renewal.looked(now, &NOTHING);
            renewal.looked_for_failure(now, None, 0.5);
            assert_eq!(renewal.step(), next);
        }
    }

    #[test]
    fn a_failure_that_concerns_no_other_process_is_retried_without_the_store() {
        for (is_transient, next) in [(true, Step::LogInWithoutStore), (false, Step::Done(Outcome::Failed))] {
            let mut renewal = renewal();
            log_in(&mut renewal, SECOND, &NOTHING);
            renewal.failed_apart(2 * SECOND, is_transient);
            assert_eq!(renewal.step(), next);
        }
    }

    #[test]
    fn waiting_for_the_end_of_a_failure_has_an_end() {
        for (own, outcome) in [(true, Outcome::Failed), (false, Outcome::FailedElsewhere)] {
            let mut renewal = renewal();
            if own {
                log_in(&mut renewal, SECOND, &NOTHING);
                renewal.login_failed(true, true);
                renewal.published_failure(SECOND, 4 * SECOND, 0.5);
                renewal.released();
                renewal.waited();
            }
            renewal.looked(29 * SECOND, &NOTHING);
            renewal.looked_for_failure(29 * SECOND, transient(4), 0.5);
            assert_done(&mut renewal, outcome);
        }
    }

    #[test]
    fn nobody_loses_patience_after_a_failure_of_the_fleet() {
        let mut renewal = renewal();
        renewal.looked(SECOND, &NOTHING);
        renewal.looked_for_failure(SECOND, transient(1), 0.5);
        renewal.waited();
        ask_for_lease(&mut renewal, 25 * SECOND, &NOTHING);
        renewal.leased(25 * SECOND, 25 * SECOND, false, 0.5);
        assert!(matches!(renewal.step(), Step::Wait { .. }));
        renewal.waited();
        ask_for_lease(&mut renewal, 29 * SECOND, &NOTHING);
        renewal.leased(29 * SECOND, 29 * SECOND, false, 0.5);
        assert_done(&mut renewal, Outcome::FailedElsewhere);
    }

    #[test]
    fn a_failure_is_ignored_once_if_the_program_asks_for_it() {
        let mut renewal = renewal().ignoring_failure();
        renewal.looked(SECOND, &NOTHING);
        assert_eq!(renewal.step(), Step::Prepare);
        renewal.prepared(true);
        renewal.leased(SECOND, SECOND, true, 0.5);
        renewal.looked(SECOND, &NOTHING);
        assert!(matches!(renewal.step(), Step::LogIn { .. }));
        renewal.login_failed(true, true);
        renewal.published_failure(2 * SECOND, SECOND, 0.5);
        renewal.released();
        renewal.waited();
        renewal.looked(3 * SECOND, &NOTHING);
        assert_eq!(renewal.step(), Step::LookForFailure);
    }

    #[test]
    fn a_forced_renewal_does_not_take_over_what_is_there() {
        let mut renewal = renewal().forced();
        ask_for_lease(&mut renewal, SECOND, &token(1, 5));
        renewal.leased(SECOND, SECOND, false, 0.5);
        renewal.waited();
        ask_for_lease(&mut renewal, SECOND, &token(1, 5));
        renewal.leased(SECOND, SECOND, false, 0.5);
        renewal.waited();
        renewal.looked(SECOND, &token(2, 5));
        assert_done(&mut renewal, Outcome::TakeOver);
    }

    #[test]
    fn a_permanent_failure_of_another_process_replaces_an_own_transient_one() {
        let failure = |is_transient| Some(SeenFailure { is_transient, delay: SECOND });
        for (is_transient, outcome) in [(true, Outcome::Failed), (false, Outcome::FailedElsewhere)] {
            let mut renewal = renewal();
            log_in(&mut renewal, SECOND, &NOTHING);
            renewal.login_failed(true, true);
            renewal.published_failure(SECOND, SECOND, 0.5);
            renewal.released();
            renewal.waited();
            renewal.looked(30 * SECOND, &NOTHING);
            renewal.looked_for_failure(30 * SECOND, failure(is_transient), 0.5);
            assert_done(&mut renewal, outcome);
        }
    }

    #[test]
    fn credentials_that_are_not_prepared_end_the_renewal() {
        let mut renewal = renewal();
        renewal.looked(SECOND, &NOTHING);
        renewal.looked_for_failure(SECOND, None, 0.5);
        renewal.prepared(false);
        assert_done(&mut renewal, Outcome::Failed);
    }

    #[test]
    fn without_the_store_the_renewal_logs_in_alone_and_publishes_if_the_store_is_back() {
        let looking = renewal();
        let mut looking_for_failure = renewal();
        looking_for_failure.looked(SECOND, &NOTHING);
        let mut asking = renewal();
        ask_for_lease(&mut asking, SECOND, &NOTHING);
        let mut leased = asking.clone();
        leased.leased(SECOND, SECOND, true, 0.5);
        let mut burying = renewal_of(Need::Needed, None, Some(known(1, 5)));
        lease(&mut burying, SECOND, &token(1, 5));
        for mut renewal in [looking, looking_for_failure, asking, leased, burying] {
            renewal.store_away(SECOND);
            assert_eq!((renewal.step(), renewal.holds_lease()), (Step::LogInWithoutStore, false));
            let mut failed = renewal.clone();
            failed.login_failed(true, true);
            assert_done(&mut failed, Outcome::Failed);
            renewal.logged_in(2 * SECOND, Some(issued_at(6)));
            if renewal.step() == Step::Look {
                renewal.looked(2 * SECOND, &NOTHING);
            }
            assert!(matches!(renewal.step(), Step::Publish { .. }));
            let mut away = renewal.clone();
            away.store_away(2 * SECOND);
            assert_done(&mut away, Outcome::UseOwn { is_published: false });
            renewal.published(true);
            assert_done(&mut renewal, Outcome::UseOwn { is_published: true });
        }
    }

    #[test]
    fn a_failure_that_cannot_be_published_is_retried_without_the_store() {
        for (is_transient, next) in [(true, Step::LogInWithoutStore), (false, Step::Done(Outcome::Failed))] {
            let mut renewal = renewal();
            log_in(&mut renewal, SECOND, &NOTHING);
            renewal.login_failed(is_transient, true);
            renewal.store_away(2 * SECOND);
            assert_eq!(renewal.step(), next);
        }
    }
}
