use std::{fmt, sync::Arc};

use http::Uri;

use crate::{AccessFuture, AuthUrl, Error, IdentityPlugin, Scope, ServiceAccess, endpoint::Origin};

/// A plugin without a token: the TLS client certificate authenticates each request to Keystone
/// (keystoneauth's `v3tokenlessauth`).
#[derive(Clone)]
pub struct TokenlessPlugin {
    access: Arc<ServiceAccess>,
    auth_url: Uri,
}

impl TokenlessPlugin {
    /// Makes a plugin that sends this scope in headers.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEndpoint`] if the `auth_url` cannot be used.
    pub fn new(auth_url: impl Into<AuthUrl>, scope: Scope) -> Result<Self, Error> {
        todo!()
    }
}

impl IdentityPlugin for TokenlessPlugin {
    fn access(&self) -> AccessFuture {
        AccessFuture::ready(Ok(Arc::clone(&self.access)))
    }

    fn invalidate(&self, _: &Arc<ServiceAccess>, _: &Origin) -> bool {
        false
    }

    fn auth_url(&self) -> Option<&Uri> {
        Some(&self.auth_url)
    }
}

impl fmt::Debug for TokenlessPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenlessPlugin").finish_non_exhaustive()
    }
}
