//! What credentials are made of: texts that were given or not, by keystoneauth's names.

use std::fmt;

use super::attempt::Names;

/// Builder methods that each take one text.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: impl Into<Box<str>>) -> Self {
                self.$name = Some($name.into());
                self
            }
        )*
    };
}
pub(super) use texts;

/// A text that is there and not empty; keystoneauth treats an empty one as none, except in cache ids.
pub(super) fn said(text: &Option<Box<str>>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// The user that an authentication is for: an id, or a name and its domain.
///
/// If both are given, the id counts. See the [module docs](super) for an example.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct User {
    pub(super) user_id: Option<Box<str>>,
    pub(super) username: Option<Box<str>>,
    pub(super) user_domain_id: Option<Box<str>>,
    pub(super) user_domain_name: Option<Box<str>>,
}

impl User {
    /// An empty user; name it by [`user_id`](Self::user_id), or by [`username`](Self::username) and a domain.
    pub fn new() -> Self {
        Self::default()
    }

    texts! {
        /// The id of the user (`OS_USER_ID`).
        user_id,
        /// The name of the user (`OS_USERNAME`).
        username,
        /// The id of the domain of the named user (`OS_USER_DOMAIN_ID`).
        user_domain_id,
        /// The name of the domain of the named user (`OS_USER_DOMAIN_NAME`).
        user_domain_name,
    }

    /// The user in words.
    pub(super) fn in_words(&self, names: &Names<'_>) -> String {
        let domain = said(&self.user_domain_id).or(said(&self.user_domain_name));
        names.of("user", said(&self.user_id), said(&self.username), domain)
    }

    /// What tells this user from others in a cache id.
    pub(super) fn cache_id_elements(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("user_id", self.user_id.as_deref()),
            ("username", self.username.as_deref()),
            ("user_domain_id", self.user_domain_id.as_deref()),
            ("user_domain_name", self.user_domain_name.as_deref()),
        ]
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("user_id", &self.user_id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

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

    texts! {
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

    /// The scope in words.
    pub(super) fn in_words(&self, names: &Names<'_>) -> String {
        if said(&self.project_id).or(said(&self.project_name)).is_some() {
            let domain = said(&self.project_domain_id).or(said(&self.project_domain_name));
            names.of("project", said(&self.project_id), said(&self.project_name), domain)
        } else if said(&self.domain_id).or(said(&self.domain_name)).is_some() {
            names.of("domain", said(&self.domain_id), said(&self.domain_name), None)
        } else if let Some(id) = said(&self.trust_id) {
            format!("trust id {}", names.show(id))
        } else if said(&self.system_scope).is_some() {
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
