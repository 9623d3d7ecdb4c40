//! What a login asks for, in words for its errors.

use http::{StatusCode, Uri};

use crate::{
    Secret,
    access::IdentityVersion,
    error::{FailedLogin, contains_secret, escaped, format_url, is_permanent, requires_tls},
};

/// A login: where, who, for what, and the secrets that its errors must not show.
pub(super) struct Attempt {
    pub(super) version: IdentityVersion,
    pub(super) secrets: Vec<Secret>,
    auth_url: Uri,
    identity: Box<str>,
    scope: Box<str>,
    proof: Proof,
}

/// A kind of proof of identity, which decides what can be wrong with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Password,
    Passcode,
    Token,
    ApplicationCredential,
    Receipt,
    Several,
}

/// Writes the names of a login for its errors.
pub(super) struct Names<'a>(&'a [Secret]);

impl Names<'_> {
    /// A name or an id as it is shown: in quotes, unless it repeats a secret.
    pub(super) fn show(&self, name: &str) -> String {
        if contains_secret(name, false, self.0.iter().map(Secret::expose)) {
            return "(withheld: it repeats a secret)".to_owned();
        }
        format!("\"{}\"", escaped(name))
    }

    /// Something by its id, or else by its name and its domain.
    pub(super) fn of(
        &self,
        what: &str,
        id: Option<&str>,
        name: Option<&str>,
        domain: Option<&str>,
    ) -> String {
        match (id, name) {
            (Some(id), _) => format!("{what} id {}", self.show(id)),
            (None, Some(name)) => match domain {
                Some(domain) => format!("{what} {} of domain {}", self.show(name), self.show(domain)),
                None => format!("{what} {}", self.show(name)),
            },
            (None, None) => format!("no {what}"),
        }
    }
}

/// What is at fault when no Keystone answered.
const NO_KEYSTONE: &str =
    "no Keystone answers there; correct the auth_url, or the proxy in front of Keystone";

impl Attempt {
    pub(super) fn new(
        version: IdentityVersion,
        auth_url: &Uri,
        secrets: Vec<Secret>,
        proof: Proof,
        identity: impl FnOnce(&Names<'_>) -> String,
        scope: impl FnOnce(&Names<'_>) -> String,
    ) -> Self {
        let names = Names(&secrets);
        let (identity, scope) = (identity(&names).into(), scope(&names).into());
        Self { version, auth_url: auth_url.clone(), identity, scope, proof, secrets }
    }

    /// Where Keystone is.
    pub(super) fn auth_url(&self) -> &Uri {
        &self.auth_url
    }

    /// What an error response to this login means. `is_keystone` says whether the response is Keystone's own.
    pub(super) fn failed(&self, status: StatusCode, is_keystone: bool, body: &[u8]) -> FailedLogin {
        let wants_tls = !is_keystone && requires_tls(&self.auth_url, status, body);
        let is_transient = match status.as_u16() {
            _ if is_permanent(status) => false,
            408 | 429 | 500.. => true,
            400.. => !is_keystone && !wants_tls,
            _ => false,
        };
        let doubt = match status.as_u16() {
            407 => {
                "a proxy on the way wants credentials of its own; give them to the client of the Transport"
            }
            429 => "",
            _ if wants_tls => "that port speaks TLS; begin the auth_url with https://",
            500.. if is_transient => "",
            _ if !is_transient && !is_keystone => NO_KEYSTONE,
            _ if !is_keystone => {
                "that is no answer of Keystone, but of a proxy in front of it; if it stays, is the auth_url right?"
            }
            401 => self.proof.doubt(),
            403 => "may these credentials ask for this scope?",
            404 if self.proof == Proof::ApplicationCredential => {
                "does the application credential still exist, and is the auth_url right?"
            }
            404 if self.proof == Proof::Token => {
                "has the token expired or been revoked, or is the auth_url right?"
            }
            404 => "does all that is named here exist, and is the auth_url right?",
            _ => "",
        };
        FailedLogin {
            auth_url: format_url(&self.auth_url).into(),
            identity: self.identity.clone(),
            scope: self.scope.clone(),
            hint: doubt,
            is_transient,
        }
    }
}

impl Proof {
    /// What can be wrong when Keystone answers 401.
    fn doubt(self) -> &'static str {
        match self {
            Self::Password => {
                "are names and password right, are user and scope enabled, and has the user a role there?"
            }
            Self::Passcode => "is the passcode the current one, and are the names right?",
            Self::Token => "has the token expired or been revoked, and has its user a role in this scope?",
            Self::ApplicationCredential => {
                "is the secret right, has the application credential expired, and is its user enabled?"
            }
            Self::Receipt => "has the receipt expired?",
            Self::Several => "is each of them right and current, and has the user a role there?",
        }
    }
}
