use std::{
    fmt,
    future::{Ready, ready},
};

use http::{Request, Response};
use http_body::Body;
use tower::retry::Policy;

use super::ReplayBody;
use crate::Refusal;

/// Sends a request once more whose token was refused, if the plugin could renew.
///
/// See the [module docs](super) for an example and for what it does about bodies.
pub struct ReauthPolicy<B> {
    clone_body: fn(&B) -> Option<B>,
    can_send: fn(&B) -> bool,
    tried: bool,
}

impl<B: Clone> ReauthPolicy<B> {
    /// For bodies that can be cloned.
    pub const fn new() -> Self {
        Self::with_body(|body| Some(body.clone()))
    }
}

impl<B> ReauthPolicy<B> {
    /// For bodies that know how to be sent again: `clone_body` is called once before a request is sent,
    /// and gives the body for a second time. For `None` the request is sent once only.
    pub const fn with_body(clone_body: fn(&B) -> Option<B>) -> Self {
        Self { clone_body, can_send: |_| true, tried: false }
    }
}

impl<B: Body> ReauthPolicy<ReplayBody<B>> {
    /// For bodies that keep what was sent of them.
    pub const fn replaying() -> Self {
        Self { clone_body: |body| Some(body.clone()), can_send: ReplayBody::can_replay, tried: false }
    }
}

impl<B, ResBody, E> Policy<Request<B>, Response<ResBody>, E> for ReauthPolicy<B> {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<B>,
        result: &mut Result<Response<ResBody>, E>,
    ) -> Option<Self::Future> {
        let refusal = result.as_ref().ok()?.extensions().get::<Refusal>()?;
        if self.tried || refusal.is_final() || !(self.can_send)(request.body()) {
            return None;
        }
        self.tried = true;
        Some(ready(()))
    }

    /// A clone with the extensions, and in them the `EndpointFilter` that the layer takes out.
    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        let mut clone = Request::new((self.clone_body)(request.body())?);
        clone.method_mut().clone_from(request.method());
        clone.uri_mut().clone_from(request.uri());
        *clone.version_mut() = request.version();
        clone.headers_mut().clone_from(request.headers());
        clone.extensions_mut().clone_from(request.extensions());
        Some(clone)
    }
}

impl<B: Clone> Default for ReauthPolicy<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> Clone for ReauthPolicy<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for ReauthPolicy<B> {}

impl<B> fmt::Debug for ReauthPolicy<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReauthPolicy").field("tried", &self.tried).finish_non_exhaustive()
    }
}
