//! The end of a shared renewal.

use std::{sync::Arc, time::Duration};

use super::{
    driver::{SharedRenewal, log},
    protocol,
};
use crate::{
    Credentials, Error,
    renewal::{
        Now,
        failure::AttemptError,
        renewal_task::Login,
        shared::{Outcome, Shared},
    },
    store::SharedFailure,
};

impl<C: Credentials> SharedRenewal<'_, C> {
    /// Finishes the renewal. The waiting requests get what this returns.
    pub(super) fn finish(mut self, outcome: protocol::Outcome) -> Outcome {
        let Ok(plugin) = self.plugin() else { return Ok(()) };
        let (id, now) = (self.task.id, plugin.clock.now());
        match (outcome, self.login.take(), self.seen.take()) {
            (protocol::Outcome::TakeOver, _, Some(seen)) => {
                log(&self.entries, "takes over a token of the store");
                let credentials = self.sharing.is_named_by_cache_id().then(|| self.credentials.clone());
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
}
