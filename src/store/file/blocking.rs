use std::time::Duration;

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use crate::BoxError;

/// How long a lock that is held for microseconds is awaited. Its holder was stopped then.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs file operations on a thread that may block.
///
/// They take microseconds, but on a slow disk, and on one that another machine serves, they can take seconds, and a
/// program with one thread could meanwhile not even notice that its time is over. An operation that has begun is completed
/// when its caller has gone or the runtime is shut down; one that has not begun is left out.
pub(super) async fn run<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T, BoxError> + Send + 'static,
) -> Result<T, BoxError> {
    Handle::try_current()?.spawn_blocking(operation).await?
}

/// Repeats an operation until it gets the lock that it needs, which it tells by `Some`.
///
/// The waiting is done here and not on the blocking thread, so it ends when the caller goes.
pub(super) async fn run_locked<T: Send + 'static>(
    operation: impl Fn() -> Result<Option<T>, BoxError> + Clone + Send + 'static,
) -> Result<T, BoxError> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        if let Some(result) = run(operation.clone()).await? {
            return Ok(result);
        }
        if Instant::now() >= deadline {
            return Err("the lock of the directory is held by a process that was stopped".into());
        }
        sleep(Duration::from_millis(fastrand::u64(1..=4))).await;
    }
}
