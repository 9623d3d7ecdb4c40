//! One go at obtaining a token, in a task of its own.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::{
    Now,
    failure::{Failed, Tried},
    reentrancy, report,
    shared::{Outcome, Shared},
    state::FlightId,
};
use crate::{
    AccessInfo, Credentials, Error,
    task::{CatchPanic, Start, catch_panic},
};

/// How late a timer is if nobody has driven its runtime meanwhile.
const LATE: Duration = Duration::from_secs(1);

/// One go at obtaining a token.
///
/// It does not keep the plugin alive: nobody needs the token of a plugin that is gone.
pub(super) struct Flight<C> {
    plugin: Weak<Shared<C>>,
    id: FlightId,
    started: Now,
}

impl<C: Credentials> Flight<C> {
    pub(super) fn new(plugin: Weak<Shared<C>>, id: FlightId, started: Now) -> Self {
        Self { plugin, id, started }
    }

    /// Asks for a token, again if that may help those who wait, and enters what came of it.
    pub(super) async fn fly(self) -> Outcome {
        let Some(plugin) = self.plugin() else { return Ok(()) };
        let started = plugin.clock.now();
        let (attempt_timeout, wait_timeout, mut pause) = {
            let locked = plugin.lock();
            let policy = locked.state.policy();
            (policy.attempt_timeout, policy.wait_timeout, locked.state.wait(started))
        };
        drop(plugin);
        let mut attempts = 0;
        // Whoever has waited as long as Keystone asks to is owed a whole attempt.
        let mut asked_to_wait = !pause.is_zero();
        loop {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            let Some(plugin) = self.plugin() else { return Ok(()) };
            attempts += 1;
            let asked_for = plugin.clock.now();
            let left = wait_timeout.saturating_sub(asked_for.since(started));
            let within = if asked_to_wait { attempt_timeout } else { attempt_timeout.min(left) };
            let (tried, attempt) = (plugin.tried(), plugin.attempt());
            drop(plugin);
            let brought = within_time(within, attempt).await;
            let Some(plugin) = self.plugin.upgrade() else { return Ok(()) };
            let brought =
                brought.unwrap_or_else(|| Err(Error::timeout(plugin.credentials.auth_url(), within)));
            let brought = brought.map_err(Failed::from);
            let now = plugin.clock.now();
            if let Err(failed) = &brought {
                plugin.tell(self.id, failed, now);
                let left = wait_timeout.saturating_sub(now.since(started));
                let next = plugin.lock().state.attempt_failed(self.id, attempts, failed, now, left);
                if let Some(next) = next {
                    asked_to_wait = failed.error.retry_after().is_some();
                    pause = next;
                    continue;
                }
            }
            // Credentials that wait for themselves are told so, even if a reset of their own has overtaken the flight.
            let recursion = brought.as_ref().is_err_and(|failed| matches!(failed.error, Error::Recursion));
            let outcome = plugin.land(self.id, asked_for, brought, tried, now);
            return if recursion { Err(Error::Recursion) } else { outcome };
        }
    }

    /// Enters that code of others panicked: a failure like others.
    pub(super) fn crashed(self) -> Outcome {
        let Some(plugin) = self.plugin.upgrade() else { return Ok(()) };
        let now = catch_panic(|| plugin.clock.now()).unwrap_or(self.started);
        let failed = Failed::from(Error::PluginPanicked);
        plugin.tell(self.id, &failed, now);
        plugin.land(self.id, self.started, Err(failed), plugin.tried(), now)
    }

    /// Returns the plugin, if there still is one and it still wants this flight.
    fn plugin(&self) -> Option<Arc<Shared<C>>> {
        let plugin = self.plugin.upgrade()?;
        let is_wanted = plugin.lock().state.is_under_way(self.id);
        is_wanted.then_some(plugin)
    }
}

impl<C> Clone for Flight<C> {
    fn clone(&self) -> Self {
        Self { plugin: Weak::clone(&self.plugin), ..*self }
    }
}

impl<C: Credentials> Shared<C> {
    /// Starts a renewal, if this caller is the one to start it.
    pub(super) fn start(
        self: &Arc<Self>,
        runtime: &Handle,
        id: FlightId,
        now: Now,
        start: Option<Start<Outcome>>,
    ) {
        if let Some(start) = start {
            let flight = Flight::new(Arc::downgrade(self), id, now);
            let crashed = flight.clone();
            start.run(runtime, flight.fly(), move || crashed.crashed());
        }
    }

    /// Makes one attempt. A panic of the credentials is an error like others.
    fn attempt(self: &Arc<Self>) -> impl Future<Output = Result<AccessInfo, Error>> + use<C> {
        let address = self.address();
        let mut asking = reentrancy::for_plugin(address, || {
            CatchPanic::new(|| self.credentials.get_auth_ref(self.transport.clone()))
        });
        poll_fn(move |cx| {
            let brought = reentrancy::for_plugin(address, || Pin::new(&mut asking).poll(cx));
            brought.map(|brought| brought.unwrap_or(Err(Error::PluginPanicked)))
        })
    }

    /// Tells that an attempt has failed, if that is news.
    fn tell(&self, id: FlightId, failed: &Failed, now: Now) {
        let is_news = {
            let state = &mut self.lock().state;
            state.is_under_way(id) && state.is_news(failed.passes)
        };
        if is_news {
            let _ = catch_panic(|| {
                report::failure(self.transport.log_throttle(), self.credentials.auth_url(), failed, now)
            });
        }
    }

    /// Enters what a flight brought.
    fn land(
        &self,
        id: FlightId,
        asked_for: Now,
        brought: Result<AccessInfo, Failed>,
        tried: Tried,
        now: Now,
    ) -> Outcome {
        let auth_ref = brought.as_ref().ok().cloned();
        if let Some(auth_ref) = &auth_ref {
            // They are collected here rather than when the state is locked.
            auth_ref.service_catalog().origins();
        }
        let (outcome, news, is_over) = {
            let mut locked = self.lock();
            let outcome = locked.landed(id, asked_for, brought, tried, now);
            (outcome, locked.state.news(), locked.state.is_over())
        };
        // A subscriber that panics changes nothing of what was brought.
        let _ = catch_panic(|| {
            let (told, auth_url) = (self.transport.log_throttle(), self.credentials.auth_url());
            if let Some(auth_ref) = &auth_ref {
                report::skew(told, auth_url, auth_ref, asked_for, now);
            }
            if let Some(failed) = &news {
                report::failure(told, auth_url, failed, now);
            }
            if is_over {
                report::over(told, auth_url, now);
            }
        });
        outcome
    }
}

/// Waits for what an attempt brings, up to a time. `None` if it takes longer.
///
/// A timer that goes off late says that nobody has driven the runtime, and nothing of Keystone: its answer may have come
/// meanwhile.
async fn within_time<T>(time: Duration, attempt: impl Future<Output = T>) -> Option<T> {
    let mut attempt = std::pin::pin!(attempt);
    loop {
        let begun = Instant::now();
        match timeout(time, attempt.as_mut()).await {
            Ok(brought) => return Some(brought),
            Err(_) if begun.elapsed() < time.saturating_add(LATE) => return None,
            Err(_) => {}
        }
    }
}
