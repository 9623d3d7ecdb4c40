use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

#[cfg(feature = "store")]
use super::sharing::SharedLogin;
use super::{
    NewToken, UnscopedLogin, UnscopedToken,
    flight::{Flight, LoginResult, Waiter},
    kept::KeptToken,
    seen::Seen,
};
use crate::{
    Error, Transport,
    task::{Start, runtime},
};
#[cfg(feature = "store")]
use crate::{SharedTokens, federation::stored_login::StoredLogin};

/// How long a login that failed permanently is the failure of all scopes.
const FAILURE_LIFETIME: Duration = Duration::from_secs(30 * 60);

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
    failure: Option<Failure>,
    /// The number of the last failure.
    failures: u64,
    /// The id of the user who logged in last.
    user: Option<Box<str>>,
    /// Whether the plugin of the credentials shares the unscoped token, because there is no scope.
    is_shared_by_plugin: bool,
    #[cfg(feature = "store")]
    store: Option<SharedTokens>,
    /// Where the login is stored for the next run of the program.
    #[cfg(feature = "store")]
    stored_login: Option<StoredLogin>,
}

/// A login that failed permanently, and may lock the account of the user if it is repeated.
struct Failure {
    number: u64,
    error: Error,
    failed_at: Instant,
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

    /// Shares the unscoped token by a store.
    #[cfg(feature = "store")]
    pub(super) fn set_store(&self, tokens: SharedTokens) {
        let last = self.lock().store.replace(tokens);
        drop(last);
    }

    #[cfg(feature = "store")]
    pub(super) fn has_store(&self) -> bool {
        self.lock().store.is_some()
    }

    /// Notes that the plugin of the credentials shares the unscoped token itself.
    pub(super) fn set_shared_by_plugin(&self) {
        self.lock().is_shared_by_plugin = true;
    }

    /// Keeps the token that a person has obtained.
    pub(super) fn keep_token_of_person(&self, token: UnscopedToken) {
        let mut state = self.lock();
        let kept = KeptToken::new(token, state.next_generation()).of_person();
        state.newest = Some(kept);
    }

    /// Keeps the token that a person has obtained, in this run of the program or before, and where the login is stored.
    #[cfg(feature = "store")]
    pub(super) fn keep_stored_login(&self, token: UnscopedToken, stored: StoredLogin) {
        let mut state = self.lock();
        let generation = state.next_generation();
        let kept = match stored.is_of_earlier_run {
            true => KeptToken::stored(token, generation),
            false => KeptToken::new(token, generation),
        };
        state.newest = Some(kept.of_person());
        let last = (state.store.replace(stored.tokens.clone()), state.stored_login.replace(stored));
        drop(state);
        drop(last);
    }

    /// Returns where the login is stored.
    #[cfg(all(feature = "store", feature = "config"))]
    pub(super) fn stored_login(&self) -> Option<StoredLogin> {
        self.lock().stored_login.clone()
    }

    /// Notes that the login has ended, so that the next run of the program does not find it.
    #[cfg(feature = "store")]
    pub(super) async fn end_stored_login(&self) {
        let stored = self.lock().stored_login.take();
        if let Some(stored) = stored {
            stored.end().await;
        }
    }

    /// Returns an unscoped token for a scope that has seen this, or for no scope.
    ///
    /// A failure that may lock an account is told to each scope once before it causes another login. So the delays after
    /// it are those of one scope, no matter how many there are.
    ///
    /// `takes_stored` says whether the token may be one of another process.
    ///
    /// A kept token serves a scope once, while it has more than half of its life left. Otherwise this logs in, unless
    /// the login cannot be repeated: then the kept token serves a scope until it ends for the first time, and later while
    /// it has more than half of its life left.
    pub(super) async fn obtain(
        self: &Arc<Self>,
        transport: Transport,
        seen: &Seen,
        has_scope: bool,
        takes_stored: bool,
    ) -> Result<Obtained, Error> {
        let kept = self.kept_token(seen.token(), has_scope);
        if let Some(kept) = kept.filter(|kept| takes_stored || !kept.is_stored) {
            return Ok(Obtained { kept, is_new: false });
        }
        if !self.login.can_log_in() {
            return Err(Error::LoginEnded);
        }
        if let Some(error) = self.tell_failure(seen) {
            return Err(error);
        }
        let kept = self
            .log_in(transport, has_scope, takes_stored)
            .await
            .inspect_err(|_| drop(self.tell_failure(seen)))?;
        Ok(Obtained { is_new: !kept.is_stored, kept })
    }

    /// Returns the last failure, if the scope was not told it yet.
    fn tell_failure(&self, seen: &Seen) -> Option<Error> {
        let state = self.lock();
        let failure = state.failure.as_ref()?;
        (seen.set_failure(failure.number) && failure.failed_at.elapsed() < FAILURE_LIFETIME)
            .then(|| failure.error.clone())
    }

    /// Notes that Keystone has rejected a token, so that it is not used any more.
    pub(super) fn set_rejected(&self, rejected: &KeptToken) {
        if let Some(newest) = &mut self.lock().newest {
            newest.is_rejected |= newest.generation == rejected.generation;
        }
    }

    fn kept_token(&self, used: u64, has_scope: bool) -> Option<KeptToken> {
        let kept = self.lock().newest.clone().filter(|kept| !kept.is_rejected)?;
        let is_unused = kept.generation > used;
        let serves = match self.login.can_log_in() {
            true => is_unused && kept.is_young() && (has_scope || kept.is_of_person),
            false => kept.is_young() || (is_unused || !kept.has_times()) && kept.is_valid(),
        };
        serves.then_some(kept)
    }

    /// Logs in, or waits for the login that another call has started.
    ///
    /// A plugin that shares the unscoped token by itself gets none of the store: it may have been rejected there.
    async fn log_in(
        self: &Arc<Self>,
        transport: Transport,
        has_scope: bool,
        takes_stored: bool,
    ) -> LoginResult {
        let takes_stored = takes_stored && (has_scope || !self.lock().is_shared_by_plugin);
        for _ in 0..MAX_FLIGHTS {
            let waiter = match self.join() {
                (waiter, None) => waiter,
                (waiter, Some((flight, start))) => {
                    self.start(flight, start, transport.clone(), takes_stored)?;
                    waiter
                }
            };
            match waiter.wait().await {
                Some(Ok(kept)) if kept.is_stored && !takes_stored => {}
                Some(result) => return result,
                // Its runtime was shut down, or is not driven.
                None => self.end(waiter.flight()),
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
        // Its result can contain an error of code outside this crate, which is not dropped with the lock held.
        let last = state.flight.replace(flight.clone());
        drop(state);
        drop(last);
        (waiter, Some((flight, start)))
    }

    /// Starts a login in the background.
    fn start(
        self: &Arc<Self>,
        flight: Flight,
        start: Start<LoginResult>,
        transport: Transport,
        takes_stored: bool,
    ) -> Result<(), Error> {
        let runtime = runtime().inspect_err(|_| self.end(&flight))?;
        let (this, ending) = (Arc::clone(self), (Arc::clone(self), flight.clone()));
        let task = async move {
            let is_cut_off = || !this.login.must_end() && this.end_if_unattended(&flight);
            let result = flight.run(this.obtain_new(transport, takes_stored), is_cut_off).await;
            this.finish(&flight, result.unwrap_or(Err(Error::Abandoned)))
        };
        start.run(&runtime, task, move || {
            let (this, flight) = ending;
            this.end(&flight);
            Err(Error::PluginPanicked)
        });
        Ok(())
    }

    /// Logs in, or takes a newer token from the store.
    async fn obtain_new(&self, transport: Transport, takes_stored: bool) -> Result<NewToken, Error> {
        #[cfg(feature = "store")]
        if let Some(shared) = self.shared_login(transport.clone(), takes_stored) {
            let result = shared.obtain().await;
            if matches!(result, Err(Error::LoginEnded)) {
                self.end_stored_login().await;
            }
            return result;
        }
        #[cfg(not(feature = "store"))]
        let _ = takes_stored;
        self.login.log_in(transport).await.map(NewToken::Own)
    }

    /// Returns the login with its entries in the store, if there is a store and the login has an id.
    #[cfg(feature = "store")]
    fn shared_login(&self, transport: Transport, takes_stored: bool) -> Option<SharedLogin<'_>> {
        let (tokens, last) = {
            let state = self.lock();
            let last = state.newest.as_ref().map(|newest| newest.token.access_info.clone());
            (state.store.clone()?, last)
        };
        let is_sealed = tokens.is_sealed();
        let id = if is_sealed { self.login.stored_id() } else { self.login.public_id() };
        let user = id.is_none().then(|| self.lock().user.clone()).flatten();
        let id = id.or_else(|| self.login.id_of_user(user.as_ref()?))?;
        Some(SharedLogin {
            login: &*self.login,
            transport,
            entries: tokens.federated_login(&id),
            is_sealed,
            last,
            user,
            takes_stored,
        })
    }

    /// Returns the id of a login whose secrets change, if the user is known.
    pub(super) fn id_of_user(&self) -> Option<String> {
        let user_id = self.lock().user.clone()?;
        self.login.id_of_user(&user_id)
    }

    /// Keeps the result of a login, if it is a token.
    fn finish(&self, flight: &Flight, result: Result<NewToken, Error>) -> LoginResult {
        let locks = |error: &Error| self.login.can_lock_account() && !error.is_transient();
        let failure = result.as_ref().err().filter(|error| locks(error)).cloned();
        let is_success = result.is_ok();
        let mut state = self.lock();
        // In the same step as the token is kept, so that no call starts another login in between.
        let flight = state.flight.take_if(|current| current.is_same(flight));
        let last_failure = match failure {
            Some(error) => {
                state.failures += 1;
                let failure = Failure { number: state.failures, error, failed_at: Instant::now() };
                state.failure.replace(failure)
            }
            None => state.failure.take_if(|_| is_success),
        };
        let token = match result {
            Ok(token) => token,
            Err(error) => {
                // An error can contain one of code outside this crate, which is not dropped with the lock held.
                drop(state);
                drop((flight, last_failure));
                return Err(error);
            }
        };
        let generation = state.next_generation();
        let kept = match token {
            NewToken::Own(token) => KeptToken::new(token, generation),
            #[cfg(feature = "store")]
            NewToken::Stored(token) => KeptToken::stored(token, generation),
        };
        if !kept.is_stored || state.user.is_none() {
            let user_id = kept.token.access_info.user_id();
            state.user = user_id.filter(|id| !id.is_empty()).map(Into::into);
        }
        let last = state.newest.replace(kept.clone());
        drop(state);
        drop((flight, last, last_failure));
        Ok(kept)
    }

    fn end(&self, flight: &Flight) {
        // Its result can contain an error of code outside this crate, which is not dropped with the lock held.
        let ended = self.lock().flight.take_if(|current| current.is_same(flight));
        drop(ended);
    }

    /// Ends a login that nobody waits for, so that the next call starts another one. Returns whether it did.
    fn end_if_unattended(&self, flight: &Flight) -> bool {
        let mut state = self.lock();
        let is_unattended = flight.is_unattended();
        let ended = state.flight.take_if(|current| is_unattended && current.is_same(flight));
        drop(state);
        drop(ended);
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
