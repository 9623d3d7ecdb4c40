use std::{future::Future, pin::Pin, sync::Arc};

use http::Uri;

use crate::{AccessInfo, Error, Transport};

/// The future of [`Credentials::get_auth_ref`].
pub type AuthRefFuture = Pin<Box<dyn Future<Output = Result<AccessInfo, Error>> + Send>>;

/// What a token can be had for, again and again: keystoneauth's `BaseIdentityPlugin` without its cache.
///
/// [`V3Credentials`](super::V3Credentials), [`V2Credentials`](super::V2Credentials) and [`GenericCredentials`](super::GenericCredentials) are
/// credentials; those of one's own may take several requests. [`RenewingPlugin`](crate::RenewingPlugin) makes a plugin of them,
/// and of an `Arc<dyn Credentials>` that was chosen at run time:
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
    /// Asks Keystone for a token, now: keystoneauth's `get_auth_ref`.
    ///
    /// [`Error::is_transient`] of an error decides whether, and when, it is called again.
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture;

    /// Where Keystone is.
    fn auth_url(&self) -> &Uri;

    /// A name that tells these credentials from others, for a cache of access infos: keystoneauth's
    /// `get_cache_id`. `None` if what they obtain must not be shared.
    ///
    /// It should change with the secrets: credentials that were refused are tried again at once if it has changed since.
    /// It is asked for at each login, and by requests while a refusal is remembered.
    fn cache_id(&self) -> Option<String> {
        None
    }

    /// Returns whether failed logins may lock an account.
    ///
    /// Pauses between them are longer then (see [`RenewalPolicy`](crate::RenewalPolicy)). Passwords may, which is the
    /// default; tokens and application credentials do not.
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

    fn can_lock_account(&self) -> bool {
        (**self).can_lock_account()
    }
}
