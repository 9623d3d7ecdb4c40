//! Clones of a client that need not be `Sync`.

use std::sync::{Mutex, PoisonError};

use tokio::task::yield_now;

/// Hands out clones of a value that threads cannot share. No lock is held while they are made, since `Clone` is code of
/// others.
pub(super) struct CloneSource<T>(Mutex<Option<T>>);

impl<T: Clone> CloneSource<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Mutex::new(Some(value)))
    }

    /// Returns a clone, once nobody else is making one.
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
        Some(Taken { spare: self, value: Some(value) })
    }
}

/// The value while it is cloned. It is put back although `Clone` may panic.
struct Taken<'a, T> {
    spare: &'a CloneSource<T>,
    value: Option<T>,
}

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        *self.spare.0.lock().unwrap_or_else(PoisonError::into_inner) = self.value.take();
    }
}
