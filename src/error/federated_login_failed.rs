use std::{
    error::Error as StdError,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Response, StatusCode, Uri};

use self::{
    error_code::{ErrorCode, is_standard},
    hint::hint,
};
use super::{
    Error, connect_fault, contains_secret, escaped, format, http_error::REDACTED, is_permanent, retry_after,
};

mod error_code;
mod hint;
#[cfg(test)]
mod tests;

/// A federated login that failed at a step before Keystone issued a token.
///
/// The texts of a response are redacted as a whole if they contain a secret that was sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FederatedLoginFailed {
    /// The step that failed.
    pub step: LoginStep,
    /// Scheme, host and port of the server, or another name of the place where the step failed.
    pub origin: Box<str>,
    /// The status of the response, if there is one.
    pub status: Option<StatusCode>,
    /// The error code of the response, such as `invalid_grant` (RFC 6749, section 5.2).
    ///
    /// If the response has no such code in its body, it is that of `WWW-Authenticate`, such as `invalid_token` (RFC
    /// 6750, section 3.1).
    pub error: Option<Box<str>>,
    /// The description of that error, or the message of an error document of Keystone. It has 1,024 characters at most.
    pub error_description: Option<Box<str>>,
    /// The delay that the server requests (`Retry-After`), without an upper limit.
    pub retry_after: Option<Duration>,
    /// What is wrong, if no response says it, and what to do next. It may be empty.
    hint: &'static str,
    is_transient: bool,
    /// The error of the HTTP client or of code outside this crate.
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// A step of a federated login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginStep {
    /// Reading the access token from its source.
    AccessTokenSource,
    /// The discovery document of the provider.
    Discovery,
    /// The token endpoint of the provider.
    Token,
    /// The device authorization endpoint of the provider.
    DeviceAuthorization,
    /// The person at the browser.
    Browser,
    /// The URL of Keystone that exchanges the proof for an unscoped token.
    Federation,
    /// The SAML identity provider.
    SamlIdentityProvider,
    /// The Keystone at home, which makes the assertion.
    Assertion,
    /// The service provider, which receives the assertion.
    ServiceProvider,
    /// The OAuth 2.0 endpoint of Keystone.
    OAuth2,
    /// The function that makes the `Authorization` header.
    LoginHeader,
}

/// Maximum length of a description, in characters.
const MAX_DESCRIPTION: usize = 1024;

impl FederatedLoginFailed {
    /// Creates the error of a step without a response, or whose response is not an error but cannot be used.
    ///
    /// `hint` says what is wrong and what to do next.
    pub(crate) fn new(step: LoginStep, origin: Box<str>, hint: &'static str, is_transient: bool) -> Self {
        let (status, error, error_description, retry_after, source) = (None, None, None, None, None);
        Self { step, origin, status, error, error_description, retry_after, hint, is_transient, source }
    }

    /// Creates the error of a step at this URL that has no response, or a response that cannot be used.
    pub(crate) fn at(step: LoginStep, url: &Uri, hint: &'static str, is_transient: bool) -> Self {
        Self::new(step, format::origin(url), hint, is_transient)
    }

    /// Reads an error response of the server at this URL.
    ///
    /// The texts of the response are redacted if they contain one of the secrets, verbatim or escaped. The hint is that
    /// of the step, the status and the error code.
    pub(crate) fn read<'a>(
        step: LoginStep,
        url: &Uri,
        response: &Response<Bytes>,
        secrets: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Self {
        let status = response.status();
        let ErrorCode { error, description, is_keystone, is_truncated } = ErrorCode::read(response);
        let redact = |text: String| match contains_secret(&text, is_truncated, secrets.clone()) {
            true => REDACTED.into(),
            false => text.chars().take(MAX_DESCRIPTION).collect::<String>().into(),
        };
        let may_be_shown =
            |error: &str| is_standard(error) || !contains_secret(error, false, secrets.clone());
        let error = error.filter(|error| may_be_shown(error));
        let hint = hint(step, status, error.as_deref(), is_keystone);
        let is_transient = is_transient(status, error.as_deref());
        Self {
            status: Some(status),
            error,
            error_description: description.map(redact),
            retry_after: retry_after(response.headers(), SystemTime::now()),
            ..Self::at(step, url, hint, is_transient)
        }
    }

    /// Wraps the error of a [`Transport`](crate::Transport).
    ///
    /// Only a failed connection is wrapped, to name the step and its server in place of Keystone. Other errors are
    /// those of the client itself, and are returned unchanged.
    pub(crate) fn unreachable(step: LoginStep, error: Error) -> Error {
        let is_transient = error.is_transient();
        match error {
            Error::ConnectFailure { origin, source } => {
                Self::new(step, origin, "", is_transient).with_source(source).into()
            }
            other => other,
        }
    }

    /// Replaces the hint.
    pub(crate) fn with_hint(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    /// Adds the error that is the cause.
    pub(crate) fn with_source(self, source: Arc<dyn StdError + Send + Sync>) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Adds the error code of a failure that has no response with it.
    pub(crate) fn with_error(self, error: &'static str) -> Self {
        Self { error: Some(error.into()), ..self }
    }

    /// Adds the status of a response that is not an error but cannot be used.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Returns whether the failure is transient: the same login can succeed later without any change.
    ///
    /// The statuses 408, 425, 429 and all from 500 are transient, except 501 and 505, and so are the error codes
    /// `temporarily_unavailable` and `server_error`, and a failed connection. Error codes that say what is wrong with
    /// the login, such as `invalid_grant`, are permanent with every status.
    pub fn is_transient(&self) -> bool {
        self.is_transient
    }
}

/// Returns whether the same login can succeed later.
fn is_transient(status: StatusCode, error: Option<&str>) -> bool {
    match error {
        Some("temporarily_unavailable" | "server_error") => true,
        Some(
            "invalid_grant"
            | "invalid_client"
            | "unauthorized_client"
            | "invalid_scope"
            | "unsupported_grant_type"
            | "access_denied"
            | "expired_token",
        ) => false,
        _ => !is_permanent(status) && matches!(status.as_u16(), 408 | 425 | 429 | 500..),
    }
}

impl From<FederatedLoginFailed> for Error {
    fn from(error: FederatedLoginFailed) -> Self {
        Self::FederatedLoginFailed(Arc::new(error))
    }
}

impl fmt::Display for FederatedLoginFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, origin, .. } = self;
        if let (None, true, Some(source)) = (self.status, self.hint.is_empty(), &self.source) {
            return connect_fault::write_unreachable((&step.to_string(), "its URL"), origin, &**source, f);
        }
        write!(f, "federated login failed: {step}")?;
        if !origin.is_empty() {
            write!(f, " at {origin}")?;
        }
        if let Some(status) = self.status {
            write!(f, " returned {status}")?;
        }
        if let Some(error) = &self.error {
            write!(f, ": {}", escaped(error))?;
        }
        if let Some(description) = &self.error_description {
            let opens = if self.error.is_some() { " (" } else { ": " };
            let closes = if self.error.is_some() { ")" } else { "" };
            write!(f, "{opens}{}{closes}", escaped(description))?;
        }
        match (self.hint, self.status) {
            ("", _) => Ok(()),
            (hint, Some(_)) => write!(f, "; {hint}"),
            (hint, None) => write!(f, ": {hint}"),
        }
    }
}

impl fmt::Display for LoginStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessTokenSource => "the source of the access token",
            Self::Discovery => "the discovery document",
            Self::Token => "the token endpoint",
            Self::DeviceAuthorization => "the device authorization endpoint",
            Self::Browser => "the login in the browser",
            Self::Federation => "the federation URL of Keystone",
            Self::SamlIdentityProvider => "the SAML identity provider",
            Self::Assertion => "the assertion of the home Keystone",
            Self::ServiceProvider => "the service provider",
            Self::OAuth2 => "the OAuth 2.0 endpoint of Keystone",
            Self::LoginHeader => "the function of the login header",
        })
    }
}

impl StdError for FederatedLoginFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&**self.source.as_ref()?)
    }
}
