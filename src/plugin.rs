//! The contract between the layer and whatever obtains tokens.
//!
//! An [`IdentityPlugin`] answers one question per request, [`access`](IdentityPlugin::access): with
//! which headers, and by which catalog? A plugin of one's own wraps whatever can get a token:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use tower_keystone::{ServiceAccess, AccessFuture, AccessInfo, Error, IdentityPlugin, endpoint::Origin};
//!
//! /// Reads the token anew from a file that another process keeps fresh.
//! struct FromFile {
//!     path: std::path::PathBuf,
//!     current: Arc<Mutex<Option<Arc<ServiceAccess>>>>,
//! }
//!
//! impl IdentityPlugin for FromFile {
//!     fn access(&self) -> AccessFuture {
//!         let mut current = self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
//!         if let Some(access) = &*current {
//!             return AccessFuture::ready(Ok(Arc::clone(access)));
//!         }
//!         let read = || -> Result<Arc<ServiceAccess>, Error> {
//!             let state = std::fs::read_to_string(&self.path).map_err(|error| Error::plugin(true, error))?;
//!             let access_info = AccessInfo::from_auth_state(&state.into())?;
//!             Ok(Arc::new(ServiceAccess::from_auth_ref(access_info)?))
//!         };
//!         let access = read();
//!         *current = access.as_ref().ok().cloned();
//!         AccessFuture::ready(access)
//!     }
//!
//!     fn invalidate(&self, used: &Arc<ServiceAccess>, _by: &Origin) -> bool {
//!         let mut current = self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
//!         if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, used)) {
//!             *current = None;
//!         }
//!         true
//!     }
//! }
//! ```

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::{
    AccessInfo, EndpointFilter, Error, Secret,
    access::KnownOrigins,
    endpoint::{AcceptedOrigins, BaseUrl, Origin, OverrideIds},
    error::secrets_in,
};

/// The header that carries the token of a request's sender.
pub(crate) const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The header that carries the token of the service which sends a request on somebody's behalf.
const X_SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");

/// Where the access of a request comes from: keystoneauth's auth plugin.
///
/// The methods are called on the request path: they must not block.
///
/// See the [module docs](self) for an example.
pub trait IdentityPlugin: Send + Sync + 'static {
    /// The access to send a request with: keystoneauth's `get_access`.
    ///
    /// Called for each request that needs a token or the catalog, and again after the request has waited. An access
    /// that is current is returned by [`AccessFuture::ready`], and the request is passed on in the same call. Otherwise
    /// the request waits for the future; dropping it must not disturb others that wait for the same token.
    fn access(&self) -> AccessFuture;

    /// The service at `by` refused what was sent with `used` (401). Does it make sense to send the request once more?
    ///
    /// A plugin that can renew says true: the request is sent once more, with whatever access is current then. Whether
    /// to log in again is another decision, which stays with the plugin. It drops `used` if that is still its current
    /// access; a newer one that has replaced `used` stays. It may also keep `used` if `by` refuses every new token:
    /// other origins still accept it, and so may another replica behind `by`.
    ///
    /// A plugin that cannot renew says false: the 401 is final.
    fn invalidate(&self, used: &Arc<ServiceAccess>, by: &Origin) -> bool;

    /// Where Keystone itself is, for [`Interface::Auth`](crate::Interface::Auth); an absolute URL.
    fn auth_url(&self) -> Option<&Uri> {
        None
    }
}

impl<P: IdentityPlugin + ?Sized> IdentityPlugin for Arc<P> {
    #[inline(always)]
    fn access(&self) -> AccessFuture {
        (**self).access()
    }

    fn invalidate(&self, used: &Arc<ServiceAccess>, by: &Origin) -> bool {
        (**self).invalidate(used, by)
    }

    fn auth_url(&self) -> Option<&Uri> {
        (**self).auth_url()
    }
}

/// What a request is sent with: the headers, the access info they stand for, and where it goes.
///
/// It never changes; token and catalog are always of the same answer of Keystone's. Two accesses are
/// told apart by their `Arc` ([`Arc::ptr_eq`]).
///
/// See the [module docs](self) for an example.
pub struct ServiceAccess {
    /// What is sent as `X-Auth-Token`.
    token: Option<HeaderValue>,
    /// What is sent as other headers.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What can be read out of those headers.
    hidden: Vec<Secret>,
    auth_ref: Option<AccessInfo>,
    /// Where all requests go, if there is no catalog to ask.
    endpoint: Option<BaseUrl>,
    /// The accesses that this one was put together of.
    parts: Vec<Arc<ServiceAccess>>,
    /// Where the catalog before this one had endpoints.
    previous_origins: Option<Arc<KnownOrigins>>,
    accepted: AcceptedOrigins,
}

impl ServiceAccess {
    /// The access that an access info gives: its token as `X-Auth-Token`, its catalog.
    ///
    /// # Errors
    ///
    /// [`Error::NoToken`] if the access info has no token.
    pub fn from_auth_ref(auth_ref: AccessInfo) -> Result<Self, Error> {
        let token = auth_ref.token_header().ok_or(Error::NoToken)?.clone();
        Ok(Self { token: Some(token), auth_ref: Some(auth_ref), ..Self::nothing() })
    }

    /// An access without a catalog: whatever is asked for, it is at this endpoint. It has no headers,
    /// which is an answer too: there are services that want none.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEndpoint`] if paths cannot be appended to the URL.
    pub fn fixed(endpoint: Uri) -> Result<Self, Error> {
        let endpoint = BaseUrl::new(endpoint)?;
        Ok(Self { endpoint: Some(endpoint), ..Self::nothing() })
    }

    const fn nothing() -> Self {
        Self {
            token: None,
            headers: Vec::new(),
            hidden: Vec::new(),
            auth_ref: None,
            endpoint: None,
            parts: Vec::new(),
            previous_origins: None,
            accepted: AcceptedOrigins::new(),
        }
    }

    /// Lets the token go where the catalog before this one had endpoints too: links in what a service
    /// answered then are followed now.
    pub(crate) fn with_previous_origins(mut self, origins: Option<Arc<KnownOrigins>>) -> Self {
        if let (Some(origins), Some(previous)) = (self.origins(), &origins) {
            origins.inherit_reports(previous);
        }
        self.previous_origins = origins;
        self
    }

    /// Adds a header to send. Its value is marked sensitive.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        if name == X_AUTH_TOKEN {
            self.token = Some(value);
        } else {
            self.headers.push((name, value));
        }
        self
    }

    /// Adds what can be read out of a header of its: it must not be seen either.
    pub(crate) fn hide(mut self, secret: Secret) -> Self {
        self.hidden.push(secret);
        self
    }

    /// The access of `user`, with the token of `service` as a further header.
    pub(crate) fn with_service_token(user: &Arc<Self>, service: &Arc<Self>) -> Self {
        let token = service.token.clone().map(|token| (X_SERVICE_TOKEN, token));
        Self {
            token: user.token.clone(),
            headers: user.headers.iter().cloned().chain(token).collect(),
            hidden: user.hidden.clone(),
            auth_ref: user.auth_ref.clone(),
            endpoint: user.endpoint.clone(),
            parts: vec![Arc::clone(user), Arc::clone(service)],
            previous_origins: user.previous_origins.clone(),
            accepted: AcceptedOrigins::new(),
        }
    }

    /// The accesses that this one was put together of.
    pub(crate) fn parts(&self) -> &[Arc<Self>] {
        &self.parts
    }

    /// The access info, where there is one: keystoneauth's `get_auth_ref`.
    pub fn auth_ref(&self) -> Option<&AccessInfo> {
        self.auth_ref.as_ref()
    }

    /// The id of the user: keystoneauth's `get_user_id`.
    pub fn user_id(&self) -> Option<&str> {
        self.auth_ref()?.user_id()
    }

    /// The id of the project: keystoneauth's `get_project_id`.
    pub fn project_id(&self) -> Option<&str> {
        self.auth_ref()?.project_id()
    }

    /// Returns the ids that an endpoint override can contain.
    pub(crate) fn ids(&self) -> OverrideIds<'_> {
        OverrideIds { project_id: self.project_id(), user_id: self.user_id() }
    }

    /// Puts the headers of this access in place of any of the same name: keystoneauth's `get_headers`.
    ///
    /// The values are sensitive and were made when the access was; nothing is copied.
    #[inline(always)]
    pub fn insert_headers(&self, headers: &mut HeaderMap) {
        if let Some(token) = &self.token {
            headers.insert(X_AUTH_TOKEN, token.clone());
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
    }

    /// What must not be seen of it: what its headers say, and what can be read out of them.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> + Clone {
        let others = self.headers.iter().map(|(_, value)| value);
        let sent = self.token.iter().chain(others).flat_map(secrets_in);
        sent.chain(self.hidden.iter().map(Secret::expose))
    }

    /// Where all requests go, if there is no catalog to ask.
    #[inline]
    pub(crate) fn fixed_endpoint(&self) -> Option<&Uri> {
        self.endpoint.as_ref().map(BaseUrl::url)
    }

    /// The URL that requests with this filter are joined to.
    #[inline(always)]
    pub(crate) fn base_url_for(&self, filter: Option<&EndpointFilter>) -> Result<&BaseUrl, Error> {
        if let Some(endpoint) = &self.endpoint {
            return Ok(endpoint);
        }
        let Some(auth_ref) = &self.auth_ref else { return Err(Error::EmptyCatalog) };
        let Some(filter) = filter else { return Err(Error::NoEndpointFilter) };
        auth_ref.service_catalog().base_url_for(filter)
    }

    /// Returns this origin if an endpoint of this access, or of the one before it, lives there.
    pub(crate) fn known_origin(&self, origin: &Origin) -> Option<&Arc<Origin>> {
        let fixed = self.endpoint.as_ref().map(BaseUrl::origin).filter(|fixed| ***fixed == *origin);
        fixed.or_else(|| self.origins()?.get(origin)).or_else(|| self.previous_origins.as_ref()?.get(origin))
    }

    /// Which origins have accepted this access since they last refused it.
    #[inline]
    pub(crate) fn accepted(&self) -> &AcceptedOrigins {
        &self.accepted
    }

    /// Enters that an origin has accepted this access, and with it those that it was put together of.
    #[inline]
    pub(crate) fn accepted_by(&self, origin: &Origin) {
        if self.accepted.insert(origin) {
            for part in &self.parts {
                part.accepted.insert(origin);
            }
        }
    }

    /// The origins of its catalog.
    pub(crate) fn origins(&self) -> Option<&Arc<KnownOrigins>> {
        Some(self.auth_ref()?.service_catalog().origins())
    }
}

/// Whom the access stands for, never the values of its headers.
impl fmt::Debug for ServiceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.iter().map(|_| X_AUTH_TOKEN);
        let headers: Vec<_> = token.chain(self.headers.iter().map(|(name, _)| name.clone())).collect();
        f.debug_struct("ServiceAccess")
            .field("headers", &headers)
            .field("auth_ref", &self.auth_ref)
            .finish_non_exhaustive()
    }
}

/// The answer of [`IdentityPlugin::access`]: there at once, or to be waited for.
#[must_use = "futures do nothing unless polled"]
pub struct AccessFuture(State);

enum State {
    /// `None` once taken.
    Ready(Option<Arc<ServiceAccess>>),
    /// Errors too: they need not be quick, and would make every answer as big as they are.
    Boxed(Pin<Box<dyn Future<Output = Result<Arc<ServiceAccess>, Error>> + Send>>),
}

impl AccessFuture {
    /// An answer that is there at once; an error is told when it is polled.
    #[inline(always)]
    pub fn ready(access: Result<Arc<ServiceAccess>, Error>) -> Self {
        match access {
            Ok(access) => Self(State::Ready(Some(access))),
            Err(error) => Self::new(std::future::ready(Err(error))),
        }
    }

    /// An answer that has to be obtained first.
    pub fn new(access: impl Future<Output = Result<Arc<ServiceAccess>, Error>> + Send + 'static) -> Self {
        Self(State::Boxed(Box::pin(access)))
    }

    /// The access, if it is there at once, else the future of it.
    #[inline(always)]
    pub(crate) fn now(self) -> Result<Arc<ServiceAccess>, Self> {
        match self.0 {
            State::Ready(Some(access)) => Ok(access),
            _ => Err(self),
        }
    }
}

impl Future for AccessFuture {
    type Output = Result<Arc<ServiceAccess>, Error>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(access) => Poll::Ready(Ok(access.take().expect("polled after it was ready"))),
            State::Boxed(future) => {
                let access = ready!(future.as_mut().poll(cx));
                self.0 = State::Ready(None);
                Poll::Ready(access)
            }
        }
    }
}

impl fmt::Debug for AccessFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Ready(_) => "AccessFuture(ready)",
            State::Boxed(_) => "AccessFuture(to be polled)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn _is_dyn_compatible(_: Box<dyn IdentityPlugin>) {}

    fn _is_send<T: Send>() {}

    #[test]
    fn plugins_and_their_answers_cross_threads() {
        _is_send::<AccessFuture>();
        _is_send::<Arc<dyn IdentityPlugin>>();
        _is_send::<Arc<ServiceAccess>>();
    }
}
