use std::{fmt, sync::Arc, time::SystemTime};

use http::Uri;

use super::AuthUrl;
use crate::{AccessFuture, AccessInfo, Error, IdentityPlugin, ServiceAccess, endpoint::Origin};

/// The plugin for an access info obtained elsewhere: from a cache, from the middleware that validated
/// an incoming token, from another process.
///
/// It holds no credentials, so it **cannot renew** the token. [`invalidate`](IdentityPlugin::invalidate)
/// says false, and a 401 is handed to the caller as it came. As with keystoneauth's plugin of this
/// name, an expired token is still sent and the service decides;
/// [`refuse_expired`](Self::refuse_expired) refuses it here instead.
///
/// Clones share the access info. See the [module docs](super) for an example.
#[derive(Clone)]
pub struct AccessInfoPlugin {
    access: Result<Arc<ServiceAccess>, Error>,
    auth_url: Option<Uri>,
    /// From when on the access is refused.
    refused_from: Option<SystemTime>,
}

impl AccessInfoPlugin {
    /// A plugin that sends every request with this access info.
    ///
    /// An access info without a token is reported by the requests ([`Error::NoToken`]).
    pub fn new(access_info: AccessInfo) -> Self {
        Self {
            access: ServiceAccess::from_auth_ref(access_info).map(Arc::new),
            auth_url: None,
            refused_from: None,
        }
    }

    /// Where Keystone is. Requests with [`Interface::Auth`](crate::Interface::Auth) go there, and its origin is one
    /// that the token may go to. This plugin itself never asks Keystone for anything.
    #[must_use]
    pub fn auth_url(mut self, auth_url: impl Into<AuthUrl>) -> Self {
        self.auth_url = Some(auth_url.into().into_uri());
        self
    }

    /// Refuses requests with [`Error::Expired`] once the token has expired by the clock of this
    /// machine, before anything is sent. An expiry that cannot be read is refused as well
    /// ([`Error::InvalidTimestamp`]); without one, the token does not expire.
    #[must_use]
    pub fn refuse_expired(mut self) -> Self {
        let expires = self.access.as_ref().ok().and_then(|access| access.auth_ref()).map(AccessInfo::expires);
        match expires.transpose() {
            Ok(expires) => self.refused_from = expires.flatten(),
            Err(error) => self.access = Err(error),
        }
        self
    }

    #[inline(always)]
    fn access_at(&self, now: impl FnOnce() -> SystemTime) -> Result<Arc<ServiceAccess>, Error> {
        match self.refused_from {
            Some(expired_at) if expired_at <= now() => Err(Error::Expired { expired_at }),
            _ => self.access.clone(),
        }
    }
}

impl IdentityPlugin for AccessInfoPlugin {
    /// The access info it was made with, at once.
    #[inline(always)]
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(self.access_at(SystemTime::now))
    }

    /// Always false: nothing here can be renewed.
    fn invalidate(&self, _used: &Arc<ServiceAccess>, _by: &Origin) -> bool {
        false
    }

    fn auth_url(&self) -> Option<&Uri> {
        self.auth_url.as_ref()
    }
}

/// Whom the access stands for; not the `auth_url`, which may have been given a password by mistake.
impl fmt::Debug for AccessInfoPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessInfoPlugin")
            .field("access", &self.access)
            .field("refused_from", &self.refused_from)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn plugin(expires_at: &str) -> AccessInfoPlugin {
        let body = format!(r#"{{"token": {{"expires_at": {expires_at}}}}}"#);
        AccessInfoPlugin::new(AccessInfo::new("token", body).unwrap())
    }

    fn expiry() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000)
    }

    #[test]
    fn the_switch_refuses_it_from_the_moment_of_expiry() {
        let plugin = plugin("\"1970-01-01T00:16:40Z\"").refuse_expired();
        assert!(plugin.access_at(|| expiry() - Duration::from_nanos(1)).is_ok());
        let refused = plugin.access_at(expiry).unwrap_err();
        assert!(matches!(refused, Error::Expired { expired_at } if expired_at == expiry()));
    }

    #[test]
    fn the_switch_and_an_expiry_that_says_nothing() {
        assert!(plugin("null").refuse_expired().access_at(expiry).is_ok());
        let refused = plugin("\"soon\"").refuse_expired().access_at(expiry).unwrap_err();
        assert!(matches!(refused, Error::InvalidTimestamp { field: "expires_at" }));
    }
}
