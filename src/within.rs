use std::{future::Future, time::Duration};

use tokio::{runtime::Handle, time::timeout};

/// Waits no longer than this; `None` if it took longer, or no runtime is there to tell the time.
pub(crate) async fn within<T>(time: Duration, awaited: impl Future<Output = T>) -> Option<T> {
    Handle::try_current().ok()?;
    timeout(time, awaited).await.ok()
}
