use std::sync::Arc;

use super::{CloudConfig, LoginPage, identity::Identity};
use crate::{Credentials, Error, Secret, Transport};

impl CloudConfig {
    /// Logs a person in, if the auth type needs one: `v3oidcdeviceauthz` or `v3websso`.
    ///
    /// It calls `show` with the page where the person logs in, waits until they have, and returns a configuration that
    /// contains the login. Its plugins, layers and clients have a token as long as the unscoped token of the login or its
    /// refresh token is valid. After that, requests fail with [`Error::LoginEnded`], and the program logs in again. They
    /// fail without this method, too: a request never waits for a person.
    ///
    /// If tokens are [stored](super#stored-tokens), sealed with a key, the login is stored, too. Then the next run of the
    /// program does not call `show`, until the login has ended or `CloudConfig::forget_login` removes it. If the store
    /// cannot be used, the person logs in. A stored login whose token is old is renewed first, which takes 10 s at most.
    ///
    /// With any other auth type, it returns the configuration as it is and sends nothing.
    ///
    /// ```
    /// use tower_keystone::{CloudConfig, Error, Transport};
    ///
    /// async fn config(transport: Transport) -> Result<CloudConfig, Error> {
    ///     let config = CloudConfig::from_env()?;
    ///     config
    ///         .log_in(transport, |page| {
    ///             println!("Log in at {}", page.url);
    ///             if let Some(code) = page.user_code {
    ///                 println!("with the code {code}");
    ///             }
    ///         })
    ///         .await
    /// }
    /// # let _ = config;
    /// ```
    ///
    /// With [`keep_login`](Self::keep_login), a person logs in only once for many runs of the program.
    /// [`DeviceLogin`](crate::federation::DeviceLogin) and the other logins in the module
    /// [`federation`](crate::federation) let a program wait in parts, or limit the time that it waits.
    ///
    /// # Errors
    ///
    /// - [`Error::Config`] if others can write to a file of the configuration, which could send the person elsewhere.
    /// - Those of the login, such as [`Error::FederatedLoginFailed`] if the person refuses it or the time is over.
    pub async fn log_in(
        self,
        transport: Transport,
        show: impl FnOnce(&LoginPage<'_>),
    ) -> Result<Self, Error> {
        let Identity::Person(login) = self.identity() else { return Ok(self) };
        self.check_user_trust()?;
        if let Some((unscoped, scoped)) = login.earlier_login() {
            // The store of the tokens, which this sets, is that of both.
            let config = self.clone().with_identity(Identity::Federated(scoped.into()));
            match unscoped.get_auth_ref(transport.clone()).await {
                Ok(_) => return Ok(config),
                Err(Error::LoginEnded) => {}
                Err(error) => return Err(error),
            }
        }
        // A login that the program keeps is not in the store.
        #[cfg(feature = "store")]
        let tokens = self.shared_tokens().filter(|_| !login.is_kept());
        #[cfg(feature = "store")]
        if let Some(tokens) = tokens
            && let Some(credentials) = login.stored_credentials(tokens, transport.clone()).await
        {
            return Ok(self.with_identity(Identity::Federated(credentials.into())));
        }
        let completed = login.clone().log_in(transport, show).await?;
        #[cfg(feature = "store")]
        let completed = {
            let mut completed = completed;
            if let Some(tokens) = tokens {
                // A store that is away has been logged. The next run asks again.
                let _ = completed.store(tokens).await;
            }
            completed
        };
        let credentials = login.credentials(completed);
        Ok(self.with_identity(Identity::Federated(credentials.into())))
    }

    /// Keeps the login of a person for the next run of the program, by its refresh token.
    ///
    /// `refresh_token` is the one that `save` got last, in an earlier run. With it, [`log_in`](Self::log_in) shows
    /// nothing to the person until that login has ended. `save` is called with the refresh token of each new login, and
    /// each time that the provider replaces it. It replaces the older token, for example in a file that only this user
    /// can read, or in the keyring of the desktop. It should not block for long.
    ///
    /// This is for device logins (`v3oidcdeviceauthz`), and has no effect on other auth types. Most providers issue a
    /// refresh token only if the scope contains `offline_access`: set `openid_scope: openid profile offline_access`.
    /// Otherwise, a warning is logged. A login that the program keeps is not stored with the tokens.
    ///
    /// If a provider replaces the token at each use, it can take a second use of the same token for theft, and end the
    /// login. So do not let two runs use the token at the same time.
    ///
    /// ```
    /// use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};
    ///
    /// use tower_keystone::{CloudConfig, Error, Secret, Transport};
    ///
    /// /// `file` can be `~/.local/state/my-program/refresh-token`.
    /// async fn config(file: PathBuf, transport: Transport) -> Result<CloudConfig, Error> {
    ///     let saved = fs::read_to_string(&file).ok().map(Secret::from);
    ///     let save = move |token: &Secret| {
    ///         let mut new = fs::OpenOptions::new();
    ///         let new = new.create(true).write(true).truncate(true).mode(0o600).open(&file);
    ///         if let Err(error) = new.and_then(|mut new| new.write_all(token.expose().as_bytes())) {
    ///             eprintln!("warning: {}: {error}", file.display());
    ///         }
    ///     };
    ///     CloudConfig::from_env()?
    ///         .keep_login(saved, save)
    ///         .log_in(transport, |page| println!("Log in at {} {}", page.url, page.user_code.unwrap_or_default()))
    ///         .await
    /// }
    /// # let _ = config;
    /// ```
    pub fn keep_login(
        self,
        refresh_token: Option<Secret>,
        save: impl Fn(&Secret) + Send + Sync + 'static,
    ) -> Self {
        let Identity::Person(login) = self.identity() else { return self };
        let login = (**login).clone().keep(refresh_token, Arc::new(save));
        self.with_identity(Identity::Person(login.into()))
    }

    /// Removes the stored login of a person, so that the next [`log_in`](Self::log_in) shows the page.
    ///
    /// This is how a person logs out of the program, or lets another user log in. Credentials and plugins that are in use
    /// go on. The provider and Keystone are not told, and tokens with a scope that are stored stay there until they
    /// expire.
    ///
    /// Nothing happens if no login is stored.
    ///
    /// # Errors
    ///
    /// [`Error::StoreUnavailable`] if the store cannot be used.
    #[cfg(feature = "store")]
    #[cfg_attr(docsrs, doc(cfg(feature = "store")))]
    pub async fn forget_login(&self) -> Result<(), Error> {
        match (self.identity(), self.shared_tokens()) {
            (Identity::Federated(credentials), _) => credentials.forget_stored_login().await,
            (Identity::Person(login), Some(tokens)) => match login.stored(tokens).await? {
                Some(login) => login.forget().await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
