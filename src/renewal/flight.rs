//! One go at obtaining a token, and those who wait for it.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError},
    task::Poll,
};

#[cfg(shuttle)] // the model checker, see CONTRIBUTING.md
use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(shuttle))]
use std::sync::{Mutex, MutexGuard};

use tokio::time::{sleep, timeout};

use super::{
    Clock, Now, report,
    state::{Decision, FlightId, State},
};
use crate::{Access, AccessFuture, AccessInfo, Credentials, Error, Transport, work::Work};

/// A flight, and what it is to bring.
type Flight = (FlightId, Work<Result<Arc<Access>, Error>>);

/// How often one who waits takes over a flight whose runtime was shut down under it.
const ADOPTIONS: usize = 3;

/// What all clones of a plugin share.
pub(super) struct Shared<C> {
    pub(super) credentials: C,
    pub(super) transport: Transport,
    pub(super) clock: Arc<dyn Clock>,
    guarded: Mutex<Guarded>,
}

pub(super) struct Guarded {
    pub(super) state: State,
    flight: Option<Flight>,
}

impl<C: Credentials> Shared<C> {
    pub(super) fn new(credentials: C, transport: Transport, clock: Arc<dyn Clock>, state: State) -> Self {
        Self { credentials, transport, clock, guarded: Mutex::new(Guarded { state, flight: None }) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The access at hand or, if there is none that will do, the one that a flight brings.
    #[inline(always)]
    pub(super) fn access(self: &Arc<Self>) -> AccessFuture {
        self.access_after(0)
    }

    /// The same for one who has waited for so many flights in vain.
    #[inline(always)]
    fn access_after(self: &Arc<Self>, in_vain: usize) -> AccessFuture {
        let now = self.clock.now();
        let mut guarded = self.lock();
        let flight = match guarded.state.decide(now) {
            Decision::Use(access) => return AccessFuture::ready(Ok(access)),
            Decision::UseAndStart(access, id) => {
                // Without a runtime the token at hand serves until somebody waits for a new one.
                let _ = self.launch(&mut guarded, id);
                return AccessFuture::ready(Ok(access));
            }
            Decision::Fail(error) => return AccessFuture::ready(Err(error)),
            Decision::Start(id) => self.launch(&mut guarded, id),
            Decision::Join => guarded.under_way(),
        };
        match flight {
            Ok(flight) => AccessFuture::new(Arc::clone(self).wait_for(flight, in_vain)),
            Err(error) => AccessFuture::ready(Err(error)),
        }
    }

    /// Waits for the access that a flight brings, or else for that of another one.
    async fn wait_for(self: Arc<Self>, (id, mut work): Flight, in_vain: usize) -> Result<Arc<Access>, Error> {
        let patience = self.lock().state.patience(self.clock.now());
        let landed = work.done(patience).await;
        let now = self.clock.now();
        match landed {
            // One who comes late for it gets another one.
            Some(Some(Ok(access))) if self.lock().state.is_expired(&access, now) => {}
            Some(Some(Ok(access))) => return Ok(access),
            // A token that is in its last seconds is better than none.
            Some(Some(Err(error))) => return self.lock().state.usable(now).ok_or(error),
            Some(None) => self.lock().lost(id),
            None => {
                if let Some(access) = self.lock().state.usable(now) {
                    return Ok(access);
                }
            }
        }
        if in_vain == ADOPTIONS {
            return Err(Error::NoRuntime);
        }
        self.access_after(in_vain + 1).await
    }

    /// Renews now, unless a flight is under way already, and waits for it.
    pub(super) async fn force(self: Arc<Self>) -> Result<Arc<Access>, Error> {
        for _ in 0..=ADOPTIONS {
            let (longest, (id, mut work)) = {
                let now = self.clock.now();
                let mut guarded = self.lock();
                let longest = guarded.state.policy().longest_flight();
                match guarded.state.force(now) {
                    Some(id) => (longest, self.launch(&mut guarded, id)?),
                    None => (longest, guarded.under_way()?),
                }
            };
            if let Some(Some(outcome)) = work.done(longest).await {
                return outcome;
            }
            self.lock().lost(id);
        }
        Err(Error::NoRuntime)
    }

    /// Sends a flight off in a task of its own.
    fn launch(self: &Arc<Self>, guarded: &mut Guarded, id: FlightId) -> Result<Flight, Error> {
        let shared = Arc::clone(self);
        let started = Work::start(async move { shared.fly(id).await });
        let work = started.inspect_err(|_| guarded.lost(id))?;
        guarded.flight = Some((id, work.clone()));
        Ok((id, work))
    }

    /// Asks for a token, again if that may help those who wait, and enters what came of it.
    async fn fly(&self, id: FlightId) -> Result<Arc<Access>, Error> {
        let started = self.clock.now();
        let (attempt_timeout, load_timeout, wait) = {
            let guarded = self.lock();
            let policy = guarded.state.policy();
            (policy.attempt_timeout, policy.load_timeout, guarded.state.wait(started))
        };
        if !wait.is_zero() {
            sleep(wait).await;
        }
        let mut attempts = 0;
        // Whoever has waited as long as Keystone asks to is owed a whole attempt.
        let mut asked_to_wait = !wait.is_zero();
        loop {
            attempts += 1;
            let asked_for = self.clock.now();
            let left = load_timeout.saturating_sub(asked_for.since(started));
            let within = if asked_to_wait { attempt_timeout } else { attempt_timeout.min(left) };
            let brought = match timeout(within, self.attempt()).await {
                Ok(brought) => brought,
                Err(_) => Err(Error::timeout(self.credentials.auth_url(), within)),
            };
            let now = self.clock.now();
            if let Err(error) = &brought {
                let left = load_timeout.saturating_sub(now.since(started));
                let pause = self.lock().state.attempt_failed(id, attempts, error, now, left);
                if let Some(pause) = pause {
                    asked_to_wait = error.retry_after().is_some();
                    sleep(pause).await;
                    continue;
                }
            }
            return self.land(id, asked_for, brought, now);
        }
    }

    /// Enters what a flight brought.
    fn land(
        &self,
        id: FlightId,
        asked_for: Now,
        brought: Result<AccessInfo, Error>,
        now: Now,
    ) -> Result<Arc<Access>, Error> {
        if let Ok(auth_ref) = &brought {
            report::skew(auth_ref, asked_for, now);
        }
        let (outcome, failed_before, failure) = {
            let state = &mut self.lock().state;
            let failed_before = state.failure().is_some();
            let outcome = state.landed(id, asked_for, brought, now);
            (outcome, failed_before, state.failure().cloned())
        };
        report::episode(self.credentials.auth_url(), failed_before, failure.as_ref());
        outcome
    }

    /// One attempt. A panic of the credentials is an error like others.
    async fn attempt(&self) -> Result<AccessInfo, Error> {
        let panicked = |_| Error::PluginPanicked;
        let get_auth_ref = || self.credentials.get_auth_ref(self.transport.clone());
        let mut asking = catch_unwind(AssertUnwindSafe(get_auth_ref)).map_err(panicked)?;
        poll_fn(|cx| {
            let poll = || asking.as_mut().poll(cx);
            catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|cause| Poll::Ready(Err(panicked(cause))))
        })
        .await
    }
}

impl Guarded {
    fn under_way(&self) -> Result<Flight, Error> {
        self.flight.clone().ok_or(Error::NoRuntime)
    }

    fn lost(&mut self, id: FlightId) {
        self.state.lost(id);
        self.flight.take_if(|(flight, _)| *flight == id);
    }
}
