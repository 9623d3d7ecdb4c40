use std::{
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::Poll,
};

use http::Uri;

use crate::{AccessFuture, Error, IdentityPlugin, ServiceAccess, endpoint::Origin};

/// Sends a user's requests with a service's token beside the user's: keystoneauth's plugin of this name.
///
/// The service that is called then accepts a user's token that has expired on the way, since the
/// service which calls vouches for it (`X-Service-Token`).
/// [`refuse_expired`](super::AccessInfoPlugin::refuse_expired) on the user's plugin undoes that.
///
/// A 401 does not say which of the two tokens it is about, and invalidates both. With [`RenewingPlugin`](crate::RenewingPlugin)
/// for the service, a 401 about a user's dead token drops the service's good one and counts as a refusal of it; after
/// some of them ([`RenewalPolicy::max_rejections`](crate::RenewalPolicy::max_rejections)) no 401 of that origin renews its tokens for
/// a while. If such users' tokens are to be expected, give the requests that the service sends for itself another
/// `RenewingPlugin`.
///
/// Clones share both plugins. See the [module docs](super) for an example.
pub struct ServiceTokenAuthWrapper<U, S>(Arc<Inner<U, S>>);

struct Inner<U, S> {
    user: U,
    service: S,
    /// The two accesses last put together, as long as a request uses them.
    current: Mutex<Weak<ServiceAccess>>,
}

impl<U: IdentityPlugin, S: IdentityPlugin> ServiceTokenAuthWrapper<U, S> {
    /// A plugin that takes the endpoints and the token of `user` and adds the token of `service`.
    pub fn new(user: U, service: S) -> Self {
        Self(Arc::new(Inner { user, service, current: Mutex::default() }))
    }
}

impl<U, S> Inner<U, S> {
    /// The two accesses as one, which stays the same as long as they do and requests use it.
    fn together(&self, user: &Arc<ServiceAccess>, service: &Arc<ServiceAccess>) -> Arc<ServiceAccess> {
        let lock = || self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let current = lock().upgrade();
        if let Some(access) = current
            && let [of_user, of_service] = access.parts()
            && Arc::ptr_eq(of_user, user)
            && Arc::ptr_eq(of_service, service)
        {
            return access;
        }
        let access = Arc::new(ServiceAccess::with_service_token(user, service));
        let before = mem::replace(&mut *lock(), Arc::downgrade(&access));
        drop(before);
        access
    }
}

impl<U, S> IdentityPlugin for ServiceTokenAuthWrapper<U, S>
where
    U: IdentityPlugin,
    S: IdentityPlugin,
{
    fn access(&self) -> AccessFuture {
        let waiting = match (self.0.user.access().into_ready(), self.0.service.access().into_ready()) {
            (Ok(user), Ok(service)) => return AccessFuture::ready(Ok(self.0.together(&user, &service))),
            (user, service) => (user.err(), service.err()),
        };
        let inner = Arc::clone(&self.0);
        AccessFuture::new(async move {
            // Nothing is kept of the one while the other is waited for: it may end meanwhile, or be dropped.
            both(ended(waiting.0), ended(waiting.1)).await?;
            let (user, service) =
                match (inner.user.access().into_ready(), inner.service.access().into_ready()) {
                    (Ok(user), Ok(service)) => (user, service),
                    (user, service) => both(later(user), later(service)).await?,
                };
            Ok(inner.together(&user, &service))
        })
    }

    /// Invalidates what both plugins contributed; true if either can renew.
    fn invalidate(&self, used: &Arc<ServiceAccess>, by: &Origin) -> bool {
        let [user, service] = used.parts() else { return false };
        used.accepted().remove(by);
        let user = self.0.user.invalidate(user, by);
        let service = self.0.service.invalidate(service, by);
        user || service
    }

    fn auth_url(&self) -> Option<&Uri> {
        self.0.user.auth_url()
    }
}

/// Waits for both side by side.
async fn both<T>(
    first: impl Future<Output = Result<T, Error>>,
    second: impl Future<Output = Result<T, Error>>,
) -> Result<(T, T), Error> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let mut brought = (None, None);
    poll_fn(|cx| {
        if brought.0.is_none()
            && let Poll::Ready(access) = first.as_mut().poll(cx)
        {
            brought.0 = Some(access?);
        }
        if brought.1.is_none()
            && let Poll::Ready(access) = second.as_mut().poll(cx)
        {
            brought.1 = Some(access?);
        }
        match mem::take(&mut brought) {
            (Some(first), Some(second)) => Poll::Ready(Ok((first, second))),
            some => {
                brought = some;
                Poll::Pending
            }
        }
    })
    .await
}

/// Waits for an access, if it has to be waited for, and drops it.
async fn ended(waiting: Option<AccessFuture>) -> Result<(), Error> {
    match waiting {
        Some(access) => access.await.map(drop),
        None => Ok(()),
    }
}

fn later(access: Result<Arc<ServiceAccess>, AccessFuture>) -> AccessFuture {
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
