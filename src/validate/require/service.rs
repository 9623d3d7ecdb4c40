use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;
use tracing::debug;

use super::{ResponseFuture, requirement::Requirement};
use crate::{
    error::truncate,
    validate::{Caller, JsonDocument, Rejection, Respond, rejection::respond_with, request::sent_uri},
};

/// Middleware that lets through only callers that satisfy a requirement.
///
/// It is ready when the inner service is ready, and it fails only with errors of the inner service.
#[derive(Clone)]
pub struct Require<S, F = JsonDocument> {
    requirements: Arc<[Requirement]>,
    respond: F,
    inner: S,
}

impl<S, F> Require<S, F> {
    pub(super) fn new(requirements: Arc<[Requirement]>, respond: F, inner: S) -> Self {
        Self { requirements, respond, inner }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes this middleware and returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn check<B>(&self, request: &Request<B>) -> Result<(), Rejection> {
        let caller = Caller::from_extensions(request.extensions())?;
        let is_satisfied = |requirement: &&Requirement| {
            requirement.is_satisfied(caller, request.extensions(), request.uri())
        };
        match self.requirements.iter().find(|requirement| !is_satisfied(requirement)) {
            None => Ok(()),
            Some(requirement) => {
                let access_info = caller.access_info();
                let path = sent_uri(request.extensions(), request.uri(), None).path();
                debug!(
                    %requirement,
                    path = truncate(path),
                    path_segment = requirement.project_segment(path).map(truncate),
                    roles = ?access_info.role_names().map(truncate).collect::<Vec<_>>(),
                    user_id = access_info.user_id().map(truncate),
                    project_id = access_info.project_id().map(truncate),
                    "the caller may not send this request"
                );
                Err(Rejection::forbidden())
            }
        }
    }
}

impl<S, F, B, R> Service<Request<B>> for Require<S, F>
where
    S: Service<Request<B>, Response = Response<R>>,
    F: Respond<R>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.check(&request) {
            Ok(()) => ResponseFuture::inner(self.inner.call(request)),
            Err(rejection) => ResponseFuture::rejected(respond_with(&self.respond, rejection)),
        }
    }
}

/// Shows what is required, and the inner service.
impl<S: fmt::Debug, F> fmt::Debug for Require<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Require")
            .field("requirements", &self.requirements)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
