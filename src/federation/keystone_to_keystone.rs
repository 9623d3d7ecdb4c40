use std::{fmt, sync::Arc};

use http::Uri;

use super::unscoped::Rescoped;
use crate::{
    Credentials, IdentityPlugin, Scope, Transport,
    identity::{AuthRefFuture, PrepareFuture},
};

/// Credentials for another cloud, whose Keystone trusts the Keystone of this one: keystoneauth's
/// `v3keystone2keystone`.
#[derive(Clone)]
pub struct Keystone2KeystoneCredentials {
    home: Arc<dyn IdentityPlugin>,
    service_provider: Box<str>,
    rescoped: Rescoped,
}

impl Keystone2KeystoneCredentials {
    /// Makes credentials of the token of `home` for the service provider with this id.
    pub fn new(home: impl IdentityPlugin, service_provider: impl Into<Box<str>>) -> Self {
        todo!()
    }

    /// Sets the scope of the token. Without one, the token is unscoped.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        todo!()
    }
}

impl Credentials for Keystone2KeystoneCredentials {
    fn get_auth_ref(&self, transport: Transport) -> AuthRefFuture {
        todo!()
    }

    fn auth_url(&self) -> &Uri {
        todo!()
    }

    fn prepare(&self, transport: Transport) -> PrepareFuture {
        todo!()
    }
}

impl fmt::Debug for Keystone2KeystoneCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystone2KeystoneCredentials").finish_non_exhaustive()
    }
}
