use std::time::Duration;

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use crate::BoxError;

/// Maximum wait for the lock, which is held for microseconds. After that, its holder must have been stopped.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs file operations on a thread that may block.
///
/// They take microseconds, but seconds on a slow disk or a network file system. Without a thread of its own, such an
/// operation would block a runtime with one thread, and the timeout of the caller could not end the wait. The operation
/// is completed even if its caller is dropped. When the runtime is shut down, one that has not begun is dropped.
pub(super) async fn run<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T, BoxError> + Send + 'static,
) -> Result<T, BoxError> {
    Handle::try_current()?.spawn_blocking(operation).await?
}

/// Repeats an operation until it returns `Some`. It returns `None` if another process holds the lock that it needs.
///
/// The delays in between are here and not on the blocking thread, so they end when the caller is dropped.
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
