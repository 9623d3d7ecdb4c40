use http::Request;
use http_body::Body;

use super::ReplayBody;

/// How a request with such a body is sent more than once.
pub(super) struct CloneRequest<B> {
    clone: CloneMethod<B>,
    can_send: fn(&B) -> bool,
    claim: fn(&mut B) -> bool,
}

/// A request whose body is `Clone` is cloned whole, which is cheaper than field by field. Either way its
/// extensions come along, and in them the `EndpointFilter` that the layer takes out.
enum CloneMethod<B> {
    Whole(fn(&Request<B>) -> Request<B>),
    WithBody(fn(&B) -> Option<B>),
}

impl<B> CloneRequest<B> {
    pub(super) const fn with_clone_body(clone_body: fn(&B) -> Option<B>) -> Self {
        Self { clone: CloneMethod::WithBody(clone_body), can_send: |_| true, claim: |_| true }
    }

    pub(super) fn clone_request(&self, request: &Request<B>) -> Option<Request<B>> {
        let clone_body = match self.clone {
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

    /// Whether the clone can be sent, as far as the first attempt has read its body by now.
    pub(super) fn can_send(&self, clone: &Request<B>) -> bool {
        (self.can_send)(clone.body())
    }

    /// Takes the body over from the first attempt, for the clone to be sent. `false` if it cannot be sent; then the
    /// first attempt reads on.
    pub(super) fn claim(&self, clone: &mut Request<B>) -> bool {
        (self.claim)(clone.body_mut())
    }
}

impl<B: Clone> CloneRequest<B> {
    pub(super) const fn cloning() -> Self {
        Self { clone: CloneMethod::Whole(Request::clone), can_send: |_| true, claim: |_| true }
    }
}

impl<B: Body> CloneRequest<ReplayBody<B>> {
    pub(super) const fn replaying() -> Self {
        Self {
            clone: CloneMethod::Whole(Request::clone),
            can_send: ReplayBody::can_replay,
            claim: ReplayBody::claim,
        }
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
