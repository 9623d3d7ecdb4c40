use std::{fmt, sync::Arc, time::SystemTime};

use http::Uri;

use super::AuthUrl;
use crate::{AccessFuture, AccessInfo, Error, IdentityPlugin, ServiceAccess, endpoint::Origin};

/// A plugin for a token that was obtained elsewhere, given as an [`AccessInfo`].
///
/// The access info may come from a cache, from another process, or from middleware that validated an incoming token.
///
/// The plugin has no credentials, so it **cannot renew** the token: [`invalidate`](IdentityPlugin::invalidate) returns
/// false, and a 401 is returned to the caller. As with keystoneauth's plugin of this name, an expired token is still
/// sent, and the service decides. With [`refuse_expired`](Self::refuse_expired), such a request is not sent.
///
/// Clones share the access info. See the [module docs](super) for an example.
#[derive(Clone)]
pub struct AccessInfoPlugin {
    access: Result<Arc<ServiceAccess>, Error>,
    auth_url: Option<Uri>,
    /// When to start refusing requests.
    refused_from: Option<SystemTime>,
}

impl AccessInfoPlugin {
    /// Makes a plugin that sends every request with this access info.
    ///
    /// If the access info has no token, requests fail with [`Error::NoToken`].
    pub fn new(access_info: AccessInfo) -> Self {
        Self {
            access: ServiceAccess::from_auth_ref(access_info).map(Arc::new),
            auth_url: None,
            refused_from: None,
        }
    }

    /// Sets the URL of Keystone.
    ///
    /// Requests with [`Interface::Auth`](crate::Interface::Auth) are sent there, and the token may be sent to its
    /// origin. The plugin itself sends no requests.
    #[must_use]
    pub fn auth_url(mut self, auth_url: impl Into<AuthUrl>) -> Self {
        self.auth_url = Some(auth_url.into().into_uri());
        self
    }

    /// Refuses to send requests after the token has expired ([`Error::Expired`]).
    ///
    /// The expiry is compared with the clock of this machine. If the expiry is malformed, all requests are refused
    /// ([`Error::InvalidTimestamp`]). If the token has no expiry, none are refused.
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
    /// Returns the access immediately.
    #[inline(always)]
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(self.access_at(SystemTime::now))
    }

    /// Always returns false, because the token cannot be renewed.
    fn invalidate(&self, _access: &Arc<ServiceAccess>, _origin: &Origin) -> bool {
        false
    }

    fn auth_url(&self) -> Option<&Uri> {
        self.auth_url.as_ref()
    }
}

/// Omits the `auth_url`, which may contain a password by mistake.
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
    fn an_expired_token_is_refused_from_the_moment_of_expiry() {
        let plugin = plugin("\"1970-01-01T00:16:40Z\"").refuse_expired();
        assert!(plugin.access_at(|| expiry() - Duration::from_nanos(1)).is_ok());
        let refused = plugin.access_at(expiry).unwrap_err();
        assert!(matches!(refused, Error::Expired { expired_at } if expired_at == expiry()));
    }

    #[test]
    fn a_token_without_expiry_is_sent_and_a_malformed_expiry_is_refused() {
        assert!(plugin("null").refuse_expired().access_at(expiry).is_ok());
        let refused = plugin("\"soon\"").refuse_expired().access_at(expiry).unwrap_err();
        assert!(matches!(refused, Error::InvalidTimestamp { field: "expires_at" }));
    }
}
