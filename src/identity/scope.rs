use super::{
    login_context::NameFormatter,
    text_setters::{non_empty, text_setters},
};

/// The scope of a token: the part of the cloud that its roles apply to.
///
/// A scope is a project, a domain, the system (the cloud as a whole), or a trust (roles that another user has
/// delegated). An unscoped token has no roles.
///
/// Set at most one of project, domain, system, trust and [`unscoped`](Self::unscoped). If more are set, the login fails
/// with [`Error::AuthorizationFailure`](crate::Error::AuthorizationFailure). If none is set, Keystone uses the user's
/// default project.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub(super) project_id: Option<Box<str>>,
    pub(super) project_name: Option<Box<str>>,
    pub(super) project_domain_id: Option<Box<str>>,
    pub(super) project_domain_name: Option<Box<str>>,
    pub(super) domain_id: Option<Box<str>>,
    pub(super) domain_name: Option<Box<str>>,
    pub(super) system_scope: Option<Box<str>>,
    pub(super) trust_id: Option<Box<str>>,
    pub(super) unscoped: bool,
}

impl Scope {
    /// Makes a scope with nothing set: Keystone uses the user's default project, if there is one.
    pub fn new() -> Self {
        Self::default()
    }

    text_setters! {
        /// Sets the id of the project (`OS_PROJECT_ID`). It takes precedence over a name.
        project_id,
        /// Sets the name of the project (`OS_PROJECT_NAME`). It also needs the domain of the project.
        project_name,
        /// Sets the id of the project's domain (`OS_PROJECT_DOMAIN_ID`), for a project that is given by name.
        project_domain_id,
        /// Sets the name of the project's domain (`OS_PROJECT_DOMAIN_NAME`), for a project that is given by name.
        project_domain_name,
        /// Sets the id of the domain to scope to (`OS_DOMAIN_ID`). It takes precedence over a name.
        domain_id,
        /// Sets the name of the domain to scope to (`OS_DOMAIN_NAME`).
        domain_name,
        /// Scopes to the system (`OS_SYSTEM_SCOPE`). The only value is `all`.
        system_scope,
        /// Sets the id of the trust to scope to (`OS_TRUST_ID`).
        trust_id,
    }

    /// Requests an unscoped token, even if the user has a default project.
    #[must_use]
    pub fn unscoped(mut self) -> Self {
        self.unscoped = true;
        self
    }

    /// Describes the scope for errors.
    pub(super) fn describe(&self, names: &NameFormatter<'_>) -> String {
        if non_empty(&self.project_id).or(non_empty(&self.project_name)).is_some() {
            let domain = non_empty(&self.project_domain_id).or(non_empty(&self.project_domain_name));
            names.describe("project", non_empty(&self.project_id), non_empty(&self.project_name), domain)
        } else if non_empty(&self.domain_id).or(non_empty(&self.domain_name)).is_some() {
            names.describe("domain", non_empty(&self.domain_id), non_empty(&self.domain_name), None)
        } else if let Some(id) = non_empty(&self.trust_id) {
            format!("trust id {}", names.quote(id))
        } else if non_empty(&self.system_scope).is_some() {
            "the system".to_owned()
        } else if self.unscoped {
            "unscoped access".to_owned()
        } else {
            "the default project of the user".to_owned()
        }
    }

    /// Returns whether the scope is a part of the cloud.
    #[cfg(feature = "federation")]
    pub(crate) fn is_scoped(&self) -> bool {
        let Self { project_id, project_name, domain_id, domain_name, system_scope, trust_id, .. } = self;
        let parts = [project_id, project_name, domain_id, domain_name, system_scope, trust_id];
        parts.into_iter().any(|part| non_empty(part).is_some())
    }

    /// Returns the elements of a cache id for this scope.
    pub(crate) fn cache_id_elements(&self) -> [(String, Option<&str>); 9] {
        [
            ("project_id", self.project_id.as_deref()),
            ("project_name", self.project_name.as_deref()),
            ("project_domain_id", self.project_domain_id.as_deref()),
            ("project_domain_name", self.project_domain_name.as_deref()),
            ("domain_id", self.domain_id.as_deref()),
            ("domain_name", self.domain_name.as_deref()),
            ("trust_id", self.trust_id.as_deref()),
            // Not in keystoneauth's cache id.
            ("system_scope", self.system_scope.as_deref()),
            ("unscoped", self.unscoped.then_some("true")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }
}
