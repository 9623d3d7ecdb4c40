use std::fmt;

/// A login that Keystone, or a proxy in front of it, rejected with an error status.
///
/// The texts are safe to show: names are escaped and truncated, and there are no secrets in them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct FailedLogin {
    /// The URL of Keystone.
    pub(crate) auth_url: Box<str>,
    /// The credentials that were sent, such as `the password of user "alice"`.
    pub(crate) identity: Box<str>,
    /// The requested scope.
    pub(crate) scope: Box<str>,
    /// What to check next; empty if the credentials and the scope are not the cause.
    pub(crate) hint: &'static str,
    /// Whether the failure is transient: the same login can succeed later without any change.
    pub(crate) is_transient: bool,
}

impl FailedLogin {
    /// Writes the message of this login, which failed with `error`.
    pub(super) fn fmt(&self, error: &impl fmt::Display, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { auth_url, identity, scope, hint, .. } = self;
        write!(f, "login to Keystone at {auth_url}")?;
        match *hint {
            "" => write!(f, " failed with {error}"),
            hint => write!(f, " with {identity} for {scope} failed with {error}; {hint}"),
        }
    }
}
