//! The login of a person in a store, for the next run of the program.

use crate::{
    Error, SharedTokens,
    store::{IdentityEntries, StoreAway, Version},
};

/// Where the login of a person is stored.
#[derive(Clone)]
pub(super) struct StoredLogin {
    pub(super) tokens: SharedTokens,
    /// Whether another run has stored the login.
    pub(super) is_of_earlier_run: bool,
    /// The entry that tells the next run who logged in last.
    pub(super) last_login: IdentityEntries,
    /// Its version. `None` if it could not be written.
    pub(super) version: Option<Version>,
    /// The entries of the refresh token, if the login can have one.
    pub(super) refresh: Option<IdentityEntries>,
}

impl StoredLogin {
    /// Removes the login.
    pub(super) async fn forget(&self) -> Result<(), Error> {
        let remove = async {
            self.remove_last_login().await?;
            match &self.refresh {
                Some(entries) => entries.remove_login().await,
                None => Ok(()),
            }
        };
        remove.await.map_err(|StoreAway| self.last_login.unavailable_error())
    }

    /// Removes what the next run would find, unless somebody has logged in since. The login has ended.
    pub(super) async fn end(&self) {
        // Without the store, the next run finds out by itself.
        let _ = self.remove_last_login().await;
    }

    async fn remove_last_login(&self) -> Result<(), StoreAway> {
        match &self.version {
            Some(version) => self.last_login.remove_last_login(version).await,
            None => Ok(()),
        }
    }
}
