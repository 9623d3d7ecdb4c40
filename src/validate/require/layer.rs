use std::{fmt, sync::Arc};

use http::Response;
use tower_layer::Layer;

use super::{Require, path_pattern::PathPattern, requirement::Requirement};
use crate::validate::{Caller, JsonDocument, RawResponse, Rejection};

/// A layer that lets through only callers that satisfy a requirement, and responds to others with 403.
///
/// Add it inside of a [`ValidateTokenLayer`](crate::ValidateTokenLayer). It does not depend on axum. See the
/// [module docs](super) for examples and for the other responses.
#[derive(Clone)]
#[must_use]
pub struct RequireLayer<F = JsonDocument> {
    /// All of them must be satisfied.
    requirements: Arc<[Requirement]>,
    respond: F,
}

impl RequireLayer {
    /// Requires any of these roles. If the list is empty, no caller is let through.
    ///
    /// Names of roles are compared exactly, including their case. The roles are those of the user, not those of the
    /// service token.
    pub fn any_role<R: Into<Box<str>>>(roles: impl IntoIterator<Item = R>) -> Self {
        Self::new(Requirement::AnyRole(roles.into_iter().map(Into::into).collect()))
    }

    /// Requires all of these roles. If the list is empty, every caller is let through.
    ///
    /// Names of roles are compared exactly, including their case.
    pub fn all_roles<R: Into<Box<str>>>(roles: impl IntoIterator<Item = R>) -> Self {
        Self::new(Requirement::AllRoles(roles.into_iter().map(Into::into).collect()))
    }

    /// Requires a token that is scoped to a project.
    pub fn project() -> Self {
        Self::new(Requirement::Project)
    }

    /// Requires a token that is scoped to a domain.
    pub fn domain() -> Self {
        Self::new(Requirement::Domain)
    }

    /// Requires a token that is scoped to the system.
    pub fn system() -> Self {
        Self::new(Requirement::System)
    }

    /// Requires a token that is scoped to the project in the path: `/v1/{project_id}`.
    ///
    /// The path of the request must start with the segments of the pattern. `{name}` matches any segment, and **the
    /// last one is the id of the project**. The names do not matter: `/v1/{project_id}/servers/{id}` compares the id of
    /// the server, so end the pattern after the project. A slash at the end of the pattern is ignored.
    ///
    /// Segments of the request are percent-decoded. Requests with other paths are not let through, nor are those in
    /// which `..` may lead to the path of another project. The segment that is not the project of the caller is logged
    /// at level debug.
    ///
    /// The path is the one that the client sent: of the extension [`SentUri`](crate::SentUri), else of axum's
    /// `OriginalUri` (feature `axum`), else of the request. So a pattern also contains the prefix that axum's `nest`
    /// removes.
    ///
    /// # Panics
    ///
    /// If the pattern does not start with `/`, or contains no segment `{name}`.
    #[track_caller]
    pub fn project_in_path(pattern: impl Into<Box<str>>) -> Self {
        let pattern = pattern.into();
        let Some(parsed) = PathPattern::parse(&pattern) else {
            panic!("a pattern such as `/v1/{{project_id}}` is needed, but this is `{pattern}`");
        };
        Self::new(Requirement::ProjectInPath { pattern, parsed })
    }

    /// Requires what a function decides.
    ///
    /// ```
    /// use tower_keystone::RequireLayer;
    ///
    /// // Users of a certain domain.
    /// let layer = RequireLayer::that(|caller| caller.access_info().user_domain_id() == Some("default"));
    /// # drop(layer);
    /// ```
    pub fn that(is_allowed: impl Fn(&Caller) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Requirement::That(Arc::new(is_allowed)))
    }

    fn new(requirement: Requirement) -> Self {
        Self { requirements: Arc::new([requirement]), respond: JsonDocument }
    }
}

impl<F> RequireLayer<F> {
    /// Requires the other layer's requirement too.
    pub fn and(mut self, other: RequireLayer) -> Self {
        self.requirements = self.requirements.iter().chain(&*other.requirements).cloned().collect();
        self
    }

    /// Sets a function that makes the response to a rejected request, for response bodies that are not `From<Bytes>`.
    ///
    /// The layer sets the status of the response, `WWW-Authenticate` and `Retry-After` afterwards.
    ///
    /// ```
    /// use http_body_util::{BodyExt, Full};
    /// use tower_keystone::RequireLayer;
    ///
    /// let layer = RequireLayer::project().respond_with(|rejection| rejection.respond(|json| Full::new(json).boxed()));
    /// # drop(layer);
    /// ```
    pub fn respond_with<R, G>(self, respond: G) -> RequireLayer<G>
    where
        G: Fn(Rejection) -> Response<R>,
    {
        RequireLayer { requirements: self.requirements, respond }
    }

    /// Sets a function that makes the response to a rejected request, which is then sent as it is.
    ///
    /// Use it for protocols whose HTTP status does not say that a request is rejected, such as gRPC. The function is
    /// responsible for the status and the headers.
    pub fn respond_with_raw<R, G>(self, respond: G) -> RequireLayer<RawResponse<G>>
    where
        G: Fn(Rejection) -> Response<R>,
    {
        RequireLayer { requirements: self.requirements, respond: RawResponse(respond) }
    }
}

impl<S, F: Clone> Layer<S> for RequireLayer<F> {
    type Service = Require<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Require::new(Arc::clone(&self.requirements), self.respond.clone(), inner)
    }
}

/// Shows what is required.
impl<F> fmt::Debug for RequireLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequireLayer").field(&self.requirements).finish()
    }
}
