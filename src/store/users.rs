//! Ends the renewals that use a store, when the program closes it.

use tokio::sync::watch;

/// The renewals that use a store now, and whether the store is closed.
pub(super) struct Users(watch::Sender<bool>);

/// A renewal that uses a store. [`SharedTokens::close`](super::SharedTokens::close) waits until it is dropped.
#[derive(Clone, Debug)]
pub(crate) struct StoreUser(watch::Receiver<bool>);

impl Users {
    /// Creates the users of a store that is open.
    pub(super) fn new() -> Self {
        Self(watch::channel(false).0)
    }

    /// Adds a user. Returns `None` if the store is closed.
    pub(super) fn add(&self) -> Option<StoreUser> {
        let user = self.0.subscribe();
        let is_closed = *user.borrow();
        (!is_closed).then_some(StoreUser(user))
    }

    /// Closes the store, and waits until all its users are dropped.
    pub(super) async fn close(&self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }
}

impl StoreUser {
    /// Waits until the store is closed.
    pub(crate) async fn closed(&mut self) {
        // An error means that the store is dropped, which closes it too.
        let _ = self.0.wait_for(|is_closed| *is_closed).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    #[test]
    fn a_store_is_closed_when_its_users_have_ended() {
        let users = Users::new();
        let user = users.add().unwrap();
        let mut waiting = user.clone();
        let mut waiting = task::spawn(async move { waiting.closed().await });
        assert_pending!(waiting.poll());
        let mut closing = task::spawn(users.close());
        assert_pending!(closing.poll());
        assert!(waiting.is_woken());
        assert_ready!(waiting.poll());
        drop(waiting);
        assert_pending!(closing.poll());
        assert!(users.add().is_none());
        drop(user);
        assert!(closing.is_woken());
        assert_ready!(closing.poll());
    }
}
