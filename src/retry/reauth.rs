use std::{
    fmt,
    future::{Ready, ready},
};

use http::{Request, Response};
use http_body::Body;
use tower::retry::Policy;

use super::{ReplayBody, clone_request::CloneRequest};
use crate::TokenRejected;

/// Sends a request once more whose token was refused, if the plugin could renew.
///
/// See the [module docs](super) for an example and for what it does about bodies.
pub struct ReauthPolicy<B> {
    again: CloneRequest<B>,
    tried: bool,
}

impl<B: Clone> ReauthPolicy<B> {
    /// For bodies that can be cloned.
    pub const fn new() -> Self {
        Self { again: CloneRequest::cloning(), tried: false }
    }
}

impl<B> ReauthPolicy<B> {
    /// For bodies that know how to be sent again: `clone_body` is called once before a request is sent,
    /// and gives the body for a second time. For `None` the request is sent once only.
    pub const fn with_clone_body(clone_body: fn(&B) -> Option<B>) -> Self {
        Self { again: CloneRequest::with_clone_body(clone_body), tried: false }
    }
}

impl<B: Body> ReauthPolicy<ReplayBody<B>> {
    /// For bodies that keep what was sent of them.
    pub const fn replaying() -> Self {
        Self { again: CloneRequest::replaying(), tried: false }
    }
}

impl<B, ResBody, E> Policy<Request<B>, Response<ResBody>, E> for ReauthPolicy<B> {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<B>,
        result: &mut Result<Response<ResBody>, E>,
    ) -> Option<Self::Future> {
        let refusal = result.as_ref().ok()?.extensions().get::<TokenRejected>()?;
        if self.tried || refusal.is_final() || !self.again.claim(request) {
            return None;
        }
        self.tried = true;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        self.again.clone_request(request)
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
