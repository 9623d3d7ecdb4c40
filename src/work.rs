//! Work that belongs to none of those who wait for it.

use std::{future::Future, time::Duration};

use tokio::{
    runtime::Handle,
    sync::watch::{self, Ref},
    time::timeout,
};

use crate::Error;

/// Work in a task of its own, and the place where its outcome will be. Clones are of the same work.
#[derive(Clone)]
pub(crate) struct Work<T>(watch::Receiver<Option<T>>);

impl<T: Clone + Send + Sync + 'static> Work<T> {
    /// Sends it off. [`Error::NoRuntime`] outside of a runtime.
    pub(crate) fn start(work: impl Future<Output = T> + Send + 'static) -> Result<Self, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let (sender, receiver) = watch::channel(None);
        runtime.spawn(async move {
            let outcome = work.await;
            sender.send_replace(Some(outcome));
        });
        Ok(Self(receiver))
    }

    /// Waits for the outcome; `Some(None)` if there will be none, since its runtime was shut down.
    ///
    /// `None` if it takes longer than this, by which a runtime is known that nobody drives, or if there is no
    /// runtime here to tell the time.
    pub(crate) async fn done(&mut self, longest: Duration) -> Option<Option<T>> {
        if let Some(outcome) = self.outcome().clone() {
            return Some(Some(outcome));
        }
        Handle::try_current().ok()?;
        let done = timeout(longest, self.0.wait_for(Option::is_some)).await.ok()?;
        Some(done.ok().and_then(|outcome| outcome.clone()))
    }

    /// The outcome, if it is there.
    pub(crate) fn outcome(&self) -> Ref<'_, Option<T>> {
        self.0.borrow()
    }

    /// Whether the two are the same work.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}
