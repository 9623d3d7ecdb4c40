//! Runs the [protocol] with a store and the credentials.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::debug;

use super::{
    lease_guard::LeaseGuard,
    protocol::{self, Burial, Entry, Freshness, Need, SeenFailure, Settings, Step},
};
use crate::{
    AccessInfo, Credentials,
    renewal::{
        Now,
        failure::CredentialsInfo,
        renewal_task::{Login, RenewalTask},
        shared::{Outcome, Shared},
        state::{KnownAccess, RenewalBasis, Sharing},
    },
    store::{IdentityEntries, SharedFailure, StoreAway, StoreUser, StoredToken, TokenEntry, Version},
    task::{Either, catch_panic, either, runtime},
};

/// Above this number of rejections within a window, they are not limited.
const MAX_LIMITED_REJECTIONS: usize = 64;

/// A renewal of a token that is shared.
pub(in crate::renewal) struct SharedRenewal<'a, C> {
    pub(super) task: &'a RenewalTask<C>,
    pub(super) started_at: Now,
    pub(super) protocol: protocol::Renewal<Version>,
    pub(super) rng: fastrand::Rng,
    pub(super) entries: IdentityEntries,
    /// `None` if the store is closed, or is not used now.
    pub(super) user: Option<StoreUser>,
    /// The delay before the first step.
    pub(super) delay: Duration,
    /// The credentials when the renewal began.
    pub(super) credentials: CredentialsInfo,
    pub(super) sharing: Sharing,
    pub(super) basis: RenewalBasis,
    pub(super) lease: Option<LeaseGuard>,
    /// The token of the last look.
    pub(super) seen: Option<StoredToken>,
    /// The failure of another process.
    pub(super) seen_failure: Option<SharedFailure>,
    /// The last login of this renewal.
    pub(super) login: Option<Login>,
    /// The delay for the whole fleet after that login, if it failed.
    pub(super) shared_delay: Option<Duration>,
    /// The version of the published token.
    pub(super) published: Option<Version>,
}

/// The renewal has no result: it is not needed any more, or the store is closed.
pub(super) struct Ended;

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
            sharing,
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

    pub(super) fn next_step(&mut self) -> Result<Step<Version>, Ended> {
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

    async fn take_lease(&mut self) -> Result<(), Ended> {
        let asked_at = self.elapsed()?;
        // If the answer is lost, the lease is given back.
        let lease = match (self.user.clone(), runtime()) {
            (Some(user), Ok(runtime)) => LeaseGuard::new(self.entries.clone(), user, runtime),
            _ => None,
        };
        let Some(lease) = lease else {
            self.protocol.store_away(asked_at);
            return Ok(());
        };
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

    /// Asks the store. Returns `None` and tells the protocol if it cannot be used.
    pub(super) async fn ask<T>(
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
    pub(super) async fn unless_closed<T>(
        &mut self,
        future: impl Future<Output = T>,
    ) -> Result<Option<T>, Ended> {
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

    pub(super) fn elapsed(&self) -> Result<Duration, Ended> {
        Ok(self.plugin()?.clock.now().since(self.started_at))
    }

    pub(super) fn plugin(&self) -> Result<Arc<Shared<C>>, Ended> {
        self.task.plugin_if_current().ok_or(Ended)
    }
}

/// Logs how the token of these entries is shared.
pub(super) fn log(entries: &IdentityEntries, message: &str) {
    // A log subscriber that panics must not change the outcome.
    let _ = catch_panic(|| debug!(entry = entries.short_name(), "{message}"));
}
