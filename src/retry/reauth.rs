use std::{
    fmt,
    future::{Ready, ready},
};

use http::{Request, Response};
use http_body::Body;
use tower::retry::Policy;

use super::{ReplayBody, clone_request::CloneRequest};
use crate::TokenRejected;

/// A retry policy that sends a request once more after a 401, if the plugin can renew its token.
///
/// See the [module docs](super) for an example and for the kinds of request bodies.
pub struct ReauthPolicy<B> {
    clone_request: CloneRequest<B>,
    has_retried: bool,
}

impl<B: Clone> ReauthPolicy<B> {
    /// Creates a policy for request bodies that are `Clone`.
    pub const fn new() -> Self {
        Self { clone_request: CloneRequest::for_clone_body(), has_retried: false }
    }
}

impl<B> ReauthPolicy<B> {
    /// Creates a policy that clones request bodies with `clone_body`.
    ///
    /// Before a request is sent, the function is called with its body, and returns the body for the second attempt. If
    /// it returns `None`, there is no second attempt.
    ///
    /// `tower` calls it before the second attempt too, and drops the body that it then returns.
    pub const fn with_clone_body(clone_body: fn(&B) -> Option<B>) -> Self {
        Self { clone_request: CloneRequest::with_clone_body(clone_body), has_retried: false }
    }
}

impl<B: Body> ReauthPolicy<ReplayBody<B>> {
    /// Creates a policy for request bodies of type [`ReplayBody`].
    pub const fn replaying() -> Self {
        Self { clone_request: CloneRequest::for_replay_body(), has_retried: false }
    }
}

impl<B, ResBody, E> Policy<Request<B>, Response<ResBody>, E> for ReauthPolicy<B> {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<B>,
        result: &mut Result<Response<ResBody>, E>,
    ) -> Option<Self::Future> {
        let rejected = result.as_ref().ok()?.extensions().get::<TokenRejected>()?;
        if self.has_retried || rejected.is_final() || !self.clone_request.take_over_body(request) {
            return None;
        }
        self.has_retried = true;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        self.clone_request.try_clone(request)
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
        f.debug_struct("ReauthPolicy").field("has_retried", &self.has_retried).finish_non_exhaustive()
    }
}
