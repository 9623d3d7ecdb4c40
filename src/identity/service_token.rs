use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http::Uri;

use crate::{Access, AccessFuture, IdentityPlugin, endpoint::Origin};

/// Sends a user's requests with a service's token beside the user's: keystoneauth's plugin of this name.
///
/// The service that is called then accepts a user's token that has expired on the way, since the
/// service which calls vouches for it (`X-Service-Token`).
/// [`refuse_expired`](super::AccessInfoPlugin::refuse_expired) on the user's plugin undoes that.
///
/// A 401 does not say which of the two tokens it is about, and invalidates both. With [`Renewing`](crate::Renewing)
/// for the service, a 401 about a user's dead token drops the service's good one and counts as a refusal of it; after
/// some of them ([`RenewalPolicy::refusals`](crate::RenewalPolicy::refusals)) no 401 of that origin renews its tokens for
/// a while. If such users' tokens are to be expected, give the requests that the service sends for itself another
/// `Renewing`.
///
/// Clones share both plugins. See the [module docs](super) for an example.
pub struct ServiceTokenAuthWrapper<U, S>(Arc<Inner<U, S>>);

struct Inner<U, S> {
    user: U,
    service: S,
    /// The two accesses last put together.
    current: Mutex<Option<Arc<Access>>>,
}

impl<U: IdentityPlugin, S: IdentityPlugin> ServiceTokenAuthWrapper<U, S> {
    /// A plugin that takes the endpoints and the token of `user` and adds the token of `service`.
    pub fn new(user: U, service: S) -> Self {
        Self(Arc::new(Inner { user, service, current: Mutex::new(None) }))
    }
}

impl<U, S> Inner<U, S> {
    /// The two accesses as one, which stays the same as long as they do.
    fn together(&self, user: &Arc<Access>, service: &Arc<Access>) -> Arc<Access> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(access) = &*current
            && let [of_user, of_service] = access.parts()
            && Arc::ptr_eq(of_user, user)
            && Arc::ptr_eq(of_service, service)
        {
            return Arc::clone(access);
        }
        let access = Arc::new(Access::with_service_token(user, service));
        *current = Some(Arc::clone(&access));
        access
    }
}

impl<U, S> IdentityPlugin for ServiceTokenAuthWrapper<U, S>
where
    U: IdentityPlugin,
    S: IdentityPlugin,
{
    fn access(&self) -> AccessFuture {
        let (user, service) = match (self.0.user.access().now(), self.0.service.access().now()) {
            (Ok(user), Ok(service)) => return AccessFuture::ready(Ok(self.0.together(&user, &service))),
            (user, service) => (later(user), later(service)),
        };
        let inner = Arc::clone(&self.0);
        AccessFuture::new(async move {
            // One after the other: a flight goes on whether or not it is waited for.
            let (user, _) = (user.await?, service.await?);
            // What was at hand, or landed first, may have ended since.
            let service = inner.service.access().await?;
            let user = inner.user.access().now().unwrap_or(user);
            Ok(inner.together(&user, &service))
        })
    }

    /// Invalidates what both plugins contributed; true if either can renew.
    fn invalidate(&self, used: &Arc<Access>, by: &Origin) -> bool {
        let [user, service] = used.parts() else { return false };
        if used.accepted().remove(by) {
            user.accepted().insert(by.authority());
            service.accepted().insert(by.authority());
        }
        let user = self.0.user.invalidate(user, by);
        let service = self.0.service.invalidate(service, by);
        user || service
    }

    fn auth_url(&self) -> Option<&Uri> {
        self.0.user.auth_url()
    }
}

fn later(access: Result<Arc<Access>, AccessFuture>) -> AccessFuture {
    access.map_or_else(|waiting| waiting, |access| AccessFuture::ready(Ok(access)))
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
