use http::Request;
use http_body::Body;

use super::ReplayBody;

/// How to clone a request for another attempt, depending on the type of its body.
pub(super) struct CloneRequest<B> {
    method: CloneMethod<B>,
    can_send: fn(&B) -> bool,
    take_over: fn(&mut B) -> bool,
}

/// How to clone a request.
///
/// Both variants clone the extensions too. They contain the `EndpointFilter`, which the layer removes from the
/// original.
enum CloneMethod<B> {
    /// Clones the whole request, which is cheaper than field by field.
    Whole(fn(&Request<B>) -> Request<B>),
    /// Clones the body with this function, and the other parts field by field.
    WithBody(fn(&B) -> Option<B>),
}

impl<B: Clone> CloneRequest<B> {
    pub(super) const fn for_clone_body() -> Self {
        Self { method: CloneMethod::Whole(Request::clone), can_send: |_| true, take_over: |_| true }
    }
}

impl<B: Body> CloneRequest<ReplayBody<B>> {
    pub(super) const fn for_replay_body() -> Self {
        Self {
            method: CloneMethod::Whole(Request::clone),
            can_send: ReplayBody::can_replay,
            take_over: ReplayBody::take_over,
        }
    }
}

impl<B> CloneRequest<B> {
    pub(super) const fn with_clone_body(clone_body: fn(&B) -> Option<B>) -> Self {
        Self { method: CloneMethod::WithBody(clone_body), can_send: |_| true, take_over: |_| true }
    }

    /// Returns a clone of the request, or `None` if its body cannot be cloned.
    pub(super) fn try_clone(&self, request: &Request<B>) -> Option<Request<B>> {
        let clone_body = match self.method {
            CloneMethod::Whole(clone) => return Some(clone(request)),
            CloneMethod::WithBody(clone_body) => clone_body,
        };
        let mut clone = Request::new(clone_body(request.body())?);
        clone.method_mut().clone_from(request.method());
        clone.uri_mut().clone_from(request.uri());
        *clone.version_mut() = request.version();
        clone.headers_mut().clone_from(request.headers());
        clone.extensions_mut().clone_from(request.extensions());
        Some(clone)
    }

    /// Returns whether the clone can be sent.
    ///
    /// It cannot be sent if the first attempt has read more of the body than is buffered.
    pub(super) fn can_send(&self, clone: &Request<B>) -> bool {
        (self.can_send)(clone.body())
    }

    /// Takes the body over from the first attempt, so that the clone can be sent.
    ///
    /// Returns false if the clone cannot be sent. Then the first attempt can continue to read the body.
    pub(super) fn take_over_body(&self, clone: &mut Request<B>) -> bool {
        (self.take_over)(clone.body_mut())
    }
}

impl<B> Clone for CloneRequest<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for CloneRequest<B> {}

impl<B> Clone for CloneMethod<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for CloneMethod<B> {}
