use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use http::Uri;

use crate::{
    AccessFuture, IdentityPlugin, ServiceAccess,
    endpoint::Origin,
    plugin::{both, both_ready},
};

/// Adds the token of a service to the requests that it sends for a user: keystoneauth's plugin of this name.
///
/// A service with many users needs a wrapper for each of them. An [`Identity`](crate::Identity) in each request and
/// [`AuthLayer::send_service_token`](crate::AuthLayer::send_service_token) do the same with one client, and a 401 then
/// does not concern the service token.
///
/// With the service token (`X-Service-Token`), the called service accepts a user token that expired during a long
/// operation. So do not set [`refuse_expired`](super::AccessInfoPlugin::refuse_expired) on the user's plugin.
///
/// A 401 does not say which of the two tokens was rejected, so both are invalidated. If the plugin of the service is
/// a [`RenewingPlugin`](crate::RenewingPlugin), a 401 because of an invalid user token also drops the valid service
/// token, and counts as a rejection of it. After one origin has rejected
/// [`max_rejections`](crate::RenewalPolicy::max_rejections) service tokens within the
/// [`rejection_window`](crate::RenewalPolicy::rejection_window), further 401s from this origin do not renew the service
/// token, unless it seems to be revoked. This affects all requests that use the same `RenewingPlugin`. So if user
/// tokens may be invalid, create a second `RenewingPlugin` for the service's own requests.
///
/// Clones share both plugins. See the [module docs](super) for an example.
pub struct ServiceTokenAuthWrapper<U, S>(Arc<Inner<U, S>>);

struct Inner<U, S> {
    user: U,
    service: S,
    /// The last combined access, while a request uses it.
    current: Mutex<Weak<ServiceAccess>>,
}

impl<U: IdentityPlugin, S: IdentityPlugin> ServiceTokenAuthWrapper<U, S> {
    /// Makes a plugin that uses the endpoints and the token of `user`, and adds the token of `service`.
    pub fn new(user: U, service: S) -> Self {
        Self(Arc::new(Inner { user, service, current: Mutex::default() }))
    }
}

impl<U, S> Inner<U, S> {
    /// Returns the combination of the two accesses. It is the same `Arc` as before if they have not changed and a
    /// request still uses it.
    fn combine(&self, user: &Arc<ServiceAccess>, service: &Arc<ServiceAccess>) -> Arc<ServiceAccess> {
        let lock = || self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let current = lock().upgrade();
        if let Some(access) = current
            && let [current_user, current_service] = access.parts()
            && Arc::ptr_eq(current_user, user)
            && Arc::ptr_eq(current_service, service)
        {
            return access;
        }
        let access = Arc::new(ServiceAccess::with_service_token(user, service));
        let previous = mem::replace(&mut *lock(), Arc::downgrade(&access));
        drop(previous);
        access
    }
}

impl<U, S> IdentityPlugin for ServiceTokenAuthWrapper<U, S>
where
    U: IdentityPlugin,
    S: IdentityPlugin,
{
    fn access(&self) -> AccessFuture {
        let accesses = |inner: &Inner<U, S>| (inner.user.access(), inner.service.access());
        let pending = match both_ready(accesses(&self.0)) {
            Ok((user, service)) => return AccessFuture::ready(Ok(self.0.combine(&user, &service))),
            Err(pending) => pending,
        };
        let inner = Arc::clone(&self.0);
        AccessFuture::new(async move {
            let (user, service) = both(pending, || accesses(&inner)).await?;
            Ok(inner.combine(&user, &service))
        })
    }

    /// Invalidates the accesses of both plugins. Returns true if either can be renewed.
    fn invalidate(&self, access: &Arc<ServiceAccess>, origin: &Origin) -> bool {
        let [user, service] = access.parts() else { return false };
        access.accepted().remove(origin);
        let user = self.0.user.invalidate(user, origin);
        let service = self.0.service.invalidate(service, origin);
        user || service
    }

    fn auth_url(&self) -> Option<&Uri> {
        self.0.user.auth_url()
    }
}

impl<U, S> Clone for ServiceTokenAuthWrapper<U, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<U: fmt::Debug, S: fmt::Debug> fmt::Debug for ServiceTokenAuthWrapper<U, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTokenAuthWrapper")
            .field("user", &self.0.user)
            .field("service", &self.0.service)
            .finish_non_exhaustive()
    }
}
