//! The trait that the layer obtains tokens from, and the types that it returns.
//!
//! For each request the layer calls [`IdentityPlugin::access`]. The plugin returns a [`ServiceAccess`]: the headers to
//! send and the service catalog. To obtain tokens in a way that this crate does not know, implement the trait:
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use tower_keystone::{ServiceAccess, AccessFuture, AccessInfo, Error, IdentityPlugin, endpoint::Origin};
//!
//! /// Reads the token from a file that another process updates.
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
//!         // Reading a small local file is quick. Use `AccessFuture::new` for anything that can take longer.
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
//!     fn invalidate(&self, access: &Arc<ServiceAccess>, _origin: &Origin) -> bool {
//!         let mut current = self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
//!         // Another request may have read a newer token already.
//!         if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, access)) {
//!             *current = None;
//!         }
//!         true
//!     }
//! }
//! ```

mod both;
mod fixed_endpoint;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

#[cfg(feature = "federation")]
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::{
    AccessInfo, EndpointFilter, Error, Secret,
    access::KnownOrigins,
    endpoint::{AcceptedOrigins, BaseUrl, Origin, OverrideIds},
    error::secrets_in,
};

pub(crate) use both::{both, both_ready};
use fixed_endpoint::FixedEndpoint;

/// The header for the token of the user on whose behalf a request is sent.
pub(crate) const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The header for the token of a service that sends a request on behalf of a user.
pub(crate) const X_SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");

/// Obtains the token and the service catalog for requests: keystoneauth's auth plugin.
///
/// The layer calls these methods for every request, so they must not block.
///
/// See the [module docs](self) for an example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an identity plugin",
    note = "use `RenewingPlugin::new(credentials, transport)` or `CloudConfig::plugin`"
)]
pub trait IdentityPlugin: Send + Sync + 'static {
    /// Returns the access to send a request with: keystoneauth's `get_access`.
    ///
    /// The layer calls this for each request that needs a token or the catalog, and again after the request has waited.
    /// If the plugin has a current access, it returns that with [`AccessFuture::ready`], and the layer sends the
    /// request at once. Otherwise the request waits for the future. Requests may be cancelled: dropping one future must
    /// not affect others that wait for the same token.
    fn access(&self) -> AccessFuture;

    /// Handles a 401, and returns whether the request can succeed if it is sent once more.
    ///
    /// The service at `origin` has rejected a request that was sent with `access`.
    ///
    /// A plugin that can renew returns true. It drops `access` if that is still its current access, and keeps a newer
    /// one that has replaced it. It need not log in for each 401: if `origin` rejects every new token, the plugin may
    /// keep `access`, because other origins, or another replica behind `origin`, may still accept it. A request that is
    /// sent once more gets the access that is current then.
    ///
    /// A plugin that cannot renew returns false, and the 401 is final.
    fn invalidate(&self, access: &Arc<ServiceAccess>, origin: &Origin) -> bool;

    /// Returns the absolute URL of Keystone, the endpoint for [`Interface::Auth`](crate::Interface::Auth).
    ///
    /// The token may be sent to its origin.
    fn auth_url(&self) -> Option<&Uri> {
        None
    }
}

impl<P: IdentityPlugin + ?Sized> IdentityPlugin for Arc<P> {
    #[inline(always)]
    fn access(&self) -> AccessFuture {
        (**self).access()
    }

    fn invalidate(&self, access: &Arc<ServiceAccess>, origin: &Origin) -> bool {
        (**self).invalidate(access, origin)
    }

    fn auth_url(&self) -> Option<&Uri> {
        (**self).auth_url()
    }
}

/// The access of a request: the headers to send, and the endpoints that it can be sent to.
///
/// It never changes: its token and its catalog come from the same Keystone response. To find out whether two accesses
/// are the same, compare their `Arc`s ([`Arc::ptr_eq`]).
///
/// See the [module docs](self) for an example.
pub struct ServiceAccess {
    /// The value of `X-Auth-Token`.
    token: Option<HeaderValue>,
    /// The other headers to send.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Secrets that the headers contain in encoded form, such as the password of HTTP basic authentication.
    encoded_secrets: Vec<Secret>,
    auth_ref: Option<AccessInfo>,
    /// The endpoint in place of a catalog.
    endpoint: Option<Box<FixedEndpoint>>,
    /// The accesses that this one was combined from.
    parts: Vec<Arc<ServiceAccess>>,
    /// The origins of the previous token's catalog.
    previous_origins: Option<Arc<KnownOrigins>>,
    /// The origins that have accepted the token since they last rejected it.
    accepted: AcceptedOrigins,
}

impl ServiceAccess {
    /// Creates an access from a token and its document.
    ///
    /// It sends the token as `X-Auth-Token`, and looks up endpoints in the service catalog of the document. If the
    /// access info has an OAuth 2.0 access token too, it also sends that, as `Authorization: Bearer`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NoToken`] if the access info has no token.
    pub fn from_auth_ref(auth_ref: AccessInfo) -> Result<Self, Error> {
        let token = auth_ref.token_header().ok_or(Error::NoToken)?.clone();
        #[cfg(feature = "federation")]
        let headers =
            auth_ref.bearer().map(|bearer| (AUTHORIZATION, bearer.header().clone())).into_iter().collect();
        #[cfg(not(feature = "federation"))]
        let headers = Vec::new();
        Ok(Self { token: Some(token), headers, auth_ref: Some(auth_ref), ..Self::empty() })
    }

    /// Creates an access without a catalog: all requests go to this endpoint, whatever their filter is.
    ///
    /// It has no headers, for services without authentication. Add some with [`header`](Self::header).
    ///
    /// # Errors
    ///
    /// Returns [`Error::InvalidEndpoint`] if paths cannot be appended to the URL.
    pub fn fixed(endpoint: Uri) -> Result<Self, Error> {
        let endpoint = FixedEndpoint::for_all(BaseUrl::new(endpoint)?);
        Ok(Self { endpoint: Some(endpoint.into()), ..Self::empty() })
    }

    /// Creates an access without a token or a catalog, for requests to Keystone only.
    #[cfg(feature = "federation")]
    pub(crate) fn for_identity(endpoint: Uri) -> Result<Self, Error> {
        let endpoint = FixedEndpoint::for_keystone(BaseUrl::new(endpoint)?);
        Ok(Self { endpoint: Some(endpoint.into()), ..Self::empty() })
    }

    /// Creates an access without a token, a catalog or an endpoint, for requests with an endpoint override.
    pub(crate) const fn empty() -> Self {
        Self {
            token: None,
            headers: Vec::new(),
            encoded_secrets: Vec::new(),
            auth_ref: None,
            endpoint: None,
            parts: Vec::new(),
            previous_origins: None,
            accepted: AcceptedOrigins::new(),
        }
    }

    /// Allows the token to be sent to the origins of the previous token's catalog too, so that clients can still follow
    /// links that a service returned before.
    ///
    /// Unusable endpoints that were reported for the previous catalog are not reported again.
    pub(crate) fn with_previous_origins(mut self, origins: Option<Arc<KnownOrigins>>) -> Self {
        if let (Some(auth_ref), Some(previous)) = (&self.auth_ref, &origins) {
            let catalog = auth_ref.service_catalog();
            // Nothing is reported for an empty catalog, which all accesses without endpoints share.
            if !catalog.is_empty() {
                catalog.origins().inherit_reports(previous);
            }
        }
        self.previous_origins = origins;
        self
    }

    /// Adds a header to send, and marks its value as sensitive.
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

    /// Adds a header whose value is no secret.
    #[cfg(feature = "federation")]
    pub(crate) fn public_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds a secret that a header contains in encoded form, so that it is redacted too.
    pub(crate) fn with_encoded_secret(mut self, secret: Secret) -> Self {
        self.encoded_secrets.push(secret);
        self
    }

    /// Inserts the token of this access as `X-Service-Token`, if the user has a token.
    #[inline]
    pub(crate) fn insert_service_token(&self, user: &Self, headers: &mut HeaderMap) {
        if let Some(token) = self.token_beside(user) {
            headers.insert(X_SERVICE_TOKEN, token.clone());
        }
    }

    /// Returns the token to send as `X-Service-Token`. Without a token of the user it would act for nobody.
    #[inline]
    fn token_beside(&self, user: &Self) -> Option<&HeaderValue> {
        self.token.as_ref().filter(|_| user.token.is_some())
    }

    /// Returns the access of `user` with the token of `service` as `X-Service-Token`, if the user has a token.
    pub(crate) fn with_service_token(user: &Arc<Self>, service: &Arc<Self>) -> Self {
        let token = service.token_beside(user).map(|token| (X_SERVICE_TOKEN, token.clone()));
        Self {
            token: user.token.clone(),
            headers: user.headers.iter().cloned().chain(token).collect(),
            encoded_secrets: user.encoded_secrets.clone(),
            auth_ref: user.auth_ref.clone(),
            endpoint: user.endpoint.clone(),
            parts: vec![Arc::clone(user), Arc::clone(service)],
            previous_origins: user.previous_origins.clone(),
            accepted: AcceptedOrigins::new(),
        }
    }

    /// Returns the accesses that this one was combined from.
    pub(crate) fn parts(&self) -> &[Arc<Self>] {
        &self.parts
    }

    /// Returns the access info, if the access was created from one: keystoneauth's `get_auth_ref`.
    pub fn auth_ref(&self) -> Option<&AccessInfo> {
        self.auth_ref.as_ref()
    }

    /// Returns the id of the user: keystoneauth's `get_user_id`.
    pub fn user_id(&self) -> Option<&str> {
        self.auth_ref()?.user_id()
    }

    /// Returns the id of the project: keystoneauth's `get_project_id`.
    pub fn project_id(&self) -> Option<&str> {
        self.auth_ref()?.project_id()
    }

    /// Returns the ids that an endpoint override can contain.
    pub(crate) fn ids(&self) -> OverrideIds<'_> {
        OverrideIds { project_id: self.project_id(), user_id: self.user_id() }
    }

    /// Inserts the headers of this access, replacing any of the same name: keystoneauth's `get_headers`.
    ///
    /// Values that are secrets are marked as sensitive. Inserting them copies no text, because header values are
    /// reference-counted.
    #[inline(always)]
    pub fn insert_headers(&self, headers: &mut HeaderMap) {
        if let Some(token) = &self.token {
            headers.insert(X_AUTH_TOKEN, token.clone());
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
    }

    /// Returns the secrets to redact: the sensitive values of the headers, and the secrets that are encoded in them.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> + Clone {
        let others = self.headers.iter().map(|(_, value)| value).filter(|value| value.is_sensitive());
        let sent = self.token.iter().chain(others).flat_map(secrets_in);
        sent.chain(self.encoded_secrets.iter().map(Secret::expose))
    }

    /// Returns whether the access was created for a fixed endpoint, in place of a catalog.
    #[inline]
    pub(crate) fn has_fixed_endpoint(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Returns the fixed endpoint of requests with this filter.
    pub(crate) fn fixed_endpoint_for(&self, filter: &EndpointFilter) -> Option<&Uri> {
        self.endpoint.as_deref()?.base_url_for(Some(filter)).ok().map(BaseUrl::url)
    }

    /// Returns the URL that relative request URIs with this filter are joined to.
    #[inline(always)]
    pub(crate) fn base_url_for(&self, filter: Option<&EndpointFilter>) -> Result<&BaseUrl, Error> {
        if let Some(endpoint) = &self.endpoint {
            return endpoint.base_url_for(filter);
        }
        let Some(auth_ref) = &self.auth_ref else { return Err(Error::NoEndpoint) };
        let Some(filter) = filter else { return Err(Error::NoEndpointFilter) };
        auth_ref.service_catalog().base_url_for(filter)
    }

    /// Returns this origin if an endpoint of this access, or of the previous token's catalog, has it.
    pub(crate) fn known_origin(&self, origin: &Origin) -> Option<&Arc<Origin>> {
        let fixed = self.endpoint.as_deref().map(FixedEndpoint::origin).filter(|fixed| ***fixed == *origin);
        fixed.or_else(|| self.origins()?.get(origin)).or_else(|| self.previous_origins.as_ref()?.get(origin))
    }

    /// Returns the origins that have accepted this access since they last rejected it.
    #[inline]
    pub(crate) fn accepted(&self) -> &AcceptedOrigins {
        &self.accepted
    }

    /// Records that an origin has accepted this access, and the accesses that it was combined from.
    #[inline(always)]
    pub(crate) fn record_accepted(&self, origin: &Origin) {
        if self.accepted.insert(origin) {
            for part in &self.parts {
                part.accepted.insert(origin);
            }
        }
    }

    /// Returns the origins of the catalog.
    pub(crate) fn origins(&self) -> Option<&Arc<KnownOrigins>> {
        Some(self.auth_ref()?.service_catalog().origins())
    }
}

/// Shows the names of the headers, never their values, and the access info.
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

/// The future that [`IdentityPlugin::access`] returns.
///
/// An access that is ready is stored inline, without a box.
#[must_use = "futures do nothing unless polled"]
pub struct AccessFuture(State);

enum State {
    /// `None` after completion.
    Ready(Option<Arc<ServiceAccess>>),
    /// Also used for errors that are ready. Stored inline, they would make every `AccessFuture` larger.
    Boxed(Pin<Box<dyn Future<Output = Result<Arc<ServiceAccess>, Error>> + Send>>),
}

impl AccessFuture {
    /// Creates a future that is ready. With `Ok` it needs no allocation.
    #[inline(always)]
    pub fn ready(access: Result<Arc<ServiceAccess>, Error>) -> Self {
        match access {
            Ok(access) => Self(State::Ready(Some(access))),
            Err(error) => Self::new(std::future::ready(Err(error))),
        }
    }

    /// Creates a future for an access that has to be obtained first.
    pub fn new(access: impl Future<Output = Result<Arc<ServiceAccess>, Error>> + Send + 'static) -> Self {
        Self(State::Boxed(Box::pin(access)))
    }

    /// Returns the access if it is ready, or the future that resolves to it.
    #[inline(always)]
    pub(crate) fn into_ready(self) -> Result<Arc<ServiceAccess>, Self> {
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
    /// Panics if it is polled after completion.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(access) => Poll::Ready(Ok(access.take().expect("polled after completion"))),
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
            State::Boxed(_) => "AccessFuture(pending)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn _is_dyn_compatible(_: Box<dyn IdentityPlugin>) {}

    fn _is_send<T: Send>() {}

    #[test]
    fn plugins_and_accesses_are_send() {
        _is_send::<AccessFuture>();
        _is_send::<Arc<dyn IdentityPlugin>>();
        _is_send::<Arc<ServiceAccess>>();
    }
}
