use std::{fmt, sync::Arc};

use http::Uri;

use crate::{AccessFuture, AuthUrl, Error, IdentityPlugin, Scope, ServiceAccess, endpoint::Origin};

/// A plugin without a token: a TLS client certificate authenticates each request to Keystone.
///
/// This is keystoneauth's `v3tokenlessauth`. Keystone accepts a certificate whose issuer is listed in its option
/// `[tokenless_auth] trusted_issuer`. Other services accept tokens only. So requests with the service type `identity`
/// or [`Interface::Auth`](crate::Interface::Auth) go to the `auth_url`, and a request for another service fails with
/// [`Error::NoEndpoint`]. The plugin sends no login, and a 401 is final.
///
/// The HTTP client below the [`AuthLayer`](crate::AuthLayer) presents the certificate. Use that client for nothing
/// else: Keystone rejects a login with such a certificate (400, `Expecting to find project or domain in scope`).
///
/// Clones share the headers.
#[derive(Clone)]
pub struct TokenlessPlugin {
    access: Arc<ServiceAccess>,
    auth_url: Uri,
}

impl TokenlessPlugin {
    /// Makes a plugin that sends this scope, a project or a domain, in the headers of each request.
    ///
    /// Give the `auth_url` with `/v3`, because relative request URIs are joined to it unchanged.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidEndpoint`] if the `auth_url` is not an absolute http or https URL, or contains a user name or a
    ///   query.
    /// - [`Error::AuthorizationFailure`] if the scope is not one project or one domain, if a project is given by name
    ///   without its domain, or if a name has a character outside ISO 8859-1, in which Keystone reads headers.
    pub fn new(auth_url: impl Into<AuthUrl>, scope: Scope) -> Result<Self, Error> {
        let auth_url = auth_url.into().valid_uri()?.clone();
        let access = ServiceAccess::for_identity(auth_url.clone())?;
        let headers = scope.headers()?.into_iter();
        let access = headers.fold(access, |access, (name, value)| access.public_header(name, value));
        Ok(Self { access: Arc::new(access), auth_url })
    }
}

impl IdentityPlugin for TokenlessPlugin {
    /// Returns the access immediately.
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(Ok(Arc::clone(&self.access)))
    }

    /// Always returns false, because nothing can be renewed.
    fn invalidate(&self, _access: &Arc<ServiceAccess>, _origin: &Origin) -> bool {
        false
    }

    fn auth_url(&self) -> Option<&Uri> {
        Some(&self.auth_url)
    }
}

/// Shows the names of the headers. It omits the `auth_url`, which may contain a password by mistake.
impl fmt::Debug for TokenlessPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenlessPlugin").field("access", &self.access).finish_non_exhaustive()
    }
}
