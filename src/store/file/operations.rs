use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    blocking::{run, run_locked},
    directory::Directory,
    entry,
    file_error::FileError,
    file_store::FileStore,
    lease::Lease,
    mutex::Locked,
    sweep::{MAX_SPACE, sweep},
};
use crate::{
    BoxError,
    store::{EntryName, LeaseOwner, MAX_RECORD, StoreFuture, TokenStore, Version},
};

impl TokenStore for FileStore {
    fn get<'a>(&'a self, name: &'a EntryName) -> StoreFuture<'a, Option<Vec<u8>>> {
        let inner = Arc::clone(&self.inner);
        let name = Box::<str>::from(name.as_str());
        Box::pin(run(move || {
            let Some(directory) = Directory::open(&inner.path)? else { return Ok(None) };
            Ok(entry::read(&directory, &name)?)
        }))
    }

    fn publish<'a>(
        &'a self,
        name: &'a EntryName,
        seen: Option<&'a Version>,
        record: &'a [u8],
        time_to_live: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            if record.len() > MAX_RECORD {
                return Ok(false);
            }
            self.sweep_if_due();
            if self.inner.sweeps.is_full() {
                let problem = format!(
                    "takes more than {MAX_SPACE} bytes, so nothing is stored until some records have ended"
                );
                return Err(FileError::new(&self.inner.path, problem).into());
            }
            let length = record.len() as u64;
            let (name, record, seen) =
                (Arc::<str>::from(name.as_str()), Arc::<[u8]>::from(record), seen.copied());
            let published = self
                .locked(move |directory| {
                    entry::publish(directory, &name, seen.as_ref(), &record, time_to_live)
                })
                .await?;
            if published {
                self.inner.sweeps.count_published(length);
            }
            Ok(published)
        })
    }

    fn lease<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            if !self.inner.has_locks {
                return Ok(true);
            }
            let file = Arc::<str>::from(name.as_str());
            // If this future is dropped meanwhile, so is the lease, and another process can take it.
            let Some(lease) = self.locked(move |directory| Lease::take(directory, &file, term)).await? else {
                return Ok(false);
            };
            self.inner.leases.insert(name, owner, lease);
            Ok(true)
        })
    }

    fn extend<'a>(
        &'a self,
        name: &'a EntryName,
        owner: &'a LeaseOwner,
        term: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            if !self.inner.has_locks {
                return Ok(true);
            }
            let Some(lease) = self.inner.leases.get(name, owner) else { return Ok(false) };
            let file = Arc::<str>::from(name.as_str());
            let extended = self.locked(move |directory| lease.extend(directory, &file, term)).await?;
            if !extended {
                self.inner.leases.remove(name, owner);
            }
            Ok(extended)
        })
    }

    fn release<'a>(&'a self, name: &'a EntryName, owner: &'a LeaseOwner) -> StoreFuture<'a, ()> {
        // The lock is on a local file, so to unlock it blocks nobody, and it works while the runtime is shut down.
        self.inner.leases.remove(name, owner);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl FileStore {
    /// Runs an operation while the directory is locked, if it can be.
    async fn locked<T: Send + 'static>(
        &self,
        operation: impl Fn(&Directory) -> Result<T, FileError> + Clone + Send + 'static,
    ) -> Result<T, BoxError> {
        let inner = Arc::clone(&self.inner);
        run_locked(move || {
            let directory = Directory::open_or_create(&inner.path)?;
            let locked = if inner.has_locks { Locked::try_new(&directory)? } else { None };
            if inner.has_locks && locked.is_none() {
                return Ok(None);
            }
            Ok(Some(operation(&directory)?))
        })
        .await
    }

    /// Sweeps the directory in the background, if it is time.
    fn sweep_if_due(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.inner.sweeps.take_turn(Instant::now()) {
            return;
        }
        let inner = Arc::clone(&self.inner);
        runtime.spawn_blocking(move || {
            let Ok(Some(directory)) = Directory::open(&inner.path) else { return };
            if let Ok(space) = sweep(&directory, inner.has_locks) {
                inner.sweeps.set_space(space);
            }
        });
    }
}
