//! What can go wrong, and finding it again under a [`BoxError`].
//!
//! ```
//! use tower_keystone::{AccessInfo, BoxError, Error};
//!
//! let error: BoxError = AccessInfo::new("gAAAA", "<html>").unwrap_err().into();
//! match Error::find(&*error) {
//!     Some(Error::InvalidResponse { reason, .. }) => assert_eq!(*reason, "it is not JSON"),
//!     other => panic!("{other:?}"),
//! }
//! ```
//!
//! # With anyhow and eyre
//!
//! A [`BoxError`] is no [`std::error::Error`] itself, so `?` does not turn it into an `anyhow::Error` or an
//! `eyre::Report`. The macros of both do, and [`Error::find`] finds ours in what they make, with or without context:
//!
//! ```
//! use anyhow::{Context, anyhow};
//! use tower_keystone::{AccessInfo, BoxError, Error};
//!
//! # fn send() -> Result<(), BoxError> { Ok(AccessInfo::new("gAAAA", "<html>").map(drop)?) }
//! // As `nova.oneshot(request).await` is.
//! let sent: Result<(), BoxError> = send();
//! let error = sent.map_err(|error| anyhow!(error)).context("cannot list servers").unwrap_err();
//!
//! assert!(matches!(Error::find(&*error), Some(Error::InvalidResponse { .. })));
//! ```
//!
//! ```
//! use eyre::{WrapErr, eyre};
//! # use tower_keystone::{AccessInfo, BoxError, Error};
//! # fn send() -> Result<(), BoxError> { Ok(AccessInfo::new("gAAAA", "<html>").map(drop)?) }
//! let sent: Result<(), BoxError> = send();
//! let error = sent.map_err(|error| eyre!(error)).wrap_err("cannot list servers").unwrap_err();
//!
//! assert!(matches!(Error::find(&*error), Some(Error::InvalidResponse { .. })));
//! ```

use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{StatusCode, Uri};

use crate::version::{ParseVersionError, Version};

mod connect_fault;
mod discovery_failure;
mod display;
mod endpoint_not_found;
mod error_body;
mod failed_login;
mod find;
mod format;
mod http_error;
mod missing_auth_methods;
mod proxy_error;
mod redact;
mod retry_after;

pub use discovery_failure::{DiscoveryAttempt, DiscoveryFailure};
pub use endpoint_not_found::{EndpointNotFound, NearMiss};
pub use http_error::HttpError;
pub use missing_auth_methods::MissingAuthMethods;

pub(crate) use connect_fault::ConnectFault;
pub(crate) use failed_login::FailedLogin;
pub(crate) use format::{escaped, origin as format_origin, truncate, url as format_url};
pub(crate) use proxy_error::{is_permanent, requires_tls};
pub(crate) use redact::{contains_secret, secrets_in};
pub(crate) use retry_after::{date, retry_after};

#[doc(no_inline)]
pub use tower::BoxError;

/// What has a URL that may come from an endpoint override as well as from an `auth_url`.
pub(crate) const AN_ENDPOINT: &str = "an endpoint";

/// Why a request could not be sent with a token, or a token document not be read.
///
/// No variant holds a token, a token document or a request, and none shows one. What an [`HttpError`] shows
/// of an answer is its message, unless that repeats a secret which was sent.
///
/// See the [module docs](self) for how to find it under a [`BoxError`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A body is no token document, or no version document: keystoneauth's `InvalidResponse`.
    #[non_exhaustive]
    InvalidResponse {
        /// What is wrong with it.
        reason: &'static str,
        /// The line where reading ended, from 1; 0 if reading did not begin.
        line: usize,
        /// The column where reading ended, in bytes from 1.
        column: usize,
        /// Where it came from, without a user name and a query that may be in it; `None` if it was given.
        url: Option<Box<str>>,
    },

    /// A token cannot be one: it would not survive the way in a header unchanged.
    #[non_exhaustive]
    InvalidToken {
        /// What is wrong with it.
        reason: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The offset of the first wrong byte, where one byte is to blame.
        offset: Option<usize>,
    },

    /// A document has something else where a time should be.
    #[non_exhaustive]
    InvalidTimestamp {
        /// The member of the document.
        field: &'static str,
    },

    /// There is no token to send: an access info was made of a document without one.
    NoToken,

    /// The token has expired, and the plugin was told to refuse it then.
    #[non_exhaustive]
    Expired {
        /// When it expired.
        expired_at: SystemTime,
    },

    /// The token document lists no service at all: keystoneauth's `EmptyCatalog`.
    EmptyCatalog,

    /// No endpoint of the catalog is the one asked for.
    EndpointNotFound(Arc<EndpointNotFound>),

    /// A text is not a version of an API.
    InvalidVersion(ParseVersionError),

    /// A microversion cannot be asked for.
    #[non_exhaustive]
    InvalidMicroversion {
        /// The microversion, truncated to 40 characters.
        microversion: Box<str>,
        /// What is wrong, and what to do about it.
        reason: &'static str,
    },

    /// A service has no microversion of the range that is asked for.
    #[non_exhaustive]
    UnsupportedMicroversion {
        /// The service type.
        service_type: Box<str>,
        /// The oldest and the newest microversion of the requested range.
        requested: (Version, Version),
        /// The oldest and the newest microversion of the service, if its version document says so.
        supported: Option<(Version, Version)>,
    },

    /// Versions are asked for that no API can have.
    #[non_exhaustive]
    InvalidVersionRange {
        /// What contradicts what.
        reason: &'static str,
    },

    /// A version is asked for that a service type such as `volumev2` excludes: keystoneauth's
    /// `ImpliedVersionMismatch`.
    #[non_exhaustive]
    ImpliedVersionMismatch {
        /// The service type.
        service_type: Box<str>,
        /// The version that it stands for.
        implied: Version,
        /// `minimum` or `maximum`.
        bound: &'static str,
        /// The requested minimum or maximum.
        requested: Version,
    },

    /// A service does not have the version asked for, or does not say what it has.
    DiscoveryFailure(Arc<DiscoveryFailure>),

    /// An [`EndpointFilter`](crate::EndpointFilter) asks for versions, and the layer has no way to ask services for theirs.
    NoDiscovery,

    /// A relative request URI came without an [`EndpointFilter`](crate::EndpointFilter) that names the type of its service.
    NoEndpointFilter,

    /// [`Interface::Auth`](crate::Interface::Auth) was asked for, and the plugin has no `auth_url`.
    NoAuthUrl,

    /// An endpoint override or an `auth_url` is no URL that paths can be appended to: it is not an absolute http or
    /// https URL, or has a user name, a query or a fragment in it. Or it is an `https` one, and `Transport::hyper` was
    /// given no connector with TLS.
    #[non_exhaustive]
    InvalidEndpoint {
        /// What has the URL, such as `the auth_url` or `an endpoint`.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// An endpoint override asks for an id that the access does not have.
    #[non_exhaustive]
    MissingOverrideValue {
        /// The name in the override.
        name: Box<str>,
    },

    /// A request URI is neither absolute nor a path.
    InvalidRequestUri,

    /// A relative request URI is longer than 65,534 bytes when it is joined to its endpoint.
    #[non_exhaustive]
    UriTooLong {
        /// How long its path and query would be, in bytes.
        length: usize,
    },

    /// A relative request URI has `..` segments that lead above the endpoint's path.
    PathTraversal,

    /// The request is for an origin that must not see the token.
    #[non_exhaustive]
    OriginNotAllowed {
        /// Scheme, host and port.
        origin: Box<str>,
    },

    /// The request has a `Host` header that is not the host of its URI, and the token would go there.
    #[non_exhaustive]
    HostNotAllowed {
        /// Scheme, host and port of the URI.
        origin: Box<str>,
    },

    /// The request would go over plain http, and the layer was told to refuse that.
    #[non_exhaustive]
    HttpsRequired {
        /// Scheme, host and port.
        origin: Box<str>,
    },

    /// The credentials cannot be sent as they are: keystoneauth's `AuthorizationFailure`.
    #[non_exhaustive]
    AuthorizationFailure {
        /// What is wrong with them.
        reason: &'static str,
    },

    /// The credentials are right, and further methods are wanted: keystoneauth's `MissingAuthMethods`.
    MissingAuthMethods(Arc<MissingAuthMethods>),

    /// Keystone answered an authentication with an error: keystoneauth's `HttpError`.
    ///
    /// What has no error document of Keystone is the word of a proxy in front of it, and transient, but for statuses
    /// that no waiting changes, such as 405, 407, 415 and 501.
    Keystone(Arc<HttpError>),

    /// A service answered a request with a status of 400 or above, and
    /// [`RaiseForStatus`](crate::RaiseForStatus) is there to make an error of it.
    Service(Arc<HttpError>),

    /// Keystone's answer to credentials is a redirect that they must not follow.
    ///
    /// Followed are 307 and 308 within the origin of the `auth_url`, three times at most.
    #[non_exhaustive]
    LoginRedirected {
        /// The status of the answer.
        status: StatusCode,
        /// Where the credentials were sent, without a user name and a query that may be in it.
        auth_url: Box<str>,
        /// Scheme, host and port of where they were to go, if the answer says it.
        location: Option<Box<str>>,
    },

    /// A request for a token would wait for that same token: its [`Transport`](crate::Transport) goes through an
    /// [`AuthLayer`](crate::AuthLayer), or credentials ask the plugin that asks them.
    Recursion,

    /// Keystone could not be reached, or its answer broke off: keystoneauth's `ConnectFailure`.
    ///
    /// It is not transient if the client says why it fails again: a certificate, a server that speaks no TLS or no
    /// HTTP, a scheme that the client does not take.
    #[non_exhaustive]
    ConnectFailure {
        /// Scheme, host and port that the request was for.
        origin: Box<str>,
        /// What the HTTP client says.
        source: Arc<dyn StdError + Send + Sync>,
    },

    /// Keystone did not answer in time.
    #[non_exhaustive]
    Timeout {
        /// Where it was asked, without a user name and a query that may be in it.
        auth_url: Box<str>,
        /// The timeout.
        timeout: Duration,
    },

    /// Keystone's token is past its end, or was when it came: do the clocks of its servers agree?
    ExpiredOnArrival,

    /// Code that is not of this crate panicked while a token was obtained: credentials, a clock, a client or a
    /// subscriber of `tracing`.
    PluginPanicked,

    /// A token or a version document has to be obtained, and there is no tokio runtime with time enabled to do it
    /// in.
    NoRuntime,

    /// Several logins, or requests for a version document, ended without a result: their runtime was shut down or is
    /// not driven, or the tokens that they brought were reset or refused at once.
    Abandoned,

    /// An identity plugin of somebody else's failed.
    #[non_exhaustive]
    Plugin {
        /// Whether trying again can help.
        transient: bool,
        /// What the plugin says.
        source: Arc<dyn StdError + Send + Sync>,
    },
}

impl Error {
    /// An error of an identity plugin that is not of this crate. `transient` says whether the same
    /// request can succeed later without anybody changing anything.
    pub fn plugin(transient: bool, source: impl Into<BoxError>) -> Self {
        Self::Plugin { transient, source: source.into().into() }
    }

    pub(crate) fn origin_not_allowed(uri: &Uri) -> Self {
        Self::OriginNotAllowed { origin: format::origin(uri) }
    }

    pub(crate) fn host_not_allowed(uri: &Uri) -> Self {
        Self::HostNotAllowed { origin: format::origin(uri) }
    }

    pub(crate) fn https_required(uri: &Uri) -> Self {
        Self::HttpsRequired { origin: format::origin(uri) }
    }

    pub(crate) fn login_redirected(status: StatusCode, auth_url: &Uri, location: Option<&Uri>) -> Self {
        Self::LoginRedirected {
            status,
            auth_url: format::url(auth_url).into(),
            location: location.map(format::origin),
        }
    }

    pub(crate) fn timeout(auth_url: &Uri, timeout: Duration) -> Self {
        Self::Timeout { auth_url: format::url(auth_url).into(), timeout }
    }

    pub(crate) const fn invalid_response(reason: &'static str, line: usize, column: usize) -> Self {
        Self::InvalidResponse { reason, line, column, url: None }
    }

    /// The same error, if it is that of a document, with the URL that the document came from.
    pub(crate) fn with_url(self, uri: &Uri) -> Self {
        match self {
            Self::InvalidResponse { reason, line, column, url: None } => {
                Self::InvalidResponse { reason, line, column, url: Some(format::url(uri).into()) }
            }
            other => other,
        }
    }

    /// What an HTTP client says of a request to this URL; if that is an error of this crate, the same.
    pub(crate) fn connect(uri: &Uri, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        match Self::find(&*source) {
            Some(ours) => ours.clone(),
            None => Self::ConnectFailure { origin: format::origin(uri), source: source.into() },
        }
    }

    /// Whether the same request can succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Plugin { transient, .. } => *transient,
            Self::Keystone(error) | Self::Service(error) => error.is_transient(),
            Self::DiscoveryFailure(failure) => failure.is_transient(),
            // What answers with something that is no token is a proxy that is not ready, most often.
            Self::Timeout { .. } | Self::InvalidResponse { .. } => true,
            Self::ConnectFailure { origin, source } => ConnectFault::from_error(origin, &**source).is_none(),
            Self::ExpiredOnArrival | Self::PluginPanicked | Self::NoRuntime | Self::Abandoned => true,
            _ => false,
        }
    }

    /// How long Keystone asks to wait, if it does.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Keystone(error) => error.retry_after,
            Self::DiscoveryFailure(failure) => failure.retry_after(),
            _ => None,
        }
    }
}

impl From<ParseVersionError> for Error {
    fn from(error: ParseVersionError) -> Self {
        Self::InvalidVersion(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_expired_at_a_time_that_can_be_read() {
        let told = |seconds: u64| {
            let expired_at = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 1);
            Error::Expired { expired_at }.to_string()
        };
        assert!(told(1_768_482_000).contains(" at 2026-01-15T13:00:00Z and "), "{}", told(1_768_482_000));
        assert!(told(1 << 40).contains(" at 1099511627776 s after 1970 and "), "{}", told(1 << 40));
    }
}
