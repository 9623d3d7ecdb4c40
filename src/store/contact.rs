//! Whether a store can be used now.

use std::{
    error::Error as StdError,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{StoreFuture, TokenStore};
use crate::{
    BoxError, Error,
    task::{CatchPanic, Panicked, Timer, catch_panic},
    transport::LogThrottle,
};

/// How long an answer is awaited until the store has answered once. A connection over TLS takes longer than an answer.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The delay after the first failure before the store is asked again. It doubles with each further failure in a row.
const INITIAL_BACKOFF: Duration = Duration::from_millis(20);

/// Maximum delay before the store is asked again.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Time in which an outage is logged only once, for a store that fails again and again.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The store cannot be used now. It has been logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoreAway;

/// Asks a store, and remembers whether it answers.
#[derive(Default)]
pub(super) struct Contact {
    state: Mutex<State>,
    log_throttle: LogThrottle,
}

#[derive(Default)]
struct State {
    /// Whether the store has ever answered.
    has_answered: bool,
    outage: Option<Outage>,
}

struct Outage {
    /// The number of failures in a row.
    failures: u32,
    /// When the store may be asked again.
    next_attempt: Instant,
    /// The last error. `None` if the store did not answer in time.
    error: Option<Arc<dyn StdError + Send + Sync>>,
    is_logged: bool,
}

/// A question to the store that may be asked now.
struct Attempt {
    timeout: Duration,
    /// Whether it is the only one that is asked during an outage.
    is_probe: bool,
}

impl Contact {
    /// Asks the store, unless it is known to be away.
    pub(super) async fn ask<'a, T>(
        &self,
        store: &'a dyn TokenStore,
        answer_timeout: Duration,
        ask: impl FnOnce(&'a dyn TokenStore) -> StoreFuture<'a, T>,
    ) -> Result<T, StoreAway> {
        let attempt = self.begin(answer_timeout)?;
        match wait(CatchPanic::new(|| ask(store)), attempt.timeout).await {
            Ok(answer) => {
                self.succeed(store);
                Ok(answer)
            }
            Err(error) => {
                self.fail(store, &attempt, error.map(Into::into));
                Err(StoreAway)
            }
        }
    }

    /// Returns the error of a method that has found the store away.
    pub(super) fn error(&self) -> Error {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Error::StoreUnavailable { source: state.outage.as_ref().and_then(|outage| outage.error.clone()) }
    }

    fn begin(&self, answer_timeout: Duration) -> Result<Attempt, StoreAway> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let timeout = match state.has_answered {
            true => answer_timeout,
            false => answer_timeout.max(FIRST_ANSWER_TIMEOUT),
        };
        let now = Instant::now();
        let Some(outage) = &mut state.outage else { return Ok(Attempt { timeout, is_probe: false }) };
        if now < outage.next_attempt {
            return Err(StoreAway);
        }
        // The others do not ask until this one has an answer. It may also be dropped without one.
        outage.next_attempt = now + timeout.min(MAX_BACKOFF);
        Ok(Attempt { timeout, is_probe: true })
    }

    fn succeed(&self, store: &dyn TokenStore) {
        let outage = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.has_answered = true;
            state.outage.take()
        };
        if outage.is_some_and(|outage| outage.is_logged) {
            // A log subscriber that panics must not change the outcome.
            let _ = catch_panic(|| info!(?store, "the token store can be used again"));
        }
    }

    fn fail(
        &self,
        store: &dyn TokenStore,
        attempt: &Attempt,
        error: Option<Arc<dyn StdError + Send + Sync>>,
    ) {
        let now = Instant::now();
        let (last, is_logged) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let (failures, is_logged) = match &state.outage {
                // Others that were asked at the same time have failed already.
                Some(_) if !attempt.is_probe => return,
                Some(outage) => (outage.failures.saturating_add(1), outage.is_logged),
                None => (1, self.log_throttle.should_log("outage", now.into_std(), LOG_INTERVAL)),
            };
            let next_attempt = now + backoff(failures, fastrand::f64());
            let outage = Outage { failures, next_attempt, error: error.clone(), is_logged };
            // It is dropped after the state is unlocked, because its error may run code from outside this crate.
            (state.outage.replace(outage), is_logged)
        };
        if last.is_some() || !is_logged {
            return;
        }
        let _ = catch_panic(|| match error {
            Some(error) => {
                let error: &(dyn StdError + 'static) = &*error;
                warn!(
                    ?store,
                    error, "cannot use the token store; the plugins work without it until it answers again"
                );
            }
            None => warn!(
                ?store,
                timeout = ?attempt.timeout,
                "the token store did not answer in time; the plugins work without it until it answers again"
            ),
        });
    }
}

/// Waits for an answer of the store. The error is `None` if it does not come in time.
async fn wait<T>(
    mut answer: CatchPanic<'_, Result<T, BoxError>>,
    timeout: Duration,
) -> Result<T, Option<BoxError>> {
    let mut timer = pin!(Timer::new(timeout));
    poll_fn(|cx| match Pin::new(&mut answer).poll(cx) {
        Poll::Ready(Ok(answer)) => Poll::Ready(answer.map_err(Some)),
        Poll::Ready(Err(Panicked)) => Poll::Ready(Err(Some("it panicked".into()))),
        Poll::Pending => timer.as_mut().poll(cx).map(|elapsed| Err(elapsed.err().map(Into::into))),
    })
    .await
}

/// Returns the delay after the given number of failures in a row. `random` is from 0 to 1.
fn backoff(failures: u32, random: f64) -> Duration {
    let doubled = INITIAL_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(20));
    doubled.min(MAX_BACKOFF).mul_f64(1.0 - random / 4.0)
}
