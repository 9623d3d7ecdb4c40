//! Follows redirects without sending the token to another origin. Feature `follow-redirect`.
//!
//! tower-http's `FollowRedirect` with its default policy sends `X-Auth-Token` to any host that a redirect names, and
//! turns a `POST` into a `GET`. With [`RedirectPolicy`] it keeps the method and the body, as keystoneauth does, and
//! removes the token from requests to another origin. Place it **inside of [`AuthLayer`](crate::AuthLayer)**:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_http::follow_redirect::FollowRedirectLayer;
//! use tower_keystone::{AccessInfoPlugin, AuthLayer, BoxError, EndpointFilter, RedirectPolicy, fixture::Cloud};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let cloud = Cloud::new([("compute", "nova")]).user("alice", "wonderland").project("demo");
//! # let plugin = AccessInfoPlugin::new(cloud.keystone().issue("alice", Some("demo")).ok_or("no such user")?);
//! # let client = tower::service_fn(move |request: Request<Full<Bytes>>| {
//! #     let cloud = cloud.clone();
//! #     let moved = Response::builder().status(302).header("location", "servers").body(Bytes::new().into());
//! #     async move { match request.uri().path().ends_with("/old") {
//! #         true => Ok(moved?),
//! #         false => cloud.oneshot(request).await.map_err(BoxError::from),
//! #     } }
//! # });
//! let nova = ServiceBuilder::new()
//!     .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
//!     .layer(FollowRedirectLayer::with_policy(RedirectPolicy::new()))
//!     .service(client); // it redirects /old to /servers
//!
//! let response = nova.oneshot(Request::get("/old").body(Full::<Bytes>::default())?).await?;
//! assert_eq!(response.status(), 200);
//! # Ok::<(), BoxError>(())
//! # }
//! ```
//!
//! - **Inside of `AuthLayer`** every request has an absolute URI, so the redirects of all requests are followed.
//!   Another origin gets no token, even if it is in the service catalog. If it returns 401, the layer reports that to
//!   the plugin as a rejected token.
//! - **Outside of `AuthLayer`** a redirected request passes through the layer again. Origins in the service catalog get
//!   the token; for others the request fails with [`Error::OriginNotAllowed`](crate::Error::OriginNotAllowed). But
//!   `FollowRedirect` can follow a redirect only if the caller sent the request with an absolute URI. If the URI was
//!   relative, the caller gets the redirect response. A policy that drops extensions, as the default one does at another
//!   origin, also drops the [`Identity`]: the redirected request is then sent with the token of the layer's plugin,
//!   or fails if [`require_identity`](crate::AuthLayer::require_identity) is set.

use std::fmt;

use http::{
    HeaderMap, HeaderName, Method, Request,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, PROXY_AUTHORIZATION,
        TRANSFER_ENCODING,
    },
    uri::Scheme,
};
use http_body::Body;
use tower_http::follow_redirect::policy::{Action, Attempt, Limited, Policy};

use crate::{
    EndpointFilter, Identity, Microversion, Unauthenticated, endpoint::Origin, error_context::Destination,
    plugin::X_AUTH_TOKEN,
};

/// Maximum number of redirects of one request, the same as in keystoneauth.
const DEFAULT_LIMIT: usize = 30;

/// Headers that are not sent to another origin. `Host` is included because it names a virtual host of the previous
/// origin.
const SAME_ORIGIN_HEADERS: [HeaderName; 8] = [
    HOST,
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-subject-token"),
    HeaderName::from_static("x-service-token"),
    HeaderName::from_static("openstack-auth-receipt"),
    AUTHORIZATION,
    COOKIE,
    PROXY_AUTHORIZATION,
];

/// Headers that `FollowRedirect` removes when it turns a request into a `GET`.
const BODY_HEADERS: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING];

/// A redirect policy for tower-http's `FollowRedirect` that does not send secrets to another origin.
///
/// - To another origin (scheme, host and port) it does not send `X-Auth-Token`, `X-Subject-Token`, `X-Service-Token`,
///   `Openstack-Auth-Receipt`, `Authorization`, `Cookie`, `Proxy-Authorization`, `Host`, and headers that are marked as
///   sensitive. Of the extensions it keeps only [`EndpointFilter`], [`Identity`], [`Microversion`] and
///   [`Unauthenticated`].
/// - It does not follow redirects from https to http, to another scheme, or to a URL with a user name.
/// - It keeps the method and the body, also for 301, 302 and 303, as keystoneauth does. If the body cannot be sent
///   again, it does not follow the redirect.
/// - It follows at most [30](Self::limit) redirects of one request.
///
/// If it does not follow a redirect, the caller gets the redirect response.
///
/// See the [module docs](self) for an example and for its place in a stack.
pub struct RedirectPolicy<B> {
    clone_body: fn(&B) -> Option<B>,
    limit: Limited,
    original: Option<Original<B>>,
    /// True if the redirect leads to another origin.
    is_cross_origin: bool,
}

/// The parts of the first request that every redirected request has too.
struct Original<B> {
    method: Method,
    body_headers: HeaderMap,
    /// `None` if it cannot be sent again.
    body: Option<B>,
}

impl<B: Clone> RedirectPolicy<B> {
    /// Creates a policy for request bodies that can be cloned.
    pub fn new() -> Self {
        Self::with_clone_body(|body| Some(body.clone()))
    }
}

impl<B> RedirectPolicy<B> {
    /// Creates a policy that copies request bodies with `clone_body`.
    ///
    /// The function is called before a request is sent, unless the body is empty. It returns the body for the next
    /// request, or `None` if the body cannot be sent again; a redirect is then not followed.
    pub fn with_clone_body(clone_body: fn(&B) -> Option<B>) -> Self {
        Self { clone_body, limit: Limited::new(DEFAULT_LIMIT), original: None, is_cross_origin: false }
    }

    /// Sets the maximum number of redirects that are followed for one request; 30 by default.
    #[must_use]
    pub fn limit(mut self, redirects: usize) -> Self {
        self.limit = Limited::new(redirects);
        self
    }
}

impl<B: Body + Default> RedirectPolicy<B> {
    fn copy_body(&self, body: &B) -> Option<B> {
        match body.size_hint().exact() {
            Some(0) => Some(B::default()),
            _ => (self.clone_body)(body),
        }
    }
}

impl<B: Body + Default, E> Policy<B, E> for RedirectPolicy<B> {
    fn redirect(&mut self, attempt: &Attempt<'_>) -> Result<Action, E> {
        let (from, to) = (attempt.previous(), attempt.location());
        let is_downgrade = from.scheme() == Some(&Scheme::HTTPS) && to.scheme() != Some(&Scheme::HTTPS);
        let has_body = self.original.as_ref().is_some_and(|original| original.body.is_some());
        let Some(target) = Origin::from_uri(to).filter(|_| !is_downgrade && has_body) else {
            return Ok(Action::Stop);
        };
        self.is_cross_origin = Origin::from_uri(from) != Some(target);
        Policy::<B, E>::redirect(&mut self.limit, attempt)
    }

    /// Saves the parts of the first request, and restores them in each redirected one.
    fn on_request(&mut self, request: &mut Request<B>) {
        let Some(mut original) = self.original.take() else {
            let headers = request.headers();
            let body_headers =
                BODY_HEADERS.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone())));
            self.original = Some(Original {
                method: request.method().clone(),
                body_headers: body_headers.collect(),
                body: self.copy_body(request.body()),
            });
            return;
        };
        request.method_mut().clone_from(&original.method);
        request.headers_mut().extend(original.body_headers.clone());
        if let Some(body) = original.body.take() {
            original.body = self.copy_body(&body);
            *request.body_mut() = body;
        }
        self.original = Some(original);
        let destination = request.extensions().get::<Destination>().cloned();
        destination.iter().for_each(|destination| destination.set_redirected(request.uri()));
        if self.is_cross_origin {
            let headers = request.headers_mut();
            let had_token = headers.contains_key(X_AUTH_TOKEN);
            let sensitive = headers.iter().filter(|(_, value)| value.is_sensitive());
            let sensitive: Vec<_> = sensitive.map(|(name, _)| name.clone()).collect();
            for name in sensitive.iter().chain(&SAME_ORIGIN_HEADERS) {
                headers.remove(name);
            }
            let extensions = request.extensions_mut();
            let filter = extensions.remove::<EndpointFilter>();
            // Without it, an `AuthLayer` inside would send the token of its own plugin.
            let identity = extensions.remove::<Identity>();
            let microversion = extensions.remove::<Microversion>();
            let unauthenticated = extensions.remove::<Unauthenticated>();
            extensions.clear();
            microversion.and_then(|microversion| extensions.insert(microversion));
            identity.and_then(|identity| extensions.insert(identity));
            filter.and_then(|filter| extensions.insert(filter));
            destination.and_then(|destination| extensions.insert(destination));
            // The token that the caller had set must not be replaced by that of an `AuthLayer` inside.
            unauthenticated.or(had_token.then_some(Unauthenticated)).and_then(|mark| extensions.insert(mark));
        }
    }

    /// Returns a placeholder. `FollowRedirect` drops its own copy for some statuses, so `Original` holds the body.
    fn clone_body(&self, _: &B) -> Option<B> {
        Some(B::default())
    }
}

impl<B: Clone> Default for RedirectPolicy<B> {
    fn default() -> Self {
        Self::new()
    }
}

/// The clone has the same settings, but not the saved request.
impl<B> Clone for RedirectPolicy<B> {
    fn clone(&self) -> Self {
        Self { clone_body: self.clone_body, limit: self.limit, original: None, is_cross_origin: false }
    }
}

impl<B> fmt::Debug for RedirectPolicy<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedirectPolicy").field("limit", &self.limit).finish_non_exhaustive()
    }
}
