use std::{fmt, sync::Arc, time::Duration};

use super::{StoreKey, TokenStore, users::Users};
use crate::{AccessInfo, Credentials, Error};

/// Tokens that plugins, processes and machines share: a [`TokenStore`] and the key of what is in it.
///
/// Clones share the connection to the store, and whether it can be used now.
#[derive(Clone)]
pub struct SharedTokens(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) users: Users,
}

impl SharedTokens {
    /// Shares tokens in a store. They are sealed with this key.
    pub fn new(store: impl TokenStore, key: StoreKey) -> Self {
        store.connect();
        let _ = (store, key);
        todo!()
    }

    /// Shares tokens in a store without a key: whoever can read the store has the tokens, and whoever can write to it
    /// decides which tokens are used.
    pub fn without_sealing(store: impl TokenStore) -> Self {
        store.connect();
        let _ = store;
        todo!()
    }

    /// Shares tokens between the plugins of this process.
    pub fn in_memory() -> Self {
        todo!()
    }

    /// Sets the name of the store. The default is `tokens`.
    ///
    /// Programs with different names do not share tokens, even if they use the same server and the same key.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        let _ = name.into();
        self
    }

    /// Adds a key that was used before. What it has sealed is read, but nothing is written with it.
    #[must_use]
    pub fn also_read_with(self, key: StoreKey) -> Self {
        let _ = key;
        self
    }

    /// Sets how long an answer of the store is awaited after the first contact. The default is 50 ms.
    #[must_use]
    pub fn answer_timeout(self, timeout: Duration) -> Self {
        let _ = timeout;
        self
    }

    /// Returns the stored access info of these credentials, for example for an
    /// [`AccessInfoPlugin`](crate::AccessInfoPlugin). It does not log in.
    ///
    /// # Errors
    ///
    /// [`Error::StoreUnavailable`] if the store cannot be asked.
    pub async fn access_info(&self, credentials: &impl Credentials) -> Result<Option<AccessInfo>, Error> {
        let _ = credentials;
        todo!()
    }

    /// Ends the renewals in the background that use this store, and gives their leases back.
    ///
    /// Call it before the program ends. The plugins go on without the store.
    pub async fn close(&self) {
        self.0.users.close().await;
    }
}

impl fmt::Debug for SharedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedTokens").field(&self.0.store).finish()
    }
}
