//! Processes that share one token by the protocol of the crate, and what can happen to them.

use std::{
    cell::RefCell,
    collections::HashMap,
    time::{Duration, SystemTime},
};

use tower_keystone::renewal::protocol::{
    Burial, Entry, Freshness, KnownToken, Need, Outcome, Renewal, SeenFailure, Settings, Step,
};

use super::{
    explore::System,
    store::{Content, Operation, Part, Record, Response, Store},
};

const PROCESSES: usize = 3;

/// The unit of time. A process that is neither dead nor stopped takes all its steps within a tick, except for waits and
/// logins.
const TICK: Duration = Duration::from_secs(2);

/// The longest login of a process that is not stopped, in ticks.
const ATTEMPT: u8 = 2;
/// How long a lease lasts, in ticks. It is extended at each tick.
const TERM: u8 = 2;
/// The delay after a failed login, in ticks.
const FAILURE_DELAY: u8 = 3;
/// The time in which refusals are limited, in ticks.
const REFUSAL_WINDOW: u8 = 5;
/// Maximum number of refusals in that time.
const MAX_REFUSALS: u8 = 3;
/// Longer than the model runs, in ticks.
const FOR_EVER: u8 = 100;
/// The owner of a lease that a stranger has taken.
const STRANGER: u8 = u8::MAX;

/// What can happen, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A process is killed.
    pub kills: u8,
    /// A process is stopped, and goes on at any later time.
    pub stops: u8,
    /// All tokens are revoked.
    pub revocations: u8,
    /// The store cannot be used, and comes back at any later time.
    pub outages: u8,
    /// An operation of the store is done, but its response is lost.
    pub lost_responses: u8,
    /// The store loses all its data.
    pub losses: u8,
    /// A stranger replaces the token by something that cannot be read.
    pub garbage: u8,
}

/// What is different in a run.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub faults: Faults,
    /// Whether all processes start with a token that is due for renewal.
    pub is_due: bool,
    /// Number of logins that fail before others succeed, and whether they fail permanently.
    pub failing_logins: (u8, bool),
    /// Whether services refuse each token.
    pub refuses_all: bool,
    /// Whether a stranger holds the lease for ever.
    pub is_lease_stuck: bool,
    /// Whether a lease may last a tick longer than its term.
    pub is_lease_inexact: bool,
    /// Whether the lease of a process that is killed is free at once.
    pub is_lease_freed_on_death: bool,
    /// How many ticks have the same date.
    pub date_resolution: u8,
    /// Number of processes, up to 3.
    pub processes: usize,
    /// How long a process waits for others before it logs in by itself, in ticks.
    pub patience: u8,
    /// Number of ticks.
    pub duration: u8,
}

impl Config {
    /// No faults.
    pub const NONE: Self = Self {
        faults: Faults {
            kills: 0,
            stops: 0,
            revocations: 0,
            outages: 0,
            lost_responses: 0,
            losses: 0,
            garbage: 0,
        },
        is_due: false,
        failing_logins: (0, false),
        refuses_all: false,
        is_lease_stuck: false,
        is_lease_inexact: false,
        is_lease_freed_on_death: false,
        date_resolution: 1,
        processes: PROCESSES,
        patience: 5,
        duration: 13,
    };
}

/// A token in a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Token {
    serial: u8,
    issued_at: u8,
    record: Option<Record>,
}

/// A renewal in a process, by its number. Equal ones have equal numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct RenewalNumber(u32);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Life {
    Runs,
    /// It is stopped. An operation may have been done meanwhile.
    Stopped(Option<(Operation, Option<Response>)>),
    Dead,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Process {
    life: Life,
    renewal: Option<RenewalNumber>,
    /// How long the renewal takes, in ticks.
    age: u8,
    /// The same without the time in which the process was stopped.
    running_age: u8,
    /// Whether it does nothing until the next tick.
    is_idle: bool,
    /// Whether it was stopped since it got the lease.
    was_stopped: bool,
    /// Since when it logs in, in ticks of the renewal, and whether it had the lease.
    login: Option<(u8, bool)>,
    owner: u8,
    /// When it asked for the lease, in ticks of the renewal.
    asked_at: u8,
    has_refusal: bool,
    token: Option<Token>,
    refused: Option<Token>,
    /// The token of its own login.
    own: Option<Token>,
    publications: u8,
    /// What it has seen at its last look.
    looked: Option<Token>,
}

/// All processes, their store and Keystone.
#[derive(Clone, Copy)]
pub struct World {
    config: &'static Config,
    tick: u8,
    store: Store,
    is_away: bool,
    processes: [Process; PROCESSES],
    /// The number of tokens that Keystone has issued.
    serial: u8,
    /// The last token that is revoked.
    revoked: u8,
    /// The newest token that was published.
    published: u8,
    /// The number of leases.
    owners: u8,
    tombstones: u8,
    /// The ticks of the last tombstones.
    last_tombstones: [u8; MAX_REFUSALS as usize],
    leased_logins: u8,
    lone_logins: u8,
    failed_logins: u8,
    /// The number of tokens that could not be published, because the store had one of the same date.
    unpublished: u8,
    /// When another login may be made after a failed one.
    failure_ends: u8,
    left: Faults,
    violation: Option<&'static str>,
}

/// Something that happens. The number is that of a process. The processes are sorted in each state.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "a violation shows the actions before it")]
pub enum Action {
    Start(usize),
    Refused(usize),
    Does(usize, &'static str),
    LoginEnds(usize),
    LoginFails(usize),
    Killed(usize),
    Stopped(usize),
    StoppedAfter(usize, &'static str),
    Resumed(usize),
    LosesResponse(usize, &'static str),
    AllRevoked,
    StoreAway,
    StoreBack,
    StoreLosesData,
    Garbage,
    Tick,
}

thread_local! {
    static RENEWALS: RefCell<(Vec<Renewal<Record>>, HashMap<Renewal<Record>, u32>)> = RefCell::default();
}

impl RenewalNumber {
    fn of(renewal: Renewal<Record>) -> Self {
        RENEWALS.with_borrow_mut(|(renewals, numbers)| {
            Self(*numbers.entry(renewal).or_insert_with_key(|renewal| {
                renewals.push(renewal.clone());
                renewals.len() as u32 - 1
            }))
        })
    }

    fn get(self) -> Renewal<Record> {
        RENEWALS.with_borrow(|(renewals, _)| renewals[self.0 as usize].clone())
    }
}

impl Token {
    fn known(self) -> KnownToken<Record> {
        KnownToken { version: self.record, issued_at: date(self.issued_at) }
    }
}

fn date(issued_at: u8) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(issued_at.into())
}

fn ticks(count: u8) -> Duration {
    TICK * count.into()
}

impl Process {
    const DEAD: Self = Self {
        life: Life::Dead,
        renewal: None,
        age: 0,
        running_age: 0,
        is_idle: false,
        was_stopped: false,
        login: None,
        owner: 0,
        asked_at: 0,
        has_refusal: false,
        token: None,
        refused: None,
        own: None,
        publications: 0,
        looked: None,
    };

    fn start(&mut self, config: &Config, need: Need, is_refusal: bool) {
        if is_refusal {
            self.refused = self.token.take();
        }
        let settings = Settings {
            patience: ticks(config.patience),
            term: ticks(TERM),
            ..Settings::new(ticks(ATTEMPT), ticks(config.patience + ATTEMPT), false, 0.0)
        };
        let [held, refused] = [self.token, self.refused].map(|token| token.map(Token::known));
        self.renewal = Some(RenewalNumber::of(Renewal::new(settings, need, held, refused)));
        self.age = 0;
        self.running_age = 0;
        self.own = None;
        self.publications = 0;
    }

    fn now(&self) -> Duration {
        ticks(self.age)
    }
}

impl World {
    pub fn new(config: &'static Config) -> Self {
        let mut store = Store::default();
        let mut processes = [Process { life: Life::Runs, ..Process::DEAD }; PROCESSES];
        let mut serial = 0;
        if config.is_due {
            serial = 1;
            let record = Record { content: Content::Token { serial, issued_at: 0 }, number: 0 };
            let time_to_live = ticks(FOR_EVER);
            let publish = Operation::Publish { part: Part::Token, seen: None, record, time_to_live };
            store = store.run(Duration::ZERO, publish).0;
            for process in &mut processes {
                process.token = Some(Token { serial, issued_at: 0, record: Some(record) });
            }
        }
        if config.is_lease_stuck {
            let lease = Operation::Lease { owner: STRANGER, term: ticks(FOR_EVER) };
            store = store.run(Duration::ZERO, lease).0;
        }
        let need = if config.is_due { Need::Soft } else { Need::Needed };
        for process in &mut processes {
            process.start(config, need, false);
        }
        processes[config.processes..].fill(Process::DEAD);
        Self {
            config,
            tick: 0,
            store,
            is_away: false,
            processes,
            serial,
            revoked: 0,
            published: serial,
            owners: 0,
            tombstones: 0,
            last_tombstones: [0; MAX_REFUSALS as usize],
            leased_logins: 0,
            lone_logins: 0,
            failed_logins: 0,
            unpublished: 0,
            failure_ends: 0,
            left: config.faults,
            violation: None,
        }
    }

    fn now(&self) -> Duration {
        ticks(self.tick)
    }

    fn used(&self) -> Faults {
        let (all, left) = (self.config.faults, self.left);
        Faults {
            kills: all.kills - left.kills,
            stops: all.stops - left.stops,
            revocations: all.revocations - left.revocations,
            outages: all.outages - left.outages,
            lost_responses: all.lost_responses - left.lost_responses,
            losses: all.losses - left.losses,
            garbage: all.garbage - left.garbage,
        }
    }

    /// Returns whether the token was changed by processes only.
    fn is_data_intact(&self) -> bool {
        self.left.losses == self.config.faults.losses && self.left.garbage == self.config.faults.garbage
    }

    fn violate(&mut self, invariant: &'static str) {
        self.violation.get_or_insert(invariant);
    }

    /// Runs an operation of a process, or of a stranger if `checked` is false.
    fn run(&mut self, operation: Operation) -> Response {
        let before = self.store.get(self.now(), Part::Token);
        let (store, response) = self.store.run(self.now(), operation);
        self.store = store;
        let after = self.store.get(self.now(), Part::Token);
        if before != after {
            let serial = |record: Option<Record>| match record?.content {
                Content::Token { serial, .. } => Some(serial),
                _ => None,
            };
            let (old, new) = (serial(before).unwrap_or(0), serial(after).unwrap_or(0));
            if new == 0 && old > self.revoked {
                self.violate("I6: a good token was removed");
            } else if old > 0 && new > 0 && new < old {
                self.violate("I3: a token replaced a later one");
            } else if new > 0 && new < self.published && self.is_data_intact() {
                self.violate("I3b: a token was published after a later one was removed");
            }
            self.published = self.published.max(new);
        }
        response
    }

    fn do_step(&mut self, i: usize, step: &Step<Record>) -> Option<Operation> {
        let process = &mut self.processes[i];
        let has_refusal = process.has_refusal;
        match step {
            Step::Look => Some(Operation::Get(Part::Token)),
            Step::LookForFailure => Some(Operation::Get(Part::Failure)),
            Step::Lease => {
                self.owners += 1;
                process.owner = self.owners;
                process.asked_at = process.age;
                process.was_stopped = false;
                Some(Operation::Lease { owner: self.owners, term: ticks(TERM) })
            }
            Step::Bury { .. } if !has_refusal => {
                let record = Record { content: Content::Refusal, number: 0 };
                let free = (0..MAX_REFUSALS)
                    .map(Part::Refusal)
                    .find(|part| self.store.get(ticks(self.tick), *part).is_none());
                let part = free.unwrap_or(Part::Refusal(0));
                Some(Operation::Publish { part, seen: None, record, time_to_live: ticks(REFUSAL_WINDOW) })
            }
            Step::Bury { version, issued_at } => {
                let issued_at = issued_at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as u8;
                self.tombstones += 1;
                let record = Record { content: Content::Tombstone { issued_at }, number: self.tombstones };
                let (seen, time_to_live) = (Some(version.version()), ticks(FOR_EVER));
                Some(Operation::Publish { part: Part::Token, seen, record, time_to_live })
            }
            Step::Publish { seen } => {
                let own = process.own.as_mut().unwrap();
                let content = Content::Token { serial: own.serial, issued_at: own.issued_at };
                let record = Record { content, number: process.publications };
                process.publications += 1;
                own.record = Some(record);
                let (seen, time_to_live) = (seen.map(Record::version), ticks(FOR_EVER));
                Some(Operation::Publish { part: Part::Token, seen, record, time_to_live })
            }
            Step::PublishFailure => {
                let record = Record {
                    content: Content::Failure { is_transient: !self.config.failing_logins.1 },
                    number: 0,
                };
                let seen = self.store.get(ticks(self.tick), Part::Failure).map(Record::version);
                let time_to_live = ticks(FAILURE_DELAY);
                Some(Operation::Publish { part: Part::Failure, seen, record, time_to_live })
            }
            Step::Release => Some(Operation::Release { owner: process.owner }),
            _ => None,
        }
    }

    /// Reports the response of an operation to the protocol. `None` if the store is away.
    fn report(&mut self, i: usize, operation: Operation, response: Option<Response>) {
        let tick = self.tick;
        let process = &mut self.processes[i];
        let now = process.now();
        let mut renewal = process.renewal.unwrap().get();
        let step = renewal.step();
        let mut is_tombstone = false;
        match (step, response) {
            (_, None) => {
                process.has_refusal = false;
                if let (Step::Publish { .. }, Some(own)) = (renewal.step(), &mut process.own) {
                    own.record = None;
                }
                renewal.store_away(now);
            }
            (Step::Look, Some(Response::Record(record))) => {
                process.looked = None;
                let entry = match record.map(|record| (record, record.content)) {
                    None => Entry::NoToken { version: None },
                    Some((version, Content::Tombstone { issued_at })) => {
                        Entry::Tombstone { version, issued_at: date(issued_at) }
                    }
                    Some((version, Content::Token { serial, issued_at })) => {
                        process.looked = Some(Token { serial, issued_at, record });
                        let is_due = self.config.is_due && serial == 1;
                        let freshness = if is_due { Freshness::Due } else { Freshness::Fresh };
                        Entry::Token { version, issued_at: date(issued_at), freshness }
                    }
                    Some((version, _)) => Entry::NoToken { version: Some(version) },
                };
                if let Some((looked, version)) = process.looked.zip(record) {
                    if process.token.is_some_and(|held| held.serial == looked.serial) {
                        renewal.found_held(version);
                    }
                    if process.refused.is_some_and(|refused| refused.serial == looked.serial) {
                        renewal.found_refused(version);
                    }
                }
                renewal.looked(now, &entry);
            }
            (Step::LookForFailure, Some(Response::Record(record))) => {
                let failure = record.map(|record| SeenFailure {
                    is_transient: record.content == Content::Failure { is_transient: true },
                    delay: ticks(FAILURE_DELAY),
                });
                renewal.looked_for_failure(now, failure, 0.5);
            }
            (Step::Lease, Some(Response::Done(is_leased))) => {
                renewal.leased(ticks(process.asked_at), now, is_leased, 0.5);
            }
            (Step::Bury { .. }, Some(Response::Done(is_done))) => match (process.has_refusal, is_done) {
                (false, true) => process.has_refusal = true,
                (false, false) => renewal.buried(Burial::NoneLeft),
                (true, is_done) => {
                    process.has_refusal = false;
                    is_tombstone = is_done;
                    renewal.buried(if is_done { Burial::Done } else { Burial::Changed });
                }
            },
            (Step::Publish { .. }, Some(Response::Done(is_published))) => {
                if !is_published && let Some(own) = &mut process.own {
                    own.record = None;
                }
                renewal.published(is_published);
            }
            (Step::PublishFailure, Some(_)) => {
                renewal.published_failure(now, ticks(FAILURE_DELAY), 0.5);
            }
            (Step::Release, Some(_)) => renewal.released(),
            (step, _) => unreachable!("{step:?} {operation:?}"),
        }
        process.renewal = Some(RenewalNumber::of(renewal));
        if is_tombstone {
            if self.last_tombstones[0] > 0 && tick + 1 < self.last_tombstones[0] + REFUSAL_WINDOW {
                self.violate("I9: more refusals than the fleet has in a time");
            }
            self.last_tombstones.rotate_left(1);
            self.last_tombstones[2] = tick + 1;
        }
        self.go_on(i);
    }

    /// Does what needs no store, until the process waits, logs in or is done.
    fn go_on(&mut self, i: usize) {
        loop {
            let process = &mut self.processes[i];
            let now = process.now();
            let mut renewal = process.renewal.unwrap().get();
            match renewal.step() {
                Step::Prepare => renewal.prepared(true),
                Step::LookForFailure if self.config.failing_logins.0 == 0 => {
                    renewal.looked_for_failure(now, None, 0.5);
                }
                Step::Wait { .. } => {
                    process.is_idle = true;
                    return;
                }
                Step::LogIn { .. } | Step::LogInWithoutStore => {
                    if process.login.is_none() {
                        let is_leased = renewal.holds_lease();
                        process.login = Some((process.age, is_leased));
                        self.start_login(is_leased);
                    }
                    return;
                }
                Step::Done(outcome) => return self.finish(i, outcome),
                _ => return,
            }
            process.renewal = Some(RenewalNumber::of(renewal));
        }
    }

    fn start_login(&mut self, is_leased: bool) {
        *(if is_leased { &mut self.leased_logins } else { &mut self.lone_logins }) += 1;
        let used = self.used();
        let is_known = used.kills + used.stops + used.outages + used.losses + used.lost_responses == 0;
        if is_known && self.tick < self.failure_ends {
            self.violate("I8: a login in the delay after a failed one");
        }
    }

    fn finish(&mut self, i: usize, outcome: Outcome) {
        let process = &mut self.processes[i];
        let (looked, own) = (process.looked.take(), process.own.take());
        let old = process.token;
        match outcome {
            Outcome::TakeOver => process.token = looked,
            Outcome::UseOwn { .. } => process.token = own,
            Outcome::KeepRefused => process.token = process.refused,
            Outcome::Failed | Outcome::FailedElsewhere => {}
        }
        // After a failure, the next request comes a tick later.
        process.is_idle = !matches!(outcome, Outcome::TakeOver | Outcome::UseOwn { .. });
        process.renewal = None;
        process.login = None;
        let new = process.token;
        self.unpublished += u8::from(outcome == Outcome::UseOwn { is_published: false });
        if outcome == Outcome::TakeOver {
            let Some(new) = new else { return self.violate("a token was taken over that was not seen") };
            let refused = self.processes[i].refused;
            if refused.is_some_and(|refused| refused.serial == new.serial) {
                self.violate("I7: a token was taken again that had been refused here");
            }
            if old.is_some_and(|old| old.serial >= new.serial) {
                self.violate("I3: a process replaced its token by an earlier one");
            }
        }
    }

    fn end_login(&mut self, i: usize, is_successful: bool) {
        let process = &mut self.processes[i];
        let mut renewal = process.renewal.unwrap().get();
        process.login = None;
        if is_successful {
            self.serial += 1;
            if self.config.refuses_all {
                self.revoked = self.serial;
            }
            let issued_at = self.tick / self.config.date_resolution;
            process.own = Some(Token { serial: self.serial, issued_at, record: None });
            renewal.logged_in(process.now(), Some(date(issued_at)));
        } else {
            self.failed_logins += 1;
            self.failure_ends = self.tick + FAILURE_DELAY;
            renewal.login_failed(!self.config.failing_logins.1, true);
        }
        process.renewal = Some(RenewalNumber::of(renewal));
        self.go_on(i);
    }

    fn kill(&mut self, i: usize) {
        if self.config.is_lease_freed_on_death && self.processes[i].renewal.unwrap().get().holds_lease() {
            self.run(Operation::Release { owner: self.processes[i].owner });
        }
        self.processes[i] = Process::DEAD;
    }

    fn next_tick(&mut self) {
        self.tick += 1;
        for i in 0..PROCESSES {
            let process = &mut self.processes[i];
            process.is_idle = false;
            let Some(number) = process.renewal else { continue };
            process.age += 1;
            if process.life != Life::Runs {
                continue;
            }
            process.running_age += 1;
            let now = process.now();
            let mut renewal = number.get();
            if let Step::LogIn { extend_at: Some(extend_at), .. } = renewal.step()
                && extend_at <= now
            {
                if self.is_away {
                    renewal.store_away(now);
                } else {
                    let extend = Operation::Extend { owner: process.owner, term: ticks(TERM) };
                    renewal.extended(now, self.run(extend) == Response::Done(true));
                }
                self.processes[i].renewal = Some(RenewalNumber::of(renewal));
            }
            self.wake(i);
        }
    }

    /// Ends the wait of a process if its time has come.
    fn wake(&mut self, i: usize) {
        let process = &mut self.processes[i];
        let Some(number) = process.renewal else { return };
        let mut renewal = number.get();
        if let Step::Wait { until } = renewal.step() {
            process.is_idle = until > process.now();
            if !process.is_idle {
                renewal.waited();
                process.renewal = Some(RenewalNumber::of(renewal));
            }
        }
    }

    fn step_process(&self, i: usize, visit: &mut dyn FnMut(Action, Self)) -> bool {
        let process = &self.processes[i];
        let mut visit_after = |action, change: &dyn Fn(&mut Self)| {
            let mut next = *self;
            change(&mut next);
            visit(action, next);
        };
        match process.life {
            Life::Dead => return false,
            Life::Stopped(done) => {
                visit_after(Action::Resumed(i), &|next| {
                    next.processes[i].life = Life::Runs;
                    match done {
                        Some((operation, response)) => next.report(i, operation, response),
                        None => next.wake(i),
                    }
                });
                return false;
            }
            Life::Runs => {}
        }
        let Some(renewal) = process.renewal else {
            if process.is_idle {
                return false;
            }
            let (need, is_refusal) = match process.token {
                None => (Need::Needed, false),
                Some(token) if token.serial <= self.revoked => (Need::Needed, true),
                Some(token) if self.config.is_due && token.serial == 1 => (Need::Soft, false),
                _ => return false,
            };
            let action = if is_refusal { Action::Refused(i) } else { Action::Start(i) };
            visit_after(action, &|next| next.processes[i].start(self.config, need, is_refusal));
            return true;
        };
        if self.left.kills > 0 {
            visit_after(Action::Killed(i), &|next| {
                next.left.kills -= 1;
                next.kill(i);
            });
        }
        if self.left.stops > 0 {
            visit_after(Action::Stopped(i), &|next| {
                next.left.stops -= 1;
                next.processes[i].life = Life::Stopped(None);
                next.processes[i].was_stopped = true;
            });
        }
        if process.is_idle {
            return false;
        }
        let step = renewal.get().step();
        if let Some((since, _)) = process.login {
            let (failing, _) = self.config.failing_logins;
            let is_successful = self.failed_logins >= failing;
            let action = if is_successful { Action::LoginEnds(i) } else { Action::LoginFails(i) };
            visit_after(action, &|next| next.end_login(i, is_successful));
            return process.age - since >= ATTEMPT;
        }
        let name = name(&step);
        if self.is_away {
            visit_after(Action::Does(i, name), &|next| {
                if let Some(operation) = next.do_step(i, &step) {
                    next.report(i, operation, None);
                }
            });
            return true;
        }
        visit_after(Action::Does(i, name), &|next| {
            let operation = next.do_step(i, &step).unwrap();
            let response = next.run(operation);
            next.report(i, operation, Some(response));
        });
        if let (Step::Lease, true) = (&step, self.config.is_lease_inexact) {
            visit_after(Action::Does(i, "Lease, which lasts longer"), &|next| {
                next.do_step(i, &step);
                let owner = next.owners;
                let operation = Operation::Lease { owner, term: ticks(TERM + 1) };
                let response = next.run(operation);
                next.report(i, operation, Some(response));
            });
        }
        if self.left.stops > 0 {
            visit_after(Action::StoppedAfter(i, name), &|next| {
                next.left.stops -= 1;
                let operation = next.do_step(i, &step).unwrap();
                let response = next.run(operation);
                next.processes[i].life = Life::Stopped(Some((operation, Some(response))));
                next.processes[i].was_stopped = true;
            });
        }
        if self.left.lost_responses > 0 {
            visit_after(Action::LosesResponse(i, name), &|next| {
                next.left.lost_responses -= 1;
                let operation = next.do_step(i, &step).unwrap();
                next.run(operation);
                next.report(i, operation, None);
            });
        }
        true
    }
}

fn name(step: &Step<Record>) -> &'static str {
    match step {
        Step::Look => "Look",
        Step::LookForFailure => "LookForFailure",
        Step::Lease => "Lease",
        Step::Bury { .. } => "Bury",
        Step::Publish { .. } => "Publish",
        Step::PublishFailure => "PublishFailure",
        Step::Release => "Release",
        _ => "something without the store",
    }
}

impl System for World {
    type Action = Action;

    fn steps(&self, visit: &mut dyn FnMut(Action, Self)) {
        let mut is_urgent = false;
        for i in 0..PROCESSES {
            is_urgent |= self.step_process(i, visit);
        }
        let mut visit_after = |action, change: &dyn Fn(&mut Self)| {
            let mut next = *self;
            change(&mut next);
            visit(action, next);
        };
        if self.left.revocations > 0 && self.serial > self.revoked {
            visit_after(Action::AllRevoked, &|next| {
                next.left.revocations -= 1;
                next.revoked = next.serial;
            });
        }
        if self.is_away {
            visit_after(Action::StoreBack, &|next| next.is_away = false);
        } else if self.left.outages > 0 {
            visit_after(Action::StoreAway, &|next| {
                next.left.outages -= 1;
                next.is_away = true;
            });
        }
        if self.left.losses > 0 {
            visit_after(Action::StoreLosesData, &|next| {
                next.left.losses -= 1;
                next.store = next.store.run(next.now(), Operation::Lose).0;
            });
        }
        if self.left.garbage > 0 {
            visit_after(Action::Garbage, &|next| {
                let seen = next.store.get(next.now(), Part::Token).map(Record::version);
                let record = Record { content: Content::Garbage, number: next.left.garbage };
                let time_to_live = ticks(FOR_EVER);
                next.left.garbage -= 1;
                let publish = Operation::Publish { part: Part::Token, seen, record, time_to_live };
                next.store = next.store.run(next.now(), publish).0;
            });
        }
        if !is_urgent && self.tick < self.config.duration {
            visit_after(Action::Tick, &Self::next_tick);
        }
    }

    fn violation(&self) -> Option<&'static str> {
        if self.violation.is_some() {
            return self.violation;
        }
        let used = self.used();
        let is_store_intact = self.is_data_intact() && used.outages == 0 && used.lost_responses == 0;
        let logs_in = |process: &&Process| {
            matches!(process.login, Some((_, true))) && process.life == Life::Runs && !process.was_stopped
        };
        if is_store_intact && self.processes.iter().filter(logs_in).count() > 1 {
            return Some("I1: two logins under the lease at once, and nobody was stopped");
        }
        let has_failing = self.config.failing_logins.0 > 0;
        let longest = self.config.patience + if has_failing { 2 * ATTEMPT } else { ATTEMPT };
        if self.processes.iter().any(|process| process.running_age > longest) {
            return Some("I2: a process waits longer than its patience and an attempt");
        }
        let causes = used.kills + used.stops + used.revocations + self.failed_logins;
        let explained = 1 + causes + self.lone_logins + self.unpublished;
        if is_store_intact && !self.config.refuses_all && self.leased_logins > explained {
            return Some("I5: more logins under the lease than have a cause");
        }
        if self.config.refuses_all && self.leased_logins > 1 + self.tombstones {
            return Some("I9: a login although the fleet has no refusal left");
        }
        // The longest time until the lease is free, and a tick for the look after that.
        let is_explained = used.stops > 0 || self.config.is_lease_stuck || self.config.refuses_all;
        let longest = (1 + causes) * (ATTEMPT + 1) + used.kills * TERM;
        if is_store_intact && !is_explained && longest <= self.config.patience && self.lone_logins > 0 {
            return Some("I10: a login without the lease, although the lease was free");
        }
        None
    }

    fn canonical(&self) -> Self {
        let mut canonical = *self;
        for process in &mut canonical.processes {
            if process.renewal.is_none() {
                *process = Process {
                    life: process.life,
                    token: process.token,
                    refused: process.refused,
                    is_idle: process.is_idle,
                    ..Process::DEAD
                };
            }
        }
        canonical.processes.sort_by_cached_key(hash);
        canonical
    }
}

fn hash(process: &Process) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    process.hash(&mut hasher);
    hasher.finish()
}

impl std::hash::Hash for World {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let Self { tick, store, is_away, processes, serial, revoked, published, owners, .. } = self;
        (tick, store, is_away, processes, serial, revoked, published, owners).hash(state);
        let Self { tombstones, last_tombstones, leased_logins, lone_logins, failed_logins, .. } = self;
        (tombstones, last_tombstones, leased_logins, lone_logins, failed_logins).hash(state);
        (self.failure_ends, self.unpublished, self.left).hash(state);
    }
}
