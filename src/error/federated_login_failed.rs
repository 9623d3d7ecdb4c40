#![allow(dead_code, reason = "an outline")]

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use http::StatusCode;

/// A federated login that failed at a step before Keystone issued a token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FederatedLoginFailed {
    /// The step that failed.
    pub step: LoginStep,
    /// Scheme, host and port of the server that was asked, or would have been.
    pub origin: Box<str>,
    /// The status of the response, if there is one.
    pub status: Option<StatusCode>,
    /// The error code of the provider, such as `invalid_grant` (RFC 6749, section 5.2).
    pub error: Option<Box<str>>,
    /// The description of the provider. It is redacted if it contains a secret.
    pub error_description: Option<Box<str>>,
    /// The delay that the server requests (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// What is wrong, if no response says it, and what to do next.
    pub(crate) hint: &'static str,
    pub(crate) is_transient: bool,
    pub(crate) source: Option<Arc<dyn StdError + Send + Sync>>,
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

impl FederatedLoginFailed {
    /// Creates an error about a step that was not answered.
    #[cfg(feature = "federation")]
    pub(crate) fn new(step: LoginStep, origin: Box<str>, hint: &'static str, is_transient: bool) -> Self {
        let (status, error, error_description, retry_after, source) = (None, None, None, None, None);
        Self { step, origin, status, error, error_description, retry_after, hint, is_transient, source }
    }
}

impl fmt::Display for FederatedLoginFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}: {}", self.step, self.origin, self.hint)
    }
}
