use std::fmt;

/// What Keystone was asked for when it answered a login with an error, and what to look at.
///
/// All texts are ready to be shown: names are escaped and cut, and there is no secret in them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct FailedLogin {
    /// Where Keystone is.
    pub(crate) auth_url: Box<str>,
    /// Whose proof of identity was sent, such as `the password of user "alice"`.
    pub(crate) identity: Box<str>,
    /// The scope that was asked for.
    pub(crate) scope: Box<str>,
    /// What may be wrong with them; empty if nothing is.
    pub(crate) hint: &'static str,
    /// Whether the same login can succeed later without anybody changing anything.
    pub(crate) is_transient: bool,
}

impl fmt::Display for FailedLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { auth_url, identity, scope, hint, .. } = self;
        match *hint {
            // A server that is out of order says nothing of what was asked for.
            "" => write!(f, "asked at {auth_url}"),
            hint => write!(f, "asked at {auth_url} with {identity} for {scope}; {hint}"),
        }
    }
}
