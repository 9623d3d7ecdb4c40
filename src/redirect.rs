//! Following redirects without giving the token away. Feature `follow-redirect`.
//!
//! tower-http's `FollowRedirect` follows redirects; of its own accord it takes an `X-Auth-Token` along to
//! wherever the server points, and makes a `GET` of a `POST`. [`RedirectPolicy`] is a policy for it that
//! follows as keystoneauth does, and leaves the token at home. Best **inside of the layer**:
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
//! #     let moved = Response::builder().status(302).header("location", "servers").body(Full::default());
//! #     async move { match request.uri().path().ends_with("/old") {
//! #         true => Ok(moved?),
//! #         false => cloud.oneshot(request).await.map_err(BoxError::from),
//! #     } }
//! # });
//! let nova = ServiceBuilder::new()
//!     .layer(AuthLayer::new(plugin).endpoint(EndpointFilter::new("compute")))
//!     .layer(FollowRedirectLayer::with_policy(RedirectPolicy::new()))
//!     .service(client); // where /old has moved to /servers
//!
//! let response = nova.oneshot(Request::get("/old").body(Full::<Bytes>::default())?).await?;
//! assert_eq!(response.status(), 200);
//! # Ok::<(), BoxError>(())
//! # }
//! ```
//!
//! - **Inside of the layer** every request is absolute, so that redirects of all are followed. Another origin
//!   gets no token, even if the catalog knows it. If it answers 401, the layer takes that for a refusal.
//! - **Outside of the layer** a redirect comes through it again: origins that the catalog knows get the token,
//!   and others are [`Error::OriginNotAllowed`](crate::Error::OriginNotAllowed). But `FollowRedirect` can follow
//!   only what has an absolute URI before the layer, and hands out redirects of relative ones as they are.

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
    EndpointFilter, Unauthenticated, endpoint::Origin, error_context::Destination, plugin::X_AUTH_TOKEN,
};

/// How many redirects of one request keystoneauth follows.
const LIMIT: usize = 30;

/// Headers that are meant for one origin only. A `Host` would name another virtual host than the one redirected to.
const OF_ONE_ORIGIN: [HeaderName; 8] = [
    HOST,
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-subject-token"),
    HeaderName::from_static("x-service-token"),
    HeaderName::from_static("openstack-auth-receipt"),
    AUTHORIZATION,
    COOKIE,
    PROXY_AUTHORIZATION,
];

/// What `FollowRedirect` removes where it makes a `GET` of a request.
const PAYLOAD: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING];

/// Which redirects are followed, and what of a request goes where they lead: a policy for tower-http's
/// `FollowRedirect`.
///
/// - To another origin (scheme, host, port) go no `X-Auth-Token`, `X-Subject-Token`, `X-Service-Token`,
///   `Openstack-Auth-Receipt`, `Authorization`, `Cookie`, `Proxy-Authorization` and `Host`, and of the extensions
///   only [`EndpointFilter`] and [`Unauthenticated`].
/// - From https to http no redirect is followed, nor to a URL with a user name or of another scheme. The
///   redirect itself is then the answer.
/// - The method and the body stay what they are, at 301, 302 and 303 too, as in keystoneauth. A body that
///   cannot be sent again is not replaced by an empty one: the redirect is the answer.
/// - After [30](Self::limit) redirects the next one is the answer.
///
/// See the [module docs](self) for an example and for its place in a stack.
pub struct RedirectPolicy<B> {
    clone_body: fn(&B) -> Option<B>,
    limit: Limited,
    original: Option<Original<B>>,
    elsewhere: bool,
}

/// What every redirected request has in common with the first one.
struct Original<B> {
    method: Method,
    payload: HeaderMap,
    /// `None` if it cannot be sent again.
    body: Option<B>,
}

impl<B: Clone> RedirectPolicy<B> {
    /// For bodies that can be cloned.
    pub fn new() -> Self {
        Self::with_clone_body(|body| Some(body.clone()))
    }
}

impl<B> RedirectPolicy<B> {
    /// For bodies that know how to be sent again: `clone_body` is called before a request is sent, and
    /// gives the body for the next time. After `None` only an empty body is sent again.
    pub fn with_clone_body(clone_body: fn(&B) -> Option<B>) -> Self {
        Self { clone_body, limit: Limited::new(LIMIT), original: None, elsewhere: false }
    }

    /// How many redirects of one request are followed; 30.
    #[must_use]
    pub fn limit(mut self, redirects: usize) -> Self {
        self.limit = Limited::new(redirects);
        self
    }
}

impl<B: Body + Default> RedirectPolicy<B> {
    fn again(&self, body: &B) -> Option<B> {
        match body.size_hint().exact() {
            Some(0) => Some(B::default()),
            _ => (self.clone_body)(body),
        }
    }
}

impl<B: Body + Default, E> Policy<B, E> for RedirectPolicy<B> {
    fn redirect(&mut self, attempt: &Attempt<'_>) -> Result<Action, E> {
        let (from, to) = (attempt.previous(), attempt.location());
        let downgrade = from.scheme() == Some(&Scheme::HTTPS) && to.scheme() != Some(&Scheme::HTTPS);
        let lost = self.original.as_ref().is_none_or(|original| original.body.is_none());
        let Some(target) = Origin::from_uri(to).filter(|_| !downgrade && !lost) else {
            return Ok(Action::Stop);
        };
        self.elsewhere = Origin::from_uri(from) != Some(target);
        Policy::<B, E>::redirect(&mut self.limit, attempt)
    }

    /// Sees the first request as it is, and each redirected one on its way out.
    fn on_request(&mut self, request: &mut Request<B>) {
        let Some(mut original) = self.original.take() else {
            let payload =
                PAYLOAD.iter().filter_map(|name| Some((name.clone(), request.headers().get(name)?.clone())));
            self.original = Some(Original {
                method: request.method().clone(),
                payload: payload.collect(),
                body: self.again(request.body()),
            });
            return;
        };
        request.method_mut().clone_from(&original.method);
        request.headers_mut().extend(original.payload.clone());
        if let Some(body) = original.body.take() {
            original.body = self.again(&body);
            *request.body_mut() = body;
        }
        self.original = Some(original);
        let destination = request.extensions().get::<Destination>().cloned();
        destination.iter().for_each(|destination| destination.redirected(request.uri()));
        if self.elsewhere {
            let headers = request.headers_mut();
            let had_token = headers.contains_key(X_AUTH_TOKEN);
            let sensitive = headers.iter().filter(|(_, value)| value.is_sensitive());
            let sensitive: Vec<_> = sensitive.map(|(name, _)| name.clone()).collect();
            for name in sensitive.iter().chain(&OF_ONE_ORIGIN) {
                headers.remove(name);
            }
            let extensions = request.extensions_mut();
            let filter = extensions.remove::<EndpointFilter>();
            let unauthenticated = extensions.remove::<Unauthenticated>();
            extensions.clear();
            filter.and_then(|filter| extensions.insert(filter));
            destination.and_then(|destination| extensions.insert(destination));
            // Ours is not to take the place of a token that the caller had put there.
            unauthenticated.or(had_token.then_some(Unauthenticated)).and_then(|mark| extensions.insert(mark));
        }
    }

    /// A stand-in: `FollowRedirect` gives its own copy up at some statuses, so the body is kept here.
    fn clone_body(&self, _: &B) -> Option<B> {
        Some(B::default())
    }
}

impl<B: Clone> Default for RedirectPolicy<B> {
    fn default() -> Self {
        Self::new()
    }
}

/// A clone is for other requests: it knows nothing of those that this one has seen.
impl<B> Clone for RedirectPolicy<B> {
    fn clone(&self) -> Self {
        Self { clone_body: self.clone_body, limit: self.limit, original: None, elsewhere: false }
    }
}

impl<B> fmt::Debug for RedirectPolicy<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedirectPolicy").field("limit", &self.limit).finish_non_exhaustive()
    }
}
