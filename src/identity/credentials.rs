use std::{future::Future, pin::Pin, sync::Arc};

use http::Uri;

use super::Transport;
use crate::{AccessInfo, Error};

/// The future of [`Credentials::get_auth_ref`].
pub type AuthRefFuture = Pin<Box<dyn Future<Output = Result<AccessInfo, Error>> + Send>>;

/// What a token can be had for, again and again: keystoneauth's `BaseIdentityPlugin` without its cache.
///
/// [`V3Auth`](super::V3Auth), [`V2Auth`](super::V2Auth) and [`GenericAuth`](super::GenericAuth) are
/// credentials; those of one's own may take several requests. [`Renewing`](crate::Renewing) makes a plugin of them,
/// and of an `Arc<dyn Credentials>` that was chosen at run time:
///
/// ```
/// use std::sync::Arc;
/// use http::Uri;
/// use tower_keystone::{AuthMethod, Credentials, GenericAuth, Renewing, Transport, User, V3Auth};
///
/// fn plugin(
///     auth_url: Uri,
///     application_credential: Option<(&str, &str)>,
///     (alice, password): (User, &str),
///     transport: Transport,
/// ) -> Renewing<Arc<dyn Credentials>> {
///     let credentials: Arc<dyn Credentials> = match application_credential {
///         Some((id, secret)) => {
///             Arc::new(V3Auth::new(auth_url, AuthMethod::application_credential(id, secret)))
///         }
///         None => Arc::new(GenericAuth::password(auth_url, alice, password)),
///     };
///     Renewing::new(credentials, transport)
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
