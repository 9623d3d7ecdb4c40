use std::{error::Error as _, future::Future, time::Duration};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, timeout_at},
};

use super::{
    address::Address,
    connection::{Connection, Failure, TIMEOUT},
    password::Password,
};
use crate::BoxError;

/// A server, and the one connection to it.
#[derive(Debug)]
pub(super) struct Server {
    name: Box<str>,
    address: Address,
    password: Option<Password>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: Option<Idle>,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Debug)]
struct Failed {
    delay: Duration,
    until: Instant,
    error: ServerError,
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot use the memcached server {server}: {reason}")]
struct ServerError {
    server: Box<str>,
    reason: Box<str>,
}

const FIRST_DELAY: Duration = Duration::from_millis(20);
const MAX_DELAY: Duration = Duration::from_millis(1280);

/// A connection that is idle longer may have been dropped by a firewall without a word.
const MAX_IDLE: Duration = Duration::from_secs(30);

impl Server {
    pub(super) fn new(address: Address, password: Option<Password>) -> Self {
        Self { name: address.to_string().into(), address, password, state: Mutex::default() }
    }

    /// Returns the address in its one spelling.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until no other operation uses the connection, and takes it for one operation.
    pub(super) async fn wait_for_turn(&self) -> Result<Turn<'_>, BoxError> {
        let mut state = self.state.lock().await;
        if let Some(failed) = state.failed.as_ref().filter(|failed| Instant::now() < failed.until) {
            return Err(failed.error.clone().into());
        }
        let deadline = Instant::now() + TIMEOUT;
        let connection = match state.idle.take().and_then(Idle::usable) {
            Some(connection) => Ok(connection),
            None => within(deadline, Connection::open(&self.address, self.password.as_ref())).await,
        };
        match connection {
            Ok(connection) => Ok(Turn { server: self, state, connection, deadline }),
            Err(failure) => Err(state.fail(self.error(&failure))),
        }
    }

    fn error(&self, failure: &Failure) -> ServerError {
        let mut reason = failure.to_string();
        let mut source = failure.source();
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        ServerError { server: self.name.clone(), reason: reason.into() }
    }
}

impl Idle {
    /// Returns the connection, unless it has ended, has been idle for long, or has a response that nobody asked for.
    fn usable(mut self) -> Option<Connection> {
        (self.since.elapsed() < MAX_IDLE && self.connection.is_quiet()).then_some(self.connection)
    }
}

impl State {
    /// Delays the next attempt. Until then, operations get this error.
    fn fail(&mut self, error: ServerError) -> BoxError {
        let delay = self.failed.as_ref().map_or(FIRST_DELAY, |failed| (failed.delay * 2).min(MAX_DELAY));
        self.failed = Some(Failed { delay, until: Instant::now() + delay, error: error.clone() });
        error.into()
    }
}

/// The connection to a server, taken for one operation. It is closed if the operation is not run to its end.
pub(super) struct Turn<'a> {
    server: &'a Server,
    state: MutexGuard<'a, State>,
    connection: Connection,
    deadline: Instant,
}

impl Turn<'_> {
    /// Runs the operation. If it succeeds, the next one uses the same connection.
    pub(super) async fn run<T>(
        self,
        operation: impl AsyncFnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, BoxError> {
        let Self { server, mut state, mut connection, deadline } = self;
        match within(deadline, operation(&mut connection)).await {
            Ok(result) => {
                *state = State { idle: Some(Idle { connection, since: Instant::now() }), failed: None };
                Ok(result)
            }
            Err(failure) => Err(state.fail(server.error(&failure))),
        }
    }
}

async fn within<T>(
    deadline: Instant,
    operation: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout_at(deadline, operation).await.unwrap_or(Err(Failure::Timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how long operations are delayed after each of these failures.
    #[tokio::test(start_paused = true)]
    async fn delays_double_up_to_a_limit() {
        // Nobody listens at port 1.
        let server = Server::new(Address::parse("127.0.0.1:1").unwrap(), None);
        for delay in [20, 40, 80, 160, 320, 640, 1280, 1280] {
            let connect = server.wait_for_turn().await.err().unwrap();
            let text = connect.to_string();
            assert!(
                text.starts_with("cannot use the memcached server 127.0.0.1:1: cannot connect to it: "),
                "{text}"
            );
            tokio::time::advance(Duration::from_millis(delay) - Duration::from_nanos(1)).await;
            let delayed = server.wait_for_turn().await.err().unwrap();
            // Nothing is tried, and the error is the last one.
            assert_eq!(delayed.to_string(), text, "{delay}");
            tokio::time::advance(Duration::from_nanos(1)).await;
        }
    }
}
