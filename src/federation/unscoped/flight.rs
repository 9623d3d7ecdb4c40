use std::{future::Future, pin::pin, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::kept::KeptToken;
use crate::{
    Error,
    task::{Either, SingleFlight, Start, Waited, either},
};

/// How long a call waits for a login at most. The caller's own timeout is shorter, such as
/// [`RenewalPolicy::attempt_timeout`](crate::RenewalPolicy::attempt_timeout).
const MAX_WAIT: Duration = Duration::from_secs(120);

/// How long a login goes on that nobody waits for any more, if it must not be cut off.
const MAX_UNATTENDED: Duration = Duration::from_secs(60);

/// A login in the background, which several scopes wait for.
#[derive(Clone)]
pub(super) struct Flight {
    result: SingleFlight<LoginResult>,
    started_at: Instant,
    /// It has a receiver for each call that waits.
    waiters: watch::Sender<()>,
}

pub(super) type LoginResult = Result<KeptToken, Error>;

/// A call that waits for the login. The login ends when all are dropped.
pub(super) struct Waiter {
    flight: Flight,
    _is_waiting: watch::Receiver<()>,
}

impl Flight {
    /// Creates a login that is not started yet, and the first call that waits for it.
    pub(super) fn new() -> (Self, Start<LoginResult>, Waiter) {
        let (result, start) = SingleFlight::new();
        let flight = Self { result, started_at: Instant::now(), waiters: watch::Sender::new(()) };
        let waiter = flight.join();
        (flight, start, waiter)
    }

    pub(super) fn join(&self) -> Waiter {
        Waiter { flight: self.clone(), _is_waiting: self.waiters.subscribe() }
    }

    /// Returns whether the login has lasted so long that another one is started instead of waiting for it.
    pub(super) fn is_stuck(&self) -> bool {
        self.started_at.elapsed() >= MAX_WAIT
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.result.is_same(&other.result)
    }

    /// Returns whether nobody waits for the login any more.
    pub(super) fn is_unattended(&self) -> bool {
        self.waiters.receiver_count() == 0
    }

    /// Runs a login. Returns `None` if it took too long after all waiting calls were dropped.
    ///
    /// `is_cut_off` is asked when nobody waits any more. If it returns true, the login ends at once.
    pub(super) async fn run<T>(
        &self,
        login: impl Future<Output = T>,
        is_cut_off: impl Fn() -> bool,
    ) -> Option<T> {
        let mut login = pin!(login);
        loop {
            match either(login.as_mut(), pin!(self.waiters.closed())).await {
                Either::First(output) => return Some(output),
                Either::Second(()) if is_cut_off() => return None,
                Either::Second(()) if self.is_unattended() => {
                    return timeout(MAX_UNATTENDED, login).await.ok();
                }
                Either::Second(()) => {}
            }
        }
    }
}

impl Waiter {
    pub(super) fn flight(&self) -> &Flight {
        &self.flight
    }

    /// Waits for the result. `None` means that there will be none.
    pub(super) async fn wait(&self) -> Option<LoginResult> {
        match self.flight.result.wait(MAX_WAIT).await {
            Waited::Done(result) => Some(result),
            Waited::Lost | Waited::TimedOut => None,
            Waited::NoRuntime => Some(Err(Error::NoRuntime)),
        }
    }
}
