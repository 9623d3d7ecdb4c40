use std::fmt;

use super::{
    login_attempt::Names,
    text_setters::{non_empty, text_setters},
};

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

    text_setters! {
        /// The id of the user (`OS_USER_ID`).
        user_id,
        /// The name of the user (`OS_USERNAME`).
        username,
        /// The id of the domain of the named user (`OS_USER_DOMAIN_ID`).
        user_domain_id,
        /// The name of the domain of the named user (`OS_USER_DOMAIN_NAME`).
        user_domain_name,
    }

    /// Returns the user as text, for errors.
    pub(super) fn as_text(&self, names: &Names<'_>) -> String {
        let domain = non_empty(&self.user_domain_id).or(non_empty(&self.user_domain_name));
        names.of("user", non_empty(&self.user_id), non_empty(&self.username), domain)
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
