//! Describes a login for its errors.

#[cfg(feature = "federation")]
use http::HeaderMap;
use http::{StatusCode, Uri};

use crate::{
    Secret,
    access::IdentityVersion,
    error::{FailedLogin, contains_secret, escaped, format_url, is_permanent, requires_tls},
};

/// A description of a login for its errors: the URL of Keystone, the identity and the scope.
///
/// It also holds the secrets that the errors must not show.
pub(super) struct LoginContext {
    pub(super) version: IdentityVersion,
    pub(super) secrets: Vec<Secret>,
    auth_url: Uri,
    identity: Box<str>,
    scope: Box<str>,
    method: MethodKind,
}

/// The hint if the server that responded is not Keystone.
const NOT_KEYSTONE: &str =
    "the response is not from Keystone; correct the auth_url, or the proxy in front of Keystone";

/// The hints if Keystone expects a domain. Names of users and projects are unique within their domain only.
const USER_DOMAIN: &str = "set the domain of the user: user_domain_name (often Default) or user_domain_id";
const PROJECT_DOMAIN: &str =
    "set the domain of the project: project_domain_name (often Default) or project_domain_id";

/// The hint if Keystone takes the certificate of the client for a token.
pub(crate) const TOKENLESS_CERTIFICATE: &str = "the HTTP client presents a certificate that Keystone accepts in place of a token; give the Transport a client \
     without it";

impl LoginContext {
    pub(super) fn new(
        version: IdentityVersion,
        auth_url: &Uri,
        secrets: Vec<Secret>,
        method: MethodKind,
        describe_identity: impl FnOnce(&NameFormatter<'_>) -> String,
        describe_scope: impl FnOnce(&NameFormatter<'_>) -> String,
    ) -> Self {
        let names = NameFormatter(&secrets);
        let (identity, scope) = (describe_identity(&names).into(), describe_scope(&names).into());
        Self { version, auth_url: auth_url.clone(), identity, scope, method, secrets }
    }

    /// Returns the URL of Keystone.
    pub(super) fn auth_url(&self) -> &Uri {
        &self.auth_url
    }

    /// Returns whether the web server in front of Keystone has rejected a Kerberos ticket.
    ///
    /// Its response is not an error document, but says that the credentials are wrong.
    #[cfg(feature = "federation")]
    pub(super) fn is_ticket_rejected(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        matches!(self.method, MethodKind::Kerberos | MethodKind::Multiple)
            && super::login_header::is_ticket_rejected(status, headers)
    }

    /// Returns what an error response to this login means. `is_keystone` is false if a proxy sent the response.
    pub(super) fn failed_login(&self, status: StatusCode, is_keystone: bool, body: &[u8]) -> FailedLogin {
        let needs_tls = !is_keystone && requires_tls(&self.auth_url, status, body);
        let is_transient = match status.as_u16() {
            _ if is_permanent(status) => false,
            408 | 429 | 500.. => true,
            400.. => !is_keystone && !needs_tls,
            _ => false,
        };
        let is_missing = |missing: &str| {
            let message = format!("Expecting to find {missing}");
            is_keystone && body.windows(message.len()).any(|part| part == message.as_bytes())
        };
        let hint = match status.as_u16() {
            400 if is_missing("domain in user") => USER_DOMAIN,
            400 if is_missing("domain in project") => PROJECT_DOMAIN,
            400 if is_missing("project or domain in scope") => TOKENLESS_CERTIFICATE,
            407 => "a proxy requires credentials of its own; give them to the client of the Transport",
            429 => "",
            _ if needs_tls => "that port speaks TLS; use https:// in the auth_url",
            500.. if is_transient => "",
            _ if !is_transient && !is_keystone => NOT_KEYSTONE,
            _ if !is_keystone => {
                "the response is not from Keystone, but from a proxy in front of it; if this persists, check the \
                 auth_url"
            }
            401 => self.method.unauthorized_hint(),
            403 => "check that these credentials may request this scope",
            404 if self.method == MethodKind::ApplicationCredential => {
                "check the auth_url, and that the application credential still exists"
            }
            404 if self.method == MethodKind::Token => {
                "check the auth_url, and that the token has not expired or been revoked"
            }
            404 => "check the auth_url, and that the user and the scope exist",
            _ => "",
        };
        FailedLogin {
            auth_url: format_url(&self.auth_url).into(),
            identity: self.identity.clone(),
            scope: self.scope.clone(),
            hint,
            is_transient,
        }
    }
}

/// The kind of authentication method, which decides what to check if the login fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MethodKind {
    Password,
    Totp,
    Token,
    ApplicationCredential,
    Receipt,
    #[cfg(feature = "federation")]
    Kerberos,
    #[cfg(feature = "federation")]
    OAuth1,
    /// Multi-factor authentication.
    Multiple,
}

impl MethodKind {
    /// Returns what to check if Keystone returns 401.
    fn unauthorized_hint(self) -> &'static str {
        match self {
            Self::Password => {
                "check the names and the password, that the user and the scope are enabled, and that the user has a \
                 role in the scope"
            }
            Self::Totp => "check the names, and that the passcode is the current one",
            Self::Token => {
                "check that the token has not expired or been revoked, and that its user has a role in the scope"
            }
            Self::ApplicationCredential => {
                "check the secret, that the application credential has not expired, and that its user is enabled"
            }
            Self::Receipt => "check that the receipt has not expired",
            #[cfg(feature = "federation")]
            Self::Kerberos => {
                "check that the header is `Negotiate` and a ticket for HTTP@host of this URL, that the ticket has not \
                 expired (klist), that the clocks agree, and that the user has a role in the scope"
            }
            #[cfg(feature = "federation")]
            Self::OAuth1 => {
                "check the keys and secrets of the consumer and of the access token, and that the signature is of this \
                 URL and method"
            }
            Self::Multiple => {
                "check that each credential is correct and current, and that the user has a role in the scope"
            }
        }
    }
}

/// Formats names and ids for errors, and redacts those that contain a secret.
pub(super) struct NameFormatter<'a>(&'a [Secret]);

impl NameFormatter<'_> {
    /// Describes an object such as a user by its id, or by its name and domain if it has no id.
    pub(super) fn describe(
        &self,
        object: &str,
        id: Option<&str>,
        name: Option<&str>,
        domain: Option<&str>,
    ) -> String {
        match (id, name) {
            (Some(id), _) => format!("{object} id {}", self.quote(id)),
            (None, Some(name)) => match domain {
                Some(domain) => format!("{object} {} of domain {}", self.quote(name), self.quote(domain)),
                None => format!("{object} {}", self.quote(name)),
            },
            (None, None) => format!("an unnamed {object}"),
        }
    }

    /// Returns the name in quotes and escaped, or redacted if it contains a secret.
    pub(super) fn quote(&self, name: &str) -> String {
        if contains_secret(name, false, self.0.iter().map(Secret::expose)) {
            return "(redacted: it contains a secret)".to_owned();
        }
        format!("\"{}\"", escaped(name))
    }
}
