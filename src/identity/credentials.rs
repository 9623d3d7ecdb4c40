use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
};

use http::Uri;

use crate::{AccessInfo, Error, Transport};

/// The future of [`Credentials::get_auth_ref`].
pub type AuthRefFuture = Pin<Box<dyn Future<Output = Result<AccessInfo, Error>> + Send>>;

/// The future of [`Credentials::prepare`].
pub type PrepareFuture = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Credentials that obtain a new token at each call: keystoneauth's `BaseIdentityPlugin` without its cache.
///
/// This crate has [`V3Credentials`](super::V3Credentials), [`V2Credentials`](super::V2Credentials) and
/// [`GenericCredentials`](super::GenericCredentials). Implement the trait for another way to obtain a token, which may
/// take several requests. [`RenewingPlugin`](crate::RenewingPlugin) makes a plugin of any credentials, and also of an
/// `Arc<dyn Credentials>`, so that they can be selected at run time:
///
/// ```
/// use std::sync::Arc;
/// use http::Uri;
/// use tower_keystone::{AuthMethod, Credentials, GenericCredentials, RenewingPlugin, Transport, User, V3Credentials};
///
/// fn plugin(
///     auth_url: Uri,
///     application_credential: Option<(&str, &str)>,
///     (alice, password): (User, &str),
///     transport: Transport,
/// ) -> RenewingPlugin<Arc<dyn Credentials>> {
///     let credentials: Arc<dyn Credentials> = match application_credential {
///         Some((id, secret)) => {
///             Arc::new(V3Credentials::new(auth_url, AuthMethod::application_credential(id, secret)))
///         }
///         None => Arc::new(GenericCredentials::password(auth_url, alice, password)),
///     };
///     RenewingPlugin::new(credentials, transport)
/// }
/// ```
///
/// # Credentials of your own
///
/// [`Error::plugin`] makes the error of a failure that has nothing to do with Keystone. These credentials log in with a
/// token from a file, which another program replaces from time to time:
///
/// ```
/// use std::{fs, io, path::PathBuf};
///
/// use http::Uri;
/// use tower_keystone::{
///     AuthMethod, Credentials, Error, RenewingPlugin, Scope, Secret, SharedTokens, Transport, V3Credentials,
///     identity::AuthRefFuture,
/// };
/// # use tower_keystone::{BoxError, IdentityPlugin, fixture::Cloud};
///
/// struct TokenFile {
///     auth_url: Uri,
///     path: PathBuf,
/// }
///
/// impl Credentials for TokenFile {
///     fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
///         let (auth_url, path) = (self.auth_url.clone(), self.path.clone());
///         Box::pin(async move {
///             let file = fs::read_to_string(&path).map(Secret::new).map_err(|error| {
///                 let text = format!("cannot read the token file {}: {error}", path.display());
///                 Error::plugin(true, text) // transient: the file may be there soon
///             })?;
///             let demo = Scope::new().project_name("demo").project_domain_name("Default");
///             let token = AuthMethod::token(file.expose().trim());
///             V3Credentials::new(auth_url, token).scope(demo).get_auth_ref(transport).await
///         })
///     }
///
///     fn auth_url(&self) -> &Uri {
///         &self.auth_url
///     }
///
///     // A rejected token locks no account, so the next login may come soon.
///     fn can_lock_account(&self) -> bool {
///         false
///     }
/// }
///
/// fn plugin(file: TokenFile, transport: Transport, tokens: &SharedTokens) -> RenewingPlugin<TokenFile> {
///     // The content of the file changes, so the shared token is stored by a name: this user, this project.
///     RenewingPlugin::new(file, transport).store(tokens.clone()).stored_as("robot in demo")
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let cloud = Cloud::new([]).user("robot", "wonderland").project("demo");
/// # let path = std::env::temp_dir().join(format!("tower-keystone-token-{}", std::process::id()));
/// # let tokens = SharedTokens::in_memory();
/// # let new_plugin = || {
/// #     let file = TokenFile { auth_url: cloud.keystone().auth_url().parse().unwrap(), path: path.clone() };
/// #     plugin(file, cloud.transport(), &tokens)
/// # };
/// # let issue = || cloud.keystone().issue("robot", None).unwrap();
/// # fs::write(&path, issue().auth_token().unwrap())?;
/// # new_plugin().access().await?;
/// # fs::write(&path, "another secret")?;
/// # new_plugin().access().await?;
/// # assert_eq!(cloud.keystone().logins(), 1);
/// # fs::remove_file(&path)?;
/// # Ok(())
/// # }
/// ```
pub trait Credentials: Send + Sync + 'static {
    /// Requests a new token from Keystone: keystoneauth's `get_auth_ref`.
    ///
    /// After a failure, [`RenewingPlugin`](crate::RenewingPlugin) waits before it calls this method again. The delays
    /// of its [`RenewalPolicy`](crate::RenewalPolicy) differ for transient and permanent errors
    /// ([`Error::is_transient`]).
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture;

    /// Returns the URL of Keystone.
    fn auth_url(&self) -> &Uri;

    /// Returns the key of these credentials in a cache of [`AccessInfo`]s: keystoneauth's `get_cache_id`.
    ///
    /// Different credentials must have different ids. `None` means that their access infos must not be cached.
    ///
    /// If the secrets can change, for example because they are read from a file, the id should change with them. After
    /// a rejected login, [`RenewingPlugin`](crate::RenewingPlugin) then tries the new secrets at once. It calls this
    /// method at each login, and when a request needs a token during the delay after a rejected login.
    fn cache_id(&self) -> Option<String> {
        None
    }

    /// Returns an id that is made of Keystone, the user and the scope, but of no secret.
    ///
    /// A store that is not sealed with a key names entries after it, in place of [`cache_id`](Self::cache_id): others
    /// could guess a password with a name that is made of it. The id does not depend on the password, so credentials
    /// with a wrong password get the token of those with the right one.
    ///
    /// Credentials that obtain different tokens must have different ids, unless only their secrets differ. `None` means
    /// that their access infos must not be stored without a key. That is the default, and also the id of credentials
    /// that consist of a secret only, such as a token.
    fn public_id(&self) -> Option<String> {
        None
    }

    /// Obtains what [`get_auth_ref`](Self::get_auth_ref) needs from other identity plugins, such as another token.
    ///
    /// Credentials that obtain their token with the token of another [`RenewingPlugin`](crate::RenewingPlugin) ask that
    /// plugin for it here. With shared tokens, a plugin takes a lease before it logs in, and other processes wait until
    /// it gives the lease back. It calls this method before it takes the lease, so no process waits for one lease while
    /// it holds another. `get_auth_ref` then finds the other token current:
    ///
    /// ```
    /// use http::Uri;
    /// use tower_keystone::{
    ///     AuthMethod, Credentials, Error, IdentityPlugin, RenewingPlugin, Scope, Transport, V3Credentials,
    ///     identity::{AuthRefFuture, PrepareFuture},
    /// };
    ///
    /// /// A token for one project, obtained with an unscoped token that many projects share.
    /// struct Rescoped {
    ///     unscoped: RenewingPlugin<V3Credentials>,
    ///     project_id: String,
    /// }
    ///
    /// impl Credentials for Rescoped {
    ///     fn prepare(&self, _: Transport) -> PrepareFuture {
    ///         let unscoped = self.unscoped.access();
    ///         Box::pin(async { unscoped.await.map(drop) })
    ///     }
    ///
    ///     fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
    ///         let (unscoped, project) = (self.unscoped.access(), Scope::new().project_id(&*self.project_id));
    ///         let auth_url = self.auth_url().clone();
    ///         Box::pin(async move {
    ///             let access = unscoped.await?;
    ///             let token = access.auth_ref().and_then(|info| info.auth_token()).ok_or(Error::NoToken)?;
    ///             V3Credentials::new(auth_url, AuthMethod::token(token)).scope(project).get_auth_ref(transport).await
    ///         })
    ///     }
    ///
    ///     fn auth_url(&self) -> &Uri {
    ///         self.unscoped.credentials().auth_url()
    ///     }
    ///
    ///     fn cache_id(&self) -> Option<String> {
    ///         Some(format!("{} {}", self.unscoped.cache_id()?, self.project_id))
    ///     }
    /// }
    /// ```
    ///
    /// The default does nothing. An error counts as a failed login.
    fn prepare(&self, transport: Transport) -> PrepareFuture {
        let _ = transport;
        Box::pin(ready(Ok(())))
    }

    /// Returns whether failed logins may lock an account.
    ///
    /// If so, the delays between failed logins are longer (see [`RenewalPolicy`](crate::RenewalPolicy)). The default is
    /// true, which is right for passwords. Tokens and application credentials do not lock accounts.
    fn can_lock_account(&self) -> bool {
        true
    }
}

impl<C: Credentials + ?Sized> Credentials for Arc<C> {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        (**self).get_auth_ref(transport)
    }

    fn auth_url(&self) -> &Uri {
        (**self).auth_url()
    }

    fn cache_id(&self) -> Option<String> {
        (**self).cache_id()
    }

    fn public_id(&self) -> Option<String> {
        (**self).public_id()
    }

    fn prepare(&self, transport: Transport) -> PrepareFuture {
        (**self).prepare(transport)
    }

    fn can_lock_account(&self) -> bool {
        (**self).can_lock_account()
    }
}
