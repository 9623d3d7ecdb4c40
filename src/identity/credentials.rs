use std::{future::Future, pin::Pin, sync::Arc};

use http::Uri;

use crate::{AccessInfo, Error, Transport};

/// The future of [`Credentials::get_auth_ref`].
pub type AuthRefFuture = Pin<Box<dyn Future<Output = Result<AccessInfo, Error>> + Send>>;

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

    /// Returns an id of the user, the scope and Keystone, in which no secret is.
    ///
    /// It is the key of these credentials in a store whose records are not sealed, where an id that is made of a
    /// password would let others guess it. `None` means that their access infos must not be stored there.
    fn public_id(&self) -> Option<String> {
        None
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

    fn can_lock_account(&self) -> bool {
        (**self).can_lock_account()
    }
}
