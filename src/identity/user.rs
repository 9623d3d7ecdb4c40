use std::fmt;

use super::{
    login_context::NameFormatter,
    text_setters::{non_empty, text_setters},
};

/// A user, given by an id or by a name and a domain.
///
/// The id takes precedence over the name (in v2.0 the name over the id). See the [module docs](super) for an example.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct User {
    pub(super) user_id: Option<Box<str>>,
    pub(super) username: Option<Box<str>>,
    pub(super) user_domain_id: Option<Box<str>>,
    pub(super) user_domain_name: Option<Box<str>>,
}

impl User {
    /// Makes an empty user. Set [`user_id`](Self::user_id), or [`username`](Self::username) and a domain.
    pub fn new() -> Self {
        Self::default()
    }

    text_setters! {
        /// Sets the id of the user (`OS_USER_ID`).
        user_id,
        /// Sets the name of the user (`OS_USERNAME`). In v3 it also needs the domain of the user.
        username,
        /// Sets the id of the user's domain (`OS_USER_DOMAIN_ID`), for a user that is given by name.
        user_domain_id,
        /// Sets the name of the user's domain (`OS_USER_DOMAIN_NAME`), for a user that is given by name.
        user_domain_name,
    }

    /// Describes the user for errors.
    pub(super) fn describe(&self, names: &NameFormatter<'_>) -> String {
        let domain = non_empty(&self.user_domain_id).or(non_empty(&self.user_domain_name));
        names.describe("user", non_empty(&self.user_id), non_empty(&self.username), domain)
    }

    /// Returns whether the user has an id or a name.
    pub(super) fn is_named(&self) -> bool {
        non_empty(&self.user_id).or(non_empty(&self.username)).is_some()
    }

    /// Returns the elements of a cache id for this user.
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
