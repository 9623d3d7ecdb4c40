//! Starts the background task that renews a token.

use std::sync::Arc;

use tokio::runtime::Handle;

#[cfg(feature = "store")]
use super::sharing::SharedRenewal;
use super::{
    Now,
    failure::AttemptError,
    renewal_task::RenewalTask,
    shared::{Outcome, Shared},
    state::RenewalId,
};
use crate::{
    Credentials, Error,
    task::{Start, catch_panic},
};

impl<C: Credentials> Shared<C> {
    /// Spawns the task of a new renewal on `runtime`. Without a [`Start`], the renewal is running already.
    pub(super) fn spawn_renewal(
        self: &Arc<Self>,
        runtime: &Handle,
        id: RenewalId,
        now: Now,
        start: Option<Start<Outcome>>,
    ) {
        if let Some(start) = start {
            let task = RenewalTask { plugin: Arc::downgrade(self), id, started_at: now };
            let panicked = task.clone();
            start.run(runtime, task.run(), move || panicked.finish_panicked());
        }
    }
}

impl<C: Credentials> RenewalTask<C> {
    /// Obtains a token, and finishes the renewal with the result.
    async fn run(self) -> Outcome {
        #[cfg(feature = "store")]
        if let Some(renewal) = SharedRenewal::start(&self) {
            return renewal.run().await;
        }
        let Some(plugin) = self.plugin_if_current() else { return Ok(()) };
        let started_at = plugin.clock.now();
        drop(plugin);
        match self.log_in_repeatedly(started_at, None).await {
            Some(login) => self.finish(login, |_| {}),
            None => Ok(()),
        }
    }

    /// Finishes the renewal with an error after a panic of code from outside this crate.
    fn finish_panicked(self) -> Outcome {
        let Some(plugin) = self.plugin.upgrade() else { return Ok(()) };
        let now = catch_panic(|| plugin.clock.now()).unwrap_or(self.started_at);
        let error = AttemptError::from(Error::PluginPanicked);
        plugin.log_failure(self.id, &error, now);
        let credentials = plugin.credentials_info();
        plugin.finish_renewal(self.id, now, |state| {
            state.finish_renewal(self.id, self.started_at, Err(error), credentials, now)
        })
    }
}
