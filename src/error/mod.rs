//! Error types, and how to downcast them from a [`BoxError`].
//!
//! [`Error::find`] returns the first [`Error`] in a chain of errors:
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
//! A [`BoxError`] does not implement [`std::error::Error`], so `?` cannot convert it to an `anyhow::Error` or an
//! `eyre::Report`. The macros `anyhow!` and `eyre!` can. [`Error::find`] finds an [`Error`] in the result, with or
//! without context:
//!
//! ```
//! use anyhow::{Context, anyhow};
//! use tower_keystone::{AccessInfo, BoxError, Error};
//!
//! # fn send() -> Result<(), BoxError> { Ok(AccessInfo::new("gAAAA", "<html>").map(drop)?) }
//! // The same type as `nova.oneshot(request).await`.
//! let result: Result<(), BoxError> = send();
//! let error = result.map_err(|error| anyhow!(error)).context("cannot list servers").unwrap_err();
//!
//! assert!(matches!(Error::find(&*error), Some(Error::InvalidResponse { .. })));
//! ```
//!
//! ```
//! use eyre::{WrapErr, eyre};
//! # use tower_keystone::{AccessInfo, BoxError, Error};
//! # fn send() -> Result<(), BoxError> { Ok(AccessInfo::new("gAAAA", "<html>").map(drop)?) }
//! let result: Result<(), BoxError> = send();
//! let error = result.map_err(|error| eyre!(error)).wrap_err("cannot list servers").unwrap_err();
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

#[cfg(feature = "config")]
mod config_error;
mod connect_fault;
mod discovery_failure;
mod display;
mod endpoint_not_found;
mod error_body;
mod failed_login;
#[cfg(feature = "federation")]
mod federated_login_failed;
mod find;
mod format;
mod http_error;
mod missing_auth_methods;
mod proxy_error;
#[cfg(feature = "rustls")]
mod proxy_failure;
mod redact;
mod retry_after;

#[cfg(feature = "config")]
pub(crate) use config_error::Names;
#[cfg(feature = "config")]
pub use config_error::{ConfigError, ConfigErrorKind, ConfigLocation};
pub(crate) use discovery_failure::A_VERSION_DOCUMENT;
pub use discovery_failure::{DiscoveryAttempt, DiscoveryFailure};
pub use endpoint_not_found::{EndpointNotFound, NearMiss};
#[cfg(feature = "federation")]
pub use federated_login_failed::{FederatedLoginFailed, LoginStep};
pub use http_error::HttpError;
pub use missing_auth_methods::MissingAuthMethods;

pub(crate) use connect_fault::{ConnectFault, failed_proxy, root_cause};
pub(crate) use failed_login::FailedLogin;
#[cfg(feature = "redis")]
pub(crate) use format::printable;
pub(crate) use format::{
    escaped, origin as format_origin, sources as format_sources, truncate, url as format_url,
};
pub(crate) use proxy_error::{is_permanent, requires_tls};
#[cfg(feature = "rustls")]
pub(crate) use proxy_failure::ProxyFailure;
pub(crate) use redact::{contains_secret, secrets_in};
pub(crate) use retry_after::{date, retry_after};

#[doc(no_inline)]
pub use tower::BoxError;

/// The `what` of an [`Error::InvalidEndpoint`] if the URL comes from an endpoint override or an `auth_url`.
pub(crate) const AN_ENDPOINT: &str = "an endpoint";

/// The error of this crate: a request cannot be sent with a token, or a document cannot be read.
///
/// No variant contains or displays a token, a token document or a request. An [`HttpError`] contains texts of a
/// response, which are redacted if they contain a secret that was sent.
///
/// See the [module docs](self) for how to find an `Error` in a [`BoxError`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A response or a stored document is not a valid token or version document: keystoneauth's `InvalidResponse`.
    #[non_exhaustive]
    InvalidResponse {
        /// What is wrong with the document.
        reason: &'static str,
        /// The line of the syntax error, from 1; 0 if there is no position.
        line: usize,
        /// The column of the syntax error, in bytes from 1.
        column: usize,
        /// The URL of the response, without its user name and query. `None` if the caller passed the document.
        url: Option<Box<str>>,
    },

    /// A token cannot be sent in a header, or a response contains two different tokens.
    #[non_exhaustive]
    InvalidToken {
        /// What is wrong with the token.
        reason: &'static str,
        /// The length of the token, in bytes.
        length: usize,
        /// The offset of the first invalid byte, if a byte is invalid.
        offset: Option<usize>,
    },

    /// A time in a token document is not in ISO 8601 format.
    #[non_exhaustive]
    InvalidTimestamp {
        /// The name of the member.
        field: &'static str,
    },

    /// There is no token to send: an [`AccessInfo`](crate::AccessInfo) was created from a document or a response
    /// without one.
    NoToken,

    /// The token has expired, and the plugin cannot renew it
    /// ([`AccessInfoPlugin::refuse_expired`](crate::AccessInfoPlugin::refuse_expired)).
    #[non_exhaustive]
    Expired {
        /// When the token expired.
        expired_at: SystemTime,
    },

    /// The token document lists no services: keystoneauth's `EmptyCatalog`.
    EmptyCatalog,

    /// The service catalog does not contain the requested endpoint.
    EndpointNotFound(Arc<EndpointNotFound>),

    /// A text is not the version of an API.
    InvalidVersion(ParseVersionError),

    /// A requested microversion is malformed, or cannot be sent to this service.
    #[non_exhaustive]
    InvalidMicroversion {
        /// The microversion, truncated to 40 characters.
        microversion: Box<str>,
        /// What is wrong, and what to do about it.
        reason: &'static str,
    },

    /// A service supports no microversion of the requested range.
    #[non_exhaustive]
    UnsupportedMicroversion {
        /// The service type.
        service_type: Box<str>,
        /// The oldest and the newest microversion of the requested range.
        requested: (Version, Version),
        /// The oldest and the newest microversion of the service. `None` if its version document lists none.
        supported: Option<(Version, Version)>,
    },

    /// A requested version range is contradictory.
    #[non_exhaustive]
    InvalidVersionRange {
        /// What the contradiction is.
        reason: &'static str,
    },

    /// A service type such as `volumev2` implies a version, and a different one is requested: keystoneauth's
    /// `ImpliedVersionMismatch`.
    #[non_exhaustive]
    ImpliedVersionMismatch {
        /// The service type.
        service_type: Box<str>,
        /// The version that the service type implies.
        implied: Version,
        /// Which limit of the requested range differs: `minimum` or `maximum`.
        bound: &'static str,
        /// The value of that limit.
        requested: Version,
    },

    /// A service does not have the requested version, or its versions cannot be discovered.
    DiscoveryFailure(Arc<DiscoveryFailure>),

    /// An [`EndpointFilter`](crate::EndpointFilter) requests a version, and version discovery is off
    /// ([`AuthLayer::discovery`](crate::AuthLayer::discovery)).
    NoDiscovery,

    /// A request has a relative URI, and no [`EndpointFilter`](crate::EndpointFilter) with a service type.
    NoEndpointFilter,

    /// The identity plugin has neither a service catalog nor an endpoint, and the request has no
    /// [`endpoint_override`](crate::EndpointFilter::endpoint_override).
    NoEndpoint,

    /// A request needs the token of an [`Identity`](crate::Identity) and has none
    /// ([`AuthLayer::require_identity`](crate::AuthLayer::require_identity)).
    NoIdentity,

    /// A filter requests [`Interface::Auth`](crate::Interface::Auth), and the plugin has no `auth_url`.
    NoAuthUrl,

    /// An endpoint override, an `auth_url` or an allowed origin cannot be used.
    ///
    /// Such a URL must be absolute and `http` or `https`, without a user name, a query or a fragment. With
    /// `Transport::hyper`, an `https` URL also requires a TLS connector.
    #[non_exhaustive]
    InvalidEndpoint {
        /// Which URL it is, such as `the auth_url` or `an endpoint`.
        what: &'static str,
        /// What is wrong with the URL.
        reason: &'static str,
    },

    /// An endpoint override contains a placeholder such as `%(project_id)s`, and the token has no value for it.
    #[non_exhaustive]
    MissingOverrideValue {
        /// The name of the placeholder.
        name: Box<str>,
    },

    /// A request URI is neither absolute nor a path.
    InvalidRequestUri,

    /// The path and query of a request URI, joined to the endpoint, are longer than 65,534 bytes.
    #[non_exhaustive]
    UriTooLong {
        /// The length of the joined path and query, in bytes.
        length: usize,
    },

    /// A relative request URI leaves the path of its endpoint with `..` segments (path traversal).
    PathTraversal,

    /// The token must not be sent to the origin of the request.
    #[non_exhaustive]
    OriginNotAllowed {
        /// Scheme, host and port of the URI.
        origin: Box<str>,
        /// Whether no configuration can allow it, because the URI is not http or https, or contains a user name, or a
        /// host or port that HTTP clients may read differently.
        never_allowed: bool,
    },

    /// A request with a token has a `Host` header that is not the host of its URI.
    #[non_exhaustive]
    HostNotAllowed {
        /// Scheme, host and port of the URI.
        origin: Box<str>,
    },

    /// A request would use plain http, and [`AuthLayer::require_https`](crate::AuthLayer::require_https) forbids that.
    #[non_exhaustive]
    HttpsRequired {
        /// Scheme, host and port of the URI.
        origin: Box<str>,
    },

    /// The credentials cannot be sent: keystoneauth's `AuthorizationFailure`.
    #[non_exhaustive]
    AuthorizationFailure {
        /// What is wrong with the credentials.
        reason: &'static str,
    },

    /// Keystone accepted the credentials and requires further authentication methods: keystoneauth's
    /// `MissingAuthMethods`.
    MissingAuthMethods(Arc<MissingAuthMethods>),

    /// Keystone responded to a login with an error status: keystoneauth's `HttpError`.
    ///
    /// The statuses 408, 429 and all from 500 are transient, except 501 and 505. If the response is not an error
    /// document of Keystone, it comes from a proxy in front of Keystone. Then the other statuses from 400 are transient
    /// too, with two exceptions: statuses that a retry cannot change (such as 405, 407 and 415), and a 400 that says
    /// that plain http was sent to a TLS port.
    Keystone(Arc<HttpError>),

    /// A service responded with a status of 400 or above, and [`RaiseForStatus`](crate::RaiseForStatus) made it an
    /// error.
    Service(Arc<HttpError>),

    /// Keystone responded to a login with a redirect that credentials must not follow.
    ///
    /// Logins follow 307 and 308 within the origin of the `auth_url`, three times at most.
    #[non_exhaustive]
    LoginRedirected {
        /// The status of the response.
        status: StatusCode,
        /// The URL of the login, without its user name and query.
        auth_url: Box<str>,
        /// Scheme, host and port of the redirect, if the response has a `Location`.
        location: Option<Box<str>>,
    },

    /// A request for a token would wait for that same token.
    ///
    /// Either the [`Transport`](crate::Transport) sends through an [`AuthLayer`](crate::AuthLayer), or credentials call
    /// the plugin that holds them.
    Recursion,

    /// Keystone cannot be reached, or its response broke off: keystoneauth's `ConnectFailure`.
    ///
    /// It is not transient if the error of the client shows a permanent cause: a rejected certificate, a server without
    /// TLS or HTTP, or a URL scheme that the client does not support.
    #[non_exhaustive]
    ConnectFailure {
        /// Scheme, host and port of the request.
        origin: Box<str>,
        /// The error of the HTTP client.
        source: Arc<dyn StdError + Send + Sync>,
    },

    /// Keystone did not respond before the timeout.
    #[non_exhaustive]
    Timeout {
        /// The URL of Keystone, without its user name and query.
        auth_url: Box<str>,
        /// The timeout.
        timeout: Duration,
    },

    /// The token from Keystone expires at once, or has already expired. The clocks of the Keystone servers may differ.
    ExpiredOnArrival,

    /// Code outside this crate panicked during a login: credentials, a clock, an HTTP client or a `tracing` subscriber.
    PluginPanicked,

    /// A login or version discovery requires a tokio runtime with time enabled, and there is none.
    NoRuntime,

    /// Several logins or requests for a version document ended without a usable result.
    ///
    /// Either nothing drives their tokio runtime, for example because it was shut down, or each new token was discarded
    /// at once: a service rejected it, or [`RenewingPlugin::reset`](crate::RenewingPlugin::reset) was called.
    Abandoned,

    /// The configuration of a cloud cannot be used: `openstack.config`'s `ConfigException`.
    #[cfg(feature = "config")]
    Config(Arc<ConfigError>),

    /// An HTTPS client cannot be built ([`HttpsClientBuilder::build`](crate::transport::HttpsClientBuilder::build)).
    #[cfg(feature = "rustls")]
    #[non_exhaustive]
    InvalidClientSetting {
        /// The setting: a file and its purpose, the name of a proxy variable, or the name of another setting. If a
        /// configuration names the CA file, it begins with where that was written.
        setting: Box<str>,
        /// What is wrong, and what was expected. It contains no content of a file and no part of a proxy's URL.
        reason: Box<str>,
    },

    /// A store of tokens cannot be set up: a key is malformed, an address is, or a directory is not private.
    #[cfg(feature = "store")]
    #[non_exhaustive]
    InvalidStore {
        /// What is wrong, and what was expected. It contains no key and no password.
        reason: Box<str>,
        /// The error of the operating system or of the client, if there is one.
        source: Option<Arc<dyn StdError + Send + Sync>>,
    },

    /// A store of tokens did not answer, or answered with an error. No request fails because of that: only methods that
    /// ask a store return this error.
    #[cfg(feature = "store")]
    #[non_exhaustive]
    StoreUnavailable {
        /// The error of the store. `None` if it did not answer in time.
        source: Option<Arc<dyn StdError + Send + Sync>>,
    },

    /// An earlier login with these credentials failed, by another plugin, another process or an earlier run of the
    /// program. The delay after it is not over. [`SharedTokens::forget_failures`](crate::SharedTokens::forget_failures) ends it.
    #[cfg(feature = "store")]
    #[non_exhaustive]
    SharedLoginFailed {
        /// The text of its error, without secrets.
        message: Box<str>,
        /// Whether that failure is transient.
        transient: bool,
    },

    /// A federated login failed before Keystone issued a token: at the identity provider, or on the way back from it.
    #[cfg(feature = "federation")]
    FederatedLoginFailed(Arc<FederatedLoginFailed>),

    /// The login of a person has ended, and it cannot be renewed without them. Log in again.
    #[cfg(feature = "federation")]
    LoginEnded,

    /// The token of the home Keystone does not list this service provider
    /// ([`Keystone2KeystoneCredentials`](crate::federation::Keystone2KeystoneCredentials)).
    #[cfg(feature = "federation")]
    #[non_exhaustive]
    UnknownServiceProvider {
        /// The id of the service provider.
        service_provider: Box<str>,
        /// The ids that the token lists, at most 32. Each is truncated to 64 characters.
        known: Box<[Box<str>]>,
    },

    /// An identity plugin or [`Credentials`](crate::Credentials) outside this crate failed.
    #[non_exhaustive]
    Plugin {
        /// Whether the failure is transient: the same request can succeed later.
        transient: bool,
        /// The error of the plugin.
        source: Arc<dyn StdError + Send + Sync>,
    },
}

impl Error {
    /// Creates the error of an identity plugin or of [`Credentials`](crate::Credentials) outside this crate.
    ///
    /// `transient` says whether the same request can succeed later without any change.
    pub fn plugin(transient: bool, source: impl Into<BoxError>) -> Self {
        Self::Plugin { transient, source: source.into().into() }
    }

    #[cfg(feature = "rustls")]
    pub(crate) fn invalid_client_setting(setting: &str, reason: impl Into<Box<str>>) -> Self {
        Self::InvalidClientSetting { setting: setting.into(), reason: reason.into() }
    }

    pub(crate) fn origin_not_allowed(uri: &Uri, never_allowed: bool) -> Self {
        Self::OriginNotAllowed { origin: format::origin(uri), never_allowed }
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

    /// Adds the URL of the document to [`Error::InvalidResponse`].
    pub(crate) fn with_url(self, uri: &Uri) -> Self {
        match self {
            Self::InvalidResponse { reason, line, column, url: None } => {
                Self::InvalidResponse { reason, line, column, url: Some(format::url(uri).into()) }
            }
            other => other,
        }
    }

    /// Wraps the error of an HTTP client for a request to this URL, or returns the [`Error`] that it contains.
    pub(crate) fn connect(uri: &Uri, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        match Self::find(&*source) {
            Some(error) => error.clone(),
            None => Self::ConnectFailure { origin: format::origin(uri), source: source.into() },
        }
    }

    /// Creates the error for a service provider that is none of the known ones.
    #[cfg(feature = "federation")]
    pub(crate) fn unknown_service_provider<'a>(
        service_provider: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Self {
        let truncate = |id: &str| id.chars().take(64).collect::<String>().into();
        let known = known.take(32).map(truncate).collect();
        Self::UnknownServiceProvider { service_provider: truncate(service_provider), known }
    }

    /// Returns whether the error is transient: the same request can succeed later without any change.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Plugin { transient, .. } => *transient,
            #[cfg(feature = "federation")]
            Self::FederatedLoginFailed(error) => error.is_transient(),
            #[cfg(feature = "store")]
            Self::SharedLoginFailed { transient, .. } => *transient,
            #[cfg(feature = "store")]
            Self::StoreUnavailable { .. } => true,
            Self::Keystone(error) | Self::Service(error) => error.is_transient(),
            Self::DiscoveryFailure(failure) => failure.is_transient(),
            // An invalid response comes from a proxy that is not ready, most often.
            Self::Timeout { .. } | Self::InvalidResponse { .. } => true,
            Self::ConnectFailure { origin, source } => ConnectFault::from_error(origin, &**source).is_none(),
            Self::ExpiredOnArrival | Self::PluginPanicked | Self::NoRuntime | Self::Abandoned => true,
            _ => false,
        }
    }

    /// Returns the delay that Keystone or a service requests (`Retry-After`).
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Keystone(error) => error.retry_after,
            #[cfg(feature = "federation")]
            Self::FederatedLoginFailed(error) => error.retry_after,
            Self::DiscoveryFailure(failure) => failure.retry_after(),
            _ => None,
        }
    }
}

#[cfg(feature = "config")]
impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(Arc::new(error))
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
    fn the_expiry_is_shown_as_a_date() {
        let message = |seconds: u64| {
            let expired_at = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 1);
            Error::Expired { expired_at }.to_string()
        };
        assert!(
            message(1_768_482_000).contains(" at 2026-01-15T13:00:00Z and "),
            "{}",
            message(1_768_482_000)
        );
        assert!(message(1 << 40).contains(" at 1099511627776 s after 1970 and "), "{}", message(1 << 40));
    }
}
