use super::{
    login_attempt::Names,
    text_setters::{non_empty, text_setters},
};

/// What a token is to be good for: a project, a domain, the system, a trust, or nothing.
///
/// At most one of them; without any, Keystone takes the user's default project. Two of them are
/// reported by the authentication ([`Error::AuthorizationFailure`](crate::Error::AuthorizationFailure)).
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
    /// An empty scope: none is asked for, and Keystone takes the user's default project if there is one.
    pub fn new() -> Self {
        Self::default()
    }

    text_setters! {
        /// The project of this id (`OS_PROJECT_ID`); it counts before a name.
        project_id,
        /// The project of this name (`OS_PROJECT_NAME`), in the domain given with it.
        project_name,
        /// The id of the domain of the named project (`OS_PROJECT_DOMAIN_ID`).
        project_domain_id,
        /// The name of the domain of the named project (`OS_PROJECT_DOMAIN_NAME`).
        project_domain_name,
        /// The domain of this id (`OS_DOMAIN_ID`).
        domain_id,
        /// The domain of this name (`OS_DOMAIN_NAME`).
        domain_name,
        /// The system (`OS_SYSTEM_SCOPE`). Keystone knows `all` only.
        system_scope,
        /// What the trust of this id grants (`OS_TRUST_ID`).
        trust_id,
    }

    /// Nothing, even if the user has a default project.
    #[must_use]
    pub fn unscoped(mut self) -> Self {
        self.unscoped = true;
        self
    }

    /// Returns the scope as text, for errors.
    pub(super) fn as_text(&self, names: &Names<'_>) -> String {
        if non_empty(&self.project_id).or(non_empty(&self.project_name)).is_some() {
            let domain = non_empty(&self.project_domain_id).or(non_empty(&self.project_domain_name));
            names.of("project", non_empty(&self.project_id), non_empty(&self.project_name), domain)
        } else if non_empty(&self.domain_id).or(non_empty(&self.domain_name)).is_some() {
            names.of("domain", non_empty(&self.domain_id), non_empty(&self.domain_name), None)
        } else if let Some(id) = non_empty(&self.trust_id) {
            format!("trust id {}", names.show(id))
        } else if non_empty(&self.system_scope).is_some() {
            "the system".to_owned()
        } else if self.unscoped {
            "no scope".to_owned()
        } else {
            "no scope but the default project of the user".to_owned()
        }
    }

    /// What tells this scope from others in a cache id.
    pub(super) fn cache_id_elements(&self) -> [(String, Option<&str>); 9] {
        [
            ("project_id", self.project_id.as_deref()),
            ("project_name", self.project_name.as_deref()),
            ("project_domain_id", self.project_domain_id.as_deref()),
            ("project_domain_name", self.project_domain_name.as_deref()),
            ("domain_id", self.domain_id.as_deref()),
            ("domain_name", self.domain_name.as_deref()),
            ("trust_id", self.trust_id.as_deref()),
            // What the reference's id does not tell apart.
            ("system_scope", self.system_scope.as_deref()),
            ("unscoped", self.unscoped.then_some("true")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }
}
