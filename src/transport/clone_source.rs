//! Clones of a client that is not `Sync`.

use std::sync::{Mutex, PoisonError};

use tokio::task::yield_now;

/// Makes clones of a value that is not `Sync`, from several threads.
///
/// No lock is held during `T::clone`, because it may run any code.
pub(super) struct CloneSource<T>(Mutex<Option<T>>);

impl<T: Clone> CloneSource<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Mutex::new(Some(value)))
    }

    /// Returns a clone. Waits while another task clones the value.
    pub(super) async fn get(&self) -> T {
        loop {
            if let Some(clone) = self.take().and_then(|taken| taken.value.clone()) {
                return clone;
            }
            yield_now().await;
        }
    }

    fn take(&self) -> Option<Taken<'_, T>> {
        let value = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Taken { source: self, value: Some(value) })
    }
}

/// The value while it is cloned. Dropping this puts the value back, even if `T::clone` panics.
struct Taken<'a, T> {
    source: &'a CloneSource<T>,
    value: Option<T>,
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        *self.source.0.lock().unwrap_or_else(PoisonError::into_inner) = self.value.take();
    }
}
