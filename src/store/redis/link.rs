use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::{runtime::Handle, time::Instant};

use super::{
    error::ServerFailure,
    servers::{Connection, Servers},
};
use crate::task::{SingleFlight, Waited, runtime};

/// The connection to the servers, which is made when it is needed and replaced when it fails.
pub(super) struct Link {
    servers: Arc<Servers>,
    connection: Mutex<Option<SingleFlight<Connected>>>,
}

type Connected = Result<Live, ServerFailure>;

/// A connection, and since when it owes an answer.
#[derive(Clone)]
struct Live {
    connection: Connection,
    owes_since: Arc<Mutex<Option<Instant>>>,
}

/// The answer to a command.
pub(super) struct Answer {
    pub(super) result: Result<Value, RedisError>,
    /// The command was sent twice. The first one can have been executed, too.
    pub(super) sent_twice: bool,
}

/// How much longer than the timeout of the connection its result is awaited.
const GRACE: Duration = Duration::from_secs(1);

impl Link {
    pub(super) fn new(servers: Servers) -> Self {
        Self { servers: Arc::new(servers), connection: Mutex::default() }
    }

    pub(super) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Starts to connect, unless there is a connection already.
    pub(super) fn start(&self, runtime: &Handle) {
        let _ = self.flight(runtime);
    }

    /// Returns the attempt to connect, which this starts if there is none.
    fn flight(&self, runtime: &Handle) -> SingleFlight<Connected> {
        let mut current = lock(&self.connection);
        if let Some(flight) = &*current {
            return flight.clone();
        }
        let (flight, start) = SingleFlight::new();
        *current = Some(flight.clone());
        drop(current);
        let servers = Arc::clone(&self.servers);
        let connect = async move {
            let connection = servers.connect().await?;
            Ok(Live { connection, owes_since: Arc::default() })
        };
        start.run(runtime, connect, || {
            Err(ServerFailure::new("cannot connect; for TLS, install a `CryptoProvider` of rustls first"))
        });
        flight
    }

    /// Sends a command, and sends it once more if the connection was closed since it was used last.
    pub(super) async fn send(&self, command: &Cmd) -> Result<Answer, ServerFailure> {
        let (flight, mut live, is_new) = self.live().await?;
        let result = live.send(command).await;
        let Err(error) = &result else { return Ok(Answer { result, sent_twice: false }) };
        if must_replace(error) {
            self.forget(&flight);
        }
        if is_new || !error.is_connection_dropped() {
            return Ok(Answer { result, sent_twice: false });
        }
        let (flight, mut live, _) = self.live().await?;
        let result = live.send(command).await;
        if result.as_ref().is_err_and(must_replace) {
            self.forget(&flight);
        }
        Ok(Answer { result, sent_twice: true })
    }

    /// Returns the connection, and whether it is new.
    async fn live(&self) -> Result<(SingleFlight<Connected>, Live, bool), ServerFailure> {
        let runtime = runtime().map_err(|error| ServerFailure::new(error.to_string()))?;
        let mut is_new = false;
        loop {
            is_new |= lock(&self.connection).is_none();
            let flight = self.flight(&runtime);
            match flight.wait(self.servers.connect_timeout.saturating_add(GRACE)).await {
                Waited::Done(Ok(live)) if live.is_late(self.servers.answer_timeout) => self.forget(&flight),
                Waited::Done(Ok(live)) => return Ok((flight, live, is_new)),
                Waited::Done(Err(failure)) => {
                    self.forget(&flight);
                    if is_new {
                        return Err(failure);
                    }
                    // Another task started this attempt, perhaps long ago.
                }
                // The runtime of another task has ended before it was connected.
                Waited::Lost if !is_new => self.forget(&flight),
                Waited::Lost | Waited::TimedOut | Waited::NoRuntime => {
                    self.forget(&flight);
                    return Err(ServerFailure::new(
                        "cannot connect: the tokio runtime that does it has ended",
                    ));
                }
            }
        }
    }

    /// The next command gets another connection.
    fn forget(&self, flight: &SingleFlight<Connected>) {
        let forgotten = {
            let mut current = lock(&self.connection);
            current.take_if(|current| current.is_same(flight))
        };
        drop(forgotten);
    }
}

impl Live {
    async fn send(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        lock(&self.owes_since).get_or_insert_with(Instant::now);
        let result = match &mut self.connection {
            Connection::One(connection) => connection.send_packed_command(command).await,
            #[cfg(feature = "redis-cluster")]
            Connection::Cluster(connection) => {
                redis::aio::ConnectionLike::req_packed_command(connection, command).await
            }
        }
        .and_then(Value::extract_error);
        // Answers come in the order of the commands, so those to all commands before have come, too.
        if !result.as_ref().is_err_and(RedisError::is_timeout) {
            *lock(&self.owes_since) = None;
        }
        result
    }

    /// Returns whether the server owes an answer for too long, perhaps to a command whose caller did not wait for it.
    fn is_late(&self, timeout: Duration) -> bool {
        lock(&self.owes_since).is_some_and(|since| since.elapsed() >= timeout)
    }
}

/// Returns whether the next command should get another connection.
fn must_replace(error: &RedisError) -> bool {
    error.is_timeout()
        || error.is_unrecoverable_error()
        // The server was the primary once. A name or a sentinel can lead to the one that is it now.
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
