//! Runs the [protocol] with a store and the credentials.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::time::sleep;
use tracing::debug;

use super::{
    lease_guard::LeaseGuard,
    protocol::{self, Burial, Entry, Freshness, Need, SeenFailure, Settings, Step},
};
use crate::{
    AccessInfo, Credentials, Error,
    renewal::{
        Now,
        failure::{AttemptError, CredentialsInfo},
        renewal_task::{Login, RenewalTask, with_timeout},
        shared::{Outcome, Shared},
        state::{KnownAccess, RenewalBasis, State},
    },
    store::{
        FailureCounts, IdentityEntries, SharedFailure, StoreAway, StoreUser, StoredToken, TokenEntry, Version,
    },
    task::{catch_panic, runtime},
};

/// Above this number of rejections within a window, they are not limited.
const MAX_LIMITED_REJECTIONS: usize = 64;

/// A renewal of a token that is shared.
pub(in crate::renewal) struct SharedRenewal<'a, C> {
    task: &'a RenewalTask<C>,
    started_at: Now,
    protocol: protocol::Renewal<Version>,
    rng: fastrand::Rng,
    entries: IdentityEntries,
    /// `None` if the store is closed, or is not used now.
    user: Option<StoreUser>,
    /// The delay before the first step.
    delay: Duration,
    /// The credentials when the renewal began.
    credentials: CredentialsInfo,
    /// Whether the entries have the name of the cache id, so that other credentials must not use them.
    is_named_by_cache_id: bool,
    /// The same for the entries of failed logins.
    has_failures_by_cache_id: bool,
    basis: RenewalBasis,
    lease: Option<LeaseGuard>,
    /// The token of the last look.
    seen: Option<StoredToken>,
    /// The failure of another process.
    seen_failure: Option<SharedFailure>,
    /// The last login of this renewal.
    login: Option<Login>,
    /// The delay for the whole fleet after that login, if it failed.
    shared_delay: Option<Duration>,
    /// The version of the published token.
    published: Option<Version>,
}

/// The renewal has no result: it is not needed any more, or the store is closed.
struct Ended;

impl<'a, C: Credentials> SharedRenewal<'a, C> {
    /// Starts a renewal, if the token of the plugin is shared.
    pub(in crate::renewal) fn start(task: &'a RenewalTask<C>) -> Option<Self> {
        let plugin = task.plugin_if_current()?;
        let sharing = plugin.lock().state.sharing()?;
        let credentials = plugin.credentials_info();
        let entries = plugin.entries(&sharing, &credentials)?;
        let user = entries.add_user()?;
        let started_at = plugin.clock.now();
        let mut locked = plugin.lock();
        // What the program has asked of the next renewal is not for one that it has cancelled meanwhile.
        if !locked.state.is_current_renewal(task.id) {
            return None;
        }
        let basis = locked.state.take_basis();
        let delay = locked.state.delay_after_resets();
        let mut rng = fastrand::Rng::with_seed(basis.seed);
        let settings = {
            let policy = locked.state.policy();
            Settings::new(policy.attempt_timeout, policy.wait_timeout, policy.fail_fast, rng.f64())
        };
        let need = locked.state.need(started_at);
        drop(locked);
        let known = |access: &Option<KnownAccess>| access.as_ref().map(|access| access.token.clone());
        let mut protocol = protocol::Renewal::new(settings, need, known(&basis.held), known(&basis.rejected));
        if basis.is_forced {
            protocol = protocol.forced();
        }
        if basis.ignores_failure {
            protocol = protocol.ignoring_failure();
        }
        Some(Self {
            task,
            started_at,
            protocol,
            rng,
            entries,
            user: Some(user),
            delay,
            credentials,
            is_named_by_cache_id: sharing.is_named_by_cache_id(),
            has_failures_by_cache_id: sharing.has_failures_by_cache_id(),
            basis,
            lease: None,
            seen: None,
            seen_failure: None,
            login: None,
            shared_delay: None,
            published: None,
        })
    }

    /// Obtains a token, and finishes the renewal with the result.
    pub(in crate::renewal) async fn run(mut self) -> Outcome {
        if !self.delay.is_zero() && self.unless_closed(sleep(self.delay)).await.is_err() {
            return Ok(());
        }
        loop {
            let step = match self.next_step() {
                Ok(Step::Done(outcome)) => return self.finish(outcome),
                Ok(step) => step,
                Err(Ended) => return Ok(()),
            };
            if let Err(Ended) = self.perform(step).await {
                return Ok(());
            }
        }
    }

    fn next_step(&mut self) -> Result<Step<Version>, Ended> {
        let plugin = self.plugin()?;
        let now = plugin.clock.now();
        let need = plugin.lock().state.need(now);
        self.protocol.set_need(if self.basis.is_forced { Need::Needed } else { need });
        Ok(self.protocol.step())
    }

    async fn perform(&mut self, step: Step<Version>) -> Result<(), Ended> {
        let entries = self.entries.clone();
        match step {
            Step::Look => {
                if let Some(entry) = self.ask(entries.token()).await? {
                    self.looked(entry)?;
                }
            }
            Step::LookForFailure => {
                if let Some(failure) = self.ask(entries.failure()).await? {
                    let seen = failure.as_ref().map(|failure| SeenFailure {
                        is_transient: failure.is_transient,
                        delay: failure.delay,
                    });
                    self.seen_failure = failure;
                    self.protocol.looked_for_failure(self.elapsed()?, seen, self.rng.f64());
                }
            }
            Step::Prepare => self.prepare().await?,
            Step::Lease => self.take_lease().await?,
            Step::Bury { version, issued_at } => {
                let RenewalBasis { max_rejections, rejection_window, .. } = self.basis;
                let bury = async {
                    if max_rejections <= MAX_LIMITED_REJECTIONS
                        && !entries.take_refusal(max_rejections, rejection_window).await?
                    {
                        return Ok(Burial::NoneLeft);
                    }
                    let is_buried = entries.bury_token(&version, issued_at).await?;
                    Ok(if is_buried { Burial::Done } else { Burial::Changed })
                };
                if let Some(burial) = self.ask(bury).await? {
                    self.protocol.buried(burial);
                }
            }
            Step::LogIn { timeout, .. } => self.log_in(timeout).await?,
            Step::LogInWithoutStore => self.log_in_without_store().await?,
            Step::Publish { seen } => self.publish(seen).await?,
            Step::PublishFailure => self.publish_failure().await?,
            Step::Release => {
                self.lease = None;
                self.protocol.released();
            }
            Step::Wait { until } => {
                let time = until.saturating_sub(self.elapsed()?);
                self.unless_closed(sleep(time)).await?;
                if self.user.is_some() {
                    self.protocol.waited();
                }
            }
            Step::Done(_) => {}
        }
        Ok(())
    }

    /// Tells the protocol what is in the token entry.
    fn looked(&mut self, entry: TokenEntry) -> Result<(), Ended> {
        let entry = match entry {
            TokenEntry::NoToken(version) => Entry::NoToken { version },
            TokenEntry::Tombstone { version, issued_at } => Entry::Tombstone { version, issued_at },
            TokenEntry::Token(stored) => {
                let is_token_of = |known: &Option<KnownAccess>| {
                    known.as_ref().is_some_and(|known| known.is_token_of(&stored.access_info))
                };
                if is_token_of(&self.basis.held) {
                    self.protocol.found_held(stored.version);
                }
                if is_token_of(&self.basis.rejected) {
                    self.protocol.found_refused(stored.version);
                }
                let entry = Entry::Token {
                    version: stored.version,
                    issued_at: stored.issued_at,
                    freshness: self.freshness(&stored.access_info)?,
                };
                self.seen = Some(stored);
                entry
            }
        };
        self.protocol.looked(self.elapsed()?, &entry);
        Ok(())
    }

    fn freshness(&self, access_info: &AccessInfo) -> Result<Freshness, Ended> {
        let plugin = self.plugin()?;
        // Collects the origins now, rather than later while the state is locked.
        access_info.service_catalog().origins();
        let now = plugin.clock.now();
        let locked = plugin.lock();
        Ok(locked.state.freshness(access_info, now))
    }

    /// Lets the credentials obtain another token, before there is a lease that would end meanwhile.
    async fn prepare(&mut self) -> Result<(), Ended> {
        let plugin = self.plugin()?;
        let requested_at = plugin.clock.now();
        let timeout = {
            let locked = plugin.lock();
            let policy = locked.state.policy();
            let left = policy.wait_timeout.saturating_sub(requested_at.since(self.started_at));
            if policy.fail_fast { policy.attempt_timeout } else { left.max(policy.attempt_timeout) }
        };
        let prepared = plugin.prepare();
        drop(plugin);
        let prepared = self.unless_closed(with_timeout(timeout, prepared)).await?;
        let plugin = self.plugin()?;
        let error = match prepared {
            // The store is closed.
            None => return Ok(()),
            Some(Some(Ok(()))) => {
                self.protocol.prepared(true);
                return Ok(());
            }
            Some(Some(Err(error))) => error,
            Some(None) => Error::timeout(plugin.credentials.auth_url(), timeout),
        };
        let error = AttemptError::from(error);
        plugin.log_failure(self.task.id, &error, plugin.clock.now());
        self.protocol.failed_apart(self.elapsed()?, error.is_transient);
        let credentials = self.credentials.clone();
        self.login = Some(Login { requested_at, result: Err(error), credentials });
        Ok(())
    }

    async fn take_lease(&mut self) -> Result<(), Ended> {
        let asked_at = self.elapsed()?;
        let (Some(user), Ok(runtime)) = (self.user.clone(), runtime()) else {
            self.protocol.store_away(asked_at);
            return Ok(());
        };
        // If the answer is lost, the lease is given back.
        let lease = LeaseGuard::new(self.entries.clone(), user, runtime);
        let (entries, term) = (self.entries.clone(), self.protocol.settings().term);
        if let Some(is_leased) = self.ask(entries.lease(lease.owner(), term)).await? {
            if is_leased {
                self.lease = Some(lease);
            } else {
                lease.forget();
                log(&entries, "another process has the lease, and may log in");
            }
            self.protocol.leased(asked_at, self.elapsed()?, is_leased, self.rng.f64());
        }
        Ok(())
    }

    /// Logs in, and extends the lease meanwhile. The login is never dropped because of the store.
    async fn log_in(&mut self, timeout: Duration) -> Result<(), Ended> {
        log(&self.entries, "logs in for all that share the token");
        let task = self.task;
        let mut login = pin!(task.log_in(timeout));
        let login = loop {
            let extend_at = match self.next_step()? {
                Step::LogIn { extend_at, .. } => extend_at,
                _ => None,
            };
            let beat = match extend_at.filter(|_| self.lease.is_some() && self.user.is_some()) {
                Some(extend_at) => {
                    let beat = pin!(self.beat(extend_at));
                    either(login.as_mut(), beat).await
                }
                None => Either::First(login.as_mut().await),
            };
            match beat {
                Either::First(login) => break login.ok_or(Ended)?,
                Either::Second(is_kept) => is_kept?,
            }
        };
        let timed_out =
            login.result.as_ref().is_err_and(|error| matches!(error.error, Error::Timeout { .. }));
        let is_cut_short = timed_out && timeout < self.protocol.settings().attempt_timeout;
        let has_changed = login.credentials.cache_id != self.credentials.cache_id;
        let now = self.elapsed()?;
        match &login.result {
            Ok(access_info) => {
                let is_stored =
                    !(has_changed && self.is_named_by_cache_id) && self.time_left(&login)?.is_some();
                let issued_at = access_info.issued().ok().flatten().filter(|_| is_stored);
                self.protocol.logged_in(now, issued_at);
            }
            Err(error) if has_changed && self.has_failures_by_cache_id => {
                self.protocol.failed_apart(now, error.is_transient)
            }
            Err(error) => self.protocol.login_failed(error.is_transient, !is_cut_short),
        }
        self.shared_delay = None;
        self.login = Some(login);
        Ok(())
    }

    /// Waits until the lease has to be extended, and extends it.
    async fn beat(&mut self, extend_at: Duration) -> Result<(), Ended> {
        let time = extend_at.saturating_sub(self.elapsed()?);
        if self.unless_closed(sleep(time)).await?.is_none() {
            return Ok(());
        }
        let asked_at = self.elapsed()?;
        let Some(lease) = &self.lease else { return Ok(()) };
        let (entries, owner) = (self.entries.clone(), lease.owner().clone());
        let term = self.protocol.settings().term;
        if let Some(is_extended) = self.ask(entries.extend(&owner, term)).await? {
            self.protocol.extended(asked_at, is_extended);
        }
        Ok(())
    }

    async fn log_in_without_store(&mut self) -> Result<(), Ended> {
        self.lease = None;
        self.user = None;
        let plugin = self.plugin()?;
        let now = plugin.clock.now();
        let is_forbidden = !self.basis.ignores_failure && plugin.lock().state.login_forbidden(now).is_some();
        drop(plugin);
        if is_forbidden {
            self.login = None;
            self.protocol.login_failed(false, true);
            return Ok(());
        }
        log(&self.entries, "logs in without the store");
        let last = self.login.take();
        let login = self.task.log_in_repeatedly(self.started_at, last).await.ok_or(Ended)?;
        self.user = self.entries.add_user();
        match &login.result {
            Ok(access_info) => {
                let is_stored = !self.has_changed(&login.credentials) && self.time_left(&login)?.is_some();
                let issued_at = access_info.issued().ok().flatten().filter(|_| is_stored);
                self.protocol.logged_in(self.elapsed()?, issued_at);
            }
            Err(error) => self.protocol.login_failed(error.is_transient, true),
        }
        self.shared_delay = None;
        self.login = Some(login);
        Ok(())
    }

    async fn publish(&mut self, seen: Option<Version>) -> Result<(), Ended> {
        let Some(login) = &self.login else { return Err(Ended) };
        let (Ok(access_info), Some(time_left)) = (login.result.clone(), self.time_left(login)?) else {
            self.protocol.published(false);
            return Ok(());
        };
        let entries = self.entries.clone();
        let publish = entries.publish_token(seen.as_ref(), &access_info, time_left);
        if let Some(version) = self.ask(publish).await? {
            self.published = version;
            self.protocol.published(version.is_some());
            if version.is_some() {
                log(&entries, "published a token in the store");
                self.clear_failures();
            }
        }
        Ok(())
    }

    /// Removes the failures of the fleet, in the background.
    fn clear_failures(&self) {
        if let (Some(user), Ok(runtime)) = (self.user.clone(), runtime()) {
            let entries = self.entries.clone();
            runtime.spawn(async move {
                let _ = entries.clear_failures().await;
                drop(user);
            });
        }
    }

    async fn publish_failure(&mut self) -> Result<(), Ended> {
        let Some(Login { result: Err(error), credentials, .. }) = &self.login else { return Err(Ended) };
        let (error, credentials, entries) = (error.clone(), credentials.clone(), self.entries.clone());
        // Only the first failure of this renewal is counted anew.
        let counts = if mem::take(&mut self.basis.ignores_failure) {
            Some(FailureCounts::default())
        } else {
            self.ask(entries.failure_counts()).await?
        };
        let Some(mut counts) = counts else { return Ok(()) };
        let delay = self.plugin()?.lock().state.shared_failure_delay(&error, &credentials, &mut counts);
        let failure = SharedFailure {
            message: error.error.to_string().into(),
            is_transient: error.is_transient,
            delay,
        };
        let publish = async {
            entries.publish_failure(&failure).await?;
            entries.publish_failure_counts(counts).await
        };
        if self.ask(publish).await?.is_some() {
            self.shared_delay = Some(delay);
            self.protocol.published_failure(self.elapsed()?, delay, self.rng.f64());
        }
        Ok(())
    }

    /// Asks the store. Returns `None` and tells the protocol if it cannot be used.
    async fn ask<T>(
        &mut self,
        question: impl Future<Output = Result<T, StoreAway>>,
    ) -> Result<Option<T>, Ended> {
        match self.unless_closed(question).await? {
            Some(Ok(answer)) => Ok(Some(answer)),
            Some(Err(StoreAway)) => {
                self.protocol.store_away(self.elapsed()?);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Waits for a future, unless the store is closed.
    ///
    /// A renewal in the background ends then. One for which requests wait goes on without the store: this returns
    /// `None`, and the protocol has been told.
    async fn unless_closed<T>(&mut self, future: impl Future<Output = T>) -> Result<Option<T>, Ended> {
        if let Some(user) = &mut self.user {
            let (future, closed) = (pin!(future), pin!(user.closed()));
            match either(future, closed).await {
                Either::First(output) => return Ok(Some(output)),
                Either::Second(()) => {}
            }
        }
        self.user = None;
        self.lease = None;
        let plugin = self.plugin()?;
        let now = plugin.clock.now();
        let has_token = self.login.as_ref().is_some_and(|login| login.result.is_ok());
        let is_soft = plugin.lock().state.need(now) == Need::Soft && !self.basis.is_forced;
        if is_soft && !has_token {
            plugin.lock().remove_lost_renewal(self.task.id);
            return Err(Ended);
        }
        self.protocol.store_away(now.since(self.started_at));
        Ok(None)
    }

    /// Finishes the renewal. The waiting requests get what this returns.
    fn finish(mut self, outcome: protocol::Outcome) -> Outcome {
        let Ok(plugin) = self.plugin() else { return Ok(()) };
        let (id, now) = (self.task.id, plugin.clock.now());
        match (outcome, self.login.take(), self.seen.take()) {
            (protocol::Outcome::TakeOver, _, Some(seen)) => {
                log(&self.entries, "takes over a token of the store");
                let credentials = self.is_named_by_cache_id.then(|| self.credentials.clone());
                plugin.finish_renewal(id, now, |state| state.finish_with_stored(id, seen, credentials, now))
            }
            (protocol::Outcome::KeepRefused, ..) => plugin.finish_renewal(id, now, |state| {
                state.finish_with_rejected(id);
                Ok(())
            }),
            (protocol::Outcome::FailedElsewhere, ..) => {
                let SharedFailure { message, is_transient, delay } =
                    self.seen_failure.take().unwrap_or_else(|| SharedFailure {
                        message: Error::Abandoned.to_string().into(),
                        is_transient: true,
                        delay: Duration::ZERO,
                    });
                let error = Error::SharedLoginFailed { message, transient: is_transient };
                self.finish_shared_failure(&plugin, AttemptError { error, is_transient }, delay, now)
            }
            (protocol::Outcome::Failed, Some(Login { result: Err(error), .. }), _)
                if self.shared_delay.is_some() =>
            {
                let delay = self.shared_delay.unwrap_or_default();
                self.finish_shared_failure(&plugin, error, delay, now)
            }
            (_, Some(login), _) => {
                let published = self.published;
                self.task.finish(login, |state| state.set_published(published))
            }
            (..) => plugin.finish_renewal(id, now, |state| state.finish_without_login(id, now)),
        }
    }

    fn finish_shared_failure(
        &self,
        plugin: &Arc<Shared<C>>,
        error: AttemptError,
        delay: Duration,
        now: Now,
    ) -> Outcome {
        let (id, credentials) = (self.task.id, self.credentials.clone());
        plugin.finish_renewal(id, now, |state| {
            state.finish_with_shared_failure(id, error, delay, credentials, now)
        })
    }

    /// Returns whether the credentials are not those after which the entries are named.
    fn has_changed(&self, credentials: &CredentialsInfo) -> bool {
        self.is_named_by_cache_id && credentials.cache_id != self.credentials.cache_id
    }

    /// Returns how long the token of a login lives on, or `None` if it is not stored.
    fn time_left(&self, login: &Login) -> Result<Option<Duration>, Ended> {
        let now = self.plugin()?.clock.now();
        let access_info = login.result.as_ref().ok();
        Ok(access_info.and_then(|access_info| State::time_left(access_info, login.requested_at, now)))
    }

    fn elapsed(&self) -> Result<Duration, Ended> {
        Ok(self.plugin()?.clock.now().since(self.started_at))
    }

    fn plugin(&self) -> Result<Arc<Shared<C>>, Ended> {
        self.task.plugin_if_current().ok_or(Ended)
    }
}

/// Logs how the token of these entries is shared.
fn log(entries: &IdentityEntries, message: &str) {
    // A log subscriber that panics must not change the outcome.
    let _ = catch_panic(|| debug!(entry = entries.short_name(), "{message}"));
}

/// The output of the future that is ready first.
enum Either<A, B> {
    First(A),
    Second(B),
}

/// Waits for the first of two futures.
async fn either<A: Future, B: Future>(
    mut first: Pin<&mut A>,
    mut second: Pin<&mut B>,
) -> Either<A::Output, B::Output> {
    poll_fn(move |cx| match first.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Either::First(output)),
        Poll::Pending => second.as_mut().poll(cx).map(Either::Second),
    })
    .await
}
