use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::runtime::Handle;

use super::{
    error::ServerFailure,
    servers::{Connection, Servers},
};
use crate::task::{self, SingleFlight, Waited};

/// The connection to the servers, which is made when it is needed and replaced when it fails.
pub(super) struct Link {
    servers: Arc<Servers>,
    connection: Mutex<Option<SingleFlight<Connected>>>,
}

type Connected = Result<Connection, ServerFailure>;

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
        start.run(runtime, async move { servers.connect().await }, || {
            Err(ServerFailure::new("cannot connect: the client panicked"))
        });
        flight
    }

    /// Sends a command, and sends it once more if the connection was closed since it was used last.
    ///
    /// The answer is awaited even if the caller goes, so that a connection that owes it for too long is closed.
    pub(super) async fn send(self: &Arc<Self>, command: Cmd) -> Result<Answer, ServerFailure> {
        let link = Arc::clone(self);
        let sending = runtime()?.spawn(async move { link.send_and_wait(&command).await });
        sending.await.unwrap_or_else(|_| Err(ServerFailure::new("the tokio runtime has ended")))
    }

    async fn send_and_wait(&self, command: &Cmd) -> Result<Answer, ServerFailure> {
        let (flight, mut connection, is_new) = self.connection().await?;
        let result = connection.send(command).await;
        let Err(error) = &result else { return Ok(Answer { result, sent_twice: false }) };
        if must_replace(error) {
            self.forget(&flight);
        }
        if is_new || !error.is_connection_dropped() {
            return Ok(Answer { result, sent_twice: false });
        }
        let (flight, mut connection, _) = self.connection().await?;
        let result = connection.send(command).await;
        if result.as_ref().is_err_and(must_replace) {
            self.forget(&flight);
        }
        Ok(Answer { result, sent_twice: true })
    }

    /// Returns the connection, and whether it is new.
    async fn connection(&self) -> Result<(SingleFlight<Connected>, Connection, bool), ServerFailure> {
        let runtime = runtime()?;
        let mut is_new = false;
        loop {
            is_new |= lock(&self.connection).is_none();
            let flight = self.flight(&runtime);
            match flight.wait(self.servers.connect_timeout.saturating_add(GRACE)).await {
                Waited::Done(Ok(connection)) => return Ok((flight, connection, is_new)),
                Waited::Done(Err(failure)) => {
                    self.forget(&flight);
                    if is_new {
                        return Err(failure);
                    }
                    // Another task started this attempt, perhaps long ago.
                }
                // The runtime of another task has ended before it was connected.
                Waited::Lost if !is_new => self.forget(&flight),
                Waited::TimedOut => {
                    self.forget(&flight);
                    let failure = ServerFailure::new("the connection was not made in time");
                    return Err(failure.context(format_args!("cannot connect to {:?}", self.servers)));
                }
                Waited::Lost | Waited::NoRuntime => {
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

impl Connection {
    async fn send(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        match self {
            Self::One(connection) => connection.send_packed_command(command).await,
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(connection) => {
                redis::aio::ConnectionLike::req_packed_command(connection, command).await
            }
        }
        .and_then(Value::extract_error)
    }
}

fn runtime() -> Result<Handle, ServerFailure> {
    task::runtime().map_err(|error| ServerFailure::new(error.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_not_made_in_time_is_reported_as_such() {
        let never_driven = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let link = Arc::new(Link::new(Servers::one(&"redis://127.0.0.1:1".into()).unwrap()));
        link.start(never_driven.handle());
        let error = link.send(redis::cmd("PING")).await.err().unwrap();
        assert_eq!(error.to_string(), "cannot connect to 127.0.0.1:1: the connection was not made in time");
        never_driven.shutdown_background();
    }
}
