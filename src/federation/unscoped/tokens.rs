use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    UnscopedLogin, UnscopedToken,
    flight::{Flight, LoginResult, Waiter},
    kept::KeptToken,
};
use crate::{
    Error, Transport,
    task::{CatchPanic, Start, runtime},
};

/// How often a call waits for another login because the one that it waited for had no result.
const MAX_FLIGHTS: usize = 3;

/// The newest unscoped token of a login, which several scopes share.
///
/// Calls at the same time cause one login, which runs in the background while one of them waits.
pub(super) struct UnscopedTokens {
    login: Box<dyn UnscopedLogin>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    newest: Option<KeptToken>,
    /// The number of the last token that was obtained.
    generation: u64,
    flight: Option<Flight>,
}

/// An unscoped token, and where it comes from.
pub(super) struct Obtained {
    pub(super) kept: KeptToken,
    /// Whether it comes from a login that ended after the token was asked for.
    pub(super) is_new: bool,
}

impl UnscopedTokens {
    pub(super) fn new(login: Box<dyn UnscopedLogin>) -> Self {
        Self { login, state: Mutex::default() }
    }

    pub(super) fn login(&self) -> &dyn UnscopedLogin {
        &*self.login
    }

    /// Keeps the token that a person has obtained.
    pub(super) fn keep_token_of_person(&self, token: UnscopedToken) {
        let mut state = self.lock();
        let kept = KeptToken::new(token, state.next_generation()).of_person();
        state.newest = Some(kept);
    }

    /// Returns an unscoped token for a scope that has used the tokens up to the number `used`, or for no scope.
    ///
    /// A kept token serves a scope once, while it has more than half of its life left. Otherwise this logs in, unless
    /// the login cannot be repeated: then the kept token serves a scope until it ends for the first time, and later while
    /// it has more than half of its life left.
    pub(super) async fn obtain(
        self: &Arc<Self>,
        transport: Transport,
        used: u64,
        has_scope: bool,
    ) -> Result<Obtained, Error> {
        if let Some(kept) = self.kept_token(used, has_scope) {
            return Ok(Obtained { kept, is_new: false });
        }
        if !self.login.can_log_in() {
            return Err(Error::LoginEnded);
        }
        Ok(Obtained { kept: self.log_in(transport).await?, is_new: true })
    }

    /// Forgets a token that Keystone has refused, unless there is a newer one.
    pub(super) fn forget(&self, refused: &KeptToken) {
        let mut state = self.lock();
        let forgotten = state.newest.take_if(|newest| newest.generation == refused.generation);
        drop(state);
        drop(forgotten);
    }

    fn kept_token(&self, used: u64, has_scope: bool) -> Option<KeptToken> {
        let kept = self.lock().newest.clone()?;
        let is_unused = kept.generation > used;
        let serves = match self.login.can_log_in() {
            true => is_unused && kept.is_young() && (has_scope || kept.is_of_person),
            false => kept.is_young() || is_unused && kept.is_valid(),
        };
        serves.then_some(kept)
    }

    /// Logs in, or waits for the login that another call has started.
    async fn log_in(self: &Arc<Self>, transport: Transport) -> LoginResult {
        for _ in 0..MAX_FLIGHTS {
            let waiter = match self.join() {
                (waiter, None) => waiter,
                (waiter, Some((flight, start))) => {
                    self.start(flight, start, transport.clone())?;
                    waiter
                }
            };
            if let Some(result) = waiter.wait().await {
                return result;
            }
        }
        Err(Error::Abandoned)
    }

    /// Joins the login that is in flight, or creates one.
    fn join(&self) -> (Waiter, Option<(Flight, Start<LoginResult>)>) {
        let mut state = self.lock();
        if let Some(flight) = state.flight.as_ref().filter(|flight| !flight.is_stuck()) {
            return (flight.join(), None);
        }
        let (flight, start, waiter) = Flight::new();
        state.flight = Some(flight.clone());
        (waiter, Some((flight, start)))
    }

    /// Starts a login in the background.
    fn start(
        self: &Arc<Self>,
        flight: Flight,
        start: Start<LoginResult>,
        transport: Transport,
    ) -> Result<(), Error> {
        let runtime = runtime().inspect_err(|_| self.end(&flight))?;
        let (this, ending) = (Arc::clone(self), (Arc::clone(self), flight.clone()));
        let task = async move {
            let is_cut_off = || this.login.refresh_token().is_none() && this.end_if_unattended(&flight);
            let login = CatchPanic::new(|| this.login.log_in(transport));
            let result = match flight.run(login, is_cut_off).await {
                Some(result) => result.unwrap_or(Err(Error::PluginPanicked)),
                None => Err(Error::Abandoned),
            };
            this.finish(&flight, result)
        };
        start.run(&runtime, task, move || {
            let (this, flight) = ending;
            this.end(&flight);
            Err(Error::PluginPanicked)
        });
        Ok(())
    }

    /// Keeps the result of a login, if it is a token.
    fn finish(&self, flight: &Flight, result: Result<UnscopedToken, Error>) -> LoginResult {
        let mut state = self.lock();
        // In the same step as the token is kept, so that no call starts another login in between.
        state.flight.take_if(|current| current.is_same(flight));
        let token = result?;
        let kept = KeptToken::new(token, state.next_generation());
        let last = state.newest.replace(kept.clone());
        drop(state);
        drop(last);
        Ok(kept)
    }

    fn end(&self, flight: &Flight) {
        self.lock().flight.take_if(|current| current.is_same(flight));
    }

    /// Ends a login that nobody waits for, so that the next call starts another one. Returns whether it did.
    fn end_if_unattended(&self, flight: &Flight) -> bool {
        let mut state = self.lock();
        let is_unattended = flight.is_unattended();
        if is_unattended {
            state.flight.take_if(|current| current.is_same(flight));
        }
        is_unattended
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }
}
